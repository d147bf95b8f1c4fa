package scheduler

import (
	"slices"
	"testing"
	"time"
)

// model is a queue under test beside a second account of what it was told,
// kept in the simplest way that could be right. Every call goes to both, and
// every answer is held against the account; what the rules leave no choice in
// is demanded to the item.
type model struct {
	t    testing.TB
	what string // to say in failures: the seed
	q    *Queue
	opts Options

	items   []*modelItem // in the order of adding, removed ones left out
	removed []*modelItem // what was known of them still counts
	of      map[Item]*modelItem
	places  int
	workers []modelWorker
	groups  map[prefix]*modelGroup
	visited map[prefix]bool // classes and groups that a worker was given
	listed  bool
	closed  map[string]bool // profiles of which nothing more will be added
}

type modelItem struct {
	Item
	place     int
	segment   int
	class     prefix
	module    prefix
	state     itemState
	worker    int
	takenBack int
	asked     bool
	group     *modelGroup
	length    length // known of earlier runs, else unknown
	guess     bool   // no earlier run has measured it
	took      length // as long as it first took in this run, or unknown
	began     time.Time
	pledged   length // its estimate when it was sent
	outcomes  int
}

type modelWorker struct {
	has   []*modelItem
	class prefix
	in    bool // class is set

	profile string
	of      bool // profile is set
	leaves  bool // it was told that it is wanted elsewhere
}

type modelGroup struct {
	key   prefix
	owner int
	ran   bool
}

func newModel(t testing.TB, what string, opts Options) *model {
	m := &model{
		t: t, what: what, q: New(opts), opts: opts,
		of:      make(map[Item]*modelItem),
		workers: make([]modelWorker, opts.Workers),
		groups:  make(map[prefix]*modelGroup),
		visited: make(map[prefix]bool),
		closed:  make(map[string]bool),
	}
	if m.opts.MaxAttempts == 0 {
		m.opts.MaxAttempts = 3
	}
	return m
}

// fatalf ends the test, naming the seed.
func (m *model) fatalf(format string, args ...any) {
	m.t.Helper()
	m.t.Fatalf(m.what+": "+format, args...)
}

func (m *model) same(what string, got, want []Item) {
	m.t.Helper()
	if !slices.Equal(got, want) {
		m.fatalf("%s: got %q; want %q", what, got, want)
	}
}

func (m *model) truth(what string, it Item, got, want bool) {
	m.t.Helper()
	if got != want {
		m.fatalf("%s(%q): got %v; want %v", what, it, got, want)
	}
}

func (m *model) Add(items ...Item) {
	m.t.Helper()
	var want []Item
	for _, it := range items {
		if m.of[it] != nil {
			want = append(want, it)
			continue
		}
		class, module := splitID(it.Test)
		segment := max(m.opts.Segment(it), 0)
		i := &modelItem{
			Item: it, place: m.places, worker: none, length: unknown, guess: true, took: unknown, segment: segment,
			class: prefix{it.Profile, class, segment}, module: prefix{it.Profile, module, 0},
		}
		m.places++
		if d, ok := m.opts.Estimate(it); ok {
			i.length, i.guess = lengthOf(d), false
		}
		if name := m.opts.Group(it); name != "" {
			key := prefix{"group " + it.Profile, name, segment}
			if m.groups[key] == nil {
				m.groups[key] = &modelGroup{key: key, owner: none}
			}
			i.group = m.groups[key]
		}
		m.of[it] = i
		m.items = append(m.items, i)
	}
	m.same("duplicates", m.q.Add(items...), want)
	m.check()
}

func (m *model) Remove(items ...Item) {
	m.t.Helper()
	var want []Item
	for _, it := range items {
		if i := m.of[it]; i != nil && i.state == waiting {
			want = append(want, it)
			delete(m.of, it)
			i.state = gone
			m.removed = append(m.removed, i)
			m.items = slices.DeleteFunc(m.items, func(j *modelItem) bool { return i == j })
		}
	}
	m.same("removed", m.q.Remove(items...), want)
	m.check()
}

func (m *model) ListingDone(profiles ...string) {
	for _, p := range profiles {
		m.closed[p] = true
	}
	m.listed = m.listed || len(profiles) == 0
	m.q.ListingDone(profiles...)
}

// Next demands that each item is one that the rules allow where estimates are
// up to date, else that it is one the worker may have.
func (m *model) Next(worker int, now time.Time, limit Limit) ([]Item, State) {
	m.t.Helper()
	got, state := m.q.Next(worker, now, limit)
	if worker < 0 || worker >= len(m.workers) {
		m.same("items for nobody", got, nil)
		if state != Done {
			m.fatalf("state for nobody: got %v; want %v", state, Done)
		}
		return nil, Done
	}
	var work time.Duration
	for n, it := range got {
		i := m.of[it]
		if n >= limit.Items || n > 0 && limit.Work > 0 && work >= limit.Work+time.Duration(n)*time.Microsecond {
			m.fatalf("worker %d got more than %+v: %q", worker, limit, got)
		}
		if i == nil || !m.mayTake(i, worker) {
			m.fatalf("worker %d got %q, which it can't have: %+v", worker, it, i)
		}
		if want := m.choices(worker, it.Profile); m.exact() && !slices.Contains(want, i) {
			m.fatalf("worker %d got %q, %d us; want %q, %d us", worker, it, m.weight(i), want[0].Item, m.weight(want[0]))
		}
		m.hand(i, worker)
		us := float64(m.q.entries[i.place].estimate()) / m.q.workers[worker].speed
		work += time.Duration(us * float64(time.Microsecond))
	}
	if want, why := m.state(worker, len(got), state); state != want {
		m.fatalf("worker %d asked for %+v and got %d items, state %v; want state %v: %s",
			worker, limit, len(got), state, want, why)
	}
	m.workers[worker].leaves = m.workers[worker].leaves || m.q.workers[worker].to != nil
	full := len(got) >= limit.Items || limit.Work > 0 && work+time.Duration(len(got))*time.Microsecond >= limit.Work
	if why := m.entitled(worker); !full && why != "" {
		m.fatalf("worker %d asked for %+v and got %d items, though it could have more: %s", worker, limit, len(got), why)
	}
	m.check()
	return got, state
}

func (m *model) hand(i *modelItem, worker int) {
	w := &m.workers[worker]
	i.state, i.worker, i.asked = sent, worker, false
	i.pledged = m.q.entries[i.place].pledged
	w.has = append(w.has, i)
	w.class, w.in = i.class, true
	w.profile, w.of = i.Profile, true
	if i.group == nil {
		m.visited[w.class] = true
	} else {
		m.visited[i.group.key] = true
		i.group.owner = worker
	}
}

// ours returns the item if the worker has it.
func (m *model) ours(worker int, it Item) *modelItem {
	i := m.of[it]
	if i == nil || i.worker != worker || i.state != sent && i.state != begun {
		return nil
	}
	return i
}

func (m *model) Started(worker int, it Item, now time.Time) bool {
	m.t.Helper()
	i := m.ours(worker, it)
	if i != nil && i.state == sent {
		i.state, i.began = begun, now
		if i.group != nil {
			i.group.ran = true
		}
	}
	m.truth("Started", it, m.q.Started(worker, it, now), i != nil)
	m.check()
	return i != nil
}

// Finished with S5: an outcome of a test that the worker was not given changes
// nothing.
func (m *model) Finished(worker int, it Item, now time.Time) bool {
	m.t.Helper()
	i := m.ours(worker, it)
	known := m.q.all.n > 0
	m.truth("Finished", it, m.q.Finished(worker, it, now), i != nil)
	if i != nil {
		if took := now.Sub(i.began); i.state == begun && took >= 0 && i.took == unknown {
			m.learn(i, lengthOf(took), worker, known)
		}
		if i.group != nil {
			i.group.ran = true
		}
		m.end(i, done)
		i.outcomes++
		m.free(i.group)
	}
	m.check()
	return i != nil
}

// learn notes what a test took, at the speed that the queue takes the worker
// to have. TestSpeed is about that. What it takes in a retry counts for nothing.
func (m *model) learn(i *modelItem, took length, worker int, known bool) {
	if known || !i.guess {
		took = length(float64(took) * m.q.workers[worker].speed)
	}
	i.took = took
}

func (m *model) Again(it Item) bool {
	m.t.Helper()
	i := m.of[it]
	ok := i != nil && i.state == done
	if ok {
		i.state = waiting
		i.outcomes--
	}
	m.truth("Again", it, m.q.Again(it), ok)
	m.check()
	return ok
}

// Steal is believed to choose well; TestSteal is about that.
func (m *model) Steal(idle int, now time.Time, trip time.Duration) (int, []Item) {
	m.t.Helper()
	from, items := m.q.Steal(idle, now, trip)
	if len(items) > 0 && (from == idle || len(m.workers[idle].has) > 0) {
		m.fatalf("worker %d, which has %d, robs worker %d", idle, len(m.workers[idle].has), from)
	}
	for _, it := range items {
		if i := m.ours(from, it); i == nil || i.state != sent || i.asked {
			m.fatalf("worker %d is asked for %q, which it can't give: %+v", from, it, i)
		}
		m.of[it].asked = true
	}
	m.check()
	return from, items
}

func (m *model) Withdraw(worker int) []Item {
	m.t.Helper()
	var want []Item
	for _, i := range m.workers[worker].has {
		if i.state == sent && !i.asked {
			i.asked = true
			want = append(want, i.Item)
		}
	}
	m.same("Withdraw", m.q.Withdraw(worker), want)
	m.check()
	return want
}

func (m *model) Returned(worker int, it Item) bool {
	m.t.Helper()
	i := m.ours(worker, it)
	ok := i != nil && i.state == sent && i.asked
	if ok {
		m.end(i, waiting)
		m.free(i.group)
	}
	m.truth("Returned", it, m.q.Returned(worker, it), ok)
	m.check()
	return ok
}

func (m *model) Lost(worker int, now time.Time) {
	m.t.Helper()
	var requeued, ended, dropped []Item
	for _, i := range slices.Clone(m.workers[worker].has) {
		if i.state == begun {
			m.end(i, done)
			i.outcomes++
			ended = append(ended, i.Item)
			continue
		}
		if i.takenBack++; i.takenBack > m.opts.MaxAttempts {
			m.end(i, abandoned)
			dropped = append(dropped, i.Item)
			continue
		}
		m.end(i, waiting)
		requeued = append(requeued, i.Item)
	}
	for _, g := range m.groups {
		if g.owner == worker {
			g.owner, g.ran = none, false
		}
	}
	w := &m.workers[worker]
	w.in, w.of, w.leaves = false, false, false
	a, b, c := m.q.Lost(worker, now)
	m.same("requeued", a, requeued)
	m.same("begun", b, ended)
	m.same("abandoned", c, dropped)
	m.check()
}

// end takes the item from its worker.
func (m *model) end(i *modelItem, to itemState) {
	w := &m.workers[i.worker]
	w.has = slices.DeleteFunc(w.has, func(j *modelItem) bool { return i == j })
	i.state, i.worker = to, none
}

// free takes the group from a worker that has none of its items and never ran
// any.
func (m *model) free(g *modelGroup) {
	if g == nil || g.owner == none || g.ran {
		return
	}
	for _, i := range m.workers[g.owner].has {
		if i.group == g {
			return
		}
	}
	g.owner, g.ran = none, false
}

func (m *model) count(s itemState) (n int) {
	for _, i := range m.items {
		if i.state == s {
			n++
		}
	}
	return n
}

// check compares the sums after every call.
func (m *model) check() {
	m.t.Helper()
	var want Counts
	var measured bool
	for _, i := range slices.Concat(m.items, m.removed) {
		measured = measured || i.length != unknown || i.took != unknown
		switch i.state {
		case gone:
		case waiting:
			want.Waiting++
		case sent:
			want.Sent++
		case begun:
			want.Begun++
		case done:
			want.Done++
		case abandoned:
			want.Abandoned++
		}
		if i.outcomes > 1 {
			m.fatalf("%q finished %d times", i.Item, i.outcomes)
		}
	}
	if got := m.q.Counts(); got != want {
		m.fatalf("counts: got %+v; want %+v", got, want)
	}
	if want.Remaining() == 0 && m.q.left != 0 {
		m.fatalf("nothing is left and counts %d us; want 0", m.q.left)
	}
	if measured && m.exact() {
		m.checkRemaining()
	}
}

func (m *model) checkRemaining() {
	m.t.Helper()
	var left length
	for _, i := range m.items {
		if i.state <= begun {
			left += m.estimate(i)
		}
	}
	if got, want := m.q.EstimatedRemaining(), time.Duration(left)*time.Microsecond; got != want {
		m.fatalf("estimated remaining: got %v; want %v", got, want)
	}
}
