package runner

import (
	"errors"
	"fmt"
	"regexp"

	"github.com/hashicorp/go-hclog"

	"testr/internal/config"
	"testr/internal/event"
	"testr/internal/repo"
	"testr/internal/supervisor"
)

// Selection says which tests are wanted. Its zero value wants all.
type Selection struct {
	Failing bool             // those that fail, or did not run, by the repository
	Listed  bool             // those of LoadList
	List    []string         // ids in their order; only with Listed
	Filters []*regexp.Regexp // those that one of these finds
	Args    []string         // passed on to the test command
}

// all reports whether the selection leaves nothing out.
func (s *Selection) all() bool {
	return !s.Failing && !s.Listed && len(s.Filters) == 0 && len(s.Args) == 0
}

// known reports whether the selection names its tests without a listing.
func (s *Selection) known() bool { return s.Failing || s.Listed }

// filter returns the ids that the filters let pass, in their order.
func (s *Selection) filter(ids []string) []string {
	if len(s.Filters) == 0 {
		return ids
	}
	var out []string
	for _, id := range ids {
		for _, f := range s.Filters {
			if f.MatchString(id) {
				out = append(out, id)
				break
			}
		}
	}
	return out
}

// Request is what a run or a listing is made of.
type Request struct {
	Config *config.Config
	Repo   *repo.Repository // for listing without Failing it may be nil
	Select Selection

	Parallel    bool
	Concurrency int  // workers, with Parallel; zero means what the configuration says, else the number of processors
	Partial     bool // the run updates the failing set even if it was complete

	Self    string   // the testr program, which has the built-in workers
	Command []string // what the user typed, to be stored
	Log     hclog.Logger

	// Begun is called once, when the run has a number and before its first
	// event. What follows the writer sees every event.
	Begun func(*repo.RunWriter)
	// Announce is called with each shell command that is about to be started.
	Announce func(command string)
	// Status is called as the run goes on; see supervisor.Config.
	Status func(supervisor.Status)
	// Kill, once closed, ends the workers at once.
	Kill <-chan struct{}
}

// Result is a run that is over.
type Result struct {
	Run         int
	Recorded    bool            // there is a run: false when nothing was to be done
	Outcomes    *event.Outcomes // nil if not everything of the run could be stored
	Interrupted bool
}

// These errors say why nothing could be run.
var (
	// ErrNoMatch: filters, --load-list and --failing together leave no test.
	ErrNoMatch = errors.New("no test matches")
	// ErrEmptyListing: the test command lists no test at all.
	ErrEmptyListing = errors.New("the listing is empty")
	// ErrNotSelectable: tests were selected, but the test command takes no ids.
	ErrNotSelectable = errors.New("the test command can't run selected tests")
	// ErrNotListable: the tests have to be listed, but the test command can't.
	ErrNotListable = errors.New("the test command can't list its tests")
)

// HintError is an error whose remedy is known.
type HintError struct {
	Err  error
	Hint string
}

// Error is that of Err, without the hint.
func (e *HintError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *HintError) Unwrap() error { return e.Err }

func hint(err error, format string, args ...any) error {
	return &HintError{Err: err, Hint: fmt.Sprintf(format, args...)}
}
