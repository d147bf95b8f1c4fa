package scheduler

import (
	"cmp"
	"slices"
	"time"
)

// soon is the part of the time that is left that an item may take and still
// count as short: it can wait for as long as there is something to do in the
// worker's own classes.
const soon = 16

// pick chooses the worker's next item: one of its profile, or of the one that
// Choose has found, or for a worker of neither of that for which there is most
// need of it. It returns none if there is nothing for this worker now.
func (q *Queue) pick(w *worker, now time.Duration, limit Limit) int32 {
	s := q.current()
	if s == nil || !s.admits(w) || w.to != nil {
		return none
	}
	if p := cmp.Or(w.profile, w.choice); p != nil {
		if st := s.of(p); st != nil {
			return q.pickOf(w, st, now, limit)
		}
		return none
	}
	for _, c := range q.candidates(w, s) {
		if at := q.pickOf(w, c.stock, now, limit); at != none {
			return at
		}
	}
	return none
}

// pickOf chooses the worker's next item of a stock: a group's that it is in, one
// of a class that it has set up if there is nothing much longer, else the
// longest.
func (q *Queue) pickOf(w *worker, s *stock, now time.Duration, limit Limit) int32 {
	if b := w.owned(s); b != nil {
		return b.best
	}
	top := s.top()
	if top == nil {
		return none
	}
	if q.opts.Order == Listed {
		return top.best
	}
	horizon := float64(s.queued) / q.power(s)
	sure := w.speed / 2
	if w.ran == 0 {
		sure /= 4
	}
	if float64(w.load+top.length) > sure*horizon && q.present > 1 && !limit.All {
		return q.late(w, s, top, now, limit.Start)
	}
	return q.affine(w, s, top, length(w.speed*horizon/soon)).best
}

// owned returns a group of the stock that the worker is in and that has items
// for it, or nil.
func (w *worker) owned(s *stock) *bin {
	if len(w.ready) == 0 {
		return nil
	}
	w.ready = slices.DeleteFunc(w.ready, func(b *bin) bool { return b.group.owner != w || b.waiting == 0 })
	for _, b := range slices.Backward(w.ready) {
		if b.stock == s {
			return b
		}
	}
	return nil
}

// affine returns top, or a bin that the worker would rather have: of the class
// that it is in, of one that it was in, of a module of which it has imported
// something where nobody has been, where nobody has been at all. That must not
// be much shorter than top, unless that is short.
func (q *Queue) affine(w *worker, s *stock, top *bin, short length) *bin {
	floor := least(top, short, w.class == nil || w.class.tally.n > 0)
	if w.class != nil {
		own := &w.class.bin
		if own.open() && own.stock == s && own.rank >= floor {
			return own
		}
		if b := q.paid(w, s, floor); b != nil {
			return b
		}
		if b := w.class.module.fresh.top(); b != nil && w.class.stock == s && b.rank >= floor {
			return b
		}
		if b := q.imported(w, s, floor); b != nil {
			return b
		}
	}
	if b := s.fresh.top(); b != nil && b.rank >= floor {
		return b
	}
	return top
}

// least is the least rank that may go before top, for a worker in a class of
// which something is known or not.
func least(top *bin, short length, heard bool) rank {
	worth := top.length
	if top.unheard {
		worth *= surprise
	}
	switch {
	case worth <= short:
		return 0
	case top.unheard && (!heard || rankOf(top.length) == 0):
		// What the worker is in is as little known, or what is unknown is
		// probably not worth a fixture.
		return 0
	}
	return top.rank - top.rank/4
}

// paid returns the best of the classes that the worker was in, or nil.
func (q *Queue) paid(w *worker, s *stock, floor rank) *bin {
	return best(&w.paid, floor, func(n int32) *bin {
		if c := q.classes[n]; c.stock == s && c.bin.open() {
			return &c.bin
		}
		return nil
	})
}

// imported returns the best class in which nobody was of the modules that the
// worker was in, or nil.
func (q *Queue) imported(w *worker, s *stock, floor rank) *bin {
	return best(&w.imported, floor, func(n int32) *bin {
		if m := q.modules[n]; m.fresh.rack == &s.fresh {
			return m.fresh.top()
		}
		return nil
	})
}

// best looks at what a worker remembers, the longest first, each by the rank
// that it had when it was last looked at. What has nothing any more is
// forgotten. What is found is forgotten too: the worker will be in it.
func best(h *refs, floor rank, of func(int32) *bin) *bin {
	const far = 8
	for range far {
		if len(*h) == 0 {
			return nil
		}
		key := (*h)[0]
		b := of(key.number())
		switch {
		case b == nil:
			h.pop()
		case refTo(b.rank, key.number()) != key:
			h.pop()
			h.push(refTo(b.rank, key.number()))
		case b.rank < floor:
			return nil
		default:
			h.pop()
			return b
		}
	}
	return nil
}

// move has the worker be in a class, and remember the one that it leaves.
func (w *worker) move(to *class) {
	from := w.class
	if from == to {
		return
	}
	w.class = to
	if from == nil {
		return
	}
	if from.bin.waiting > 0 {
		w.paid.push(refTo(from.bin.rank, from.number))
	}
	if b := from.module.fresh.top(); b != nil && from.module != to.module {
		w.imported.push(refTo(b.rank, from.module.number))
	}
}
