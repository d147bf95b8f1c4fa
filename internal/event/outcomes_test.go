package event

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"testr/internal/protocol"
)

// at is a moment so many milliseconds after the epoch.
func at(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

func status(id string, s protocol.Status, ms int64) Event {
	return Event{Kind: KindPacket, Time: at(ms), Packet: &protocol.Packet{
		Has: protocol.HasTestID | protocol.HasTime, TestID: id, Status: s, Time: at(ms), Runnable: true}}
}

func other(id string, s protocol.Status) Event {
	e := status(id, s, 0)
	e.Packet.Runnable = false
	return e
}

func asked(ids ...string) Event { return Event{Kind: KindAsked, Tests: ids} }

func sent(ms int64, ids ...string) Event { return Event{Kind: KindSent, Time: at(ms), Tests: ids} }

func requeued(ids ...string) Event { return Event{Kind: KindRequeued, Tests: ids} }

func notRun(reason string, ids ...string) Event {
	return Event{Kind: KindNotRun, Detail: reason, Tests: ids}
}

func fold(events ...Event) *Outcomes {
	o := NewOutcomes()
	for i, e := range events {
		e.Seq = uint64(i)
		_ = o.Event(e)
	}
	return o
}

func TestCounts(t *testing.T) {
	const (
		begin = protocol.StatusInProgress
		pass  = protocol.StatusSuccess
		fail  = protocol.StatusFail
		skip  = protocol.StatusSkip
	)
	tests := []struct {
		name    string
		events  []Event
		want    Counts
		verdict Verdict
	}{
		{"nothing", nil, Counts{}, Passed},
		{"unlisted", []Event{status("a", pass, 1), status("b", skip, 1), other("c", pass)},
			Counts{Tests: 2, Passed: 1, Skipped: 1}, Passed},
		{"open at the end fails", []Event{status("a", begin, 1)}, Counts{Failed: 1, InProgress: 1}, Failed},
		{"begun again and not ended", []Event{status("a", pass, 1), status("a", begin, 2)},
			Counts{Failed: 1, InProgress: 1}, Failed},
		{"of two outcomes the worse holds", []Event{status("a", fail, 1), status("a", pass, 2)},
			Counts{Tests: 1, Failed: 1}, Failed},
		{"unexpected success", []Event{status("a", protocol.StatusUxSuccess, 1)},
			Counts{Tests: 1, Failed: 1, UxSuccess: 1}, Failed},
		{"expected failure", []Event{status("a", protocol.StatusXFail, 1)}, Counts{Tests: 1, XFailed: 1}, Passed},
		{"exists is no outcome", []Event{status("a", protocol.StatusExists, 1)}, Counts{}, Passed},
		{"a subtest fails the run", []Event{asked("a"), status("a", pass, 1), other("a (i=1)", fail)},
			Counts{Asked: 1, Tests: 1, Passed: 1, Failed: 1}, Failed},
		{"asked for and missing", []Event{asked("a", "b"), status("a", pass, 1)},
			Counts{Asked: 2, Tests: 1, Passed: 1}, Incomplete},
		{"not run for a reason", []Event{asked("a", "b"), status("a", pass, 1), notRun("newline", "b")},
			Counts{Asked: 2, Tests: 1, Passed: 1, NotRun: 1}, Incomplete},
		{"begun, and its machine was lost", []Event{asked("a"), status("a", begin, 1), part(1, "a", "a (1)", begin),
			requeued("a")}, Counts{Asked: 1}, Incomplete},
		{"begun again on another machine", []Event{asked("a"), status("a", begin, 1), requeued("a"),
			status("a", begin, 2), status("a", pass, 3)}, Counts{Asked: 1, Tests: 1, Passed: 1}, Passed},
		{"not run after all run", []Event{asked("a"), notRun("lost", "a"), status("a", pass, 1)},
			Counts{Asked: 1, Tests: 1, Passed: 1}, Passed},
		// S5: an outcome for a test that nobody asked for never counts for one that was.
		{"forged", []Event{asked("a"), status("b", pass, 1)}, Counts{Asked: 1, NotAsked: 1}, Incomplete},
		{"asked for when it had already ended", []Event{asked(), status("a", pass, 1), asked("a")},
			Counts{Asked: 1, Tests: 1, Passed: 1}, Passed},
		{"the first listing changes what went before", []Event{status("a", pass, 1), asked("b"), status("b", pass, 2)},
			Counts{Asked: 1, Tests: 1, Passed: 1, NotAsked: 1}, Passed},
		{"a worker that never says runnable", []Event{asked("a"), other("a", pass)},
			Counts{Asked: 1, Tests: 1, Passed: 1}, Passed},
		{"interrupted", []Event{asked(), status("a", pass, 1), {Kind: KindInterrupted}},
			Counts{NotAsked: 1, Interrupted: true}, Incomplete},
		{"a pseudo test is none", []Event{status("process-returncode", fail, 1)}, Counts{Failed: 1}, Failed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := fold(test.events...)
			o.Finish()
			if diff := cmp.Diff(test.want, o.Counts()); diff != "" {
				t.Errorf("counts differ (-want +got):\n%s", diff)
			}
			if got := o.Counts().Verdict(); got != test.verdict {
				t.Errorf("got %v; want %v", got, test.verdict)
			}
		})
	}
}

// TestDuration shows F14: a worker's clock that jumps makes no impossible duration.
func TestDuration(t *testing.T) {
	begin, pass := protocol.StatusInProgress, protocol.StatusSuccess
	late := func(e Event, ms int64) Event { e.Time = at(ms); return e }
	tests := []struct {
		name     string
		events   []Event
		want     time.Duration
		timed    bool
		measured bool
	}{
		{"by the worker's clock", []Event{status("a", begin, 10), status("a", pass, 15)}, 5 * time.Millisecond, true, false},
		{"no beginning", []Event{status("a", pass, 15)}, 0, false, false},
		{"no beginning, but sent", []Event{sent(5, "a"), status("a", pass, 15)}, 10 * time.Millisecond, true, true},
		{"negative", []Event{status("a", begin, 15), status("a", pass, 10)}, 0, false, false},
		{"set back", []Event{sent(100, "a"), late(status("a", begin, 5000), 101), late(status("a", pass, 4000), 107)},
			7 * time.Millisecond, true, true},
		{"set forward by a year", []Event{sent(100, "a"), late(status("a", begin, 101), 101),
			late(status("a", pass, 1e10), 107)}, 7 * time.Millisecond, true, true},
		{"another year, but steady", []Event{sent(100, "a"), late(status("a", begin, 1e10), 101),
			late(status("a", pass, 1e10+4), 107)}, 4 * time.Millisecond, true, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := fold(test.events...).Get("", "a")
			if got.Duration != test.want || got.Timed != test.timed || got.Measured != test.measured {
				t.Errorf("got %v, timed %v, measured %v; want %v, %v, %v",
					got.Duration, got.Timed, got.Measured, test.want, test.timed, test.measured)
			}
		})
	}
}

// TestCountsAgree holds the running counts against a count from scratch, over
// random events.
func TestCountsAgree(t *testing.T) {
	rng := newRand(t)
	statuses := []protocol.Status{protocol.StatusNone, protocol.StatusExists, protocol.StatusInProgress,
		protocol.StatusSuccess, protocol.StatusUxSuccess, protocol.StatusSkip, protocol.StatusFail, protocol.StatusXFail}
	o := NewOutcomes()
	for i := range 5000 {
		id := string(rune('a' + rng.IntN(20)))
		e := status(id, statuses[rng.IntN(len(statuses))], int64(i))
		e.Packet.Runnable = rng.IntN(3) > 0
		switch rng.IntN(50) {
		case 0:
			e = asked(id)
		case 1:
			e = notRun("why", id)
		case 2, 3, 4, 5:
			e = tagged(e, AttemptTag(2+rng.IntN(i/100+1)))
		}
		if e.Packet != nil && rng.IntN(5) == 0 {
			e.Packet.Has |= protocol.HasParent
			e.Packet.ParentID = string(rune('a' + rng.IntN(20)))
		}
		_ = o.Event(e)
		again := &Outcomes{profiles: o.profiles, listed: o.listed}
		for _, test := range o.order {
			again.count(test, +1)
		}
		if again.counts != o.counts {
			t.Fatalf("after event %d: got %+v; want %+v", i, o.counts, again.counts)
		}
	}
}

func BenchmarkOutcomes(b *testing.B) {
	ids := make([]string, 20000)
	for i := range ids {
		ids[i] = "package.module.Class.test_" + time.Duration(i).String()
	}
	b.ReportAllocs()
	for b.Loop() {
		o := NewOutcomes()
		for _, id := range ids {
			_ = o.Event(status(id, protocol.StatusInProgress, 1))
			_ = o.Event(status(id, protocol.StatusSuccess, 2))
		}
	}
}

// TestStray: only whom a test was sent to can say that it passed; anybody can
// say that it fails (S5).
func TestStray(t *testing.T) {
	const pass, fail = protocol.StatusSuccess, protocol.StatusFail
	by := func(worker int, e Event) Event {
		e.Worker = worker
		return e
	}
	sent := func(worker int, ids ...string) Event { return Event{Kind: KindSent, Worker: worker, Tests: ids} }
	for name, tc := range map[string]struct {
		events []Event
		want   Counts
	}{
		"asked for, and sent to another": {
			[]Event{asked("a"), sent(0, "a"), by(1, status("a", pass, 1))}, Counts{Asked: 1}},
		"asked for, and sent to nobody": {
			[]Event{asked("a", "b"), sent(0, "b"), by(0, status("a", pass, 1))}, Counts{Asked: 2}},
		"before it was asked for": {
			[]Event{asked(), sent(0, "b"), by(0, status("a", pass, 1)), asked("a", "b")}, Counts{Asked: 2}},
		"before it was sent": {
			[]Event{asked(), sent(0, "b"), by(1, status("a", pass, 1)), sent(0, "a"), asked("a", "b")}, Counts{Asked: 2}},
		"fails": {
			[]Event{asked("a"), sent(0, "a"), by(1, status("a", fail, 1)), by(0, status("a", pass, 2))},
			Counts{Asked: 1, Tests: 1, Failed: 1}},
		"of whom it was sent to again": {
			[]Event{asked("a"), sent(0, "a"), sent(1, "a"), by(0, status("a", pass, 1)),
				by(1, status("a", pass, 2))},
			Counts{Asked: 1, Tests: 1, Passed: 1}},
		"of a test that nobody asked for": {
			[]Event{asked("b"), sent(0, "b"), by(0, status("b", pass, 1)), by(0, status("a", pass, 2))},
			Counts{Asked: 1, Tests: 1, Passed: 1, NotAsked: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			o := NewOutcomes()
			for _, e := range tc.events {
				_ = o.Event(e)
			}
			if diff := cmp.Diff(tc.want, o.Counts()); diff != "" {
				t.Errorf("counts (-want +got):\n%s", diff)
			}
		})
	}
}

// TestSpanOfClocks: what a worker's clock says counts as far as it can be: not
// before the run, nor after its packet has come. Who loads a stream has nothing
// but its clock.
func TestSpanOfClocks(t *testing.T) {
	at := time.Unix(1e9, 0)
	packet := func(worker int, came, says time.Duration) Event {
		return Event{Kind: KindPacket, Worker: worker, Time: at.Add(came), Packet: &protocol.Packet{
			Has: protocol.HasTime, Time: at.Add(says)}}
	}
	for _, tt := range []struct {
		name   string
		events []Event
		want   time.Duration
	}{
		{"right", []Event{packet(0, 2, 1), packet(1, 9, 8)}, 7},
		{"ahead", []Event{packet(0, 2, 1), packet(1, 9, 9+time.Hour)}, 8},
		{"behind", []Event{packet(0, 2, 1), packet(1, 9, 8-time.Hour)}, 8},
		{"both", []Event{packet(0, 2, 2-time.Hour), packet(1, 9, 9+time.Hour)}, 7},
		{"loaded", []Event{packet(NoWorker, time.Hour, 1), packet(NoWorker, time.Hour, 1+2*time.Hour)}, 2 * time.Hour},
	} {
		o := NewOutcomes()
		_ = o.Event(Event{Kind: KindAsked, Worker: NoWorker, Time: at})
		for _, e := range tt.events {
			_ = o.Event(e)
		}
		if got := o.Span(); got != tt.want {
			t.Errorf("%s: got a span of %v; want %v", tt.name, got, tt.want)
		}
	}
}
