package main

import (
	"fmt"
	"io"

	"testr/internal/instance/tree"
)

// rshCommand makes this program what rsync starts to get to an instance, while
// another testr brings a source tree there. It is no command for people, and not
// among those of newApp: it needs nothing of a command line.
const rshCommand = "rsh"

// rsh is all that it does, and its exit status.
func rsh(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	status, err := tree.ServeRsh(args, stdin, stdout)
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "testr: error: %s\n", err)
	}
	return status
}
