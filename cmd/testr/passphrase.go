package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// passphrase returns what asks the person at the terminal for the passphrase of
// a key; nil if there is no terminal, on which nobody is asked then. When ctx ends
// it asks no more, and the terminal is as it was.
func (e *environment) passphrase(ctx context.Context) func(prompt string) ([]byte, error) {
	stdin, isFile := e.stdin.(*os.File)
	if _, isTerminal := terminal(e.stderr); !isTerminal || !isFile || !term.IsTerminal(int(stdin.Fd())) {
		return nil
	}
	return func(prompt string) ([]byte, error) {
		answers := make(chan answer, 1)
		ask := func() {
			if ctx.Err() != nil {
				return
			}
			var a answer
			a.text, a.err = readUnseen(ctx, stdin, func() { _, _ = fmt.Fprint(e.errWriter(), prompt+": ") })
			_, _ = fmt.Fprintln(e.errWriter())
			answers <- a
		}
		if f := e.follower.Load(); f != nil {
			f.alone(ctx, ask)
		} else {
			ask()
		}
		select {
		case a := <-answers:
			return a.passphrase()
		default: // nobody was asked before the end came
			return nil, fmt.Errorf("read the passphrase: %w", context.Cause(ctx))
		}
	}
}

// answer is what a person said.
type answer struct {
	text []byte
	err  error
}

func (a answer) passphrase() ([]byte, error) {
	switch {
	case a.err != nil:
		return nil, fmt.Errorf("read the passphrase: %w", a.err)
	case len(a.text) == 0:
		return nil, errors.New("no passphrase was given")
	}
	return a.text, nil
}

// readUnseen asks, and reads a line that the terminal doesn't show. A read can't
// be taken back: when ctx ends, its goroutine is left behind until the terminal
// gives it something, or the program ends.
func readUnseen(ctx context.Context, tty *os.File, ask func()) (text []byte, err error) {
	fd := int(tty.Fd())
	before, err := term.GetState(fd)
	if err = errors.Join(err, context.Cause(ctx)); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, term.Restore(fd, before)) }()
	// From before it asks: who types at once is not shown, either.
	silent, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err == nil {
		silent.Lflag = silent.Lflag&^unix.ECHO | unix.ICANON | unix.ISIG
		silent.Iflag |= unix.ICRNL
		err = unix.IoctlSetTermios(fd, unix.TCSETS, silent)
	}
	if err != nil {
		return nil, err
	}
	ask()
	read := make(chan answer, 1)
	go func() {
		text, err := readLine(tty)
		read <- answer{text, err}
	}()
	select {
	case a := <-read:
		return a.text, a.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// readLine reads a line, without its newline, and nothing behind it.
func readLine(r io.Reader) (line []byte, err error) {
	for one := make([]byte, 1); ; {
		n, err := r.Read(one)
		switch {
		case n > 0 && one[0] == '\n':
			return line, nil
		case n > 0:
			line = append(line, one[0])
		case errors.Is(err, io.EOF) && len(line) > 0:
			return line, nil
		case err != nil:
			return line, err
		}
	}
}
