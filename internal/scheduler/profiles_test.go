package scheduler

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// shop is a simulated run of several profiles: workers that can run some of them
// each, and take a while to start, for the first and for each other profile.
type shop struct {
	agenda
	t     testing.TB
	name  string
	q     *Queue
	start time.Duration   // what a process takes to be there
	ahead int             // how many items a worker may have
	can   [][]string      // by worker
	took  []time.Duration // by the number in an item's id
	kinds []string        // its profile
	has   [][]Item
	is    []string // the profile of the worker's process
	up    []bool   // there is one
	ends  []bool
	ready []bool // it has started
	busy  []bool
	ran   []int
	fresh int // starts
	end   time.Duration
}

func newShop(t testing.TB, name string, can [][]string, known bool) *shop {
	s := &shop{t: t, name: name, can: can, ahead: 1,
		has: make([][]Item, len(can)), is: make([]string, len(can)), up: make([]bool, len(can)),
		ends: make([]bool, len(can)), ready: make([]bool, len(can)), busy: make([]bool, len(can))}
	s.q = New(Options{
		Workers:  len(can),
		Profiles: func(w int) []string { return can[w] },
		Estimate: func(it Item) (time.Duration, bool) { return s.took[number(it)], known },
	})
	return s
}

func number(it Item) (n int) {
	_, _ = fmt.Sscanf(it.Test[len("m.C"):], "%d.t", &n)
	return n
}

// add lists n items of a profile, each as long as length says.
func (s *shop) add(profile string, n int, length func() time.Duration) {
	var items []Item
	for range n {
		items = append(items, Item{Test: fmt.Sprintf("m.C%d.t", len(s.took)), Profile: profile})
		s.took, s.kinds, s.ran = append(s.took, length()), append(s.kinds, profile), append(s.ran, 0)
	}
	s.q.Add(items...)
}

func same(d time.Duration) func() time.Duration { return func() time.Duration { return d } }

func (s *shop) clock() time.Time { return start.Add(s.now) }

// run runs all to the end and returns how long that took.
func (s *shop) run() time.Duration {
	s.t.Helper()
	s.askAll()
	for s.next() {
		s.askAll()
	}
	for n, ran := range s.ran {
		if ran != 1 {
			s.t.Fatalf("%s: test %d of profile %q ran %d times: %+v", s.name, n, s.kinds[n], ran, s.q.Counts())
		}
	}
	return s.end
}

func (s *shop) askAll() {
	for w := range s.can {
		s.ask(w)
	}
	if d := s.q.Recheck(); d > 0 {
		s.after(d, func() {})
	}
}

func (s *shop) ask(w int) {
	if s.ends[w] || len(s.has[w]) >= s.ahead {
		return
	}
	items, state := s.q.Next(w, s.clock(), Limit{Items: s.ahead - len(s.has[w]), Change: s.start})
	for _, it := range items {
		if !slices.Contains(s.can[w], it.Profile) && s.can[w] != nil || s.up[w] && it.Profile != s.is[w] {
			s.t.Fatalf("%s: worker %d of %q, which can run %q, got %q", s.name, w, s.is[w], s.can[w], it)
		}
	}
	s.has[w] = append(s.has[w], items...)
	switch {
	case state == Have && !s.up[w]:
		s.is[w], s.up[w] = items[0].Profile, true
		s.fresh++
		s.after(s.start, func() { s.ready[w] = true; s.work(w) })
	case state == Change && !s.up[w]:
		s.t.Fatalf("%s: worker %d is to leave a profile that it does not have", s.name, w)
	case state == Change:
		s.ends[w] = true
	}
	s.work(w)
}

// work has the worker begin its first item, or end if it has none and is to.
func (s *shop) work(w int) {
	if s.busy[w] || !s.ready[w] {
		return
	}
	if len(s.has[w]) == 0 {
		if s.ends[w] {
			s.ends[w], s.up[w], s.ready[w] = false, false, false
			s.q.Lost(w, s.clock())
			s.after(0, func() {}) // whoever comes next asks
		}
		return
	}
	s.busy[w] = true
	it := s.has[w][0]
	n := number(it)
	s.q.Started(w, it, s.clock())
	s.after(s.took[n], func() {
		s.busy[w] = false
		s.ran[n]++
		s.q.Finished(w, it, s.clock())
		s.has[w], s.end = s.has[w][1:], s.now
		s.ask(w)
		s.work(w)
	})
}

// bound is what no schedule can beat, starts aside.
func (s *shop) bound() (bound time.Duration) {
	kinds := slices.Compact(slices.Sorted(slices.Values(s.kinds)))
	for set := 1; set < 1<<len(kinds); set++ {
		var work time.Duration
		workers := 0
		of := func(kind string) bool { return set>>slices.Index(kinds, kind)&1 > 0 }
		for n, kind := range s.kinds {
			if of(kind) {
				work += s.took[n]
			}
		}
		for _, can := range s.can {
			if can == nil || slices.ContainsFunc(can, func(kind string) bool { return slices.Contains(kinds, kind) && of(kind) }) {
				workers++
			}
		}
		bound = max(bound, work/time.Duration(workers))
	}
	return max(bound, slices.Max(s.took))
}

// TestShops: runs of random profiles on workers of which each can run some of
// them take little more than no schedule can beat, and a start or two.
func TestShops(t *testing.T) {
	var sum float64
	n := seeds(t, 300)
	for seed := range n {
		rnd := rand.New(rand.NewPCG(seed, 5))
		names := []string{"", "py34", "py27", "lint", "docs"}[:2+rnd.IntN(4)]
		can := make([][]string, 2+rnd.IntN(12))
		if rnd.IntN(4) > 0 {
			for i := range can[1:] {
				can[i+1] = []string{names[rnd.IntN(len(names))]}
				for _, name := range names {
					if rnd.IntN(3) == 0 {
						can[i+1] = append(can[i+1], name)
					}
				}
			}
		}
		s := newShop(t, fmt.Sprintf("seed %d", seed), can, rnd.IntN(2) == 0)
		s.start = time.Duration(rnd.IntN(1000)) * time.Millisecond
		s.ahead = 1 + rnd.IntN(2)
		for _, name := range names {
			scale := math.Exp(rnd.NormFloat64())
			s.add(name, 1+rnd.IntN(500), func() time.Duration {
				return time.Duration(min(scale*100*math.Exp(rnd.NormFloat64()), 5000)) * time.Millisecond
			})
		}
		s.q.ListingDone()
		took, bound := s.run(), s.bound()
		ratio := float64(took) / float64(bound+2*s.start)
		sum += ratio
		if ratio > 1.6 {
			t.Errorf("seed %d: got %v; want about %v and two starts of %v", seed, took, bound, s.start)
		}
		if most := len(can) + 3*len(names)*len(can)/2; s.fresh > most {
			t.Errorf("seed %d: got %d starts of %d workers for %d profiles; want at most %d",
				seed, s.fresh, len(can), len(names), most)
		}
	}
	if mean := sum / float64(n); mean > 1.05 {
		t.Errorf("got %.3f times the bound in the mean; want at most 1.05", mean)
	}
}
