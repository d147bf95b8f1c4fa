package scheduler

import "time"

// none is no worker and no entry, and the position of what is in no heap.
const none = -1

// itemState is where an item is in its life.
type itemState uint8

const (
	waiting itemState = iota
	sent
	begun
	settled // done or abandoned
	gone    // removed; its ref may still lie in its bin
)

// entry is what the queue keeps of an item. Entries stand in the order of
// adding and never move, so that an index is an item's name and its place in
// the listing.
type entry struct {
	item       Item
	class      *class
	bin        *bin          // where it waits: its class's or its group's
	length     length        // known from earlier runs, or unknown
	began      time.Duration // since the queue's epoch; only when begun
	prev, next int32         // what its worker was sent before and after it
	worker     int32         // who has it, or none
	takenBack  int32         // how often it came back from a lost worker
	state      itemState
	asked      bool // Withdraw asked for it
}

// estimate is how long the item is expected to take.
func (e *entry) estimate() length {
	if e.length == unknown {
		return e.class.estimate
	}
	return e.length
}

// ref is an entry in a bin's heap: the longest first, then as added.
type ref struct {
	length length
	at     int32
}

func (r ref) before(s ref) bool {
	if r.length != s.length {
		return r.length > s.length
	}
	return r.at < s.at
}

func (ref) moved(int) {}

// bin is where items wait that have something in common: those of a class that
// belong to no group, or those of a group.
//
// Only its best item, that which it would give next, stands for a bin in the
// queue's heap. So an item is in one heap only, and what is learned of a class
// moves one bin, however many of its items wait.
type bin struct {
	class *class // nil for a group
	group *group // nil for a class

	known   heap[ref] // a class's items of known length
	listed  heap[ref] // its others, or all items of a group: as added
	waiting int       // items in the two that wait
	removed int       // the others in the two

	best    ref  // what the bin would give next, with its length; a group's is its sum
	visited bool // some worker was given an item of it, where the order asks for that
	pos     int  // in Queue.bins, or none
}

// group is what a bin has in addition if it is a group's.
type group struct {
	owner   *worker // who was given its items; nobody else gets any
	out     int     // items that the owner has now
	ran     bool    // the owner has begun one of them
	known   length  // the sum of the waiting items' known lengths
	guesses int     // how many of the waiting items have no known length
	guessed length  // the sum of their estimates when that was last looked at
	noted   bool    // is in Queue.noted
}

// before says which of two bins gives next: that with the longer item; of
// equals one whose class nobody has set up yet; then that with the item listed
// first.
func (b *bin) before(c *bin) bool {
	if b.best.length == c.best.length && b.visited != c.visited {
		return c.visited
	}
	return b.best.before(c.best)
}

func (b *bin) moved(pos int) { b.pos = pos }

// put makes the entry wait in its bin.
func (q *Queue) put(at int32) {
	e := &q.entries[at]
	b := e.bin
	e.state, e.worker, e.asked = waiting, none, false
	q.counts.Waiting++
	b.waiting++
	if b.group == nil && e.length != unknown && q.opts.Order != Listed {
		b.known.push(ref{e.length, at})
	} else {
		b.listed.push(ref{0, at})
	}
	if g := b.group; g != nil {
		if e.length == unknown {
			q.guesses++
			g.guesses++
			g.guessed += e.class.estimate
			q.note(b)
		} else {
			g.known += e.length
		}
		if g.owner != nil && b.waiting == 1 {
			g.owner.ready = append(g.owner.ready, b)
		}
	}
	q.rerank(b)
}

// forget is the inverse of put for an entry that no longer waits, but leaves
// its ref in the bin.
func (q *Queue) forget(e *entry) {
	q.counts.Waiting--
	e.bin.waiting--
	if g := e.bin.group; g != nil {
		if e.length == unknown {
			q.guesses--
			g.guesses--
			g.guessed -= e.class.estimate
			if g.guesses == 0 {
				g.guessed = 0 // publish, which puts right what has changed since, passes the group over
			}
		} else {
			g.known -= e.length
		}
	}
}

// take takes the bin's best entry out of it. The bin must have one.
func (q *Queue) take(b *bin) int32 {
	at := b.best.at
	if len(b.known) > 0 && b.known[0].at == at {
		b.known.remove(0)
	} else {
		b.listed.remove(0)
	}
	q.forget(&q.entries[at])
	return at
}

// rerank finds out what the bin would give next and puts it where it belongs
// in the queue's heap: nowhere if nothing waits in it, or if a worker owns it.
func (q *Queue) rerank(b *bin) {
	q.choose(b)
	switch in := b.waiting > 0 && (b.group == nil || b.group.owner == nil); {
	case in && b.pos == none:
		q.bins.push(b)
	case in:
		q.bins.fix(b.pos)
	case b.pos != none:
		q.bins.remove(b.pos)
	}
}

// choose sets the bin's best.
func (q *Queue) choose(b *bin) {
	q.trim(b, &b.known)
	q.trim(b, &b.listed)
	if b.waiting == 0 {
		return
	}
	if len(b.listed) > 0 {
		b.best = b.listed[0]
	}
	switch {
	case q.opts.Order == Listed:
	case b.group != nil:
		b.best.length = b.group.known + b.group.guessed
	default:
		b.best.length = b.class.estimate
		if len(b.listed) == 0 || len(b.known) > 0 && b.known[0].before(b.best) {
			b.best = b.known[0]
		}
	}
}

// trim drops removed entries from the front of one of the bin's heaps.
func (q *Queue) trim(b *bin, h *heap[ref]) {
	for b.removed > 0 && len(*h) > 0 && q.entries[(*h)[0].at].state == gone {
		h.remove(0)
		b.removed--
	}
}
