package scheduler

import "time"

// worker is what the queue knows of one who asks.
type worker struct {
	number      int
	first, last int32         // what it has, linked in the order of sending
	has         int           // how many items that is
	running     int           // how many of them it has begun
	load        length        // the sum of the estimates of the others, as they were when it got them
	segment     *segment      // of what it has
	present     bool          // it is not lost
	team        *team         // of those that can run what it can
	next        *team         // the same from its loss on; nil if that changes nothing
	profile     *profile      // of what it was given since it was last lost, or nil
	to          *profile      // which it is to leave its own for, or nil
	rests       time.Duration // until when it does not leave its profile for the sake of another
	choice      *profile      // that Choose found last, if it found one
	pace

	class    *class // of what it was given last
	paid     refs   // classes that it was in, by number
	imported refs   // modules that it was in, by number
	groups   []*bin // groups that it was ever given; it may have lost them since
	ready    []*bin // those of groups in which items wait, or did
}

// worker returns worker n, or nil if there is none of that number.
func (q *Queue) worker(n int) *worker {
	if n < 0 || n >= len(q.workers) {
		return nil
	}
	return &q.workers[n]
}

// Limit is how much a worker asks for.
type Limit struct {
	// Items is how many items it may get at most.
	Items int
	// Work is how much it is to get: it gets no more once what it got is
	// expected to take the worker as long. Zero means that Items is the only
	// limit.
	Work time.Duration
	// Start is what it costs anybody who would get the items later to begin with
	// them: nothing is left to others that they would not finish sooner by more
	// than that.
	Start time.Duration
	// All has the worker get what it can have of a profile, even if others would
	// finish it sooner.
	All bool
	// Change is what it costs to have a worker of another profile in the place of
	// this one.
	Change time.Duration
}

// Next hands items to the worker, which is to run them in this order after
// those it has. They are its own until Finished, Returned or Lost.
//
// All items are of one profile, which the worker can run. It is of that profile
// from then on and gets no others, until Lost says that it has ended.
//
// Without items the State says whether to ask again: Wait, until something else
// has happened or Recheck has passed; Done, when of all profiles that it can run
// nothing waits and nothing that was sent can come back. Only begun items can be
// left then, so that nothing more comes unless one of them is to go Again. Change
// is for a worker of a profile: it gets nothing more, and what it has is the last
// before it is to end, because its profile has nothing any more or another one is
// in need of it.
func (q *Queue) Next(worker int, now time.Time, limit Limit) ([]Item, State) {
	w := q.worker(worker)
	if w == nil {
		return nil, Done
	}
	at := q.hear(w, now, limit)
	var items []Item
	work, enough := 0.0, float64(lengthOf(limit.Work))
	for len(items) < limit.Items && (limit.Work <= 0 || len(items) == 0 || work < enough) {
		n := q.pick(w, at, limit)
		if n == none {
			break
		}
		q.hand(n, w)
		work += float64(q.entries[n].estimate()) / w.speed
		items = append(items, q.entries[n].item())
	}
	if len(items) > 0 {
		return items, Have
	}
	return nil, q.without(w, at, limit)
}

// hand gives an item to the worker.
func (q *Queue) hand(at int32, w *worker) {
	e := &q.entries[at]
	b := e.bin
	q.take(e)
	e.state, e.pledged = sent, e.estimate()
	w.load += e.pledged
	q.counts.Sent++
	b.stock.profile.sent++
	q.link(w, at)
	if w.profile == nil {
		w.join(b.stock.profile)
	}
	b.visited = q.opts.Order == LongestFirst
	w.move(e.class)
	if g := b.group; g != nil {
		g.out++
		if g.owner == nil {
			g.owner = w
			w.groups = append(w.groups, b)
			w.ready = append(w.ready, b)
		}
	}
	q.rerank(b)
}

// held returns the entry of an item that the worker has, or nil.
func (q *Queue) held(worker int, it Item) *entry {
	w := q.worker(worker)
	if w == nil || w.first == none {
		return nil
	}
	// Nearly always it is the first that the worker has: no need to look for
	// it among all.
	if e := &q.entries[w.first]; e.is(it) {
		return e
	}
	at := q.find(it)
	if at == none || int(q.entries[at].worker) != worker {
		return nil
	}
	return &q.entries[at]
}

// Started says that the worker has begun the item. False means that the item
// is not this worker's: nothing has changed. Saying it again is true and
// changes nothing either.
func (q *Queue) Started(worker int, it Item, now time.Time) bool {
	e := q.held(worker, it)
	if e == nil {
		return false
	}
	if e.state == begun {
		return true
	}
	q.begin(e, q.since(now))
	return true
}

// Finished says that the item has its outcome, whether or not it was said to
// have started. False means that the item is not this worker's: nothing has
// changed. How long it took is learned from Started's time and now, if both
// are there and in order.
func (q *Queue) Finished(worker int, it Item, now time.Time) bool {
	e := q.held(worker, it)
	if e == nil {
		return false
	}
	took := time.Duration(-1)
	if e.state == begun {
		took = now.Sub(q.epoch) - e.began
	}
	if g := e.group(); g != nil {
		g.ran = true
	}
	w := &q.workers[worker]
	w.ran++
	q.settle(e, done)
	q.counts.Done++
	if took >= 0 && !e.measured {
		e.measured = true
		q.learnRun(e, w, q.observe(w, e, lengthOf(took)))
	}
	q.free(e)
	q.stale()
	return true
}

// Again says that an item that is done is to run once more: it waits again, in
// its old place. False means that it is not done: nothing has changed.
func (q *Queue) Again(it Item) bool {
	at := q.find(it)
	if at == none || q.entries[at].state != done {
		return false
	}
	q.counts.Done--
	q.unsettle(&q.entries[at])
	q.put(at)
	q.stale()
	return true
}

// Lost says that the worker has ended and takes everything from it, each list
// in the order of sending. What had not begun waits again (requeued), unless it
// was taken back more than MaxAttempts times (dropped): that is out of the
// queue without an outcome. What had begun is out of the queue too; the caller
// owes it the outcome. A new worker may go on under the same number.
func (q *Queue) Lost(worker int, _ time.Time) (requeued, begunItems, dropped []Item) {
	w := q.worker(worker)
	if w == nil {
		return nil, nil, nil
	}
	for w.first != none {
		at := w.first
		e := &q.entries[at]
		if e.state == begun {
			q.settle(e, done)
			q.counts.Done++
			begunItems = append(begunItems, e.item())
			continue
		}
		e.takenBack++
		if int(e.takenBack) > q.opts.MaxAttempts {
			q.settle(e, abandoned)
			q.counts.Abandoned++
			dropped = append(dropped, e.item())
			continue
		}
		q.leave(e)
		q.put(at)
		requeued = append(requeued, e.item())
	}
	for _, b := range w.groups {
		if b.group.owner == w {
			q.release(b)
		}
	}
	w.class, w.choice, w.groups, w.ready, w.paid, w.imported = nil, nil, nil, nil, nil, nil
	w.quit()
	q.exit(w)
	q.change(w)
	q.stale()
	return requeued, begunItems, dropped
}

// begin counts the entry as begun.
func (q *Queue) begin(e *entry, now time.Duration) {
	e.state, e.began = begun, now
	q.counts.Sent--
	e.bin.stock.profile.sent--
	q.counts.Begun++
	w := &q.workers[e.worker]
	w.running++
	w.load -= e.pledged
	if e.asked {
		e.asked = false // it won't come back
		q.asked--
	}
	if g := e.group(); g != nil {
		g.ran = true
	}
}

// settle takes the entry from its worker and out of the queue.
func (q *Queue) settle(e *entry, to itemState) {
	q.leave(e)
	q.close(e)
	e.state = to
}

// leave takes the entry from its worker.
func (q *Queue) leave(e *entry) {
	w := &q.workers[e.worker]
	if e.state == begun {
		q.counts.Begun--
		w.running--
	} else {
		q.counts.Sent--
		e.bin.stock.profile.sent--
		w.load -= e.pledged
	}
	if e.asked {
		e.asked = false
		q.asked--
	}
	if g := e.group(); g != nil {
		g.out--
	}
	q.unlink(w, e)
	e.worker = none
}

// free takes a group from its worker if that has none of its items and never
// ran one, so that the group can still go elsewhere whole.
func (q *Queue) free(e *entry) {
	if g := e.group(); g != nil && g.owner != nil && g.out == 0 && !g.ran {
		q.release(e.bin)
	}
}

// release lets anybody have the group.
func (q *Queue) release(b *bin) {
	b.group.owner, b.group.ran = nil, false
	q.rerank(b)
}

// link puts the entry behind what the worker has.
func (q *Queue) link(w *worker, at int32) {
	e := &q.entries[at]
	if w.has++; w.has == 1 {
		w.segment = e.class.stock.segment
		w.segment.taken++
	}
	e.worker = int32(w.number)
	e.prev, e.next = w.last, none
	if w.last == none {
		w.first = at
	} else {
		q.entries[w.last].next = at
	}
	w.last = at
}

// unlink takes the entry out of what the worker has.
func (q *Queue) unlink(w *worker, e *entry) {
	if w.has--; w.has == 0 {
		q.opened = q.opened || w.segment.seats > 0
		w.segment.taken--
		w.segment = nil
	}
	if e.prev == none {
		w.first = e.next
	} else {
		q.entries[e.prev].next = e.next
	}
	if e.next == none {
		w.last = e.prev
	} else {
		q.entries[e.next].prev = e.prev
	}
	e.prev, e.next = none, none
}
