package scheduler

import (
	"cmp"
	"slices"
	"time"
)

// candidate is a profile that a worker could be of.
type candidate struct {
	stock     *stock
	alone     bool    // nobody is at it, and nobody else is free for it
	needed    bool    // it has less than its share, by about this worker
	potential float64 // the speed of all that can run it
	deficit   float64 // how much of its share it has not got
}

// candidates returns what there is for anybody of profiles that the worker can
// run and is not of, the one first that it should rather be of: one that else nobody has; of those
// that lack a worker the one that the fewest can run, for others can go elsewhere
// later; then the one that lacks most. The next call overwrites what it returned.
func (q *Queue) candidates(w *worker, s *segment) []candidate {
	all := q.room[:0]
	for n, st := range s.stocks {
		if st == nil || st.profile == w.profile || !w.can(st.profile) || st.top() == nil {
			continue
		}
		at := &w.team.posts[n]
		who := q.staff(st.profile)
		if w.profile == nil && w.present {
			who.free--
		}
		all = append(all, candidate{stock: st, alone: who.workers == 0 && who.free == 0,
			needed: at.share-at.speed >= w.speed/2, potential: who.potential, deficit: at.share - at.speed})
	}
	q.room = all
	if len(all) < 2 {
		return all
	}
	first := func(x, y bool) int {
		if x == y {
			return 0
		} else if x {
			return -1
		}
		return 1
	}
	slices.SortStableFunc(all, func(x, y candidate) int {
		if x.alone || y.alone {
			return cmp.Or(first(x.alone, y.alone), cmp.Compare(y.stock.work(), x.stock.work()))
		}
		if x.needed && y.needed {
			return cmp.Or(cmp.Compare(x.potential, y.potential), cmp.Compare(y.deficit, x.deficit))
		}
		return cmp.Or(first(x.needed, y.needed), cmp.Compare(y.deficit, x.deficit))
	})
	return all
}

// Choose finds out of which profile the items would be that Next would give to
// the worker now: its own, or the best for one that has none. The state says
// what Next would. If there is one, it is of that profile that Next gives the worker
// items, under whatever limit, until it is lost or another one is chosen: with a
// limit that fits the profile, something else might be better.
func (q *Queue) Choose(worker int, now time.Time, limit Limit) (profile string, state State) {
	w := q.worker(worker)
	if w == nil {
		return "", Done
	}
	w.choice = nil
	at := q.hear(w, now, limit)
	if n := q.pick(w, at, limit); n != none {
		p := q.entries[n].class.stock.profile
		if w.profile == nil {
			w.choice = p
		}
		return p.name, Have
	}
	return "", q.without(w, at, limit)
}

// hear notes that a worker asks at a time, which it returns.
func (q *Queue) hear(w *worker, now time.Time, limit Limit) time.Duration {
	q.enter(w)
	at := q.since(now)
	if len(q.profiles) > 1 {
		q.rebalance(q.current())
		q.restless(w, at, limit.Change)
	}
	return at
}

// without is the state of a worker for which there is nothing now.
func (q *Queue) without(w *worker, now time.Duration, limit Limit) State {
	switch {
	case q.over(w):
		return Done
	case w.profile == nil:
		return Wait
	case w.to != nil || w.profile.over() || q.elsewhere(w, now, limit):
		return Change
	}
	return Wait
}

// elsewhere says whether a worker that has nothing is of more use for another
// profile, and has it leave for that.
func (q *Queue) elsewhere(w *worker, now time.Duration, limit Limit) bool {
	s := q.current()
	if w.has > 0 || s == nil || !s.admits(w) {
		return false
	}
	for _, c := range q.candidates(w, s) {
		p := c.stock.profile
		who := q.staff(p)
		if who.coming >= c.stock.waiting || who.speed > 0 && c.stock.work() <= who.speed*float64(lengthOf(limit.Change)) {
			continue // before it is there others are through
		}
		if q.pickOf(w, c.stock, now, limit) != none {
			w.leaveFor(p)
			return true
		}
	}
	return false
}

// restless has a worker leave its profile before that has nothing any more, if
// another one that it can run has too few workers, or none for something long.
func (q *Queue) restless(w *worker, now, change time.Duration) {
	s, b := q.current(), &q.balanced
	if w.profile == nil || w.to != nil || s == nil || s.seats > 0 || !b.hungry || now < w.rests {
		return
	}
	if own := w.post(); own.speed-w.speed/2 < own.share {
		return // it is needed where it is
	}
	for _, c := range q.candidates(w, s) {
		p := c.stock.profile
		if !c.needed || !b.starves(p, change) || c.stock.waiting <= q.staff(p).coming {
			continue
		}
		w.leaveFor(p)
		// It stays there for a part of the time that is left, or it would go to and
		// fro where it is as badly needed in two.
		const part = 8
		w.rests = now + time.Duration(min(b.longest/part, float64(lengthOf(longest))))*time.Microsecond
		return
	}
}
