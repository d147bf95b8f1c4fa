package scheduler

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"
)

// TestFleet proves F20 for the queue: however workers die, hang until somebody
// notices, say things twice, late or in the wrong order, each test is with one
// worker at a time, has one outcome, and none is lost. BenchmarkFleet does the
// same with 100,000 workers.
func TestFleet(t *testing.T) {
	for seed := range seeds(t, 500) / 100 {
		f := newFleet(t, seed, 1000, 20_000)
		f.run()
	}
}

// BenchmarkFleet is the simulation of TestFleet with 100,000 workers and a
// million tests. It reports the memory taken from the system.
func BenchmarkFleet(b *testing.B) {
	for b.Loop() {
		f := newFleet(b, 1, 100_000, 1_000_000)
		f.run()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		b.ReportMetric(float64(s.Sys>>20), "MiB")
	}
}

// fleet is a simulation that is made to be large: what it keeps of a test are
// some bytes, and its events hold no functions.
type fleet struct {
	t       testing.TB
	seed    uint64
	rnd     *rand.Rand
	q       *Queue
	items   []Item
	number  map[Item]int32
	tests   []fleetTest
	workers []fleetWorker
	events  heap[fleetEvent]
	now     int64 // microseconds
	pushed  uint64
	idle    []int32
	waits   []bool // who is in idle
	alarm   bool   // there is a fleetWakes
}

type fleetTest struct {
	took     int32 // microseconds
	owner    int32
	backs    int32 // how often it came back from a lost worker
	outcomes int8
	open     bool // neither done nor abandoned
}

type fleetWorker struct {
	life  int32
	has   []int32
	dead  bool // the process is, and nobody has noticed
	ended bool // it was told that there is nothing more
}

// fleetEvent is something that a worker does, or that is heard of one.
type fleetEvent struct {
	at     uint64 // microseconds and a number
	what   fleetKind
	worker int32
	life   int32
	test   int32
}

type fleetKind uint8

const (
	fleetRan      fleetKind = iota // the worker has run its first test
	fleetBegan                     // word arrives that a test has begun
	fleetFinished                  // word arrives of an outcome
	fleetDies
	fleetLost // the supervisor notices
	fleetAsks
	fleetWakes // all who wait ask again
)

func (e fleetEvent) key() uint64 { return e.at }

func newFleet(t testing.TB, seed uint64, workers, tests int) *fleet {
	f := &fleet{t: t, seed: seed, rnd: rand.New(rand.NewPCG(seed, 3)), number: make(map[Item]int32, tests),
		items: make([]Item, tests), tests: make([]fleetTest, tests),
		workers: make([]fleetWorker, workers), waits: make([]bool, workers)}
	for i := range f.items {
		f.items[i] = Item{Test: fmt.Sprintf("m%d.C%d.test_%d", i/200, i/20, i)}
		f.number[f.items[i]] = int32(i)
		ms := min(500*math.Exp(0.8*f.rnd.NormFloat64()), 10_000)
		f.tests[i] = fleetTest{took: int32(1000 * ms), owner: none, open: true}
	}
	f.q = New(Options{Workers: workers, Estimate: func(it Item) (time.Duration, bool) {
		n := f.number[it]
		return time.Duration(f.tests[n].took) * time.Microsecond, n%3 > 0
	}})
	f.q.Add(f.items...)
	f.q.ListingDone()
	return f
}

func (f *fleet) fatalf(format string, args ...any) {
	f.t.Helper()
	f.t.Fatalf("seed %d, at %v: "+format, append([]any{f.seed, time.Duration(f.now) * time.Microsecond}, args...)...)
}

func (f *fleet) after(us int64, e fleetEvent) {
	f.pushed++
	e.at = uint64(f.now+us)<<28 | f.pushed&(1<<28-1)
	f.events.push(e)
}

func (f *fleet) clock() time.Time { return start.Add(time.Duration(f.now) * time.Microsecond) }

func (f *fleet) run() {
	for w := range f.workers {
		f.ask(int32(w))
		if f.rnd.IntN(20) == 0 {
			f.after(f.rnd.Int64N(5_000_000), fleetEvent{what: fleetDies, worker: int32(w)})
		}
	}
	for f.q.Counts().Remaining() > 0 {
		if len(f.events) == 0 {
			f.fatalf("nothing happens any more: %+v", f.q.Counts())
		}
		e := f.events[0]
		f.events.pop()
		f.now = int64(e.at >> 28)
		f.handle(e)
	}
	for i := range f.tests {
		if s := &f.tests[i]; s.open || s.outcomes > 1 || s.outcomes == 0 && s.backs <= defaultAttempts {
			f.fatalf("%v at the end: %+v", f.items[i], *s)
		}
	}
}

func (f *fleet) handle(e fleetEvent) {
	w := &f.workers[e.worker]
	switch e.what {
	case fleetRan:
		if w.life == e.life && !w.dead {
			f.ran(e.worker)
		}
	case fleetBegan:
		got, want := f.q.Started(int(e.worker), f.items[e.test], f.clock()), f.has(e)
		if got != want {
			f.fatalf("Started(%d, %d): got %v; want %v", e.worker, e.test, got, want)
		}
		f.ask(e.worker)
	case fleetFinished:
		f.finished(e)
		f.ask(e.worker)
		f.wake(2)
	case fleetDies:
		w.dead = true
		notice := int64(1000)
		if f.rnd.IntN(2) == 0 {
			notice = 3_000_000 // it hangs
		}
		f.after(notice, fleetEvent{what: fleetLost, worker: e.worker, life: w.life})
	case fleetLost:
		f.lost(e.worker)
	case fleetAsks:
		f.ask(e.worker)
	case fleetWakes:
		f.alarm = false
		f.wake(len(f.idle))
	}
}

// has says whether a worker has a test, as far as the supervisor knows. Words of
// a worker's former life are not told apart from those of this one.
func (f *fleet) has(e fleetEvent) bool { return f.tests[e.test].owner == e.worker }

// ask has a worker ask for what it is to hold.
func (f *fleet) ask(n int32) {
	w := &f.workers[n]
	if w.dead || w.ended {
		return
	}
	room := 2 - len(w.has)
	if room <= 0 {
		return
	}
	items, state := f.q.Next(int(n), f.clock(), Limit{Items: room})
	w.ended = state == Done
	for _, it := range items {
		i := f.number[it]
		s := &f.tests[i]
		if s.owner != none || !s.open || s.outcomes > 0 {
			f.fatalf("worker %d got %v: %+v", n, it, *s)
		}
		s.owner = n
		if w.has = append(w.has, i); len(w.has) == 1 {
			f.begin(n)
		}
	}
	if state == Wait && len(w.has) == 0 && !f.waits[n] {
		f.waits[n] = true
		f.idle = append(f.idle, n)
		if !f.alarm {
			f.alarm = true
			f.after(max(f.q.Recheck().Microseconds(), 100_000), fleetEvent{what: fleetWakes})
		}
	}
}

// begin has a worker run its first test. What it says of that may arrive late,
// twice, or in the wrong order.
func (f *fleet) begin(n int32) {
	w := &f.workers[n]
	i := w.has[0]
	f.tell(n, i, fleetBegan, 0)
	f.after(int64(f.tests[i].took), fleetEvent{what: fleetRan, worker: n, life: w.life, test: i})
}

func (f *fleet) ran(n int32) {
	w := &f.workers[n]
	i := w.has[0]
	f.tell(n, i, fleetFinished, 0)
	if w.has = w.has[1:]; len(w.has) > 0 {
		f.begin(n)
	}
}

func (f *fleet) tell(n, test int32, what fleetKind, delay int64) {
	delay += f.rnd.Int64N(1000)
	if f.rnd.IntN(50) == 0 {
		delay += f.rnd.Int64N(3_000_000)
	}
	f.after(delay, fleetEvent{what: what, worker: n, life: f.workers[n].life, test: test})
	if f.rnd.IntN(50) == 0 {
		f.tell(n, test, what, delay)
	}
}

func (f *fleet) finished(e fleetEvent) {
	s := &f.tests[e.test]
	got, want := f.q.Finished(int(e.worker), f.items[e.test], f.clock()), f.has(e)
	if got != want {
		f.fatalf("Finished(%d, %d): got %v; want %v", e.worker, e.test, got, want)
	}
	if got {
		s.outcomes++
		s.owner, s.open = none, false
	}
}

// lost has the supervisor notice that a worker is dead. Another comes.
func (f *fleet) lost(n int32) {
	w := &f.workers[n]
	requeued, begun, dropped := f.q.Lost(int(n), f.clock())
	for _, it := range requeued {
		s := f.own(n, it)
		s.owner = none
		s.backs++
	}
	for _, it := range begun {
		s := f.own(n, it)
		s.owner, s.open = none, false
		s.outcomes++ // its caller fails it
	}
	for _, it := range dropped {
		s := f.own(n, it)
		s.owner, s.open = none, false
		s.backs++
	}
	*w = fleetWorker{life: w.life + 1}
	f.after(f.rnd.Int64N(1_000_000), fleetEvent{what: fleetAsks, worker: n})
	for n := range f.workers {
		f.workers[n].ended = false
	}
	f.wake(len(requeued) + 2)
}

func (f *fleet) own(n int32, it Item) *fleetTest {
	s := &f.tests[f.number[it]]
	if s.owner != n {
		f.fatalf("worker %d had %v when it was lost: %+v", n, it, *s)
	}
	return s
}

// wake has some of those ask again that were told to wait.
func (f *fleet) wake(n int) {
	if f.q.Counts().Waiting == 0 {
		n = 0
	}
	woken := f.idle[:min(n, len(f.idle))]
	f.idle = f.idle[len(woken):]
	for _, n := range woken {
		f.waits[n] = false
		f.ask(n)
	}
}
