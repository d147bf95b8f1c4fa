package repo

import (
	"context"
	"fmt"
	"time"

	"testr/internal/event"
	"testr/internal/protocol"
)

// Queries are the questions that are asked of a repository. *Repository answers
// them from the file; so does whoever has that open, for others. All of them may
// be asked by several goroutines at once, and while a run goes on; what they mean
// and which errors they have stands at the methods of *Repository.
type Queries interface {
	Latest() (RunInfo, error)
	Current() (RunInfo, error)
	Run(id int) (RunInfo, error)
	Runs() ([]RunInfo, error)
	Profiles() ([]Profile, error)
	Tests(run int, profile string, choose Choice) ([]*event.Test, error)
	Ran(run int, profile string) (Ran, error)
	Slowest(run int, profile string, limit int) ([]*event.Test, error)
	Failing(profile string) ([]Failing, error)
	Timing(profile string) (map[string]time.Duration, error)
	Listing(profile string) ([]string, error)
	Schedule(run int, profile, route string) ([]string, error)
	Left(run int, profile string) (Left, error)
	Leases() ([]Lease, error)
	Stats() (Stats, error)
	Flaky(profile string) ([]FlakyTest, error)
	Outcomes(profile, id string) ([]TestOutcome, error)
	Excerpt(run int, want Wanted, each func(event.Event) error) error
	Follow(run int, from uint64) (Events, error)
}

// Events delivers events of a run in order. It belongs to one goroutine. *Cursor
// says what Next does.
type Events interface {
	Next(context.Context) ([]event.Event, error)
}

var _ Queries = (*Repository)(nil)

// Choice says which tests of a run are wanted: those of which one of its bits is
// true. The zero Choice wants all.
type Choice uint

// The bits of a Choice. Other processes use their numbers, so they never change.
const (
	ChooseFailed Choice = 1 << iota // event.Test.Failed
	ChooseFlaky                     // event.Test.Flaky
	ChooseNotRun                    // there is a reason for not having run
)

// wants reports whether the test is one of those that are wanted.
func (c Choice) wants(t *event.Test) bool {
	return c == 0 || c&ChooseFailed != 0 && t.Failed() || c&ChooseFlaky != 0 && t.Flaky() ||
		c&ChooseNotRun != 0 && t.NotRun != ""
}

// Ran is how many tests of a run ran, by the routes of their last packets.
type Ran struct {
	Asked  map[string]int // of those that were asked for
	Others map[string]int // of those that can be and were not
}

// Ran counts the tests of a run that is over and a profile by where they ran last.
func (r *Repository) Ran(run int, profile string) (Ran, error) {
	blocks, err := r.columns(run, profile)
	if err != nil {
		return Ran{}, fmt.Errorf("where tests of run %d ran: %w", run, err)
	}
	ran := Ran{Asked: map[string]int{}, Others: map[string]int{}}
	for _, c := range blocks {
		for i, flags := range c.flags {
			route := c.texts[c.routes[i]]
			switch {
			case protocol.Status(c.statuses[i]) == protocol.StatusNone && flags&testOpen == 0:
			case flags&testAsked != 0:
				ran.Asked[route]++
			case flags&testRunnable != 0:
				ran.Others[route]++
			}
		}
	}
	return ran, nil
}

// Current returns the run that goes on; the error is ErrNoRun if none does. Of
// its numbers only those are known that Begin was told.
func (r *Repository) Current() (RunInfo, error) {
	r.mu.Lock()
	w := r.begun
	r.mu.Unlock()
	if w == nil {
		return RunInfo{}, fmt.Errorf("the run that goes on: %w", ErrNoRun)
	}
	info, err := r.Run(w.ID())
	if err == nil && info.State != Running {
		return RunInfo{}, fmt.Errorf("the run that goes on: %w", ErrNoRun)
	}
	return info, err
}

// Follow returns the events of a run from number from on, to its end: of the run
// that goes on those that are still to come, too.
func (r *Repository) Follow(run int, from uint64) (Events, error) {
	r.mu.Lock()
	w := r.begun
	r.mu.Unlock()
	if w != nil && w.ID() == run {
		c := w.Follow()
		c.next = from
		return c, nil
	}
	c, err := r.Replay(run)
	if err != nil {
		return nil, err
	}
	c.next = from
	return c, nil
}
