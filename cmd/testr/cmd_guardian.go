package main

import (
	"fmt"
	"io"

	"testr/internal/instance"
)

// guardianCommand makes this program the guardian of another testr's local
// workers. It is no command for people, and not among those of newApp: testr
// starts it by itself, for each run, and it needs nothing of a command line.
const guardianCommand = "guardian"

// guardian is all that a guardian does, and its exit status.
func guardian(stderr io.Writer) int {
	if err := instance.RunGuardian(); err != nil {
		_, _ = fmt.Fprintf(stderr, "testr: error: %s\n", err)
		return statusUsage
	}
	return statusPassed
}
