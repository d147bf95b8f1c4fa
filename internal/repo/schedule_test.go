package repo

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"testr/internal/event"
	"testr/internal/protocol"
)

const (
	begins = protocol.StatusInProgress
	passes = protocol.StatusSuccess
	fails  = protocol.StatusFail
)

// by makes events those of a worker, whose route is its number.
func by(worker int, events ...event.Event) []event.Event {
	for i := range events {
		events[i].Worker = worker
		if p := events[i].Packet; p != nil {
			p.Has |= protocol.HasRoute
			p.Route = protocol.PrefixRoute(fmt.Sprint(worker), strings.TrimPrefix(p.Route, "0"))
		}
	}
	return events
}

func sent(ids ...string) event.Event { return event.Event{Kind: event.KindSent, Tests: ids} }

func requeued(ids ...string) event.Event { return event.Event{Kind: event.KindRequeued, Tests: ids} }

func through(route string, e event.Event) event.Event {
	e.Packet.Has |= protocol.HasRoute
	e.Packet.Route = route
	return e
}

func TestSchedule(t *testing.T) {
	two := join([]event.Event{asked("a", "b", "c", "d")},
		by(0, sent("d", "b")), by(1, sent("c", "a")),
		by(1, status("c", begins, 1)), by(0, status("d", begins, 2)), by(1, status("c", passes, 3)),
		by(1, status("a", begins, 4)), by(0, status("d", passes, 5)), by(0, status("b", begins, 6)))
	tests := []struct {
		name, route string
		events      []event.Event
		want        string
	}{
		{"all workers", "", two, "c d a b"},
		{"one of them", "0", two, "d b"},
		{"the other", "1", two, "c a"},
		{"never begun", "", join([]event.Event{asked("a", "b", "c")}, by(0, sent("c", "a", "b")), by(0, status("b", begins,
			1))),
			"b c a"},
		{"never begun, on that route", "0", join([]event.Event{asked("a", "b", "c", "x")}, by(1, sent("x")),
			by(0, sent("c", "a", "b")), by(0, status("b", begins, 1))), "b c a"},
		{"sent to a worker that never said a word", "1", join([]event.Event{asked("a", "b")}, by(0, sent("b")), by(1,
			sent("a"))), "a"},
		{"requeued, and begun elsewhere", "0", join([]event.Event{asked("a", "b")}, by(0, sent("a", "b")),
			by(0, status("a", begins, 1)), by(0, requeued("b")), by(1, sent("b")), by(1, status("b", begins, 2))), "a"},
		{"requeued, and never begun", "", join([]event.Event{asked("a", "b")}, by(0, sent("a", "b")),
			by(0, status("a", begins, 1)), by(0, requeued("b"))), "a"},
		{"withdrawn", "", join([]event.Event{asked("a", "b")}, by(0, sent("a", "b")),
			by(0, status("a", begins, 1)), by(0, status("b", protocol.StatusExists, 2))), "a"},
		{"an outcome without a beginning", "", join([]event.Event{asked("a", "b")}, by(0, sent("a", "b")),
			by(0, status("b", passes, 1)), by(0, status("a", passes, 2))), "b a"},
		{"run again: where it began first", "", join([]event.Event{asked("a", "b")}, by(0, sent("a", "b")), by(0,
			outcome("a", fails, 1, 2)...),
			by(0, outcome("b", passes, 3, 4)...), by(1, sent("a")), by(1, attempt(2, "a", begins), attempt(2, "a", passes))),
			"a b"},
		{"to be run again, and never begun", "", join([]event.Event{asked("a", "b")}, by(0, sent("a", "b")), by(0,
			status("a", fails, 2)),
			by(0, status("b", passes, 3)), by(0, sent("a"))), "a b"},
		{"run again: also on the other route", "1", join([]event.Event{asked("a", "b")}, by(0, sent("a")), by(1, sent("b")),
			by(0, outcome("a", fails, 1, 2)...), by(1, outcome("b", passes, 3, 4)...), by(1, sent("a")),
			by(1, attempt(2, "a", begins), attempt(2, "a", passes))), "b a"},
		// S5: who was not given a test has not begun it.
		{"somebody else's", "1", join([]event.Event{asked("a", "b")}, by(0, sent("a")), by(1, sent("b")),
			by(1, status("a", begins, 1), status("b", begins, 2)), by(0, status("a", begins, 3))), "b"},
		{"somebody else's, all workers", "", join([]event.Event{asked("a", "b")}, by(0, sent("a")), by(1, sent("b")),
			by(1, status("a", begins, 1), status("b", begins, 2)), by(0, status("a", begins, 3))), "b a"},
		{"what nobody asked for", "", join([]event.Event{asked(), asked("a")}, by(0, sent("stale", "a")),
			by(0, status("other", begins, 1), status("stale", passes, 2), status("a", begins, 3))), "a"},
		{"cut short before the listing was there", "", join([]event.Event{asked()}, by(0, sent("a", "b")),
			by(0, notRunnable("setUpClass (x)"), status("a", begins, 3))), "a b"},
		{"a stream that was loaded", "", join([]event.Event{notRunnable("setUpClass (x)"), status("b", passes, 1),
			status("process-returncode", fails, 1)}, outcome("a", passes, 1, 2)), "b a"},
		{"routes below", "0", []event.Event{through("0/1", status("a", begins, 1)), through("01", status("b", begins, 1)),
			through("0/2/3", status("c", begins, 2)), through("0", status("d", begins, 2))}, "a c d"},
		{"a route below", "0/2", []event.Event{through("0/1", status("a", begins, 1)), through("0/2/3", status("c", begins,
			2))}, "c"},
		{"a route with nothing but text", "1", join(by(0, status("a", begins, 1)), by(1, packet(protocol.Packet{
			Has: protocol.HasFile | protocol.HasRoute, FileName: "stdout", Content: []byte("x")}))), ""},
		{"nothing", "", nil, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := newRepo(t)
			for i, e := range test.events {
				if e.Packet != nil && e.Worker == 0 && e.Packet.Route != "0" {
					test.events[i].Worker = event.NoWorker
				}
			}
			store(t, r, RunInfo{}, End{}, test.events...)
			got, err := r.Schedule(0, DefaultProfile, test.route)
			if diff := cmp.Diff(test.want, strings.Join(got, " ")); diff != "" || err != nil {
				t.Errorf("%v -want +got:\n%s", err, diff)
			}
		})
	}
}

func TestScheduleErrors(t *testing.T) {
	r := newRepo(t)
	store(t, r, RunInfo{}, End{}, join(by(1, outcome("a", passes, 1, 2)...), by(0, outcome("b", passes, 1, 2)...))...)
	if _, err := r.Schedule(1, DefaultProfile, ""); !errors.Is(err, ErrNoRun) {
		t.Errorf("no such run: got %v; want ErrNoRun", err)
	}
	for route, want := range map[string]string{
		"7": `run 0 has no route "7": there are "0", "1"`, "0/1": `run 0 has no route "0/1": there are "0", "1"`,
	} {
		got, err := r.Schedule(0, DefaultProfile, route)
		if _, ok := errors.AsType[*NoRouteError](err); !ok || err.Error() != want || got != nil {
			t.Errorf("route %q: got %v, %v; want %s", route, got, err, want)
		}
	}
	store(t, r, RunInfo{}, End{})
	_, err := r.Schedule(1, DefaultProfile, "0")
	if err == nil || err.Error() != `run 1 has no route "0": nothing in it has one` {
		t.Errorf("an empty run: got %v", err)
	}
	var many []event.Event
	for i := range 2 * maxRoutes {
		many = append(many, through(fmt.Sprintf("%05d\n", i), status("a", passes, i)))
	}
	store(t, r, RunInfo{}, End{}, many...)
	_, err = r.Schedule(2, DefaultProfile, "x")
	if err == nil || strings.ContainsAny(err.Error(), "\n") || !strings.HasSuffix(err.Error(), fmt.Sprintf(" and %d more",
		maxRoutes-20)) {
		t.Errorf("very many routes: got %v", err)
	}
}

func TestLeft(t *testing.T) {
	tests := []struct {
		name   string
		events []event.Event
		want   Left
	}{
		{"nothing", nil, Left{}},
		{"complete", results([]string{"a"}, []string{"b"}), Left{Whole: true, Settled: []string{"a", "b"}}},
		{"interrupted", join([]event.Event{asked("a", "b", "c", "d")}, outcome("a", passes, 1, 2), []event.Event{
			status("b", begins, 3), notRun(event.ReasonInterrupted, "c")}),
			Left{Whole: true, Tests: []string{"b", "c", "d"}, Settled: []string{"a"}}},
		{"nobody asked", join([]event.Event{asked("a"), notRunnable("setUpClass (x)")}, outcome("b", passes, 1, 2)),
			Left{Whole: true, Tests: []string{"a"}}},
		{"a fixture failed", []event.Event{asked("a", "b"), notRun(event.SetUpFailed("setUpClass (x)"), "a"), status("b",
			fails, 1)},
			Left{Whole: true, Tests: []string{"a"}, Settled: []string{"b"}}},
		{"to be run again", []event.Event{asked("a", "b"), status("a", fails, 1), status("b", fails, 1), attempt(2, "b",
			begins)},
			Left{Whole: true, Tests: []string{"b"}, Settled: []string{"a"}}},
		{"before the listing was there", join([]event.Event{asked()}, by(0, sent("a", "b")), outcome("a", fails, 1, 2),
			[]event.Event{status("b", begins, 3), notRunnable("setUpClass (x)")}), Left{Settled: []string{"a"}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := newRepo(t)
			store(t, r, RunInfo{}, End{State: Interrupted}, test.events...)
			got, err := r.Left(0, DefaultProfile)
			if diff := cmp.Diff(test.want, got); diff != "" || err != nil {
				t.Errorf("%v -want +got:\n%s", err, diff)
			}
		})
	}
}

// F1: what a run has left whose testr was killed is known, and in what order it
// ran.
func TestLeftOfKilled(t *testing.T) {
	dir := newDir(t)
	r := openRepo(t, dir)
	w, err := r.Begin(RunInfo{})
	if err != nil {
		t.Fatal(err)
	}
	ids := longIDs(30000) // which are several events
	for _, e := range join([]event.Event{asked(), asked(ids...)}, by(0, sent(ids[:3]...)), by(0, outcome(ids[1], passes,
		1, 2)...),
		by(0, status(ids[0], begins, 3))) {
		if err := w.Event(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Sync(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Left(0, DefaultProfile); !errors.Is(err, ErrRunning) {
		t.Errorf("while it goes on: got %v; want ErrRunning", err)
	}
	// As good as killed: nothing else of the run is stored.
	if _, err := w.shut(errors.New("killed")); err == nil {
		t.Fatal("got no error of a writer that is gone")
	}
	closeRepo(t, r)
	r = openRepo(t, dir)
	left, err := r.Left(0, DefaultProfile)
	if err != nil || !left.Whole || len(left.Tests) != len(ids)-1 || !slices.Equal(left.Settled, ids[1:2]) {
		t.Errorf("got %v, %d tests, settled %v, %v", left.Whole, len(left.Tests), left.Settled, err)
	}
	order, err := r.Schedule(0, DefaultProfile, "0")
	if diff := cmp.Diff([]string{ids[1], ids[0], ids[2]}, order); diff != "" || err != nil {
		t.Errorf("%v -want +got:\n%s", err, diff)
	}
	if _, err := r.Left(1, DefaultProfile); !errors.Is(err, ErrNoRun) {
		t.Errorf("no such run: got %v; want ErrNoRun", err)
	}
}

// Tests that are asked for together are stored together, however many they are:
// else a crash could leave some of them, and nobody would know that there were more.
func TestAskedTogether(t *testing.T) {
	r := newRepo(t)
	ids := longIDs(60000)
	w, err := r.Begin(RunInfo{})
	if err != nil {
		t.Fatal(err)
	}
	commits := 0
	r.fault = func(step string) error {
		if step == "before" {
			commits++
		}
		return nil
	}
	for range 3 {
		if err := errors.Join(w.Event(asked(ids...)), w.Sync()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Close(End{State: Finished}); err != nil {
		t.Fatal(err)
	}
	if commits != 3+1 {
		t.Errorf("got %d commits for three events and the end; want 4", commits)
	}
}
