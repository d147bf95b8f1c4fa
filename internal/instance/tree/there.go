package tree

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"

	"testr/internal/instance"
)

// maxNoise is how much a shell's start-up files may write before a script does.
const maxNoise = 1 << 20

// there is the directory on the instance.
type there struct {
	inst instance.Instance
	dir  string // relative ones begin with "./"
	mark string // begins what a script writes; nobody can know it
}

func newThere(inst instance.Instance, dir string) *there {
	if !path.IsAbs(dir) {
		dir = "./" + dir
	}
	return &there{inst: inst, dir: dir, mark: "testr-" + rand.Text()}
}

// command has a shell run a script in the directory, with the directory, the
// mark and words for its arguments. The shell never reads names as code.
func (t *there) command(script string, words ...string) instance.Command {
	return instance.Command{Args: slices.Concat([]string{"sh", "-c", script, "testr-sync", t.dir, t.mark}, words)}
}

// job is a command on the instance, and who talks to it.
type job struct {
	what    string // it does, for messages
	command instance.Command
	// stdin writes its input, in the goroutine that calls run. Nil: it has none.
	stdin func(io.Writer) error
	// stdout reads its output, from behind the mark, in a goroutine of its own.
	// What it leaves is thrown away. Nil: all of it is.
	stdout func(*bufio.Reader) error
}

// run runs a command to its end. Two goroutines read what it writes; they have
// ended when it returns.
func (t *there) run(ctx context.Context, j job) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p, err := t.inst.Start(ctx, j.command)
	if err != nil {
		return fmt.Errorf("%s: %w", j.what, err)
	}
	var reading sync.WaitGroup
	var stderr instance.Tail
	reading.Go(func() { _, _ = io.Copy(&stderr, p.Stderr()) })
	var readErr error
	reading.Go(func() {
		out := bufio.NewReaderSize(p.Stdout(), 64<<10)
		if j.stdout != nil {
			if readErr = skipNoise(out, t.mark); readErr == nil {
				readErr = j.stdout(out)
			}
		}
		_, _ = io.Copy(io.Discard, out)
	})
	pipe := &pipe{w: p.Stdin()}
	var ownErr error
	if j.stdin != nil {
		if err := j.stdin(pipe); pipe.err == nil && err != nil {
			ownErr = err
			cancel(err) // its input is not whole, and its end must not look so
		}
	}
	if err := p.Stdin().Close(); pipe.err == nil && j.stdin != nil {
		pipe.err = err
	}
	reading.Wait()
	status, waitErr := p.Wait()
	switch {
	case ownErr != nil:
		err = ownErr
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case waitErr != nil:
		err = waitErr
	case !status.Success():
		err = errors.New(status.String() + explain(&stderr))
	case readErr != nil:
		err = readErr
	case pipe.err != nil:
		err = fmt.Errorf("it ended before it had read everything: %w%s", pipe.err, explain(&stderr))
	default:
		return nil
	}
	return fmt.Errorf("%s: %w", j.what, err)
}

// pipe keeps the error of writing to a command, which says less than its end.
type pipe struct {
	w   io.Writer
	err error
}

// Write writes to the command.
func (p *pipe) Write(b []byte) (int, error) {
	n, err := p.w.Write(b)
	if err != nil {
		p.err = err
	}
	return n, err
}

// skipNoise reads up to a line that is the mark, and that line.
func skipNoise(r *bufio.Reader, mark string) error {
	var line []byte
	for read := 0; read < maxNoise; {
		piece, err := r.ReadSlice('\n')
		read += len(piece)
		line = append(line, piece...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil:
			return fmt.Errorf("no answer from the shell: %w", noEOF(err))
		case bytes.HasSuffix(line, []byte(mark+"\n")): // behind what had no newline
			return nil
		}
		line = line[:0]
	}
	return errors.New("the shell there writes without end before it begins; look at its start-up files")
}

// noEOF makes an end an unexpected one.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// readLine reads a line of what a script says, without its end. It is short.
func readLine(r *bufio.Reader) (string, error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return "", noEOF(err)
	}
	return strings.TrimSuffix(string(line), "\n"), nil
}

// note writes a record of names, and keeps what is recorded until then with it.
func (t *there) note(ctx context.Context, record []byte) error {
	return t.run(ctx, job{
		what:    "note the names of the files",
		command: t.command(noteAll, strconv.Itoa(len(record))),
		stdin:   writeAll(record),
	})
}

// change has the changeScript do what words say.
func (t *there) change(ctx context.Context, words []string) error {
	if len(words) == 0 {
		return nil
	}
	list := formatSynced(words)
	return t.run(ctx, job{
		what:    "remove what is not in the tree any more",
		command: t.command(changeAll, changeScript, strconv.Itoa(len(list))),
		stdin:   writeAll(list),
	})
}

func writeAll(b []byte) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	}
}
