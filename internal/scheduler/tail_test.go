package scheduler

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// taking is an Estimate: what follows the last underscore is milliseconds.
func taking(it Item) (time.Duration, bool) {
	ms, err := strconv.Atoi(it.Test[strings.LastIndexByte(it.Test, '_')+1:])
	return time.Duration(ms) * time.Millisecond, err == nil
}

// crewOf returns a queue whose workers have these speeds.
func crewOf(opts Options, speeds ...float64) *Queue {
	opts.Workers, opts.Estimate = len(speeds), taking
	q := New(opts)
	for i, s := range speeds {
		q.workers[i].pace = pace{speed: s, log: math.Log(s), weight: maxWeight, ran: 1}
	}
	q.speeds = 0
	for _, s := range speeds {
		q.speeds += s
	}
	return q
}

// TestTailIsLeftToTheFast: near the end a long test is not given to a slow
// worker that would finish it later than a fast one that is busy now.
func TestTailIsLeftToTheFast(t *testing.T) {
	q := crewOf(Options{}, 4, 1)
	q.Add(tests("a.a_1000", "b.b_1000", "c.c_300")...)
	q.ListingDone()
	next(t, q, 0, 1, Have, "a.a_1000") // until 250 ms
	q.Started(0, Item{Test: "a.a_1000"}, start)
	next(t, q, 1, 1, Have, "c.c_300") // b would take until 1 s here, until 500 ms there
	next(t, q, 1, 1, Wait)
	q.Started(1, Item{Test: "c.c_300"}, start)
	q.Finished(1, Item{Test: "c.c_300"}, start.Add(200*time.Millisecond))
	items, state := q.Next(1, start.Add(200*time.Millisecond), Limit{Items: 1})
	if len(items) > 0 || state != Wait {
		t.Errorf("the slow one got %q, %v; want it to wait", items, state)
	}
	d := q.Recheck()
	if d < time.Millisecond || d > time.Second {
		t.Errorf("got %v to wait; want some of it, and less than what the test takes", d)
	}
	// The fast one is overdue by more than it would be faster.
	at := start.Add(2 * time.Second)
	if items, _ := q.Next(1, at, Limit{Items: 1}); !slices.Equal(items, tests("b.b_1000")) {
		t.Errorf("got %q while the fast one hangs; want b.b_1000", items)
	}
}

func TestTailWhenTheFastIsGone(t *testing.T) {
	q := crewOf(Options{}, 4, 1, 1)
	q.Add(tests("a.a_1000", "b.b_1000")...)
	q.ListingDone()
	next(t, q, 0, 1, Have, "a.a_1000")
	next(t, q, 1, 1, Wait)
	if q.Recheck() == 0 {
		t.Error("nothing to wait for; want a time")
	}
	q.Lost(0, start)
	if d := q.Recheck(); d != 0 {
		t.Errorf("got %v to wait after something happened; want 0", d)
	}
	next(t, q, 1, 1, Have, "b.b_1000") // where nobody was yet
	next(t, q, 2, 1, Have, "a.a_1000")
}

// TestTailWhenAllAreIdle: whoever asks first gets something, even if another
// would be faster, for that one may never ask.
func TestTailWhenAllAreIdle(t *testing.T) {
	q := crewOf(Options{}, 4, 1)
	q.Add(tests("a.a_1000")...)
	next(t, q, 1, 1, Have, "a.a_1000")
	next(t, q, 0, 1, Wait)
}

// TestTailWithAStart: where another would have to start first, the items stay
// together.
func TestTailWithAStart(t *testing.T) {
	for _, begin := range []time.Duration{0, time.Second} {
		q := crewOf(Options{}, 1, 1)
		q.Add(tests("a.a_100", "a.b_100", "a.c_100", "a.d_100")...)
		items, _ := q.Next(0, start, Limit{Items: 9, Start: begin})
		want := 2
		if begin > 0 {
			want = 4
		}
		if len(items) != want {
			t.Errorf("a start of %v: got %q; want %d", begin, items, want)
		}
	}
}

// TestTrial: a worker of which nobody knows how fast it is begins with something
// short where a long test may be too long for it.
func TestTrial(t *testing.T) {
	q := New(Options{Workers: 2, Estimate: taking})
	q.Add(tests("a.a_1000", "b.b_900", "c.c_40", "d.d_30", "e.e_800")...)
	next(t, q, 0, 1, Have, "c.c_40")
	q.Started(0, Item{Test: "c.c_40"}, start)
	q.Finished(0, Item{Test: "c.c_40"}, start.Add(40*time.Millisecond))
	items, _ := q.Next(0, start.Add(40*time.Millisecond), Limit{Items: 1})
	if !slices.Equal(items, tests("a.a_1000")) {
		t.Errorf("then it got %q; want a.a_1000", items)
	}
}

// TestTrialWhereOthersNeedNone: what is short for a worker that is known can be
// too long for one that is not.
func TestTrialWhereOthersNeedNone(t *testing.T) {
	for speed, want := range map[float64]string{0: "b.x_30", 1: "a.a_400"} {
		q := crewOf(Options{}, 1, 1)
		if speed == 0 {
			q.workers[0].pace = pace{speed: 1}
		}
		q.Add(tests("a.a_400", "b.x_30")...)
		for i := range 40 {
			q.Add(Item{Test: "c.t" + strconv.Itoa(i) + "_40"})
		}
		next(t, q, 0, 1, Have, want)
	}
}

func TestLimitOfWork(t *testing.T) {
	for _, tt := range []struct {
		speed float64
		limit Limit
		want  int
	}{
		{1, Limit{Items: 9}, 9},
		{1, Limit{Items: 9, Work: 300 * time.Millisecond}, 3},
		{1, Limit{Items: 9, Work: 301 * time.Millisecond}, 4},
		{1, Limit{Items: 2, Work: 300 * time.Millisecond}, 2},
		{1, Limit{Items: 9, Work: time.Microsecond}, 1},
		{1, Limit{Items: 9, Work: -1}, 9},
		{2, Limit{Items: 9, Work: 300 * time.Millisecond}, 6},
		{1, Limit{Work: time.Second}, 0},
		{1, Limit{Items: -1}, 0},
	} {
		q := crewOf(Options{}, tt.speed)
		for i := range 20 {
			q.Add(Item{Test: "a.t" + strconv.Itoa(i) + "_100"})
		}
		if items, _ := q.Next(0, start, tt.limit); len(items) != tt.want {
			t.Errorf("speed %v, %+v: got %d items; want %d", tt.speed, tt.limit, len(items), tt.want)
		}
	}
}
