package main

import (
	"context"
	"errors"
	"fmt"
	"os"

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
			_, _ = fmt.Fprint(e.errWriter(), prompt+": ")
			a.text, a.err = readPassword(ctx, int(stdin.Fd()))
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

// readPassword reads a line that the terminal doesn't show. A read can't be taken
// back: when ctx ends, its goroutine is left behind until the terminal gives it
// something, or the program ends.
func readPassword(ctx context.Context, fd int) ([]byte, error) {
	before, err := term.GetState(fd)
	if err = errors.Join(err, context.Cause(ctx)); err != nil {
		return nil, err
	}
	read := make(chan answer, 1)
	go func() {
		text, err := term.ReadPassword(fd)
		read <- answer{text, err}
	}()
	select {
	case a := <-read:
		return a.text, a.err
	case <-ctx.Done():
		return nil, errors.Join(context.Cause(ctx), term.Restore(fd, before))
	}
}
