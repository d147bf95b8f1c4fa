package config

import (
	"errors"
	"fmt"
	"strings"
)

// ErrNotFound means that there is no .testr.conf where one was looked for.
var ErrNotFound = errors.New("no " + Name)

// Error is one mistake in a configuration, or one thing in it that a person
// should know of.
type Error struct {
	File string // as it was opened
	Line int    // from 1; 0 where the mistake has no line
	Msg  string // what is wrong
	Hint string // what would be right; may be empty
}

// Error is the place and what is wrong there, without the hint.
func (e *Error) Error() string {
	if e.Line == 0 {
		return e.File + ": " + e.Msg
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Msg)
}

// Errors is all that is wrong with a configuration, in the order of its lines.
// errors.As finds the first *Error in it.
type Errors []*Error

// Error is a line for each mistake.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, err := range e {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the mistakes.
func (e Errors) Unwrap() []error {
	errs := make([]error, len(e))
	for i, err := range e {
		errs[i] = err
	}
	return errs
}

// didYouMean is "; did you mean "x"?" for the known name that is nearest to
// name, or nothing if none is near.
func didYouMean(name string, known ...string) string {
	best, least := "", 1+len(name)/3
	for _, k := range known {
		if d := distance(name, k); d < least {
			best, least = k, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// distance is the number of bytes to insert, to delete or to change that makes
// b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
