package event

import "testr/internal/protocol"

// Counts are the numbers that sum up a run.
type Counts struct {
	Asked      int // tests that were asked for
	Tests      int // tests with an outcome: those asked for, or all runnable ones where nothing was asked for
	Passed     int // of Tests
	Skipped    int // of Tests
	XFailed    int // of Tests
	Flaky      int // of Tests: failed, and did not in their last attempt
	Failed     int // everything that fails the run, tests or not; once the run is over, what is still open too
	UxSuccess  int // of Failed
	InProgress int // begun and not ended
	NotRun     int // asked for, without an outcome, for a known reason
	NotAsked   int // runnable, with an outcome, though nobody asked for them

	Interrupted bool // somebody stopped the run, so that there may be more to it
}

// Unaccounted is the number of tests that were asked for and have neither an
// outcome, nor a reason for having none, nor begun.
func (c Counts) Unaccounted() int { return max(0, c.Asked-c.askedSettled()-c.NotRun-c.InProgress) }

func (c Counts) askedSettled() int {
	if c.Asked == 0 {
		return 0
	}
	return c.Tests
}

// Plus returns the sum of both, which is interrupted if one of them is.
func (c Counts) Plus(d Counts) Counts {
	return Counts{
		Asked: c.Asked + d.Asked, Tests: c.Tests + d.Tests, Passed: c.Passed + d.Passed, Skipped: c.Skipped + d.Skipped,
		XFailed: c.XFailed + d.XFailed, Flaky: c.Flaky + d.Flaky, Failed: c.Failed + d.Failed,
		UxSuccess: c.UxSuccess + d.UxSuccess, InProgress: c.InProgress + d.InProgress, NotRun: c.NotRun + d.NotRun,
		NotAsked: c.NotAsked + d.NotAsked, Interrupted: c.Interrupted || d.Interrupted,
	}
}

// Verdict is what a run that is over comes to.
type Verdict uint8

// The verdicts.
const (
	VerdictInvalid Verdict = iota
	// Passed: everything that was asked for has a good outcome.
	Passed
	// Failed: something failed.
	Failed
	// Incomplete: nothing failed, but something that was asked for did not run,
	// or may not have.
	Incomplete
)

// String returns the verdict as people read it.
func (v Verdict) String() string {
	return [...]string{"invalid", "passed", "failed", "incomplete"}[v]
}

// Verdict judges a run that is over by its counts.
func (c Counts) Verdict() Verdict {
	switch {
	case c.Failed > 0:
		return Failed
	case c.NotRun > 0 || c.Unaccounted() > 0 || c.Interrupted:
		return Incomplete
	}
	return Passed
}

// ByProfile returns the numbers of each profile that has tests, as Counts does
// those of all; an id that is asked for under two profiles is two tests. It looks at
// every test.
func (o *Outcomes) ByProfile() map[string]Counts {
	all := map[string]*Counts{}
	for _, t := range o.order {
		if all[t.Profile] == nil {
			all[t.Profile] = &Counts{Interrupted: o.interrupted}
		}
		all[t.Profile].add(t, +1, o.asking(t))
	}
	counts := make(map[string]Counts, len(all))
	for profile, c := range all {
		if o.over {
			c.Failed += c.InProgress
		}
		counts[profile] = *c
	}
	return counts
}

// count adds a test to the counts (n is 1), or takes it out again (-1).
func (o *Outcomes) count(t *Test, n int) { o.counts.add(t, n, o.asking(t)) }

// asking is how it is known what was asked for.
type asking uint8

const (
	unlisted asking = iota // the run doesn't say anything of it
	listed                 // the test's profile does
	mixed                  // others do: what runs under the test's profile counts as asked for
)

func (o *Outcomes) asking(t *Test) asking {
	switch {
	case !o.listed:
		return unlisted
	case o.of(t.Profile).listed:
		return listed
	}
	return mixed
}

// add adds a test n times.
func (c *Counts) add(t *Test, n int, by asking) {
	if t.Open {
		c.InProgress += n
	}
	if t.Asked || by == mixed && t.Runnable && (t.Open || t.Settled()) {
		c.Asked += n
	}
	if t.DidNotRun() {
		c.NotRun += n
	}
	if !t.Settled() {
		return
	}
	if t.Failed() {
		c.Failed += n
	}
	if t.Status == protocol.StatusUxSuccess {
		c.UxSuccess += n
	}
	if !t.Asked && by == listed {
		if t.Runnable {
			c.NotAsked += n
		}
		return
	}
	if !t.Asked && !t.Runnable {
		return
	}
	c.Tests += n
	if t.Flaky() {
		c.Flaky += n
	}
	switch t.Status {
	case protocol.StatusSuccess:
		c.Passed += n
	case protocol.StatusSkip:
		c.Skipped += n
	case protocol.StatusXFail:
		c.XFailed += n
	default:
	}
}
