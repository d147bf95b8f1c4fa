package runner

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"testr/internal/config"
	"testr/internal/event"
	"testr/internal/repo"
	"testr/internal/supervisor"
)

// Selection says which tests are wanted. Its zero value wants all. What it names
// is wanted only if everything else in it wants it, too.
type Selection struct {
	Failing bool // those that fail, or did not run, by the repository
	Listed  bool // those of List
	// List has ids in their order, for all profiles. Lists, if not nil, has those of
	// each in its place, by name. Both only with Listed.
	List      []string
	Lists     map[string][]string
	Filters   []*regexp.Regexp // those that one of these finds
	Partition Partition        // those of one partition
	Resume    bool             // those that the last run left without an outcome
	Like      *Like            // those of a run or of a worker, in its order
	Args      []string         // passed on to the test command
}

// all reports whether the selection leaves nothing out.
func (s *Selection) all() bool { return len(s.named()) == 0 && len(s.Args) == 0 }

// known reports whether the selection names its tests without a listing. With
// Resume that depends on the last run.
func (s *Selection) known() bool { return s.Failing || s.Listed || s.Like != nil }

// listOf is the list of a profile.
func (s *Selection) listOf(profile string) []string {
	if s.Lists != nil {
		return s.Lists[profile]
	}
	return s.List
}

// What some parts of a selection are called.
const (
	partFilters   = "the filters"
	partPartition = "--partition"
	partLike      = "--like"
)

// named are the parts of the selection as a person gave them.
func (s *Selection) named() (parts []string) {
	for _, part := range []struct {
		is   bool
		name string
	}{
		{len(s.Filters) > 0, partFilters},
		{s.Failing, "--failing"},
		{s.Listed, "--load-list"},
		{s.Partition.N > 0, partPartition},
		{s.Resume, "--resume"},
		{s.Like != nil, partLike},
	} {
		if part.is {
			parts = append(parts, part.name)
		}
	}
	return parts
}

// emptiness says what it is about a selection that has no tests.
func (s *Selection) emptiness() string {
	named := s.named()
	if len(named) == 1 {
		return named[0] + " names none"
	}
	return strings.Join(named, " and ") + " together select the tests that all of them name"
}

// words say how tests were chosen, for whoever asks later.
func (s *Selection) words() (words []string) {
	for _, f := range s.Filters {
		words = append(words, f.String())
	}
	for _, part := range s.named() {
		switch part {
		case partFilters:
		case partPartition:
			words = append(words, part+" "+s.Partition.String())
		case partLike:
			words = append(words, part+" "+s.Like.String())
		default:
			words = append(words, part)
		}
	}
	if len(s.Args) > 0 {
		words = append(append(words, "--"), s.Args...)
	}
	return words
}

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
	Repo   *repo.Repository // for listing it may be nil, unless NeedsRepository says otherwise
	Ask    repo.Queries     // what the selection asks about failing tests and earlier runs; nil means Repo
	Select Selection
	// Profiles are those to be run, or listed, of Config; nil means those that run by
	// default.
	Profiles []config.Profile

	Parallel    bool
	Concurrency int  // workers, with Parallel; zero means what the configuration says, else the number of processors
	Partial     bool // the run updates the failing set even if it was complete

	Isolated bool      // each test gets a process of its own
	Random   bool      // the order is Seed's
	Segments *Segments // what runs after what; nil if everything may run together

	// Timeout, Slow and Retries take the place of what the configuration says,
	// if they are not nil; MaxFail is as in supervisor.Config.
	Timeout, Slow *time.Duration
	Retries       *int
	MaxFail       int

	// Environ is the environment of hooks and workers, as KEY=VALUE; nil means
	// testr's own. Nobody may change it afterwards.
	Environ []string

	Self    string   // the testr program, which has the built-in workers
	Command []string // what the user typed, to be stored
	Log     hclog.Logger

	// Warn is told of what went wrong and changed no verdict. It may be called
	// from several goroutines.
	Warn func(error)
	// Progress is told how far it is with getting an instance, by its name in the
	// configuration; over says that this is done. It may be called from several
	// goroutines.
	Progress func(instance, text string, over bool)
	// Passphrase asks a person for that of an SSH key; nil means that there is
	// nobody to ask.
	Passphrase func(prompt string) ([]byte, error)
	// Announce is called with each shell command that is about to be started.
	Announce func(command string)
	// Kill, once closed, ends the workers at once. Abandon, once closed, leaves what
	// is being given back to the next run. Inspect and Pause are as in
	// supervisor.Config.
	Kill    <-chan struct{}
	Abandon <-chan struct{}
	Inspect <-chan func([]supervisor.SlotState)
	Pause   <-chan func()

	Turn
}

// Turn is what of a request may differ from run to run.
type Turn struct {
	Seed uint64 // any number; only with Random
	// Begun is called once, when the run has a number and before its first
	// event. What follows the writer sees every event.
	Begun func(*repo.RunWriter)
	// Status is called as the run goes on; see supervisor.Config.
	Status func(supervisor.Status)
}

// needsIDs are the parts of a request that a test command can only do if it can
// be given ids, as a person asked for them.
func (r *Request) needsIDs() []string {
	parts := r.Select.named()
	for _, part := range []struct {
		is   bool
		name string
	}{
		{r.Isolated, "--isolated"},
		{r.Random, "--random"},
		{r.Segments != nil, "--plan"},
		{r.Retries != nil && *r.Retries > 0, "--retries"},
	} {
		if part.is {
			parts = append(parts, part.name)
		}
	}
	return parts
}

// NeedsRepository reports whether listing tests needs the repository, and to
// write in it: what hooks get to list on is to be given back, whatever happens.
func (r *Request) NeedsRepository() bool {
	return slices.ContainsFunc(r.Config.All(), func(i config.Instance) bool { return i.Dispose.Set() })
}

// valueOr is what an option says, or else what the configuration does.
func valueOr[T any](option *T, otherwise T) T {
	if option != nil {
		return *option
	}
	return otherwise
}

// Result is a run that is over.
type Result struct {
	Run         int
	Recorded    bool            // there is a run
	Outcomes    *event.Outcomes // nil if not everything of the run could be stored
	Interrupted bool
}

// NothingError says why there was nothing to do, where that is as it should be:
// no run is recorded.
type NothingError struct{ Reason string }

// Error is the reason, a sentence.
func (e *NothingError) Error() string { return e.Reason }

func nothing(format string, args ...any) error {
	return &NothingError{fmt.Sprintf(format, args...)}
}

// These errors say why nothing could be run.
var (
	// ErrNoMatch: what selects tests leaves none.
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
