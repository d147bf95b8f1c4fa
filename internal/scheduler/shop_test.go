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

// same is the length of all.
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
			use := func(kind string) bool { return slices.Contains(kinds, kind) && of(kind) }
			if can == nil || slices.ContainsFunc(can, use) {
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
	n := seeds(t, 100)
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
		if ratio > 2 {
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

// only is workers of which each can run one profile, or all for "*".
func only(names ...string) (can [][]string) {
	for _, name := range names {
		if name == "*" {
			can = append(can, nil)
		} else {
			can = append(can, []string{name})
		}
	}
	return can
}

// TestDivision: which worker is of which profile where there is one good answer.
func TestDivision(t *testing.T) {
	type kind struct {
		name   string
		n      int
		length time.Duration
	}
	const s = time.Second
	for _, tt := range []struct {
		name   string
		can    [][]string
		kinds  []kind
		start  time.Duration
		took   time.Duration // at most
		starts int           // at most
	}{
		{"each has its own", only("a", "b"), []kind{{"a", 10, s}, {"b", 10, s}}, 0, 10 * s, 2},
		{"one for two", only("*"), []kind{{"a", 10, s}, {"b", 10, s}}, s, 22 * s, 2},
		{"as much as there is work", only("*", "*", "*", "*"), []kind{{"a", 30, s}, {"b", 10, s}}, s, 11 * s, 4},
		{"the rest goes to the rest", only("*", "*", "*", "*"), []kind{{"a", 40, s}, {"b", 2, s}}, s, 13 * s, 5},
		{"what others can't run first", only("*", "a"), []kind{{"a", 100, s}, {"b", 50, s}}, s, 78 * s, 3},
		{"little of what others can't run", only("*", "a"), []kind{{"a", 100, s}, {"b", 10, s}}, s, 57 * s, 3},
		{"all that can run it", only("*", "*", "a"), []kind{{"a", 100, s}, {"b", 100, s}}, s, 69 * s, 5},
		{"a long one of its own", only("*", "*", "*", "*"), []kind{{"a", 120, s}, {"b", 1, 30 * s}}, s, 40 * s, 5},
		{"many profiles, few workers", only("*", "*"),
			[]kind{{"a", 10, s}, {"b", 10, s}, {"c", 10, s}, {"d", 10, s}}, s, 23 * s, 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for order := range len(tt.kinds) {
				shop := newShop(t, tt.name, tt.can, true)
				shop.start = tt.start
				for i := range tt.kinds {
					k := tt.kinds[(i+order)%len(tt.kinds)]
					shop.add(k.name, k.n, same(k.length))
				}
				shop.q.ListingDone()
				if took := shop.run(); took > tt.took || shop.fresh > tt.starts {
					t.Errorf("got %v and %d starts; want at most %v and %d", took, shop.fresh, tt.took, tt.starts)
				}
			}
		})
	}
}

// TestListedLater: what is listed while all are at something else gets the workers
// that it needs then, and none where they will be free in time.
func TestListedLater(t *testing.T) {
	const s = time.Second
	for _, tt := range []struct {
		name   string
		can    [][]string
		first  int // items of a second each
		n      int
		length time.Duration
		took   time.Duration
		starts int
	}{
		{"in time", only("*", "*", "*", "*"), 200, 40, s, 64 * s, 8},
		{"a long one", only("*", "*", "*", "*"), 200, 1, 60 * s, 75 * s, 6},
		{"one of half the time", only("*", "*", "*", "*"), 400, 1, 40 * s, 120 * s, 6},
		{"one longer than the rest", only("*", "*", "*", "*"), 400, 1, 300 * s, 310 * s, 5},
		{"nobody else can", only("*", "a", "a", "a"), 200, 60, s, 75 * s, 3 + 3},
		{"one for many", only(slices.Repeat([]string{"*"}, 40)...), 4000, 1, 300 * s, 310 * s, 41},
	} {
		t.Run(tt.name, func(t *testing.T) {
			shop := newShop(t, tt.name, tt.can, true)
			shop.start, shop.ahead = s, 2
			shop.add("a", tt.first, same(s))
			shop.after(5*s, func() {
				shop.add("b", tt.n, same(tt.length))
				shop.q.ListingDone()
			})
			if took := shop.run(); took > tt.took || shop.fresh > tt.starts {
				t.Errorf("got %v and %d starts; want at most %v and %d", took, shop.fresh, tt.took, tt.starts)
			}
		})
	}
}
