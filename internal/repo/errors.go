package repo

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"time"

	berrors "go.etcd.io/bbolt/errors"
)

// These errors are returned when a repository is looked for or used.
var (
	// ErrNoRuns is returned by queries for the latest run where there is none.
	ErrNoRuns = errors.New("the repository has no runs")

	// ErrNoRun is returned by queries for a run that isn't there.
	ErrNoRun = errors.New("no such run")

	// ErrClosed is returned by every method of a Repository that is closed and
	// by RunWriter.Event after RunWriter.Close.
	ErrClosed = errors.New("the repository is closed")

	// ErrRunning is returned by Begin while another run of the same Repository
	// goes on, and by what can't be done to a run, or to the file, while one does.
	ErrRunning = errors.New("a run is going on")
)

// NotFoundError says that there is no repository in Dir.
type NotFoundError struct{ Dir string }

func (e *NotFoundError) Error() string { return "no repository found in " + e.Dir }

// ExistsError says that there is a repository in Dir already.
type ExistsError struct{ Dir string }

func (e *ExistsError) Error() string { return "there is a repository in " + e.Dir + " already" }

// NoRouteError says that nothing of a run came by Route.
type NoRouteError struct {
	Run    int
	Route  string
	Routes []string // those that there are, sorted
}

func (e *NoRouteError) Error() string {
	const shown = 20
	if len(e.Routes) == 0 {
		return fmt.Sprintf("run %d has no route %q: nothing in it has one", e.Run, e.Route)
	}
	names := make([]string, 0, shown)
	for _, r := range e.Routes[:min(len(e.Routes), shown)] {
		names = append(names, strconv.Quote(r))
	}
	more := ""
	if n := len(e.Routes) - shown; n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	return fmt.Sprintf("run %d has no route %q: there are %s%s", e.Run, e.Route, strings.Join(names, ", "), more)
}

// BusyError says that another process has the repository open. Its fields are
// what that process wrote down of itself; PID is 0 where it is unknown.
type BusyError struct {
	PID     int
	Run     int // the run that it writes, or -1
	Since   time.Time
	Command []string
}

func (e *BusyError) Error() string {
	switch {
	case e.PID == 0:
		return "the repository is in use by another process"
	case e.Run < 0:
		return fmt.Sprintf("the repository is in use by process %d", e.PID)
	}
	return fmt.Sprintf("the repository is in use by run %d, process %d", e.Run, e.PID)
}

// FormatError says that the repository was written in a format that this
// program doesn't know: by a newer one, as a rule.
type FormatError struct{ Found, Known uint64 }

func (e *FormatError) Error() string {
	return fmt.Sprintf("the repository has format %d, this testr knows format %d", e.Found, e.Known)
}

// DamagedError says that the file Path doesn't hold what it should.
type DamagedError struct{ Path, Reason string }

func (e *DamagedError) Error() string { return fmt.Sprintf("%s is damaged: %s", e.Path, e.Reason) }

// SpaceError says that something could not be stored for want of room: the
// disk is full, or a quota or limit is used up. What had been stored before
// is still there.
type SpaceError struct{ Err error }

func (e *SpaceError) Error() string { return "no space left for the repository: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *SpaceError) Unwrap() error { return e.Err }

// spaceReasons are what bbolt's grow errors end in; it formats the system's
// error into a text, so that errors.Is doesn't find it.
var spaceReasons = []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG}

// outOfSpace reports whether err is one of the three forms in which want of
// room shows: a failed write, a file that can't grow, a size limit.
func outOfSpace(err error) bool {
	if errors.Is(err, berrors.ErrMaxSizeReached) {
		return true
	}
	for _, errno := range spaceReasons {
		if errors.Is(err, errno) || strings.HasSuffix(err.Error(), ": "+errno.Error()) {
			return true
		}
	}
	return false
}

// classify gives errors of bbolt and of the system the types of this package.
func classify(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, berrors.ErrDatabaseNotOpen):
		return ErrClosed
	case outOfSpace(err):
		return &SpaceError{err}
	}
	return err
}

// invalidFile reports whether err is one with which bbolt refuses a file.
func invalidFile(err error) bool {
	return errors.Is(err, berrors.ErrInvalid) || errors.Is(err, berrors.ErrChecksum) ||
		errors.Is(err, berrors.ErrVersionMismatch) || errors.Is(err, berrors.ErrInvalidMapping) ||
		strings.HasPrefix(err.Error(), "file size too small")
}

// timedOut reports whether err says that somebody else holds the lock.
func timedOut(err error) bool { return errors.Is(err, berrors.ErrTimeout) }
