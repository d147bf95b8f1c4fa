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
}

type modelItem struct {
	Item
	place     int
	class     prefix
	module    prefix
	state     itemState
	worker    int
	takenBack int
	asked     bool
	group     *modelGroup
	length    length // known or learned, else unknown
	guess     bool   // no earlier run has measured it
	began     time.Time
	outcomes  int
}

type modelWorker struct {
	has   []*modelItem
	class prefix
	in    bool // class is set
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
		class := beforeDot(it.Test)
		i := &modelItem{
			Item: it, place: m.places, worker: none, length: unknown, guess: true,
			class: prefix{it.Profile, class}, module: prefix{it.Profile, beforeDot(class)},
		}
		m.places++
		if d, ok := m.opts.Estimate(it); ok {
			i.length, i.guess = lengthOf(d), false
		}
		if name := m.opts.Group(it); name != "" {
			key := prefix{"group " + it.Profile, name}
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

func (m *model) ListingDone() {
	m.listed = true
	m.q.ListingDone()
}

// Next demands the exact items where estimates are up to date, else that each
// is one the worker may have.
func (m *model) Next(worker int, now time.Time, limit int) ([]Item, State) {
	m.t.Helper()
	got, state := m.q.Next(worker, now, Limit{Items: limit})
	if worker < 0 || worker >= len(m.workers) {
		m.same("items for nobody", got, nil)
		if state != Done {
			m.fatalf("state for nobody: got %v; want %v", state, Done)
		}
		return nil, Done
	}
	for _, it := range got {
		i := m.of[it]
		if i == nil || !m.mayTake(i, worker) {
			m.fatalf("worker %d got %q, which it can't have: %+v", worker, it, i)
		}
		if want := m.choices(worker); m.exact() && !slices.Contains(want, i) {
			m.fatalf("worker %d got %q, %d us; want %q, %d us", worker, it, m.weight(i), want[0].Item, m.weight(want[0]))
		}
		m.hand(i, worker)
	}
	takeable := slices.ContainsFunc(m.items, func(i *modelItem) bool { return m.mayTake(i, worker) })
	want := Wait
	switch {
	case len(got) > 0:
		want = Have
	case m.listed && m.count(waiting) == 0 && m.count(sent) == 0:
		want = Done
	}
	if state != want || len(got) > max(limit, 0) || len(got) < limit && takeable {
		m.fatalf("worker %d asked for %d and got %d items, state %v; want state %v; more to take: %v",
			worker, limit, len(got), state, want, takeable)
	}
	m.check()
	return got, state
}

func (m *model) hand(i *modelItem, worker int) {
	w := &m.workers[worker]
	i.state, i.worker, i.asked = sent, worker, false
	w.has = append(w.has, i)
	w.class, w.in = i.class, true
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
	if i != nil {
		if took := now.Sub(i.began); i.state == begun && took >= 0 {
			i.length = lengthOf(took)
		}
		if i.group != nil {
			i.group.ran = true
		}
		m.end(i, settled)
		i.outcomes++
		m.free(i.group)
	}
	m.truth("Finished", it, m.q.Finished(worker, it, now), i != nil)
	m.check()
	return i != nil
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
	var requeued, ended, abandoned []Item
	for _, i := range slices.Clone(m.workers[worker].has) {
		if i.state == begun {
			m.end(i, settled)
			i.outcomes++
			ended = append(ended, i.Item)
			continue
		}
		if i.takenBack++; i.takenBack > m.opts.MaxAttempts {
			m.end(i, settled)
			abandoned = append(abandoned, i.Item)
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
	m.workers[worker].in = false
	a, b, c := m.q.Lost(worker, now)
	m.same("requeued", a, requeued)
	m.same("begun", b, ended)
	m.same("abandoned", c, abandoned)
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
	var measured length
	for _, i := range slices.Concat(m.items, m.removed) {
		measured = max(measured, i.length+1)
		switch {
		case i.state == gone:
		case i.state == waiting:
			want.Waiting++
		case i.state == sent:
			want.Sent++
		case i.state == begun:
			want.Begun++
		case i.outcomes > 0:
			want.Done++
		default:
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
	if measured > 0 && m.exact() {
		m.checkRemaining()
	}
}

func (m *model) checkRemaining() {
	m.t.Helper()
	var left length
	for _, i := range m.items {
		if i.state != settled {
			left += m.estimate(i)
		}
	}
	if got, want := m.q.EstimatedRemaining(), time.Duration(left)*time.Microsecond; got != want {
		m.fatalf("estimated remaining: got %v; want %v", got, want)
	}
}
