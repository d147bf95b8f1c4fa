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
		_, _ = fmt.Fprint(e.errWriter(), prompt+": ")
		answer, err := readPassword(ctx, int(stdin.Fd()))
		_, _ = fmt.Fprintln(e.errWriter())
		if err != nil {
			return nil, fmt.Errorf("read the passphrase: %w", err)
		}
		if len(answer) == 0 {
			return nil, errors.New("no passphrase was given")
		}
		return answer, nil
	}
}

// readPassword reads a line that the terminal doesn't show. A read can't be taken
// back: when ctx ends, its goroutine is left behind until the terminal gives it
// something, or the program ends.
func readPassword(ctx context.Context, fd int) ([]byte, error) {
	before, err := term.GetState(fd)
	if err = errors.Join(err, context.Cause(ctx)); err != nil {
		return nil, err
	}
	type result struct {
		answer []byte
		err    error
	}
	read := make(chan result, 1)
	go func() {
		answer, err := term.ReadPassword(fd)
		read <- result{answer, err}
	}()
	select {
	case r := <-read:
		return r.answer, r.err
	case <-ctx.Done():
		return nil, errors.Join(context.Cause(ctx), term.Restore(fd, before))
	}
}
