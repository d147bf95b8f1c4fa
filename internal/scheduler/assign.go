package scheduler

import "time"

// worker is what the queue knows of one who asks.
type worker struct {
	first, last int32  // what it has, linked in the order of sending
	class       *class // of what it was given last
	groups      []*bin // groups that it was ever given; it may have lost them since
	ready       []*bin // those of groups in which items wait, or did
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
	// expected to take as long. Zero means that Items is the only limit.
	Work time.Duration
}

// Next hands items to the worker, which is to run them in this order after
// those it has. They are its own until Finished, Returned or Lost.
//
// Without items the State says whether to ask again: Wait, until something else
// has happened; Done, when nothing waits and nothing that was sent can come
// back. Only begun items can be left then, so that nothing more comes unless
// one of them is to go Again.
func (q *Queue) Next(worker int, _ time.Time, limit Limit) ([]Item, State) {
	w := q.worker(worker)
	if w == nil {
		return nil, Done
	}
	var items []Item
	var work length
	for len(items) < limit.Items && (limit.Work <= 0 || len(items) == 0 || work < lengthOf(limit.Work)) {
		b := q.pick(w)
		if b == nil {
			break
		}
		at := q.hand(b, worker)
		work += q.entries[at].estimate()
		items = append(items, q.entries[at].item)
	}
	switch {
	case len(items) > 0:
		return items, Have
	case q.listed && q.counts.Waiting == 0 && q.counts.Sent == 0:
		return nil, Done
	}
	return nil, Wait
}

// pick chooses the bin for the worker's next item: a group that it is in, the
// class that it is in if there is nothing longer, else the longest.
func (q *Queue) pick(w *worker) *bin {
	for n := len(w.ready); n > 0; n = len(w.ready) {
		if b := w.ready[n-1]; b.group.owner == w && b.waiting > 0 {
			return b
		}
		w.ready = w.ready[:n-1]
	}
	if len(q.bins) == 0 {
		return nil
	}
	top := q.bins[0]
	if q.opts.Order == LongestFirst && w.class != nil {
		if own := &w.class.bin; own.pos != none && near(own.best.length, top.best.length) {
			return own
		}
	}
	return top
}

// near says whether an estimate is as good as one that is longer: durations
// differ by as much from run to run.
func near(l, longer length) bool {
	const slack = length(5 * time.Millisecond / time.Microsecond)
	return longer-l <= max(longer/4, slack)
}

// hand gives the bin's best item to the worker.
func (q *Queue) hand(b *bin, n int) int32 {
	w := &q.workers[n]
	at := q.take(b)
	e := &q.entries[at]
	e.state, e.worker = sent, int32(n)
	q.counts.Sent++
	q.link(w, at)
	b.visited = q.opts.Order == LongestFirst
	w.class = e.class
	if g := b.group; g != nil {
		g.out++
		if g.owner == nil {
			g.owner = w
			w.groups = append(w.groups, b)
			w.ready = append(w.ready, b)
		}
	}
	q.rerank(b)
	return at
}

// held returns the entry of an item that the worker has, or nil.
func (q *Queue) held(worker int, it Item) *entry {
	w := q.worker(worker)
	if w == nil || w.first == none {
		return nil
	}
	// Nearly always it is the first that the worker has: no need to look for
	// it among all.
	if e := &q.entries[w.first]; e.item == it {
		return e
	}
	at, ok := q.index[it]
	if !ok || int(q.entries[at].worker) != worker {
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
	if q.epoch.IsZero() {
		q.epoch = now
	}
	e.state, e.began = begun, now.Sub(q.epoch)
	q.counts.Sent--
	q.counts.Begun++
	if g := e.bin.group; g != nil {
		g.ran = true
	}
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
	if g := e.bin.group; g != nil {
		g.ran = true
	}
	q.settle(e)
	q.counts.Done++
	if took >= 0 {
		q.learnRun(e, took)
	}
	q.free(e.bin)
	return true
}

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
			e.asked = true
			items = append(items, e.item)
		}
	}
	return items
}

// Returned says that the worker gave back an item that Withdraw returned. It
// waits again. False means that it is not this worker's, was not asked back or
// has begun: nothing has changed.
func (q *Queue) Returned(worker int, it Item) bool {
	e := q.held(worker, it)
	if e == nil || e.state != sent || !e.asked {
		return false
	}
	q.leave(e)
	q.put(q.index[it])
	q.free(e.bin)
	return true
}

// Again says that an item that is done is to run once more: it waits again, in
// its old place. False means that it is not done: nothing has changed.
func (q *Queue) Again(it Item) bool {
	at, ok := q.index[it]
	if !ok {
		return false
	}
	e := &q.entries[at]
	if e.state != settled || int(e.takenBack) > q.opts.MaxAttempts {
		return false
	}
	q.counts.Done--
	if e.length == unknown {
		e.class.open++
	}
	q.left += e.estimate()
	q.put(at)
	return true
}

// Lost says that the worker has ended and takes everything from it, each list
// in the order of sending. What had not begun waits again (requeued), unless it
// was taken back more than MaxAttempts times (abandoned): that is out of the
// queue without an outcome. What had begun is out of the queue too; the caller
// owes it the outcome. A new worker may go on under the same number.
func (q *Queue) Lost(worker int, _ time.Time) (requeued, begunItems, abandoned []Item) {
	w := q.worker(worker)
	if w == nil {
		return nil, nil, nil
	}
	for w.first != none {
		at := w.first
		e := &q.entries[at]
		if e.state == begun {
			q.settle(e)
			q.counts.Done++
			begunItems = append(begunItems, e.item)
			continue
		}
		e.takenBack++
		if int(e.takenBack) > q.opts.MaxAttempts {
			q.settle(e)
			q.counts.Abandoned++
			abandoned = append(abandoned, e.item)
			continue
		}
		q.leave(e)
		q.put(at)
		requeued = append(requeued, e.item)
	}
	for _, b := range w.groups {
		if b.group.owner == w {
			q.release(b)
		}
	}
	w.class, w.groups, w.ready = nil, nil, nil
	return requeued, begunItems, abandoned
}

// settle takes the entry from its worker and out of the queue.
func (q *Queue) settle(e *entry) {
	q.leave(e)
	q.close(e)
	e.state = settled
}

// leave takes the entry from its worker.
func (q *Queue) leave(e *entry) {
	if e.state == begun {
		q.counts.Begun--
	} else {
		q.counts.Sent--
	}
	if g := e.bin.group; g != nil {
		g.out--
	}
	q.unlink(&q.workers[e.worker], e)
	e.worker = none
}

// free takes a group from its worker if that has none of its items and never
// ran one, so that the group can still go elsewhere whole.
func (q *Queue) free(b *bin) {
	g := b.group
	if g != nil && g.owner != nil && g.out == 0 && !g.ran {
		q.release(b)
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
