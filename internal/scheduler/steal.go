package scheduler

import "time"

// Withdraw returns what the worker was sent, has not begun and was not asked
// back before, in the order of sending: the caller asks the worker for it. It
// is the worker's until Returned, Finished or Lost; the worker may yet begin
// it.
func (q *Queue) Withdraw(worker int) []Item {
	w := q.worker(worker)
	if w == nil {
		return nil
	}
	var items []Item
	for at := w.first; at != none; at = q.entries[at].next {
		if e := &q.entries[at]; e.state == sent && !e.asked {
			items = append(items, q.ask(e))
		}
	}
	return items
}

func (q *Queue) ask(e *entry) Item {
	e.asked = true
	q.asked++
	return e.item()
}

// Steal finds out what is worth asking back for a worker that has nothing to
// do: from the worker that will be at it the longest, those of its last items
// that this one would finish sooner, if they come back within a trip. The
// caller asks the worker for them, as with Withdraw. No items mean that all
// is best where it is.
func (q *Queue) Steal(idle int, now time.Time, trip time.Duration) (from int, items []Item) {
	w := q.worker(idle)
	if w == nil || w.has > 0 || w.to != nil || q.counts.Sent == q.asked {
		return none, nil
	}
	at := q.since(now)
	from, longest := none, 0.0
	for i := range q.workers {
		v := &q.workers[i]
		if v == w || v.has == v.running || v.to != nil {
			continue
		}
		if busy := q.busy(v, at); busy > longest && q.movable(w, &q.entries[v.last]) {
			from, longest = i, busy
		}
	}
	if from == none {
		return none, nil
	}
	items = q.strip(&q.workers[from], w, longest, float64(lengthOf(trip)))
	if items == nil {
		return none, nil
	}
	return from, items
}

// strip asks for the last items of a worker that is busy for so long, as many
// as the other, beginning after the trip, finishes before this one is through
// with the rest.
func (q *Queue) strip(v, w *worker, busy, trip float64) (items []Item) {
	for at := v.last; at != none; {
		before, work, ok := q.lump(w, at)
		trip += work / w.speed
		if !ok || trip >= busy {
			break
		}
		busy -= work / v.speed
		for ; at != before; at = q.entries[at].prev {
			items = append(items, q.ask(&q.entries[at]))
		}
	}
	return items
}

// lump finds the items that go together with one that another worker was sent
// last, to see whether they can become this worker's: they begin after before,
// and work is the sum of their estimates.
func (q *Queue) lump(w *worker, at int32) (before int32, work float64, ok bool) {
	g := q.entries[at].group()
	for before = at; before != none; before = q.entries[before].prev {
		e := &q.entries[before]
		if before != at && (g == nil || e.group() != g) {
			break
		}
		if !q.movable(w, e) {
			return none, 0, false
		}
		work += float64(e.estimate())
	}
	return before, work, true
}

// movable says whether an item that another worker has can become this one's.
func (q *Queue) movable(w *worker, e *entry) bool {
	st, g := e.class.stock, e.group()
	s := st.segment
	if w.profile != st.profile && (w.profile != nil || !w.can(st.profile)) {
		return false
	}
	return e.state == sent && !e.asked && s == q.current() && s.admits(w) && (g == nil || !g.ran)
}

// Returned says that the worker gave back an item that Withdraw or Steal
// returned. It waits again. False means that it is not this worker's, was not
// asked back or has begun: nothing has changed.
func (q *Queue) Returned(worker int, it Item) bool {
	e := q.held(worker, it)
	if e == nil || e.state != sent || !e.asked {
		return false
	}
	q.leave(e)
	q.put(q.find(it))
	q.free(e)
	q.stale()
	return true
}
