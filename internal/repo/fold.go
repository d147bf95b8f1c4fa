package repo

import (
	"time"

	"testr/internal/event"
	"testr/internal/protocol"
)

// fold is what a run's events come to: the tests, and what the repository needs
// to know besides.
type fold struct {
	*event.Outcomes
	listed bool              // the run said what it was asked for
	madeUp map[testName]bool // tests whose last outcome isn't a worker's
	events uint64
	last   time.Time // of the last event
}

// testName is what tells tests of a run apart.
type testName struct{ profile, id string }

func newFold() *fold { return &fold{Outcomes: event.NewOutcomes(), madeUp: map[testName]bool{}} }

// take takes the next event. It gives it the number that it has in the stored
// run, so that a fold of what is read back is the same.
func (f *fold) take(e event.Event) {
	e.Seq = f.events
	f.events++
	if e.Profile == DefaultProfile {
		e.Profile = ""
	}
	if !e.Time.IsZero() {
		f.last = e.Time
	}
	switch e.Kind {
	case event.KindAsked:
		f.listed = true
	case event.KindPacket:
		p := packetOf(e)
		if p == nil || !p.Status.Final() {
			break
		}
		switch name := (testName{e.Profile, p.TestID}); {
		case e.Detail != "":
			f.madeUp[name] = true
		case f.madeUp[name]:
			delete(f.madeUp, name)
		}
	default:
	}
	_ = f.Event(e) // it has no errors
}

// Outcomes returns what the stored events come to, the run being over. It may
// be called once Close has returned; what it returns belongs to the caller. If Close
// had an error, events that aren't stored may be among them.
func (w *RunWriter) Outcomes() *event.Outcomes {
	w.fold.Finish()
	return w.fold.Outcomes
}

// profileName returns the name of the profile that an event or a test has.
func profileName(profile string) string {
	if profile == "" {
		return DefaultProfile
	}
	return profile
}

// profileOf returns what an event or a test of the profile of that name has.
func profileOf(name string) string {
	if name == DefaultProfile {
		return ""
	}
	return name
}

// A verdict is what a run says of a test for the failing set.
type verdict int

const (
	saysNothing verdict = iota
	saysFailing
	saysPassing
)

// says is the rule for the failing set. What is not runnable can't be asked for
// again and stays out, unless it was asked for and not run because of something
// other than the end of the run.
func (f *fold) says(t *event.Test) verdict {
	switch {
	case t.Failed() && t.Runnable:
		return saysFailing
	case t.Failed():
		return saysNothing
	case t.Settled():
		return saysPassing
	case t.DidNotRun() && !event.NotReached(t.NotRun):
		return saysFailing
	}
	return saysNothing
}

// teaches reports whether a test's duration is worth remembering: it was asked
// for, if anything was, and its last attempt ran from beginning to end. What has
// failed may have ended early: its time is worth something only where no better
// one is known. What a test took until it ran out of time, or took its worker with
// it, is worth nothing.
func (f *fold) teaches(t *event.Test, known bool) bool {
	switch {
	case !t.Timed || !t.Runnable || !t.Settled() || t.Status == protocol.StatusSkip || f.Listed(t.Profile) && !t.Asked:
		return false
	case t.Status == protocol.StatusFail:
		return !known && !f.madeUp[testName{t.Profile, t.ID}]
	}
	return true
}
