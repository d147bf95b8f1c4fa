package sshhost

import (
	"io"
	"os"
	"sync"
	"syscall"
	"time"
)

// input writes to a command's standard input.
//
// Its feed, which is a goroutine of the process, is the only one that writes to
// the session: a writer never waits for the network alone.
type input struct {
	pieces  chan []byte // to feed, which owns a piece until it gives a result
	results chan error
	closed  chan struct{}
	close   func() // closes closed
	exited  <-chan struct{}

	writing sync.Mutex // held by who writes
	buffer  []byte     // the writer's, when it isn't feed's
}

func newInput(exited <-chan struct{}) *input {
	i := &input{
		pieces: make(chan []byte), results: make(chan error, 1),
		closed: make(chan struct{}), exited: exited,
	}
	i.close = sync.OnceFunc(func() { close(i.closed) })
	return i
}

// Write writes to the command. It blocks until there is a command, and while
// that doesn't read; the end of the command, or of the input, ends it. When the
// command is gone, or was never there, the error is EPIPE.
func (i *input) Write(b []byte) (n int, err error) {
	i.writing.Lock()
	defer i.writing.Unlock()
	for n < len(b) {
		select {
		case <-i.exited:
			return n, inputError(syscall.EPIPE)
		case <-i.closed:
			return n, inputError(os.ErrClosed)
		default:
		}
		i.buffer = append(i.buffer[:0], b[n:min(len(b), n+pieceSize)]...)
		select {
		case i.pieces <- i.buffer:
		case <-i.closed:
			continue
		case <-i.exited:
			continue
		}
		if known, err := i.result(); known {
			if err != nil {
				return n, inputError(syscall.EPIPE)
			}
			n += len(i.buffer)
		}
	}
	return n, nil
}

// lateResult is how long a writer waits for the result of what it has written to
// a command that has ended meanwhile: perhaps because it had read all of that.
const lateResult = time.Second

// result is what has become of the piece that feed has. If that is not known, the
// input has ended, and the buffer is feed's for good.
func (i *input) result() (known bool, err error) {
	select {
	case err := <-i.results:
		return true, err
	case <-i.closed:
		return false, nil
	case <-i.exited:
	}
	limit := time.NewTimer(lateResult)
	defer limit.Stop()
	select {
	case err := <-i.results:
		return true, err
	case <-i.closed:
	case <-limit.C:
	}
	return false, nil
}

func inputError(err error) error {
	return &os.PathError{Op: "write", Path: "standard input", Err: err}
}

// Close ends the command's input. Closing it again, or after the command has
// ended, does nothing.
func (i *input) Close() error {
	i.close()
	return nil
}

// feed writes to a session what is written to the input, from when the command
// has begun.
func (i *input) feed(s *session, begun <-chan struct{}) {
	select {
	case <-begun:
	case <-i.exited:
		return
	}
	for {
		select {
		case piece := <-i.pieces:
			_, err := s.Write(piece)
			i.results <- err
		case <-i.closed:
			_ = s.CloseWrite() // who lost the session knows
			return
		case <-i.exited:
			return
		}
	}
}

// copyFile is what feeds a command that reads a file.
func (p *process) copyFile(s *session) {
	select {
	case <-p.begun:
	case <-p.exited:
		return
	}
	_, _ = io.Copy(s, p.file) // a file that can't be read ends there
	_ = s.CloseWrite()
}
