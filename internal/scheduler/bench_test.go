package scheduler

import (
	"fmt"
	"syscall"
	"testing"
	"time"
)

// suite makes n items in classes of 20 and modules of 10 classes, listed class
// by class.
func suite(n int) []Item {
	items := make([]Item, n)
	for i := range items {
		items[i] = Item{Test: fmt.Sprintf("project.tests.unit.test_module%d.TestClass%d.test_%d", i/200, i/20, i)}
	}
	return items
}

// scatter gives the item a length between 1 ms and 4 s that looks random.
func scatter(it Item) time.Duration {
	h := uint32(2166136261)
	for i := range len(it.Test) {
		h = (h ^ uint32(it.Test[i])) * 16777619
	}
	h ^= h >> 15
	return time.Duration(1+h%4000) * time.Millisecond
}

func known(it Item) (time.Duration, bool) { return scatter(it), true }

var benchmarkQueues = []struct {
	name string
	opts Options
	id   string // makes the ids, instead of suite's

	profiles int // how many there are, named by number
}{
	{name: "known", opts: Options{Estimate: known}},
	{name: "unknown"},
	{name: "half-known", opts: Options{Estimate: func(it Item) (time.Duration, bool) {
		d := scatter(it)
		return d, d%(2*time.Millisecond) == 0
	}}},
	{name: "groups", opts: Options{Group: classOf}},
	{name: "one-class", opts: Options{Estimate: known}, id: "test_%d"},
	{name: "class-each", id: "module.Class%d.test"},
	{name: "profiles", opts: Options{Estimate: known}, profiles: 4},
	{name: "profiles-here-and-there", profiles: 4, opts: Options{Estimate: known, Profiles: func(w int) []string {
		return []string{fmt.Sprint(w % 4), fmt.Sprint(w / 4 % 4)}
	}}},
}

func benchmarkItems(id string, profiles int) []Item {
	items := suite(1_000_000)
	if id != "" {
		for i := range items {
			items[i].Test = fmt.Sprintf(id, i)
		}
	}
	for i := range items {
		if profiles > 0 {
			items[i].Profile = fmt.Sprint(i / 200 % profiles)
		}
	}
	return items
}

// BenchmarkDecision hands a million tests to 10,000 workers and settles them.
// cpu-ns/test is the time of Next, Started and Finished of one test, on a machine
// that others use too.
func BenchmarkDecision(b *testing.B) {
	const workers = 10_000
	for _, bm := range benchmarkQueues {
		b.Run(bm.name, func(b *testing.B) {
			items := benchmarkItems(bm.id, bm.profiles)
			bm.opts.Workers = workers
			b.ReportAllocs()
			var spent time.Duration
			for b.Loop() {
				b.StopTimer()
				q := New(bm.opts)
				q.Add(items...)
				q.ListingDone()
				began := cpuTime(b)
				b.StartTimer()
				drain(q, workers)
				b.StopTimer()
				spent += cpuTime(b) - began
				b.StartTimer()
			}
			b.ReportMetric(float64(spent)/float64(b.N)/float64(len(items)), "cpu-ns/test")
		})
	}
}

// cpuTime is the time that this process has had a processor for.
func cpuTime(b *testing.B) time.Duration {
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		b.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

// drain runs the queue empty: each worker in turn finishes its test and asks
// for the next.
func drain(q *Queue, workers int) {
	now := time.Unix(1e9, 0)
	has := make([][]Item, workers)
	for q.Counts().Remaining() > 0 {
		for w := range workers {
			now = now.Add(time.Microsecond)
			for _, it := range has[w] {
				q.Finished(w, it, now)
			}
			var state State
			if has[w], state = q.Next(w, now, Limit{Items: 1}); state == Change {
				q.Lost(w, now)
			}
			for _, it := range has[w] {
				q.Started(w, it, now)
			}
		}
	}
}

// BenchmarkAdd adds a million tests.
func BenchmarkAdd(b *testing.B) {
	for _, bm := range benchmarkQueues {
		b.Run(bm.name, func(b *testing.B) {
			items := benchmarkItems(bm.id, bm.profiles)
			b.ReportAllocs()
			for b.Loop() {
				New(bm.opts).Add(items...)
			}
		})
	}
}
