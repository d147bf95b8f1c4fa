package scheduler

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// TestSimulation runs suites of random shape to their end on random workers, by
// virtual time, with a model beside the queue that checks every answer. The
// environment variable TESTR_SEEDS says how many, instead of 200.
//
// It proves S5 (workers lie), F4 and F10 (workers die, flap, come back or do
// not) and F14 (the clock steps) for the queue.
func TestSimulation(t *testing.T) {
	for seed := range seeds(t, 200) {
		newSim(t, seed).run()
	}
}

// seeds returns how many seeds to try: n, or TESTR_SEEDS.
func seeds(t *testing.T, n uint64) uint64 {
	t.Helper()
	s := os.Getenv("TESTR_SEEDS")
	if s == "" {
		return n
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatalf("TESTR_SEEDS: %v", err)
	}
	return n
}

// sim is one simulated run.
type sim struct {
	*model
	agenda
	rnd *rand.Rand

	workers []simWorker
	took    map[Item]time.Duration // on a worker of speed 1

	late    [][]Item // what the listing still holds
	ghosts  []Item   // remembered ids that the listing lacks
	ahead   int      // how many items a worker may have
	deaths  int      // how many are still to come
	lies    bool
	recalls bool    // items are asked back
	steps   bool    // the clock steps
	retries bool    // some tests run again
	recheck bool    // those who wait ask again after a while, in any case
	byWork  bool    // workers ask for an amount of work, too
	said    []State // to each worker
	choose  bool    // workers that are of no profile ask first of which they will be
	names   []string
	can     [][]string // the profiles that each worker can run; nil for all
}

type simWorker struct {
	speed   float64
	has     []Item // the first one runs, if busy
	busy    bool
	gone    bool // asks no more
	idle    bool // got Done
	ends    bool // got Change: its process ends with what it has
	process int  // which process is in the slot
	former  []Item
}

func newSim(t *testing.T, seed uint64) *sim {
	s := &sim{
		rnd:  rand.New(rand.NewPCG(seed, 1)),
		took: make(map[Item]time.Duration),
	}
	s.ahead = 1
	if s.chance(0.6) {
		s.ahead += s.rnd.IntN(8)
	}
	s.lies, s.recalls, s.steps, s.retries = s.chance(0.5), s.chance(0.5), s.chance(0.2), s.chance(0.3)
	s.byWork = s.chance(0.2)
	if s.chance(0.6) {
		s.deaths = s.rnd.IntN(10)
	}
	known := []float64{0, 0.5, 1}[s.rnd.IntN(3)]
	grouped := []float64{0, 0, 0.3, 1}[s.rnd.IntN(4)]
	opts := Options{
		Workers:     1 + s.rnd.IntN(8),
		MaxAttempts: s.rnd.IntN(4),
		Estimate: func(it Item) (time.Duration, bool) {
			return s.took[it], s.hash(it.Test, 100) < int(known*100)
		},
		Group: func(it Item) string {
			if class := classOf(it); s.hash(class, 100) < int(grouped*100) {
				return class
			}
			return ""
		},
	}
	if s.chance(0.1) {
		opts.Order = Listed
	}
	segments := []int{1, 1, 2, 4}[s.rnd.IntN(4)]
	opts.Segment = func(it Item) int { return s.hash(it.Test, 1000) % segments * 2 }
	if s.chance(0.4) {
		opts.Concurrency = []int{s.rnd.IntN(3), 0, s.rnd.IntN(3)}
	}
	s.profiles(&opts)
	s.model = newModel(t, fmt.Sprintf("seed %d", seed), opts)
	s.workers = make([]simWorker, opts.Workers)
	s.said = make([]State, opts.Workers)
	uneven := s.chance(0.5)
	for i := range s.workers {
		s.workers[i].speed = 1
		if uneven {
			s.workers[i].speed = 1 + 3*s.rnd.Float64()
		}
	}
	s.list()
	return s
}

// profiles settles which profiles there are and who can run which: often all
// workers all, else each some, but always one of them all.
func (s *sim) profiles(opts *Options) {
	s.names = []string{"", "py34", "py27", "lint"}[:1+s.rnd.IntN(4)]
	s.choose = s.chance(0.5)
	s.can = make([][]string, opts.Workers)
	if s.chance(0.4) {
		return
	}
	for i := range s.can[1:] {
		s.can[i+1] = []string{}
		for _, name := range s.names {
			if s.chance(0.5) {
				s.can[i+1] = append(s.can[i+1], name)
			}
		}
	}
	opts.Profiles = func(worker int) []string { return s.can[worker] }
}

func (s *sim) chance(p float64) bool { return s.rnd.Float64() < p }

func (s *sim) hash(text string, n int) int {
	h := 17
	for i := range len(text) {
		h = (h*31 + int(text[i])) % 1_000_003
	}
	return h % n
}

// list makes the suite: durations with a Pareto tail, listed at once or in
// pieces, some ids remembered, some of those no longer there.
func (s *sim) list() {
	n := s.rnd.IntN(60)
	perClass := 1 + s.rnd.IntN(10)
	var items []Item
	for i := range n {
		it := Item{Test: fmt.Sprintf("m%d.C%d.test_%d", i/(3*perClass), i/perClass, i)}
		if s.chance(0.5) {
			it.Profile = s.names[s.rnd.IntN(len(s.names))]
		}
		s.took[it] = time.Duration(float64(10*time.Millisecond) * math.Pow(1-s.rnd.Float64(), -1/1.3))
		s.took[it] = min(s.took[it], 20*time.Second)
		items = append(items, it)
	}
	if s.chance(0.3) {
		s.rnd.Shuffle(n, func(i, j int) { items[i], items[j] = items[j], items[i] })
	}
	if s.chance(0.5) {
		for i, it := range items {
			if i%5 == 0 {
				it.Test += "_ghost"
				s.took[it] = 50 * time.Millisecond
				s.ghosts = append(s.ghosts, it)
			}
		}
		s.Add(append(s.ghosts, items[:n/2]...)...)
	}
	for s.chance(0.6) && len(items) > 3 {
		cut := 1 + s.rnd.IntN(len(items)-1)
		s.late = append(s.late, items[:cut])
		items = items[cut:]
	}
	s.late = append(s.late, items)
}

func (s *sim) run() {
	s.t.Helper()
	simple := len(s.late) == 1 && len(s.ghosts) == 0 && s.deaths == 0 && s.ahead == 1 &&
		!s.recalls && !s.steps && !s.retries && s.opts.Order == LongestFirst &&
		len(s.q.segments) < 2 && len(s.opts.Concurrency) == 0
	s.moreListing()
	for i := range s.deaths {
		s.after(time.Duration(s.rnd.IntN(300*(i+1)))*time.Millisecond, s.die)
	}
	for range 20 {
		if s.recalls {
			s.after(time.Duration(s.rnd.IntN(2000))*time.Millisecond, s.recall)
		}
		if s.lies {
			s.after(time.Duration(s.rnd.IntN(2000))*time.Millisecond, s.lie)
		}
	}
	var last time.Duration
	s.askAll()
	for {
		before := s.q.Counts()
		if !s.next() {
			break
		}
		s.askAll()
		if s.q.Counts() != before {
			last = s.now
		}
	}
	s.ended()
	if simple {
		s.bound(last)
	}
}

// clock is the time that the queue is told.
func (s *sim) clock() time.Time {
	if s.steps {
		return start.Add(s.now + time.Duration(s.rnd.IntN(7200)-3600)*time.Second)
	}
	return start.Add(s.now)
}

// moreListing adds the next piece of the listing, now and later the rest.
func (s *sim) moreListing() {
	s.Add(s.late[0]...)
	if s.late = s.late[1:]; len(s.late) > 0 {
		s.after(time.Duration(s.rnd.IntN(200))*time.Millisecond, s.moreListing)
		return
	}
	s.Remove(s.ghosts...)
	if s.chance(0.3) {
		s.ListingDone(s.names...)
	}
	s.ListingDone()
}

// askAll has every worker that has room ask, as after every event of a real
// run.
func (s *sim) askAll() {
	for n := range s.workers {
		w := &s.workers[n]
		if w.gone || w.idle || w.ends || len(w.has) >= s.ahead {
			continue
		}
		limit := Limit{Items: s.ahead - len(w.has)}
		if s.byWork {
			limit.Work = time.Duration(s.rnd.IntN(100)) * time.Millisecond
		}
		s.ask(n, limit)
		state := s.said[n]
		if d := s.q.Recheck(); state == Wait && d > 0 && !s.recheck {
			s.recheck = true
			s.after(d, func() { s.recheck = false })
		}
		if state == Wait && len(w.has) == 0 && s.recalls {
			from, items := s.Steal(n, s.clock(), time.Millisecond)
			s.giveBack(from, items)
		}
	}
}

// ask has the worker get more.
func (s *sim) ask(n int, limit Limit) {
	w := &s.workers[n]
	var profile string
	var would State
	clock := s.clock()
	if s.choose {
		profile, would = s.q.Choose(n, clock, limit)
	}
	items, state := s.Next(n, clock, limit)
	if s.choose && (would != state || len(items) > 0 && items[0].Profile != profile) {
		s.fatalf("worker %d would get %q, %v; got %q, %v", n, profile, would, items, state)
	}
	w.has = append(w.has, items...)
	s.said[n], w.idle, w.ends = state, state == Done, state == Change
	s.begin(n)
	s.end(n)
}

// end has a process end that was told to, once it has nothing.
func (s *sim) end(n int) {
	w := &s.workers[n]
	if !w.ends || len(w.has) > 0 {
		return
	}
	w.ends = false
	w.process++
	s.Lost(n, s.clock())
	s.after(0, func() {}) // whoever comes next asks
}

// begin starts the worker's first item, sometimes without a word.
func (s *sim) begin(n int) {
	w := &s.workers[n]
	if w.busy || len(w.has) == 0 {
		return
	}
	w.busy = true
	it, process := w.has[0], w.process
	if !s.chance(0.05) {
		s.Started(n, it, s.clock())
	}
	s.after(time.Duration(float64(s.took[it])/w.speed), func() {
		if w.process != process {
			return
		}
		w.has, w.busy = w.has[1:], false
		s.Finished(n, it, s.clock())
		if s.retries && s.chance(0.2) {
			s.again(it)
		}
		s.begin(n)
		s.end(n)
	})
}

// again has an item run once more, at once or when much else has happened.
func (s *sim) again(it Item) {
	again := func() {
		s.Again(it)
		for i := range s.workers {
			s.workers[i].idle = false
		}
	}
	if s.chance(0.7) {
		again()
	} else {
		s.after(time.Duration(s.rnd.IntN(300))*time.Millisecond, again)
	}
}

// die ends a worker's process. Another takes its place, or none does; the last
// worker always comes back.
func (s *sim) die() {
	n := s.rnd.IntN(len(s.workers))
	w := &s.workers[n]
	if w.gone {
		return
	}
	w.former, w.has, w.busy = w.has, nil, false
	w.process++
	s.Lost(n, s.clock())
	w.idle, w.ends = false, false
	live := 0
	for i := range s.workers {
		if !s.workers[i].gone {
			live++
		}
	}
	if live > 1 && s.chance(0.4) && n > 0 {
		w.gone = true
	}
	for i := range s.workers {
		s.workers[i].idle = false // what was lost may be for anyone
	}
}

// recall asks a worker for what it has not begun.
func (s *sim) recall() {
	n := s.rnd.IntN(len(s.workers))
	s.giveBack(n, s.Withdraw(n))
}

// giveBack has the worker give back some of what it is asked for, later.
func (s *sim) giveBack(n int, items []Item) {
	if len(items) == 0 {
		return
	}
	w := &s.workers[n]
	for _, it := range items {
		process := w.process
		s.after(time.Duration(s.rnd.IntN(20))*time.Millisecond, func() {
			if w.process != process || s.chance(0.2) {
				return
			}
			for i, has := range w.has {
				// It may have been sent again since: then nobody asks for it.
				if has == it && (i > 0 || !w.busy) && s.Returned(n, it) {
					w.has = append(w.has[:i:i], w.has[i+1:]...)
					s.end(n)
					return
				}
			}
		})
	}
}

// lie says something of an item that need not be the worker's: one of another
// worker, one that the worker's last process had, one of nobody. What happens
// to be true is left out.
func (s *sim) lie() {
	n := s.rnd.IntN(len(s.workers)+2) - 1
	it := Item{Test: "nobody's"}
	if len(s.items) > 0 && s.chance(0.9) {
		it = s.items[s.rnd.IntN(len(s.items))].Item
	}
	if n >= 0 && n < len(s.workers) && len(s.workers[n].former) > 0 && s.chance(0.5) {
		it = s.workers[n].former[0]
	}
	if s.ours(n, it) != nil {
		return
	}
	s.Finished(n, it, s.clock())
	s.Started(n, it, s.clock())
	s.Returned(n, it)
	if s.of[it] != nil {
		s.Add(it) // listed twice
	}
}

// ended checks that nothing is left, that every item has one outcome or was
// abandoned for its reason, and that each live worker was told so.
func (s *sim) ended() {
	s.t.Helper()
	if n := s.q.Counts().Remaining(); n != 0 {
		s.fatalf("%d items are left at the end: %+v", n, s.q.Counts())
	}
	for _, i := range s.items {
		if i.outcomes != 1 && (i.outcomes != 0 || i.takenBack <= s.opts.MaxAttempts) {
			s.fatalf("%q has %d outcomes and was taken back %d times", i.Item, i.outcomes, i.takenBack)
		}
	}
	for n := range s.workers {
		if _, state := s.Next(n, start.Add(s.now), Limit{Items: 1}); state != Done {
			s.fatalf("worker %d asks at the end and is told %v; want %v", n, state, Done)
		}
	}
}

// bound checks the greedy bound, which holds where until the last item, or group
// of items, was begun nobody was idle. Here somebody may have been, while others
// were expected to be sooner and were not.
func (s *sim) bound(makespan time.Duration) {
	s.t.Helper()
	sums := make(map[string]time.Duration)
	var longest time.Duration
	units := make(map[any]time.Duration)
	for _, i := range s.items {
		sums[i.Profile] += s.took[i.Item]
		key := any(i.Item)
		if i.group != nil {
			key = i.group
		}
		units[key] += s.took[i.Item]
		longest = max(longest, units[key])
	}
	const patience = 1.5
	limit := time.Duration(patience * (s.least(sums) + float64(longest)/s.slowest()))
	if makespan > limit+time.Microsecond {
		s.fatalf("the run took %v; want at most %v", makespan, limit)
	}
}

// least is what no division of the work can beat: for each set of profiles, their
// work at the speed of all that can run any of them.
func (s *sim) least(sums map[string]time.Duration) (least float64) {
	for set := 1; set < 1<<len(s.names); set++ {
		work, speed := 0.0, 0.0
		for n, name := range s.names {
			if set>>n&1 > 0 {
				work += float64(sums[name])
			}
		}
		for w := range s.workers {
			for n, name := range s.names {
				if set>>n&1 > 0 && s.model.can(w, name) {
					speed += s.workers[w].speed
					break
				}
			}
		}
		least = max(least, work/speed)
	}
	return least
}

func (s *sim) slowest() float64 {
	slowest := math.Inf(1)
	for _, w := range s.workers {
		slowest = min(slowest, w.speed)
	}
	return slowest
}
