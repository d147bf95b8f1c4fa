package event

import (
	"slices"
	"strings"
	"time"

	"testr/internal/protocol"
)

// Test is what a run's events make of one test id.
type Test struct {
	ID       string
	ParentID string
	Route    string          // where its last packet came from
	Status   protocol.Status // worst outcome so far; StatusNone without one
	Open     bool            // begun and not ended
	Runnable bool            // one of its packets says so, and it is no pseudo test
	Asked    bool
	Tags     []string // those of its last packet that had some
	NotRun   string   // why it has no outcome, for a test that was asked for
	Attempts int      // how often it ended

	Start, End time.Time     // of the last attempt, by the worker's clock; zero where unknown
	Duration   time.Duration // of the last attempt, if Timed
	Timed      bool
	Measured   bool // Duration is the supervisor's own measure, the worker's clock being no use

	FirstSeq, LastSeq uint64 // of its packets

	sent time.Time // by the supervisor's clock
	seen bool      // a packet has been
}

// Failed says whether the test makes its run fail once the run is over: it
// failed, passed where it should not, or never came to its end.
func (t *Test) Failed() bool {
	return t.Open || t.Status == protocol.StatusFail || t.Status == protocol.StatusUxSuccess
}

// Settled says whether the test has an outcome and isn't running again.
func (t *Test) Settled() bool { return t.Status != protocol.StatusNone && !t.Open }

// Counts are the numbers that sum up a run.
type Counts struct {
	Asked      int // tests that were asked for
	Tests      int // tests with an outcome: those asked for, or all runnable ones where nothing was asked for
	Passed     int // of Tests
	Skipped    int // of Tests
	XFailed    int // of Tests
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

// Outcomes folds a run's events into tests. It is a Sink; like every Sink it
// belongs to one goroutine.
type Outcomes struct {
	tests  map[string]*Test
	order  []*Test
	counts Counts
	over   bool
	first  time.Time
	last   time.Time

	listed      bool // the run says what it was asked for
	interrupted bool
}

// NewOutcomes returns an empty fold.
func NewOutcomes() *Outcomes { return &Outcomes{tests: map[string]*Test{}} }

// Tests returns the tests in the order in which their ids first appeared. The
// slice and the tests belong to the fold: they change with its next event.
func (o *Outcomes) Tests() []*Test { return o.order }

// Get returns the test of that id, or nil.
func (o *Outcomes) Get(id string) *Test { return o.tests[id] }

// Counts returns the numbers as of the last event, in constant time.
func (o *Outcomes) Counts() Counts {
	c := o.counts
	if o.over {
		c.Failed += c.InProgress
	}
	c.Interrupted = o.interrupted
	return c
}

// Span is the time from the first to the last timestamp of the packets.
func (o *Outcomes) Span() time.Duration { return o.last.Sub(o.first) }

// Interrupted says whether somebody stopped the run.
func (o *Outcomes) Interrupted() bool { return o.interrupted }

// Finish says that the run is over: what has begun will not end any more, and
// counts as failed.
func (o *Outcomes) Finish() { o.over = true }

// Event takes the next event of the run. It never returns an error.
func (o *Outcomes) Event(e Event) error {
	switch e.Kind {
	case KindPacket:
		o.packet(e)
	case KindAsked: // without Tests: the listing is still to come
		o.list()
		for _, id := range e.Tests {
			o.change(id, func(t *Test) { t.Asked = true })
		}
	case KindNotRun:
		for _, id := range e.Tests {
			o.change(id, func(t *Test) { t.NotRun = e.Detail })
		}
	case KindSent:
		for _, id := range e.Tests {
			o.change(id, func(t *Test) { t.sent = e.Time })
		}
	case KindInterrupted:
		o.interrupted = true
	default:
	}
	return nil
}

// change applies f to a test and keeps the counts right.
func (o *Outcomes) change(id string, f func(*Test)) {
	t := o.tests[id]
	if t == nil {
		t = &Test{ID: id}
		o.tests[id] = t
		o.order = append(o.order, t)
	}
	o.count(t, -1)
	f(t)
	o.count(t, +1)
}

// list notes that this run says what it was asked for. That changes what the
// tests seen so far count as.
func (o *Outcomes) list() {
	if o.listed {
		return
	}
	o.listed = true
	o.counts = Counts{}
	for _, t := range o.order {
		o.count(t, +1)
	}
}

// count adds a test to the counts (n is 1), or takes it out again (-1).
func (o *Outcomes) count(t *Test, n int) {
	c := &o.counts
	if t.Open {
		c.InProgress += n
	}
	if t.Asked {
		c.Asked += n
	}
	if t.Asked && t.NotRun != "" && !t.Settled() {
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
	if !t.Asked && o.listed {
		if t.Runnable {
			c.NotAsked += n
		}
		return
	}
	if !t.Asked && !t.Runnable {
		return
	}
	c.Tests += n
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

func (o *Outcomes) packet(e Event) {
	p := e.Packet
	if p.Has&protocol.HasTime != 0 {
		if o.first.IsZero() || p.Time.Before(o.first) {
			o.first = p.Time
		}
		if p.Time.After(o.last) {
			o.last = p.Time
		}
	}
	if p.Has&protocol.HasTestID == 0 {
		return
	}
	o.change(p.TestID, func(t *Test) { t.packet(e) })
}

func (t *Test) packet(e Event) {
	p := e.Packet
	if !t.seen {
		t.FirstSeq, t.seen = e.Seq, true
	}
	t.LastSeq = e.Seq
	if p.Has&protocol.HasParent != 0 {
		t.ParentID = p.ParentID
	}
	if p.Has&protocol.HasRoute != 0 {
		t.Route = p.Route
	}
	if p.Has&protocol.HasTags != 0 {
		t.Tags = p.Tags
	}
	if p.Runnable && !t.Runnable && !Pseudo(t.ID) {
		t.Runnable = true
	}
	switch {
	case p.Status == protocol.StatusInProgress:
		t.Open = true
		t.Start, t.End = p.Time, time.Time{}
	case p.Status.Final():
		t.settle(e)
	}
}

func (t *Test) settle(e Event) {
	p := e.Packet
	if !t.Open {
		t.Start = time.Time{} // ended without a beginning of its own
	}
	t.Open = false
	t.Attempts++
	t.End = p.Time
	t.Timed, t.Measured = false, false
	if worse(p.Status, t.Status) {
		t.Status = p.Status
	}
	seen := time.Duration(-1)
	if !t.sent.IsZero() {
		seen = e.Time.Sub(t.sent)
	}
	t.Duration, t.Timed = 0, false
	if !t.Start.IsZero() && !t.End.IsZero() {
		t.Duration, t.Timed = t.End.Sub(t.Start), true
	}
	// A clock that was set back or forward in between: what the supervisor saw
	// between sending the test and its end is an upper bound, and the best there is.
	if !t.Timed || t.Duration < 0 || seen >= 0 && t.Duration > seen {
		t.Duration, t.Timed, t.Measured = max(seen, 0), seen >= 0, seen >= 0
	}
}

// severity orders outcomes: of two for one request the worse holds.
var severity = map[protocol.Status]int{
	protocol.StatusSuccess:   1,
	protocol.StatusSkip:      2,
	protocol.StatusXFail:     3,
	protocol.StatusUxSuccess: 4,
	protocol.StatusFail:      5,
}

func worse(a, b protocol.Status) bool { return severity[a] > severity[b] }

// ReturnCode is the test id under which it is reported, as testrepository does,
// that a test command or worker ended with a status that none of its tests
// explains.
const ReturnCode = "process-returncode"

// pseudoIDs and pseudoPrefixes are what older tools and runners report as if
// it were a test.
var (
	pseudoIDs      = []string{ReturnCode, ParserID}
	pseudoPrefixes = []string{"setUpClass (", "tearDownClass (", "setUpModule (", "tearDownModule (",
		"unittest.loader._FailedTest.", "unittest.loader.ModuleImportFailure."}
)

// Pseudo says whether id is one of those that runners and supervisors report
// on things that are no tests: such an id can never be asked for, whatever its
// packets say.
func Pseudo(id string) bool {
	if slices.Contains(pseudoIDs, id) {
		return true
	}
	for _, p := range pseudoPrefixes {
		if strings.HasPrefix(id, p) {
			return true
		}
	}
	return false
}
