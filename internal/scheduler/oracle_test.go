package scheduler

import (
	"cmp"
	"slices"
)

// mayTake says whether the worker may have the item now: nobody has it, and it
// is the next of its group, of which nobody else has any.
func (m *model) mayTake(i *modelItem, worker int) bool {
	if i.state != waiting || i.group != nil && i.group.owner != none && i.group.owner != worker {
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

// choices returns what the rules allow to be the worker's next item: one, or
// the next of each group that it owns.
func (m *model) choices(worker int) []*modelItem {
	var owned, open []*modelItem
	for _, i := range m.items {
		switch {
		case !m.mayTake(i, worker):
		case i.group != nil && i.group.owner == worker:
			owned = append(owned, i)
		default:
			open = append(open, i)
		}
	}
	if len(owned) > 0 || len(open) == 0 {
		return owned
	}
	if m.opts.Order == Listed {
		return open[:1]
	}
	weights := make(map[*modelItem]length)
	for _, i := range open {
		weights[i] = m.weight(i)
	}
	// The longest first, then classes that nobody is in, then as listed.
	compare := func(i, j *modelItem) int {
		return cmp.Or(cmp.Compare(weights[j], weights[i]), m.rank(i)-m.rank(j), i.place-j.place)
	}
	top := slices.MinFunc(open, compare)
	if w := m.workers[worker]; w.in {
		own := slices.DeleteFunc(open, func(i *modelItem) bool { return i.group != nil || i.class != w.class })
		if len(own) > 0 {
			best, longer := slices.MinFunc(own, compare), weights[top]
			if weights[best] >= longer-longer/4 || weights[best] >= longer-5000 {
				return []*modelItem{best}
			}
		}
	}
	return []*modelItem{top}
}

// rank is 0 for what is in a class or group that nobody was given an item of.
func (m *model) rank(i *modelItem) int {
	key := i.class
	if i.group != nil {
		key = i.group.key
	}
	if m.visited[key] {
		return 1
	}
	return 0
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
			if j.length == unknown {
				continue
			}
			all.sum, all.n = all.sum+j.length, all.n+1
			if j.module == i.module {
				module.sum, module.n = module.sum+j.length, module.n+1
			}
			if j.class == i.class {
				class.sum, class.n = class.sum+j.length, class.n+1
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
