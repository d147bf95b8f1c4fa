package scheduler

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// TestAhead: as many items wait at a worker as hide the trip, and none at the
// tail.
func TestAhead(t *testing.T) {
	for _, tt := range []struct {
		name    string
		tests   int
		ms      int
		trip    time.Duration
		running bool
		want    [2]int // from, to
	}{
		{"a pipe, long tests", 1000, 1000, 50 * time.Microsecond, true, [2]int{1, 2}},
		{"the worker runs nothing", 1000, 1000, 50 * time.Microsecond, false, [2]int{2, 3}},
		{"an ocean", 1000, 10, 100 * time.Millisecond, true, [2]int{11, 25}},
		{"no more than that", 100_000, 1, time.Second, true, [2]int{MaxAhead - 1, MaxAhead}},
		{"the tail", 3, 1000, 50 * time.Microsecond, true, [2]int{0, 0}},
		{"the tail of one that runs nothing", 3, 1000, 50 * time.Microsecond, false, [2]int{1, 1}},
		{"the tail beyond an ocean is shared", 20, 10, 100 * time.Millisecond, true, [2]int{4, 6}},
	} {
		q := crewOf(Options{}, 1, 1, 1, 1)
		for i := range tt.tests {
			q.Add(Item{Test: fmt.Sprintf("m.C%d.t%d_%d", i/50, i, tt.ms)})
		}
		if tt.running {
			items, _ := q.Next(0, start, Limit{Items: 1})
			q.Started(0, items[0], start)
		}
		if got := q.Ahead(0, start, tt.trip); got < tt.want[0] || got > tt.want[1] {
			t.Errorf("%s: got %d; want %d to %d", tt.name, got, tt.want[0], tt.want[1])
		}
	}
	q := New(Options{Workers: 1})
	for worker, want := range map[int]int{-1: 0, 0: 1, 1: 0} {
		if got := q.Ahead(worker, start, time.Second); got != want {
			t.Errorf("worker %d, nothing to do: got %d; want %d", worker, got, want)
		}
	}
}

// TestSteal: what would be finished sooner by an idle worker is asked back, from
// the one that is busy for longest, its last first.
func TestSteal(t *testing.T) {
	begin := func(speeds ...float64) *Queue {
		q := crewOf(Options{Order: Listed}, speeds...)
		q.Add(tests("a.a_100", "b.a_1000", "b.b_100", "b.c_100", "b.d_900")...)
		next(t, q, 1, 1, Have, "a.a_100")
		next(t, q, 0, 9, Have, "b.a_1000", "b.b_100", "b.c_100", "b.d_900")
		q.Started(0, Item{Test: "b.a_1000"}, start)
		q.Finished(1, Item{Test: "a.a_100"}, start)
		return q
	}
	for _, tt := range []struct {
		name   string
		speeds []float64
		trip   time.Duration
		want   []string
	}{
		{"as fast", []float64{1, 1}, time.Millisecond, []string{"b.d_900", "b.c_100"}},
		{"slow", []float64{1, 0.5}, time.Millisecond, []string{"b.d_900"}},
		{"too slow", []float64{1, 0.1}, time.Millisecond, nil},
		{"far away", []float64{1, 1}, 2 * time.Second, nil},
	} {
		q := begin(tt.speeds...)
		from, items := q.Steal(1, start, tt.trip)
		if !slices.Equal(items, tests(tt.want...)) || len(items) > 0 && from != 0 {
			t.Errorf("%s: got %q of worker %d; want %q", tt.name, items, from, tt.want)
		}
		if _, items := q.Steal(1, start, tt.trip); len(items) > 0 && slices.Contains(tt.want, items[0].Test) {
			t.Errorf("%s: then got %q again", tt.name, items)
		}
		for _, it := range items {
			if !q.Returned(0, it) {
				t.Errorf("%s: %q does not come back", tt.name, it)
			}
		}
	}
	q := begin(1, 1)
	if _, items := q.Steal(0, start, 0); items != nil {
		t.Errorf("a busy worker robs %q", items)
	}
	if _, items := q.Steal(9, start, 0); items != nil {
		t.Errorf("nobody robs %q", items)
	}
}

// TestStealGroups: a group goes whole or not at all.
func TestStealGroups(t *testing.T) {
	for _, ran := range []bool{false, true} {
		q := crewOf(Options{Order: Listed, Group: func(it Item) string {
			if it.Test[0] == 'g' {
				return "g"
			}
			return ""
		}}, 1, 1)
		q.Add(tests("a.a_1000", "g.a_100", "g.b_100", "g.c_100")...)
		next(t, q, 0, 9, Have, "a.a_1000", "g.a_100", "g.b_100", "g.c_100")
		q.Started(0, Item{Test: "a.a_1000"}, start)
		want := tests("g.c_100", "g.b_100", "g.a_100")
		if ran {
			q.Started(0, Item{Test: "g.a_100"}, start)
			q.Finished(0, Item{Test: "g.a_100"}, start)
			want = nil
		}
		if _, items := q.Steal(1, start, 0); !slices.Equal(items, want) {
			t.Errorf("begun %v: got %q; want %q", ran, items, want)
		}
	}
}
