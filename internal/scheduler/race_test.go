package scheduler

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// race is a simulated run in which nothing matters but time: durations as of
// real suites, workers of different speeds that die and are replaced, channels
// that take their time. It drives a queue as the supervisor does.
type race struct {
	raceOptions
	agenda
	rnd      *rand.Rand
	q        *Queue
	items    []Item
	took     map[Item]time.Duration // on a worker of speed 1
	classes  int
	usual    map[Item]time.Duration
	outliers []time.Duration // what is long by chance
	workers  []racer
	idle     []int
	recheck  bool

	fastest  float64
	live     float64 // the speed of all that live
	capacity []stretch
	lost     float64 // seconds of work that died with its worker
	end      time.Duration
	setups   int
	imports  int
}

type raceOptions struct {
	seed      uint64
	workers   int
	perWorker int     // tests
	longest   float64 // of a test, in ms
	memory    string  // of durations: exact, noisy, usual (of outliers what they are else), none
	uneven    bool    // speeds are 1 to 4
	deaths    float64 // for each worker
	trip      time.Duration
	order     Order
	same      time.Duration // what each test takes, or 0 for a real suite
}

// racer is a worker.
type racer struct {
	speed   float64
	life    int
	queue   []Item // that have arrived
	running bool
	since   time.Duration
	news    int // items handed out of which it is not known that they have begun
	idle    bool
	class   string
	seen    map[string]bool
}

// stretch is a time for which the speed of all that lived was the same.
type stretch struct {
	until time.Duration
	speed float64
}

func newRace(o raceOptions) *race {
	r := &race{raceOptions: o, rnd: rand.New(rand.NewPCG(o.seed, 2)),
		took: make(map[Item]time.Duration), usual: make(map[Item]time.Duration)}
	r.suite()
	r.q = New(Options{Workers: o.workers, Order: o.order, Estimate: func(it Item) (time.Duration, bool) {
		d := r.took[it]
		if o.memory == "noisy" {
			d = time.Duration(float64(d) * math.Exp(0.3*r.rnd.NormFloat64()))
		}
		if o.memory == "usual" {
			d = r.usual[it]
		}
		return d, o.memory != "none"
	}})
	r.racers()
	r.q.Add(r.items...)
	r.q.ListingDone()
	return r
}

func (r *race) racers() {
	r.workers = make([]racer, r.raceOptions.workers)
	for i := range r.workers {
		r.workers[i] = racer{speed: 1, seen: map[string]bool{}}
		if r.uneven {
			r.workers[i].speed = 1 + 3*r.rnd.Float64()
		}
		r.live += r.workers[i].speed
		r.fastest = max(r.fastest, r.workers[i].speed)
	}
}

const classesToModule = 5

// suite makes tests in classes of 1 to 40. A class has a typical length, its
// tests scatter around that, and one test in a hundred is an outlier.
func (r *race) suite() {
	n := r.perWorker * r.raceOptions.workers
	for ; len(r.items) < n; r.classes++ {
		typical := 20 * math.Exp(1.2*r.rnd.NormFloat64())
		for range 1 + r.rnd.IntN(40) {
			ms := typical * math.Exp(0.8*r.rnd.NormFloat64())
			usual := ms
			outlier := r.rnd.IntN(100) == 0
			if outlier {
				ms *= math.Pow(1-r.rnd.Float64(), -1/1.2)
				r.outliers = append(r.outliers, time.Duration(min(ms, r.longest)*float64(time.Millisecond)))
			}
			it := Item{Test: fmt.Sprintf("m%d.C%d.test_%d", r.classes/classesToModule, r.classes, len(r.items))}
			r.usual[it] = time.Duration(usual * float64(time.Millisecond))
			r.took[it] = time.Duration(min(ms, r.longest) * float64(time.Millisecond))
			if r.same > 0 {
				r.took[it] = r.same
			}
			r.items = append(r.items, it)
		}
	}
}

// run runs to the end and returns how long that took, over the bound.
func (r *race) run() float64 {
	for n := range r.workers {
		r.feed(n)
	}
	total := time.Duration(r.work() / r.live * float64(time.Second))
	for range int(r.deaths * float64(len(r.workers))) {
		n := r.rnd.IntN(len(r.workers))
		r.after(time.Duration(0.8*r.rnd.Float64()*float64(total)), func() { r.die(n) })
	}
	for r.q.Counts().Remaining() > 0 && r.next() { //nolint:revive // next does it all
	}
	if left := r.q.Counts(); left.Remaining() > 0 {
		panic(fmt.Sprintf("stuck: %+v", left))
	}
	return float64(r.end) / float64(r.bound())
}

// work is how long all tests take on a worker of speed 1, in seconds.
func (r *race) work() (sum float64) {
	for _, it := range r.items {
		sum += r.took[it].Seconds()
	}
	return sum
}

// bound is what no schedule can beat: when the work, that which was lost
// included, would be done if all who lived had always worked, and the longest
// test on the fastest worker.
func (r *race) bound() time.Duration {
	work := r.work() + r.lost
	var at time.Duration
	r.turn(0)
	for _, s := range r.capacity {
		if d := time.Duration(work / s.speed * float64(time.Second)); at+d <= s.until {
			at += d
			break
		}
		work -= s.speed * (s.until - at).Seconds()
		at = s.until
	}
	return max(at, r.critical())
}

// critical is what the longest test takes on the fastest worker.
func (r *race) critical() time.Duration {
	longest := time.Duration(0)
	for _, d := range r.took {
		longest = max(longest, d)
	}
	return time.Duration(float64(longest) / r.fastest)
}

// lopsided says whether one test is more than half of the bound. Such draws say
// nothing of schedules.
func (r *race) lopsided() bool { return r.critical() > r.bound()/2 }

// blind is about what no schedule can beat that doesn't know which tests are
// outliers: m of them that take x or more are begun at random, so that the last
// one is begun when m/(m+1) of the work is done, on the fastest worker at best.
func (r *race) blind() time.Duration {
	bound, fastest := r.bound(), r.fastest
	slices.Sort(r.outliers)
	blind := bound
	for i, x := range r.outliers {
		m := float64(len(r.outliers) - i)
		blind = max(blind, time.Duration(float64(bound)*m/(m+1)+float64(x)/fastest))
	}
	return blind
}

// turn notes that the speed of all that live changes.
func (r *race) turn(by float64) {
	r.capacity = append(r.capacity, stretch{r.now, r.live})
	r.live += by
}

func (r *race) time() time.Time { return start.Add(r.now) }

// feed has the worker hold what it is to hold.
func (r *race) feed(n int) {
	w := &r.workers[n]
	if w.speed == 0 {
		return
	}
	room := 1 - len(w.queue)
	if r.trip > 0 {
		room = r.q.Ahead(n, r.time(), r.trip) - w.news
	} else if w.running {
		room = 0
	}
	if room <= 0 {
		return
	}
	items, state := r.q.Next(n, r.time(), Limit{Items: room})
	if state == Wait && w.news == 0 && !w.running {
		if !w.idle {
			w.idle = true
			r.idle = append(r.idle, n)
		}
		if r.trip > 0 {
			r.rob(r.q.Steal(n, r.time(), r.trip))
		}
		if d := r.q.Recheck(); d > 0 && !r.recheck {
			r.recheck = true
			r.after(d, func() { r.recheck = false; r.wake() })
		}
		return
	}
	w.news += len(items)
	life := w.life
	for _, it := range items {
		r.after(r.trip/2, func() {
			if w.life == life {
				w.queue = append(w.queue, it)
				r.begin(n)
			}
		})
	}
}

func (r *race) begin(n int) {
	w := &r.workers[n]
	if w.running || len(w.queue) == 0 {
		return
	}
	it := w.queue[0]
	class, module := splitID(it.Test)
	if class != w.class {
		w.class = class
		r.setups++
	}
	if !w.seen[module] {
		w.seen[module] = true
		r.imports++
	}
	w.running, w.since = true, r.now
	life := w.life
	r.tell(n, func() {
		r.q.Started(n, it, r.time())
		w.news--
		r.feed(n)
	})
	r.after(time.Duration(float64(r.took[it])/w.speed), func() {
		if w.life != life {
			return
		}
		w.queue, w.running = w.queue[1:], false
		r.end = r.now
		r.tell(n, func() {
			r.q.Finished(n, it, r.time())
			r.feed(n)
			r.wake()
		})
		r.begin(n)
	})
}

// rob asks a worker for items, which it gives back if it has not begun them.
func (r *race) rob(n int, items []Item) {
	for _, it := range items {
		r.tell(n, func() {
			w := &r.workers[n]
			i := slices.Index(w.queue, it)
			if i < 0 || i == 0 && w.running {
				return
			}
			w.queue = slices.Delete(w.queue, i, i+1)
			r.tell(n, func() {
				w.news--
				r.q.Returned(n, it)
				r.wake()
			})
		})
	}
}

// tell has the supervisor hear something of the worker.
func (r *race) tell(n int, do func()) {
	if r.trip == 0 {
		do()
		return
	}
	life := r.workers[n].life
	r.after(r.trip/2, func() {
		if r.workers[n].life == life {
			do()
		}
	})
}

// wake has those ask again that were told to wait.
func (r *race) wake() {
	idle := r.idle
	r.idle = nil
	for _, n := range idle {
		r.workers[n].idle = false
		r.feed(n)
	}
}

// die ends a worker. What it ran is tried again elsewhere, and another worker
// takes its place a while later.
func (r *race) die(n int) {
	w := &r.workers[n]
	if w.speed == 0 {
		return
	}
	speed := w.speed
	if w.running {
		r.lost += (r.now - w.since).Seconds() * speed
	}
	r.turn(-speed)
	w.life++
	w.queue, w.running, w.news, w.speed = nil, false, 0, 0
	_, begun, _ := r.q.Lost(n, r.time())
	for _, it := range begun {
		r.q.Again(it)
	}
	r.after(500*time.Millisecond, func() {
		w.speed = speed
		r.turn(speed)
		r.feed(n)
	})
	r.wake()
}
