package event

import (
	"time"

	"testr/internal/protocol"
)

// Test is what a run's events make of one test id under one profile.
type Test struct {
	ID       string
	Profile  string // empty for the default one
	ParentID string
	Route    string          // where its last packet came from
	Status   protocol.Status // worst outcome of the last attempt so far; StatusNone without one
	Open     bool            // begun and not ended
	Runnable bool            // one of its packets says so, and it is no pseudo test
	Asked    bool
	Tags     []string // those of its last packet that had some, within limits
	NotRun   string   // why it has no outcome, for a test that was asked for; see DidNotRun
	Attempts int      // how many there were at running it, by its packets' tags; 0 if it never began

	Start, End time.Time     // of the last attempt, by the worker's clock; zero where unknown
	Duration   time.Duration // of the last attempt, if Timed
	Timed      bool
	Measured   bool // Duration is the supervisor's own measure, the worker's clock being no use

	FirstSeq, LastSeq uint64 // of its packets

	sent   time.Time // by the supervisor's clock
	worker int       // whom it was sent to last, from 1; 0 for nobody
	seen   bool      // a packet has been
	part   bool      // stands among the parts of its parent
}

// Failed says whether the test makes its run fail once the run is over: it
// failed, passed where it should not, or never came to its end.
func (t *Test) Failed() bool {
	return t.Open || t.Status == protocol.StatusFail || t.Status == protocol.StatusUxSuccess
}

// Settled says whether the test has an outcome and isn't running again.
func (t *Test) Settled() bool { return t.Status != protocol.StatusNone && !t.Open }

// Flaky says whether the test needed more than one attempt, and its last one
// didn't fail. There is another attempt only where the one before has failed.
func (t *Test) Flaky() bool { return t.Attempts > 1 && t.Settled() && !t.Failed() }

// DidNotRun says whether the test was asked for and has no outcome, for the reason
// NotRun. It may have begun, where the run was stopped.
func (t *Test) DidNotRun() bool {
	return t.Asked && t.NotRun != "" && t.Status == protocol.StatusNone && !t.Open
}

// disown forgets what somebody said of the test before it was asked for, and
// sent to anyone, unless that was that it fails.
func (t *Test) disown() {
	if !t.Asked && t.worker == 0 && !Fails(t.Status) {
		t.Status, t.Open = protocol.StatusNone, false
	}
}

// packet takes a packet of the test; attempt is 0 for one that neither begins nor
// ends it. One that comes late, of an earlier attempt, counts for the last: what
// fails is never forgotten for it.
func (t *Test) packet(e *Event, attempt int) {
	p := e.Packet
	t.mention(e.Seq)
	if p.Has&protocol.HasParent != 0 {
		t.ParentID = p.ParentID
	}
	if p.Has&protocol.HasRoute != 0 {
		t.Route = kept(p.Route, maxRoute)
	}
	if p.Has&protocol.HasTags != 0 {
		t.Tags = keptTags(p.Tags)
	}
	t.Attempts = max(t.Attempts, attempt)
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

// mention notes that a packet of the test has this number.
func (t *Test) mention(seq uint64) {
	if !t.seen {
		t.FirstSeq, t.seen = seq, true
	}
	t.LastSeq = seq
}

func (t *Test) settle(e *Event) {
	p := e.Packet
	if !t.Open {
		t.Start = time.Time{} // ended without a beginning of its own
	}
	t.Open = false
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
var severity = [...]uint8{
	protocol.StatusSuccess:   1,
	protocol.StatusSkip:      2,
	protocol.StatusXFail:     3,
	protocol.StatusUxSuccess: 4,
	protocol.StatusFail:      5,
}

func worse(a, b protocol.Status) bool { return severity[a] > severity[b] }
