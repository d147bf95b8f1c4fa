package runner

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"testr/internal/repo"
)

// Like names what one worker of a run had, or all that a run had.
type Like struct {
	Run   int    // its number; LastRun for the last one
	Route string // of the worker; empty for all of them
}

// LastRun stands for the number of the last run.
const LastRun = -1

// errLike says what a Like looks like.
var errLike = errors.New("want RUN or RUN/ROUTE, such as 12/3 for what worker 3 of run 12 had; " +
	"-1 is the last run")

// ParseLike reads RUN or RUN/ROUTE.
func ParseLike(s string) (Like, error) {
	number, route, some := strings.Cut(s, "/")
	run, err := strconv.Atoi(number)
	if err != nil || run < LastRun || some && route == "" {
		return Like{}, errLike
	}
	return Like{run, route}, nil
}

// String is RUN or RUN/ROUTE.
func (l Like) String() string {
	if l.Route == "" {
		return strconv.Itoa(l.Run)
	}
	return strconv.Itoa(l.Run) + "/" + l.Route
}

// settle makes the last run one with a number.
func (l Like) settle(r repo.Queries) (*Like, error) {
	if l.Run != LastRun {
		return &l, nil
	}
	info, err := r.Latest()
	if err != nil {
		return nil, fmt.Errorf("find the last run: %w", err)
	}
	return &Like{info.ID, l.Route}, nil
}

// tests are those of a profile that were run, in the order in which they began. The
// run has a number.
func (l Like) tests(r repo.Queries, profile string) ([]string, error) {
	tests, err := r.Schedule(l.Run, profile, l.Route)
	if err == nil && len(tests) == 0 {
		err = fmt.Errorf("%w: nothing was run in run %d", ErrNoMatch, l.Run)
	}
	return tests, err
}
