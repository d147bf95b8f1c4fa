package scheduler

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// BenchmarkMakespan reports how long simulated runs take, over the lower bound
// max(sum / workers, longest test), and how often a worker begins with a class
// other than its last one's, over the number of classes. Nothing but tests
// takes time, and set-ups are free. docs/scheduling.md quotes the figures.
func BenchmarkMakespan(b *testing.B) {
	for _, workers := range []int{8, 64, 1000} {
		for _, memory := range []string{"exact", "noisy", "none"} {
			for _, order := range []Order{LongestFirst, Listed} {
				name := fmt.Sprintf("workers=%d/known=%s/order=%d", workers, memory, order)
				b.Run(name, func(b *testing.B) {
					var ratio, setups float64
					runs := 0
					for b.Loop() {
						r, s := makespan(uint64(runs), workers, memory, order)
						ratio, setups, runs = ratio+r, setups+s, runs+1
					}
					b.ReportMetric(ratio/float64(runs), "makespan/bound")
					b.ReportMetric(setups/float64(runs), "set-ups/class")
				})
			}
		}
	}
}

// heavyTailed makes a suite in classes of 1 to 40 tests. A class has a typical
// length, its tests scatter around that, and one test in a hundred is an
// outlier.
func heavyTailed(rnd *rand.Rand, n int) (items []Item, took map[Item]time.Duration, classes int) {
	took = make(map[Item]time.Duration, n)
	for ; len(items) < n; classes++ {
		typical := 20 * math.Exp(1.2*rnd.NormFloat64())
		for range 1 + rnd.IntN(40) {
			ms := typical * math.Exp(0.8*rnd.NormFloat64())
			if rnd.IntN(100) == 0 {
				ms *= math.Pow(1-rnd.Float64(), -1/1.2)
			}
			it := Item{Test: fmt.Sprintf("m%d.C%d.test_%d", classes/5, classes, len(items))}
			took[it] = time.Duration(min(ms, 5000) * float64(time.Millisecond))
			items = append(items, it)
		}
	}
	return items, took, classes
}

// free is when a worker has finished its test.
type free struct {
	at     time.Duration
	worker int
	item   Item
}

func (f free) before(g free) bool { return f.at < g.at || f.at == g.at && f.worker < g.worker }
func (free) moved(int)            {}

func makespan(seed uint64, workers int, memory string, order Order) (ratio, setups float64) {
	rnd := rand.New(rand.NewPCG(seed, 2))
	items, took, classes := heavyTailed(rnd, max(10_000, 200*workers))
	q := New(Options{Workers: workers, Order: order, Estimate: func(it Item) (time.Duration, bool) {
		d := took[it]
		if memory == "noisy" {
			d = time.Duration(float64(d) * math.Exp(0.3*rnd.NormFloat64()))
		}
		return d, memory != "none"
	}})
	q.Add(items...)
	q.ListingDone()
	var events heap[free]
	last := make([]string, workers)
	ask := func(w int, at time.Duration) {
		got, _ := q.Next(w, start.Add(at), Limit{Items: 1})
		for _, it := range got {
			q.Started(w, it, start.Add(at))
			events.push(free{at + took[it], w, it})
			if class := beforeDot(it.Test); class != last[w] {
				last[w] = class
				setups++
			}
		}
	}
	for w := range workers {
		ask(w, 0)
	}
	var end, sum, longest time.Duration
	for len(events) > 0 {
		e := events[0]
		events.remove(0)
		end = e.at
		q.Finished(e.worker, e.item, start.Add(e.at))
		ask(e.worker, e.at)
	}
	for _, d := range took {
		sum += d
		longest = max(longest, d)
	}
	return float64(end) / float64(max(sum/time.Duration(workers), longest)), setups / float64(classes)
}
