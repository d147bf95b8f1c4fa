package instance

import (
	"errors"
	"io"
	"os"
	"syscall"
	"time"
)

// resultPipe is the size of the pipe that carries results: room for a worker
// to run on while testr waits for the disk.
const resultPipe = 1 << 20

// pipes are the two ends of standard input, output and error.
type pipes struct {
	ours, theirs [3]*os.File
}

// openPipes opens the three pipes; a stdin that is not nil takes the place of
// the first one. All of them are closed on exec, but for what the command gets.
func openPipes(stdin *os.File) (*pipes, error) {
	p := &pipes{}
	p.theirs[0] = stdin
	for fd := range p.theirs {
		if p.theirs[fd] != nil {
			continue
		}
		r, w, err := os.Pipe()
		if err != nil {
			p.closeTheirs(stdin)
			p.closeOurs()
			return nil, err
		}
		if fd == 0 {
			p.theirs[fd], p.ours[fd] = r, w
		} else {
			p.ours[fd], p.theirs[fd] = r, w
		}
	}
	growPipe(p.ours[1], resultPipe)
	return p, nil
}

// closeTheirs closes the command's ends, except stdin, which its owner closes.
func (p *pipes) closeTheirs(stdin *os.File) {
	for _, f := range p.theirs {
		if f != nil && f != stdin {
			_ = f.Close()
		}
	}
}

func (p *pipes) closeOurs() {
	for _, f := range p.ours {
		if f != nil {
			_ = f.Close()
		}
	}
}

// input writes to a process's standard input.
type input struct {
	f      *os.File
	exited <-chan struct{} // closed before the end of the process closes f
}

// Write writes to the process. It blocks while the pipe is full, until the
// process reads or ends or the input is closed. When the process is gone or
// has closed its input, the error is EPIPE.
func (i *input) Write(b []byte) (int, error) {
	n, err := i.f.Write(b)
	if errors.Is(err, os.ErrClosed) {
		select {
		case <-i.exited:
			err = &os.PathError{Op: "write", Path: "standard input", Err: syscall.EPIPE}
		default:
		}
	}
	return n, err
}

// Close ends the process's input. Closing it again, or after the process has
// ended, does nothing.
func (i *input) Close() error {
	if err := i.f.Close(); !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

// output reads what a process writes, until the pipe ends or the process does.
// One goroutine reads it; another one may call end.
type output struct {
	f *os.File

	// The rest belongs to the reader.
	draining bool  // the process has ended: only left bytes are still its own
	left     int   // how much there is to read of what was in the pipe then
	err      error // what every further Read returns; f is closed
}

// end says that the process has ended. What is in the pipe now is still read;
// what others who hold the pipe write from now on is not.
func (o *output) end() {
	_ = o.f.SetReadDeadline(time.Unix(1, 0)) // fails if the reader has closed it: fine too
}

// Read reads what the process wrote, and gives io.EOF when there will be no
// more of it.
func (o *output) Read(b []byte) (int, error) {
	if o.err != nil {
		return 0, o.err
	}
	if !o.draining {
		n, err := o.f.Read(b)
		switch {
		case err == nil:
			return n, nil
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return n, o.finish(err)
		}
		o.draining = true
		_ = o.f.SetReadDeadline(time.Time{})
		// A pipe is first in, first out: all that the process itself wrote is
		// within what is there after its end.
		o.left = buffered(o.f)
	}
	if o.left == 0 {
		return 0, o.finish(io.EOF)
	}
	n, err := readNow(o.f, b[:min(len(b), o.left)])
	o.left -= n
	if err != nil {
		return n, o.finish(err)
	}
	return n, nil
}

func (o *output) finish(err error) error {
	o.err = err
	_ = o.f.Close()
	return err
}
