package scheduler

import (
	"cmp"
	"slices"
)

// mayTake says whether the worker may have the item now: nobody has it, its
// segment is at work and has a seat for the worker, and it is the next of its
// group, of which nobody else has any.
func (m *model) mayTake(i *modelItem, worker int) bool {
	if i.state != waiting || i.group != nil && i.group.owner != none && i.group.owner != worker {
		return false
	}
	w := m.workers[worker]
	if m.current() != i.segment || !m.seated(i.segment, worker) || w.leaves || !m.can(worker, i.Profile) ||
		w.of && w.profile != i.Profile {
		return false
	}
	for _, j := range m.items {
		if i.group == nil || j.group != i.group || i == j {
			continue
		}
		if j.state == waiting && j.place < i.place {
			return false
		}
		if j.worker != none && j.worker != worker {
			return false
		}
	}
	return true
}

// current is the first segment in which not everything is settled, or none.
func (m *model) current() int {
	first := none
	for _, i := range m.items {
		if i.state <= begun && (first == none || i.segment < first) {
			first = i.segment
		}
	}
	if first > 0 && !m.listed {
		return none // the listing may yet have something for segment 0
	}
	return first
}

// seated says whether the worker may be in the segment beside the others.
func (m *model) seated(segment, worker int) bool {
	in := 0
	for n := range m.workers {
		has := m.workers[n].has
		if n == worker && len(has) > 0 {
			return has[0].segment == segment
		}
		if len(has) > 0 && has[0].segment == segment {
			in++
		}
	}
	return segment >= len(m.opts.Concurrency) || m.opts.Concurrency[segment] <= 0 || in < m.opts.Concurrency[segment]
}

// can says whether the worker can run a profile.
func (m *model) can(worker int, profile string) bool {
	if m.opts.Profiles == nil {
		return true
	}
	names := m.opts.Profiles(worker)
	return names == nil || slices.Contains(names, profile)
}

// over says whether nothing more will be handed out of a profile.
func (m *model) over(profile string) bool {
	return (m.listed || m.closed[profile]) && !slices.ContainsFunc(m.items, func(i *modelItem) bool {
		return i.Profile == profile && (i.state == waiting || i.state == sent)
	})
}

// finished says whether nothing more will be handed out of what the worker can run.
func (m *model) finished(worker int) bool {
	for _, i := range m.items {
		if m.can(worker, i.Profile) && !m.over(i.Profile) {
			return false
		}
	}
	if m.listed || m.opts.Profiles == nil {
		return m.listed
	}
	names := m.opts.Profiles(worker)
	return names != nil && !slices.ContainsFunc(names, func(name string) bool { return !m.closed[name] })
}

// state is what a worker that was given so many items is to be told, and why. Where
// the rules leave a choice it is what was said.
func (m *model) state(worker, got int, said State) (want State, why string) {
	w := m.workers[worker]
	switch {
	case got > 0:
		return Have, "it has items"
	case m.finished(worker):
		return Done, "nothing is left that it can run"
	case !w.of:
		return Wait, "it is of no profile"
	case w.leaves:
		return Change, "it was told so before"
	case m.over(w.profile):
		return Change, "its profile is over"
	}
	free := m.elsewhere(worker)
	if len(free) == 0 {
		return Wait, "nothing waits for it elsewhere"
	}
	if len(w.has) > 0 || !m.exact() {
		return said, ""
	}
	for profile, items := range free {
		coming := 0
		for n := range m.q.workers {
			if to := m.q.workers[n].to; to != nil && to.name == profile {
				coming++
			}
		}
		if _, roomy := m.roomy(worker, m.top(items)); roomy && coming < len(items) {
			return Change, "it is idle, and much is left of " + profile
		}
	}
	return said, ""
}

// elsewhere returns what the worker could have if it were not of its profile.
func (m *model) elsewhere(worker int) map[string][]*modelItem {
	w := &m.workers[worker]
	own := *w
	w.of, w.leaves = false, false
	_, open := m.takeable(worker)
	*w = own
	free := make(map[string][]*modelItem)
	for _, i := range open {
		if i.Profile != own.profile {
			free[i.Profile] = append(free[i.Profile], i)
		}
	}
	return free
}

// takeable returns what the worker may have of groups that it is in, and what
// else it may have.
func (m *model) takeable(worker int) (owned, open []*modelItem) {
	for _, i := range m.items {
		switch {
		case !m.mayTake(i, worker):
		case i.group != nil && i.group.owner == worker:
			owned = append(owned, i)
		default:
			open = append(open, i)
		}
	}
	return owned, open
}

// choices returns what the rules allow to be the worker's next item of a profile.
func (m *model) choices(worker int, profile string) []*modelItem {
	owned, open := m.takeable(worker)
	open = slices.DeleteFunc(open, func(i *modelItem) bool { return i.Profile != profile })
	switch {
	case len(owned) > 0 || len(open) == 0:
		return owned
	case m.opts.Order == Listed:
		return open[:1]
	}
	// Each class and group gives its longest, then as listed.
	best := make(map[prefix]*modelItem)
	ranks := make(map[*modelItem]rank)
	for _, i := range open {
		ranks[i] = m.rank(i)
		if b := best[i.bin()]; b == nil || ranks[i] > ranks[b] {
			best[i.bin()] = i
		}
	}
	top := m.top(open)
	horizon, roomy := m.roomy(worker, top)
	if !roomy {
		return open
	}
	w := &m.q.workers[worker]
	weight := m.weight(top)
	topBin := &bin{rank: ranks[top], length: weight, unheard: m.unheard(top)}
	in := m.workers[worker]
	floor := least(topBin, length(w.speed*horizon/soon), !in.in || m.measured(in.class))
	if in.in {
		if own := best[in.class]; own != nil && own.group == nil && ranks[own] >= floor {
			return []*modelItem{own}
		}
	}
	near := []*modelItem{top}
	for _, i := range open {
		if best[i.bin()] == i && ranks[i] >= floor {
			near = append(near, i)
		}
	}
	return near
}

// top is the longest item, among equals one of a class that nobody is in, then
// that listed first.
func (m *model) top(open []*modelItem) *modelItem {
	ranks := make(map[*modelItem]rank)
	for _, i := range open {
		ranks[i] = m.rank(i)
	}
	return slices.MinFunc(open, func(i, j *modelItem) int {
		return cmp.Or(cmp.Compare(ranks[j], ranks[i]), m.visits(i)-m.visits(j), i.place-j.place)
	})
}

// bin names what the item waits in.
func (i *modelItem) bin() prefix {
	if i.group != nil {
		return i.group.key
	}
	return i.class
}

// roomy says whether the longest item is short against the time that is left,
// on this worker, and how long that time is.
func (m *model) roomy(worker int, top *modelItem) (horizon float64, ok bool) {
	var queued length
	for _, i := range m.items {
		if i.state == waiting && i.segment == top.segment && i.Profile == top.Profile {
			queued += m.estimate(i)
		}
	}
	horizon = float64(queued) / m.q.power(m.q.segment(top.segment).of(m.q.profile(top.Profile)))
	sure := m.q.workers[worker].speed / 2
	if m.q.workers[worker].ran == 0 {
		sure /= 4
	}
	load := m.weight(top)
	for _, i := range m.workers[worker].has {
		if i.state == sent {
			load += i.pledged
		}
	}
	return horizon, m.q.present == 1 || float64(load) <= sure*horizon
}

// entitled says why the worker must be given more, or "" if it need not.
func (m *model) entitled(worker int) string {
	owned, open := m.takeable(worker)
	if len(owned) > 0 {
		return "it is in a group"
	}
	if len(open) == 0 {
		return ""
	}
	if m.opts.Order == Listed {
		return "nothing is withheld of a list"
	}
	if m.count(sent)+m.count(begun) == 0 {
		return "nobody has anything"
	}
	if !m.exact() {
		return ""
	}
	for len(open) > 0 {
		profile := open[0].Profile
		if why := m.due(worker, profile, open); why != "" {
			return why
		}
		open = slices.DeleteFunc(open, func(i *modelItem) bool { return i.Profile == profile })
	}
	return ""
}

// due says why the worker must be given something of a profile, or "".
func (m *model) due(worker int, profile string, open []*modelItem) string {
	var of []*modelItem
	for _, i := range open {
		if i.Profile == profile {
			of = append(of, i)
		}
	}
	if _, roomy := m.roomy(worker, m.top(of)); roomy {
		return "there is much left"
	}
	if len(m.workers[worker].has) > 0 {
		return ""
	}
	for n := range m.q.workers {
		if w := &m.q.workers[n]; w.present && w.speed > m.q.workers[worker].speed && m.can(n, profile) {
			return ""
		}
	}
	return "it is idle, and nobody is faster"
}

// visits is 0 for what is in a class or group that nobody was given an item of.
func (m *model) visits(i *modelItem) int {
	if m.visited[i.bin()] {
		return 1
	}
	return 0
}

// rank is what the item counts in the order.
func (m *model) rank(i *modelItem) rank {
	if m.unheard(i) {
		return rankOf(m.weight(i) * surprise)
	}
	return rankOf(m.weight(i))
}

// unheard says whether the item is one to find out about its class with.
func (m *model) unheard(i *modelItem) bool {
	return i.group == nil && !m.visited[i.class] && !m.measured(i.class)
}

// measured says whether anything is known of a class.
func (m *model) measured(class prefix) bool {
	return slices.ContainsFunc(slices.Concat(m.items, m.removed), func(i *modelItem) bool {
		return i.class == class && (!i.guess || i.took != unknown)
	})
}

// exact says whether the queue's estimates are up to date.
func (m *model) exact() bool { return m.q.learned == m.q.published }

// weight is what the item counts: with its group, if it has one.
func (m *model) weight(i *modelItem) (sum length) {
	if i.group == nil {
		return m.estimate(i)
	}
	for _, j := range m.items {
		if j.group == i.group && j.state == waiting {
			sum += m.estimate(j)
		}
	}
	return sum
}

// estimate is the item's known length, or else the mean of the lengths known
// in its class, its module or at all.
func (m *model) estimate(i *modelItem) length {
	if !i.guess {
		return i.length
	}
	var class, module, all tally
	for _, list := range [][]*modelItem{m.items, m.removed} {
		for _, j := range list {
			own := j.numbers()
			all.add(own)
			if j.module == i.module {
				module.add(own)
			}
			if j.class == i.class {
				class.add(own)
			}
		}
	}
	for _, t := range []tally{class, module, all} {
		if t.n > 0 {
			return t.sum / t.n
		}
	}
	return neutral
}

// numbers is what is known of the item's length.
func (i *modelItem) numbers() tally {
	switch {
	case i.took != unknown:
		return tally{sum: i.took, n: 1}
	case !i.guess:
		return tally{sum: i.length, n: 1}
	}
	return tally{}
}

func (t *tally) add(u tally) { t.sum, t.n = t.sum+u.sum, t.n+u.n }
