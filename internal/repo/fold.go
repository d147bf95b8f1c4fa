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
	listed bool            // the run said what it was asked for
	madeUp map[string]bool // tests whose last outcome isn't a worker's
	events uint64
	last   time.Time // of the last event
}

func newFold() *fold { return &fold{Outcomes: event.NewOutcomes(), madeUp: map[string]bool{}} }

// take takes the next event. It gives it the number that it has in the stored
// run, so that a fold of what is read back is the same.
func (f *fold) take(e event.Event) {
	e.Seq = f.events
	f.events++
	if !e.Time.IsZero() {
		f.last = e.Time
	}
	switch e.Kind {
	case event.KindAsked:
		f.listed = true
	case event.KindPacket:
		switch p := packetOf(e); {
		case p == nil || !p.Status.Final():
		case e.Detail != "":
			f.madeUp[p.TestID] = true
		case f.madeUp[p.TestID]:
			delete(f.madeUp, p.TestID)
		}
	default:
	}
	_ = f.Event(e) // it has no errors
}

// Outcomes returns what the stored events come to, the run being over. It may
// be called once Close has returned; what it returns belongs to the caller.
func (w *RunWriter) Outcomes() *event.Outcomes {
	w.fold.Finish()
	return w.fold.Outcomes
}

// complete reports whether everything that was asked for has an outcome.
func (f *fold) complete() bool {
	for _, t := range f.Tests() {
		if t.Asked && !t.Settled() {
			return false
		}
	}
	return true
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
	case !t.Timed || !t.Runnable || !t.Settled() || t.Status == protocol.StatusSkip || f.listed && !t.Asked:
		return false
	case t.Status == protocol.StatusFail:
		return !known && !f.madeUp[t.ID]
	}
	return true
}
