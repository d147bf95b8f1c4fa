package scheduler

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"
)

func tests(ids ...string) []Item {
	var items []Item
	for _, id := range ids {
		items = append(items, Item{Test: id})
	}
	return items
}

// next has the worker ask and demands what it gets.
func next(t *testing.T, q *Queue, worker, limit int, state State, ids ...string) {
	t.Helper()
	items, s := q.Next(worker, start, Limit{Items: limit})
	if !slices.Equal(items, tests(ids...)) || s != state {
		t.Fatalf("worker %d asks: got %q, %v; want %q, %v", worker, items, s, ids, state)
	}
}

// TestForgedResult proves S5: what a worker says of a test that it does not
// have counts for nothing.
func TestForgedResult(t *testing.T) {
	for _, tt := range []struct {
		name   string
		worker int
		test   string
	}{
		{"of another worker's test", 1, "a.begun"},
		{"of another worker's test that has not begun", 1, "a.sent"},
		{"of one that waits", 0, "a.waiting"},
		{"of one that is done", 0, "a.done"},
		{"of one that was never added", 0, "a.unheard"},
		{"of one under another profile", 0, "a.begun@py34"},
		{"by a worker that there is not", 2, "a.begun"},
		{"by a worker of a number below all", -1, "a.waiting"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q := New(Options{Workers: 2, Order: Listed})
			q.Add(tests("a.done", "a.begun", "a.sent", "a.waiting")...)
			next(t, q, 0, 3, Have, "a.done", "a.begun", "a.sent")
			q.Started(0, Item{Test: "a.done"}, start)
			q.Finished(0, Item{Test: "a.done"}, start)
			q.Started(0, Item{Test: "a.begun"}, start)
			before := q.Counts()
			it := Item{Test: tt.test}
			if tt.test == "a.begun@py34" {
				it = Item{Test: "a.begun", Profile: "py34"}
			}
			if q.Started(tt.worker, it, start) || q.Finished(tt.worker, it, start) || q.Returned(tt.worker, it) {
				t.Errorf("worker %d is believed", tt.worker)
			}
			if after := q.Counts(); after != before {
				t.Errorf("got counts %+v; want %+v", after, before)
			}
		})
	}
}

func TestDoneOnlyWhenNothingCanComeBack(t *testing.T) {
	q := New(Options{Workers: 2, Order: Listed})
	next(t, q, 0, 1, Wait)
	q.Add(tests("a", "b")...)
	next(t, q, 0, 2, Have, "a", "b")
	next(t, q, 1, 1, Wait)
	q.ListingDone()
	q.Started(0, Item{Test: "a"}, start)
	next(t, q, 1, 1, Wait) // b may come back
	q.Finished(0, Item{Test: "a"}, start)
	q.Started(0, Item{Test: "b"}, start)
	next(t, q, 1, 1, Done) // b has begun and can't
	next(t, q, 0, 1, Done)
	next(t, q, 7, 1, Done)
	next(t, q, -1, 1, Done)
}

func TestListingMeetsMemory(t *testing.T) {
	q := New(Options{Workers: 1})
	q.Add(tests("a.old", "a.kept", "a.gone")...)
	next(t, q, 0, 1, Have, "a.old")
	listing := tests("a.kept", "a.new", "a.kept")
	if got, want := q.Add(listing...), tests("a.kept", "a.kept"); !slices.Equal(got, want) {
		t.Errorf("got duplicates %q; want %q", got, want)
	}
	// A worker has a.old: that is for the caller to deal with.
	if got, want := q.Remove(tests("a.old", "a.gone", "a.unheard")...), tests("a.gone"); !slices.Equal(got, want) {
		t.Errorf("got removed %q; want %q", got, want)
	}
	if got := q.Add(tests("a.gone")...); got != nil {
		t.Errorf("got duplicates %q of an item that was removed; want none", got)
	}
	next(t, q, 0, 9, Have, "a.kept", "a.new", "a.gone")
}

// TestTakenBackTooOften proves F10: a test that no machine lives to begin does
// not go round for ever.
func TestTakenBackTooOften(t *testing.T) {
	for _, tt := range []struct{ option, want int }{{0, 3}, {1, 1}, {5, 5}, {-1, 0}} {
		q := New(Options{Workers: 1, MaxAttempts: tt.option})
		q.Add(tests("a")...)
		for n := range 100 {
			next(t, q, 0, 1, Have, "a")
			requeued, begun, abandoned := q.Lost(0, start)
			if len(begun) > 0 || len(requeued)+len(abandoned) != 1 {
				t.Fatalf("got %q, %q, %q; want one test of the first or the last", requeued, begun, abandoned)
			}
			if len(abandoned) == 1 {
				if n != tt.want {
					t.Errorf("MaxAttempts %d: abandoned after %d times; want %d", tt.option, n, tt.want)
				}
				break
			}
		}
		if got, want := q.Counts(), (Counts{Abandoned: 1}); got != want {
			t.Errorf("MaxAttempts %d: got counts %+v; want %+v", tt.option, got, want)
		}
	}
}

// TestLostWorker proves F4: of a dead worker's tests the begun one is its
// caller's to fail and the others wait again, each where it was.
func TestLostWorker(t *testing.T) {
	q := New(Options{Workers: 2, Order: Listed})
	q.Add(tests("a.1", "a.2", "a.3", "a.4")...)
	next(t, q, 0, 3, Have, "a.1", "a.2", "a.3")
	q.Started(0, Item{Test: "a.1"}, start)
	requeued, begun, abandoned := q.Lost(0, start)
	if !slices.Equal(requeued, tests("a.2", "a.3")) || !slices.Equal(begun, tests("a.1")) || abandoned != nil {
		t.Errorf("got %q, %q, %q; want a.2 and a.3 requeued, a.1 begun", requeued, begun, abandoned)
	}
	// F6: what the worker says after that is late.
	if q.Finished(0, Item{Test: "a.1"}, start) || q.Finished(0, Item{Test: "a.2"}, start) {
		t.Error("a lost worker's outcome counts")
	}
	next(t, q, 1, 9, Have, "a.2", "a.3", "a.4")
}

func TestGroupOfALostWorkerMovesWhole(t *testing.T) {
	q := New(Options{Workers: 3, Group: classOf})
	q.Add(tests("g.1", "g.2", "g.3", "g.4")...)
	next(t, q, 0, 2, Have, "g.1", "g.2")
	next(t, q, 1, 1, Wait)
	q.Started(0, Item{Test: "g.1"}, start)
	q.Lost(0, start)
	next(t, q, 1, 1, Have, "g.2")
	next(t, q, 2, 1, Wait)
	next(t, q, 0, 1, Wait) // its successor has no claim
	q.Finished(1, Item{Test: "g.2"}, start)
	next(t, q, 2, 1, Wait) // worker 1 is in the group though it has none of it
	next(t, q, 1, 9, Have, "g.3", "g.4")
}

func TestGroupStaysForWhatIsListedLater(t *testing.T) {
	q := New(Options{Workers: 2, Group: classOf})
	q.Add(tests("g.1")...)
	next(t, q, 0, 1, Have, "g.1")
	q.Finished(0, Item{Test: "g.1"}, start)
	q.Add(tests("g.2")...)
	next(t, q, 1, 1, Wait)
	next(t, q, 0, 1, Have, "g.2")
}

func TestGroupsOfTwoProfilesAreTwo(t *testing.T) {
	q := New(Options{Workers: 2, Group: classOf})
	q.Add(Item{"g.1", "py27"}, Item{"g.1", "py34"})
	for w := range 2 {
		if items, _ := q.Next(w, start, Limit{Items: 1}); len(items) != 1 {
			t.Errorf("worker %d got %q; want one test", w, items)
		}
	}
}

func TestWithdrawnGroupGoesElsewhereWhole(t *testing.T) {
	q := New(Options{Workers: 2, Group: classOf})
	q.Add(tests("g.1", "g.2", "g.3")...)
	next(t, q, 0, 2, Have, "g.1", "g.2")
	if got, want := q.Withdraw(0), tests("g.1", "g.2"); !slices.Equal(got, want) {
		t.Errorf("withdrew %q; want %q", got, want)
	}
	if got := q.Withdraw(0); got != nil {
		t.Errorf("withdrew %q again", got)
	}
	q.Returned(0, Item{Test: "g.2"})
	next(t, q, 1, 1, Wait)
	q.Returned(0, Item{Test: "g.1"})
	next(t, q, 1, 9, Have, "g.1", "g.2", "g.3")
}

// TestRemovedGuess: a group whose last test of unknown length is removed counts
// what the others are known to take, also where the removed one was counted
// with an estimate that has changed since.
func TestRemovedGuess(t *testing.T) {
	lengths := map[string]time.Duration{"p.P.1": 100 * time.Millisecond, "p.P.2": 100 * time.Millisecond,
		"p.P.3": 100 * time.Millisecond, "p.P.4": 100 * time.Millisecond,
		"g.G.2": 20 * time.Second, "b.B.1": 25 * time.Second}
	q := New(Options{
		Workers: 1,
		Group: func(it Item) string {
			if it.Test == "g.G.1" || it.Test == "g.G.2" {
				return "g"
			}
			return ""
		},
		Estimate: func(it Item) (time.Duration, bool) {
			d, ok := lengths[it.Test]
			return d, ok
		},
	})
	q.Add(tests("p.P.1", "p.P.2", "p.P.3", "p.P.4")...)
	var classes []string
	for i := range 20 {
		classes = append(classes, fmt.Sprintf("c.%d.1", i))
	}
	q.Add(tests(classes...)...)
	q.Add(tests("g.G.1")...)
	q.Add(tests("g.G.2")...) // g.G.1 is expected to take as long from now on
	if q.learned == q.published {
		t.Fatal("the group's sum is up to date already")
	}
	q.Remove(tests("g.G.1")...)
	q.Add(tests("b.B.1")...)
	next(t, q, 0, 2, Have, "b.B.1", "g.G.2")
}

// classOf groups by class.
func classOf(it Item) string {
	class, _ := splitID(it.Test)
	return class
}

func TestEstimatedRemaining(t *testing.T) {
	lengths := map[string]time.Duration{"a.1": time.Second, "a.2": 3 * time.Second,
		"huge.1": math.MaxInt64, "less.1": math.MinInt64}
	q := New(Options{Workers: 1, Estimate: func(it Item) (time.Duration, bool) {
		d, ok := lengths[it.Test]
		return d, ok
	}})
	remaining := func(want time.Duration) {
		t.Helper()
		if got := q.EstimatedRemaining(); got != want {
			t.Errorf("got %v; want %v", got, want)
		}
	}
	q.Add(tests("a.3")...)
	remaining(0) // nothing is known
	q.Add(tests("a.1", "a.2")...)
	remaining(6 * time.Second)
	next(t, q, 0, 1, Have, "a.2")
	q.Started(0, Item{Test: "a.2"}, start)
	remaining(6 * time.Second) // what has begun counts whole
	q.Finished(0, Item{Test: "a.2"}, start.Add(3*time.Second))
	remaining(3 * time.Second)   // a.3 is expected to take the mean of 1 s and 3 s
	q.Add(tests("less.1")...)    // less than nothing is nothing
	q.Remove(tests("huge.1")...) // not there
	remaining(3 * time.Second)
	q.Add(tests("huge.1")...)
	remaining(3*time.Second + longest)
}

// TestClockBack proves F14: a test that ended before it began teaches nothing.
func TestClockBack(t *testing.T) {
	q := New(Options{Workers: 1})
	q.Add(tests("a.1", "a.2")...)
	next(t, q, 0, 1, Have, "a.1")
	q.Started(0, Item{Test: "a.1"}, start)
	q.Finished(0, Item{Test: "a.1"}, start.Add(-time.Hour))
	if got := q.EstimatedRemaining(); got != 0 {
		t.Errorf("got %v remaining; want 0, for nothing is known", got)
	}
}

func TestNames(t *testing.T) {
	for s, want := range []string{"invalid", "have", "wait", "done", "change", "invalid"} {
		if got := State(s).String(); got != want {
			t.Errorf("State(%d): got %q; want %q", s, got, want)
		}
	}
}
