package event

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"testr/internal/protocol"
)

func TestAttemptTag(t *testing.T) {
	for tag, want := range map[string]int{
		AttemptTag(2): 2, AttemptTag(37): 37, "attempt-2147483647": 1<<31 - 1,
		"": 0, "attempt-": 0, "attempt-1": 0, "attempt-0": 0, "attempt--1": 0, "attempt-02": 0, "attempt-+2": 0,
		"attempt- 2": 0, "Attempt-2": 0, "attempt-2147483648": 0, "attempt-999999999999": 0,
		"attempt-99999999999999999999999999": 0, "attempt-0x2": 0, "attempt-2_0": 0, "attempt-٢": 0,
	} {
		if got := Attempt(tag); got != want {
			t.Errorf("Attempt(%q): got %d; want %d", tag, got, want)
		}
	}
	p := &protocol.Packet{Tags: []string{"a", "attempt-3", "attempt-02", "attempt-2"}}
	if got := AttemptOf(p); got != 3 {
		t.Errorf("AttemptOf(%v): got %d; want 3", p.Tags, got)
	}
}

// attempt is a packet of an attempt at a test, the first of which is 1.
func attempt(n int, id string, s protocol.Status, ms int64) Event {
	e := status(id, s, ms)
	if n > 1 {
		e.Packet.Has |= protocol.HasTags
		e.Packet.Tags = []string{"worker-0", AttemptTag(n)}
	}
	return e
}

// part is a packet of a part of a test.
func part(n int, parent, id string, s protocol.Status) Event {
	e := attempt(n, id, s, 1)
	e.Packet.Has |= protocol.HasParent
	e.Packet.ParentID, e.Packet.Runnable = parent, false
	return e
}

func tagged(e Event, tags ...string) Event {
	e.Packet.Has |= protocol.HasTags
	e.Packet.Tags = tags
	return e
}

func TestAttempts(t *testing.T) {
	const (
		begin  = protocol.StatusInProgress
		pass   = protocol.StatusSuccess
		fail   = protocol.StatusFail
		exists = protocol.StatusExists
	)
	file := attempt(2, "a", protocol.StatusNone, 3)
	file.Packet.Has |= protocol.HasFile
	tests := []struct {
		name     string
		events   []Event
		want     Counts
		attempts int
		flaky    bool
	}{
		{"passes at the second", []Event{asked("a"), attempt(1, "a", begin, 1), attempt(1, "a", fail, 2),
			attempt(2, "a", begin, 3), attempt(2, "a", pass, 4)},
			Counts{Asked: 1, Tests: 1, Passed: 1, Flaky: 1}, 2, true},
		{"fails three times", []Event{asked("a"), attempt(1, "a", fail, 1), attempt(2, "a", fail, 2), attempt(3, "a", fail,
			3)},
			Counts{Asked: 1, Tests: 1, Failed: 1}, 3, false},
		{"passes at the third", []Event{asked("a"), attempt(1, "a", fail, 1), attempt(2, "a", fail, 2), attempt(3, "a", pass,
			3)},
			Counts{Asked: 1, Tests: 1, Passed: 1, Flaky: 1}, 3, true},
		{"is skipped at the second", []Event{attempt(1, "a", fail, 1), attempt(2, "a", protocol.StatusSkip, 2)},
			Counts{Tests: 1, Skipped: 1, Flaky: 1}, 2, true},
		{"of two outcomes of the last attempt the worse holds", []Event{attempt(1, "a", fail, 1), attempt(2, "a", pass, 2),
			attempt(2, "a", fail, 3)}, Counts{Tests: 1, Failed: 1}, 2, false},
		{"without tags the worse holds as ever", []Event{attempt(1, "a", fail, 1), attempt(1, "a", pass, 2)},
			Counts{Tests: 1, Failed: 1}, 1, false},
		{"not ended", []Event{asked("a"), attempt(1, "a", fail, 1), attempt(2, "a", begin, 2)},
			Counts{Asked: 1, Failed: 1, InProgress: 1}, 2, false},
		{"not ended the first time", []Event{asked("a"), attempt(1, "a", begin, 1), attempt(2, "a", pass, 2)},
			Counts{Asked: 1, Tests: 1, Passed: 1, Flaky: 1}, 2, true},
		{"not begun", []Event{asked("a"), attempt(1, "a", fail, 1), notRun(ReasonInterrupted, "a")},
			Counts{Asked: 1, Tests: 1, Failed: 1}, 1, false},
		{"a file and a withdrawal begin nothing", []Event{asked("a"), attempt(1, "a", fail, 1), file, attempt(2, "a", exists,
			4)},
			Counts{Asked: 1, Tests: 1, Failed: 1}, 1, false},
		// S5: what comes late and fails is not hidden by an attempt that passed.
		{"an earlier attempt comes late", []Event{attempt(1, "a", fail, 1), attempt(2, "a", pass, 2), attempt(1, "a", fail,
			3)},
			Counts{Tests: 1, Failed: 1}, 2, false},
		{"a stream that lacks the first one", []Event{attempt(2, "a", pass, 1)}, Counts{Tests: 1, Passed: 1, Flaky: 1}, 2,
			true},
		{"tags that are not ours", []Event{status("a", fail, 1),
			tagged(status("a", pass, 2), "attempt-999999999999", "attempt-0", "attempt--1", "attempt-02")},
			Counts{Tests: 1, Failed: 1}, 1, false},
		{"a part that failed and is not heard of again", []Event{asked("a"), attempt(1, "a", begin, 1),
			part(1, "a", "a (i=1)", fail), attempt(1, "a", fail, 2), attempt(2, "a", begin, 3), attempt(2, "a", pass, 4)},
			Counts{Asked: 1, Tests: 1, Passed: 1, Flaky: 1}, 2, true},
		{"a part of a part", []Event{asked("a"), part(1, "a", "b", fail), part(1, "b", "c", fail), attempt(1, "a", fail, 2),
			attempt(2, "a", pass, 4)}, Counts{Asked: 1, Tests: 1, Passed: 1, Flaky: 1}, 2, true},
		{"a part that fails again", []Event{asked("a"), part(1, "a", "b", fail), attempt(1, "a", fail, 2),
			attempt(2, "a", begin, 3), part(2, "a", "b", fail), attempt(2, "a", pass, 4)},
			Counts{Asked: 1, Tests: 1, Passed: 1, Flaky: 1, Failed: 1}, 2, true},
		{"a part that fails again before its test says so", []Event{asked("a"), part(1, "a", "b", fail), attempt(1, "a",
			fail, 2),
			part(2, "a", "b", fail), attempt(2, "a", pass, 4)},
			Counts{Asked: 1, Tests: 1, Passed: 1, Flaky: 1, Failed: 1}, 2, true},
		{"such a part passes in the third", []Event{asked("a"), attempt(1, "a", fail, 1), part(2, "a", "b", fail),
			attempt(2, "a", fail, 2), attempt(3, "a", pass, 4)}, Counts{Asked: 1, Tests: 1, Passed: 1, Flaky: 1}, 3, true},
		{"a part that failed twice", []Event{asked("a"), part(1, "a", "b", fail), attempt(1, "a", fail, 1),
			attempt(2, "a", begin, 2), part(2, "a", "b", fail), attempt(2, "a", fail, 3), attempt(3, "a", pass, 4)},
			Counts{Asked: 1, Tests: 1, Passed: 1, Flaky: 1}, 3, true},
		{"a part that was asked for is its own", []Event{asked("a", "b"), part(1, "a", "b", fail), attempt(1, "a", fail, 2),
			attempt(2, "a", pass, 4)}, Counts{Asked: 2, Tests: 2, Passed: 1, Flaky: 1, Failed: 1}, 2, true},
		{"tests that are each other's parents", []Event{part(1, "a", "b", fail), part(1, "b", "a", fail), part(1, "c", "c",
			fail),
			part(2, "c", "c", pass), part(2, "b", "a", pass)}, Counts{}, 2, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := fold(test.events...)
			o.Finish()
			if diff := cmp.Diff(test.want, o.Counts()); diff != "" {
				t.Errorf("counts differ (-want +got):\n%s", diff)
			}
			a := o.Get("", "a")
			if a.Attempts != test.attempts || a.Flaky() != test.flaky {
				t.Errorf("got %d attempts, flaky %v; want %d, %v", a.Attempts, a.Flaky(), test.attempts, test.flaky)
			}
		})
	}
}

// What is known of a test's time is that of its last attempt; where its packets
// are is where those of all attempts are.
func TestLastAttempt(t *testing.T) {
	got := fold(attempt(1, "a", protocol.StatusInProgress, 0), attempt(1, "a", protocol.StatusFail, 5000),
		attempt(2, "a", protocol.StatusInProgress, 6000), attempt(2, "a", protocol.StatusSuccess, 6007)).Get("", "a")
	if got.Duration != 7e6 || !got.Timed || !got.Start.Equal(at(6000)) || got.FirstSeq != 0 || got.LastSeq != 3 {
		t.Errorf("got %+v; want 7 ms from 6 s on, events 0 to 3", got)
	}
	got = fold(attempt(1, "a", protocol.StatusInProgress, 0), attempt(1, "a", protocol.StatusFail, 5000),
		attempt(2, "a", protocol.StatusSuccess, 6007)).Get("", "a")
	if got.Timed || !got.Start.IsZero() {
		t.Errorf("got %+v; want no duration for an attempt without a beginning", got)
	}
	got = fold(attempt(1, "a", protocol.StatusInProgress, 0), attempt(1, "a", protocol.StatusFail, 5000),
		attempt(2, "a", protocol.StatusInProgress, 6000)).Get("", "a")
	if got.Timed || got.Duration != 0 {
		t.Errorf("got %+v; want no duration for an attempt without an end", got)
	}
}

// A test of which it is said that it did not run is not open any more: whoever
// stopped the run stopped it.
func TestDidNotRun(t *testing.T) {
	o := fold(asked("open", "waits"), status("open", protocol.StatusInProgress, 1), notRun(ReasonStopped, "open", "waits"),
		notRun(ReasonStopped, "never asked for"))
	o.Finish()
	if diff := cmp.Diff(Counts{Asked: 2, NotRun: 2}, o.Counts()); diff != "" {
		t.Errorf("counts differ (-want +got):\n%s", diff)
	}
	for id, want := range map[string]bool{"open": true, "waits": true, "never asked for": false} {
		if got := o.Get("", id).DidNotRun(); got != want {
			t.Errorf("%s: got %v; want %v", id, got, want)
		}
	}
}
