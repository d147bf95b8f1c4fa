package repo

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"testr/internal/event"
	"testr/internal/protocol"
)

// results is the events of a run in which some tests pass and others fail.
func results(passed, failed []string) []event.Event {
	all := []event.Event{asked(slices.Concat(passed, failed)...)}
	for _, id := range passed {
		all = append(all, outcome(id, protocol.StatusSuccess, 0, 1)...)
	}
	for _, id := range failed {
		all = append(all, outcome(id, protocol.StatusFail, 0, 1)...)
	}
	return all
}

func notRunnable(id string) event.Event {
	e := status(id, protocol.StatusFail, 1)
	e.Packet.Runnable = false
	return e
}

// attempt is a packet of a later attempt at a test.
func attempt(n int, id string, s protocol.Status) event.Event {
	e := status(id, s, 10*n)
	e.Packet.Has |= protocol.HasTags
	e.Packet.Tags = []string{event.AttemptTag(n)}
	return e
}

// A fixture that fails keeps its tests in the failing set until they have run.
func TestSetUpFailure(t *testing.T) {
	r := newRepo(t)
	asks := asked("m.X.a", "m.X.b", "m.Y.c")
	store(t, r, RunInfo{}, End{}, join([]event.Event{asks, notRunnable("setUpClass (m.X)"),
		notRun(event.SetUpFailed("setUpClass (m.X)"), "m.X.a", "m.X.b")}, outcome("m.Y.c", protocol.StatusSuccess, 0, 1))...)
	failing := func(want ...string) {
		t.Helper()
		var got []string
		entries, err := r.Failing(DefaultProfile)
		for _, f := range entries {
			got = append(got, f.ID)
		}
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("failing: %v -want +got:\n%s", err, diff)
		}
	}
	failing("m.X.a", "m.X.b")
	store(t, r, RunInfo{Partial: true}, End{}, join([]event.Event{asked("m.X.a")}, outcome("m.X.a",
		protocol.StatusSuccess, 0, 1))...)
	failing("m.X.b")
	store(t, r, RunInfo{}, End{}, results([]string{"m.X.a", "m.X.b", "m.Y.c"}, nil)...)
	failing()
}

// Each case makes two runs; want is the failing set then, with what the tests
// that didn't run say.
func TestFailingSet(t *testing.T) {
	stopped := event.Event{Kind: event.KindInterrupted, Worker: event.NoWorker, Detail: "SIGINT"}
	first := results([]string{"a"}, []string{"b", "c", "gone"})
	tests := []struct {
		name   string
		info   RunInfo
		end    End
		events []event.Event
		want   []string
	}{
		{name: "a full run replaces it", events: results([]string{"a", "b"}, []string{"c"}), want: []string{"c"}},
		{name: "a full run that passes empties it", events: results([]string{"a", "b", "c"}, nil)},
		{name: "a partial run updates it", info: RunInfo{Partial: true},
			events: results([]string{"b"}, []string{"a"}), want: []string{"a", "c", "gone"}},
		{name: "a run can turn out partial", end: End{Profiles: map[string]ProfileEnd{DefaultProfile: {Partial: true}}},
			events: results([]string{"b"}, nil), want: []string{"c", "gone"}},
		{name: "an interrupted run counts as partial", end: End{State: Interrupted},
			events: results([]string{"b"}, nil), want: []string{"c", "gone"}},
		{name: "a lost id makes a run partial",
			events: append(results([]string{"b"}, nil), asked("c")), want: []string{"b", "c", "gone"}[1:]},
		{name: "skipped and expected failures pass", info: RunInfo{Partial: true}, events: join(
			outcome("b", protocol.StatusSkip, 0, 1), outcome("c", protocol.StatusXFail, 0, 1)), want: []string{"gone"}},
		{name: "an unexpected success fails", events: outcome("a", protocol.StatusUxSuccess, 0, 1), want: []string{"a"}},
		{name: "what began and didn't end fails", events: []event.Event{status("a", protocol.StatusInProgress, 0)},
			want: []string{"a"}},
		{name: "set-up failures, return codes and subtests stay out", events: join(results([]string{"a"}, nil),
			[]event.Event{notRunnable("setUpClass (x)"), notRunnable("process-returncode"), notRunnable("a (i=1)")})},
		{name: "they take nothing out either", info: RunInfo{Partial: true},
			events: []event.Event{notRunnable("b")}, want: []string{"b", "c", "gone"}},
		{name: "not run because of a lost machine is in, and marked",
			events: []event.Event{asked("a", "b"), notRun("machine lost", "a", "b")},
			want:   []string{"a: machine lost", "b: machine lost", "c", "gone"}},
		{name: "not run because the user stopped does nothing", end: End{State: Interrupted},
			events: []event.Event{asked("a", "b"), stopped, notRun(event.ReasonInterrupted, "a", "b")},
			want:   []string{"b", "c", "gone"}},
		{name: "nor because enough had failed", events: join(results(nil, []string{"a"}),
			[]event.Event{asked("b", "x"), notRun(event.ReasonMaxFail, "b", "x")}), want: []string{"a", "b", "c", "gone"}},
		{name: "nor because testr had to stop the run", end: End{State: Interrupted},
			events: []event.Event{asked("b", "x"), notRun(event.ReasonStopped, "b", "x")}, want: []string{"b", "c", "gone"}},
		{name: "what was cut off in the middle neither", end: End{State: Interrupted},
			events: []event.Event{asked("a", "b"), status("a", protocol.StatusInProgress, 0), stopped,
				notRun(event.ReasonInterrupted, "a", "b")}, want: []string{"b", "c", "gone"}},
		{name: "not run because of a fixture is in, also when the user stopped the run, and the fixture is not",
			end: End{State: Interrupted}, events: []event.Event{asked("m.X.a", "m.X.b"), notRunnable("setUpClass (m.X)"),
				stopped,
				notRun(event.SetUpFailed("setUpClass (m.X)"), "m.X.a", "m.X.b")},
			want: []string{"b", "c", "gone", "m.X.a: setUpClass (m.X) failed", "m.X.b: setUpClass (m.X) failed"}},
		{name: "a test that passes when it is run again passes",
			events: []event.Event{asked("b"), status("b", protocol.StatusFail, 1), attempt(2, "b", protocol.StatusSuccess)}},
		{name: "a test that fails every time fails", events: []event.Event{asked("a"), status("a", protocol.StatusFail, 1),
			attempt(2, "a", protocol.StatusFail)}, want: []string{"a"}},
		{name: "not run at first, then run", events: []event.Event{asked("b"), notRun("machine lost", "b"),
			status("b", protocol.StatusSuccess, 1)}},
		{name: "a stream that says nothing of asking is full",
			events: outcome("b", protocol.StatusFail, 0, 1), want: []string{"b"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := newRepo(t)
			store(t, r, RunInfo{}, End{}, first...)
			store(t, r, test.info, test.end, test.events...)
			failing, err := r.Failing(DefaultProfile)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range failing {
				if f.NotRun != "" {
					f.ID += ": " + f.NotRun
				}
				got = append(got, f.ID)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// The failing set says which run a test failed in last, and its events are
// found there.
func TestFailingDetails(t *testing.T) {
	r := newRepo(t)
	store(t, r, RunInfo{}, End{}, results(nil, []string{"a", "b"})...)
	store(t, r, RunInfo{Partial: true}, End{}, join([]event.Event{asked("b")},
		[]event.Event{file("b", "log", []byte("second"))}, outcome("b", protocol.StatusFail, 1, 2))...)
	failing, err := r.Failing(DefaultProfile)
	if err != nil || len(failing) != 2 {
		t.Fatalf("got %v, %v", failing, err)
	}
	for i, want := range []struct{ run, events int }{{0, 2}, {1, 3}} {
		f := failing[i]
		events := excerptOf(t, r, f.Run, Wanted{Tests: []Span{{ID: f.ID, First: f.FirstSeq, Last: f.LastSeq}}})
		if f.Run != want.run || len(events) != want.events {
			t.Errorf("%s: got %d events of run %d; want %d of run %d", f.ID, len(events), f.Run, want.events, want.run)
		}
	}
}

// madeUp makes the last of the events one that no worker sent.
func madeUp(events []event.Event) []event.Event {
	events[len(events)-1].Detail = "the worker ended"
	return events
}

func TestTiming(t *testing.T) {
	r := newRepo(t)
	runs := [][]event.Event{
		join([]event.Event{asked("a", "b", "s")}, outcome("a", protocol.StatusSuccess, 0, 100),
			outcome("b", protocol.StatusFail, 0, 10), outcome("s", protocol.StatusSkip, 0, 5),
			outcome("not asked", protocol.StatusSuccess, 0, 7), []event.Event{status("untimed", protocol.StatusSuccess, 3)}),
		join([]event.Event{asked("a")}, outcome("a", protocol.StatusSuccess, 0, 50)),
		outcome("c", protocol.StatusSuccess, 0, 9),
		// What fails may have ended early: it teaches nothing of a test whose duration is known.
		join([]event.Event{asked("a", "b")}, outcome("a", protocol.StatusFail, 0, 1), outcome("b", protocol.StatusFail, 0,
			1)),
		// What was lost with its worker, or ran out of time, teaches nothing at all.
		join([]event.Event{asked("lost", "late", "twice")}, madeUp(outcome("lost", protocol.StatusFail, 0, 600000)),
			madeUp(outcome("late", protocol.StatusFail, 0, 3000)),
			madeUp(outcome("twice", protocol.StatusFail, 0, 3000)),
			[]event.Event{attempt(2, "twice", protocol.StatusInProgress), attempt(2, "twice", protocol.StatusFail)}),
		// Of a test that was run again, the last attempt teaches.
		join([]event.Event{asked("again")}, outcome("again", protocol.StatusFail, 0, 5000),
			[]event.Event{attempt(2, "again", protocol.StatusInProgress), attempt(2, "again", protocol.StatusSuccess)}),
		join([]event.Event{asked("x")}, outcome("x", protocol.StatusXFail, 0, 4)),
	}
	for _, events := range runs {
		store(t, r, RunInfo{Partial: true}, End{}, events...)
	}
	got, err := r.Timing(DefaultProfile)
	ms := time.Millisecond
	if diff := cmp.Diff(map[string]time.Duration{"a": 75 * ms, "b": 10 * ms, "c": 9 * ms,
		"twice": 0, "again": 0, "x": 4 * ms}, got); diff != "" || err != nil {
		t.Errorf("%v -want +got:\n%s", err, diff)
	}
}

// More tests than one block of columns holds, and than one event may name.
func TestManyTests(t *testing.T) {
	r := newRepo(t)
	n := blockTests + 17
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("a.module.with.a.name.as.long.as.they.are.in.life.TestCase.test_%06d", (i*7919)%n)
	}
	var events []event.Event
	for i, id := range ids {
		events = append(events, outcome(id, protocol.Status(3+i%5), i, i+1)...)
	}
	info := store(t, r, RunInfo{}, End{Profiles: listed(ids)}, append([]event.Event{asked(ids...)}, events...)...)
	if parts := info.Events - uint64(len(events)); parts < 2 || info.Counts.Tests != n {
		t.Errorf("got %d events that ask for %d tests", parts, info.Counts.Tests)
	}
	tests, err := r.Tests(0, DefaultProfile, 0)
	if err != nil || len(tests) != n {
		t.Fatalf("got %d tests, %v; want %d", len(tests), err, n)
	}
	for i, test := range tests {
		if test.ID != ids[i] || test.Status != protocol.Status(3+i%5) {
			t.Fatalf("test %d: got %s %v; want %s", i, test.ID, test.Status, ids[i])
		}
	}
}

// A set whose reasons are more than a value may have is kept without them.
func TestFailingReasons(t *testing.T) {
	r := newRepo(t)
	var ids []string
	events := []event.Event{}
	for i := range maxRaw/1000 + 100 {
		id := "test_" + strconv.Itoa(i)
		ids = append(ids, id)
		events = append(events, notRun(fmt.Sprintf("setUpClass (m.X%d%s) failed", i, strings.Repeat("x", 980)), id))
	}
	store(t, r, RunInfo{}, End{}, append([]event.Event{asked(ids...)}, events...)...)
	failing, err := r.Failing(DefaultProfile)
	if err != nil || len(failing) != len(ids) || failing[0].NotRun != reasonLeftOut {
		t.Fatalf("got %d tests, %v; want %d", len(failing), err, len(ids))
	}
	store(t, r, RunInfo{Partial: true}, End{}, status(ids[0], protocol.StatusSuccess, 1))
	if failing, err = r.Failing(DefaultProfile); err != nil || len(failing) != len(ids)-1 {
		t.Errorf("then got %d tests, %v; want one less", len(failing), err)
	}
}
