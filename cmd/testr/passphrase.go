package main

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/term"
)

// passphrase returns what asks the person at the terminal for the passphrase of
// a key; nil if there is no terminal, on which nobody is asked then.
func (e *environment) passphrase() func(prompt string) ([]byte, error) {
	stdin, isFile := e.stdin.(*os.File)
	if _, isTerminal := terminal(e.stderr); !isTerminal || !isFile || !term.IsTerminal(int(stdin.Fd())) {
		return nil
	}
	return func(prompt string) ([]byte, error) {
		_, _ = fmt.Fprint(e.errWriter(), prompt)
		answer, err := term.ReadPassword(int(stdin.Fd()))
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
