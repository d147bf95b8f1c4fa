package scheduler

import (
	"fmt"
	"math"
	"testing"
	"time"
)

// paced is a run of one test after another on each of some workers.
type paced struct {
	q  *Queue
	at time.Duration
}

// run has the worker take a test and finish it after so long.
func (p *paced) run(worker int, took func(Item) time.Duration) {
	items, _ := p.q.Next(worker, start.Add(p.at), Limit{Items: 1})
	for _, it := range items {
		p.q.Started(worker, it, start.Add(p.at))
		p.at += took(it)
		p.q.Finished(worker, it, start.Add(p.at))
	}
}

func manyTests(n int) (items []Item) {
	for i := range n {
		items = append(items, Item{Test: fmt.Sprintf("m.C%d.t%d_%d", i%7, i, 100*(i%7+1))})
	}
	return items
}

// TestSpeed: how fast workers are is learned from tests of known length, and
// less quickly from others; an outlier, or a clock that steps (F14), changes
// little.
func TestSpeed(t *testing.T) {
	length := func(it Item) time.Duration { d, _ := taking(it); return d }
	for _, tt := range []struct {
		name  string
		known bool
		runs  int
		odd   func(n int, d time.Duration) time.Duration
		off   float64 // how far the ratio of the speeds may be off
	}{
		{"known", true, 20, nil, 1.1},
		{"known, soon", true, 3, nil, 1.6},
		{"not known", false, 200, nil, 1.35},
		{"with outliers", true, 100, func(n int, d time.Duration) time.Duration {
			if n%20 == 3 {
				d *= 1000
			}
			return d
		}, 1.3},
		{"the clock steps to and fro", true, 100, func(n int, d time.Duration) time.Duration {
			switch n % 20 {
			case 3:
				d += time.Hour
			case 4:
				d -= time.Hour
			}
			return d
		}, 1.3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q := New(Options{Workers: 2, Estimate: func(it Item) (time.Duration, bool) { return length(it), tt.known }})
			items := manyTests(3 * tt.runs)
			if !tt.known {
				for i := range items {
					items[i] = Item{Test: fmt.Sprintf("m%d.C%d.t%d_%d", i/50, i/10, i, 100*(i/10%7+1))}
				}
			}
			q.Add(items...)
			p := &paced{q: q}
			speeds := []float64{1, 3}
			for n := range tt.runs {
				for w, speed := range speeds {
					p.run(w, func(it Item) time.Duration {
						d := time.Duration(float64(length(it)) / speed)
						if tt.odd != nil && w == 0 {
							d = tt.odd(n, d)
						}
						return d
					})
				}
			}
			got := q.workers[1].speed / q.workers[0].speed
			if off := math.Abs(math.Log(got / 3)); off > math.Log(tt.off) {
				t.Errorf("got a ratio of %.2f; want 3, off by a factor of %v at most", got, tt.off)
			}
		})
	}
}

// TestSpeedsOfEquals: that most tests of a class take less than its mean makes
// nobody fast.
func TestSpeedsOfEquals(t *testing.T) {
	const workers = 4
	q := New(Options{Workers: workers})
	for i := range 2000 {
		ms := 10
		if i%10 == 0 {
			ms = 500
		}
		q.Add(Item{Test: fmt.Sprintf("m.C%d.t%d_%d", i/200, i, ms)})
	}
	p := &paced{q: q}
	for range 450 {
		for w := range workers {
			p.run(w, func(it Item) time.Duration { d, _ := taking(it); return d })
		}
	}
	for w := range workers {
		if got := q.workers[w].speed; got < 0.7 || got > 1.4 {
			t.Errorf("worker %d: got speed %.2f; want about 1", w, got)
		}
	}
}

// TestSpeedOfABusyStart: that the first tests, which are short, take some tens of
// milliseconds more, because all workers start at once, makes nobody slow.
func TestSpeedOfABusyStart(t *testing.T) {
	q := crewOf(Options{Estimate: taking}, 1, 1)
	q.Add(tests("m.C.a_30", "m.C.b_31", "m.C.c_3500")...)
	p := &paced{q: q}
	for _, id := range []string{"m.C.a_30", "m.C.b_31"} {
		at := q.find(Item{Test: id})
		q.hand(at, &q.workers[0])
		q.Started(0, Item{Test: id}, start.Add(p.at))
		p.at += 100 * time.Millisecond
		q.Finished(0, Item{Test: id}, start.Add(p.at))
	}
	if got := q.workers[0].speed; got < 0.5 {
		t.Errorf("got speed %.2f; want more than a half", got)
	}
}

// TestSpeedIsForgotten: a worker that becomes slow is found out.
func TestSpeedIsForgotten(t *testing.T) {
	q := crewOf(Options{}, 1, 1)
	q.Add(manyTests(500)...)
	p := &paced{q: q}
	for range 300 {
		p.run(0, func(it Item) time.Duration { d, _ := taking(it); return 4 * d })
	}
	if got := q.workers[0].speed; got > 0.27 {
		t.Errorf("got speed %.2f; want about a quarter", got)
	}
}

// TestLengthsAreOfSpeedOne: what a slow worker's test teaches of its class is
// what it would have taken on an ordinary one.
func TestLengthsAreOfSpeedOne(t *testing.T) {
	q := crewOf(Options{}, 1, 0.25)
	q.Add(tests("a.x_100", "b.B.1", "b.B.2")...)
	for at := q.find(Item{Test: "b.B.1"}); q.entries[at].state == waiting; {
		q.Next(1, start, Limit{Items: 1})
		q.Finished(1, Item{Test: "a.x_100"}, start)
	}
	q.Started(1, Item{Test: "b.B.1"}, start)
	q.Finished(1, Item{Test: "b.B.1"}, start.Add(400*time.Millisecond))
	if got := q.classes[1].estimate; got < 90_000 || got > 130_000 {
		t.Errorf("got %d us; want about 100,000", got)
	}
}

// TestLostWorkerKeepsSomeSpeed: the successor is taken to be as fast, until it
// shows that it is not.
func TestLostWorkerKeepsSomeSpeed(t *testing.T) {
	q := crewOf(Options{}, 1, 4)
	q.Add(manyTests(100)...)
	q.Lost(1, start)
	if q.workers[1].speed != 4 || q.present != 1 || q.speeds != 1 {
		t.Errorf("got speed %v, %d workers of speed %v; want 4, 1 of 1", q.workers[1].speed, q.present, q.speeds)
	}
	p := &paced{q: q}
	for range 10 {
		p.run(1, func(it Item) time.Duration { d, _ := taking(it); return d })
	}
	if got := q.workers[1].speed; got > 1.3 {
		t.Errorf("got speed %.2f after ten tests; want about 1", got)
	}
}
