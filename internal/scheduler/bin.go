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
	done
	abandoned
	gone // removed
)

// entry is what the queue keeps of an item. Entries stand in the order of
// adding and never move, so that a number is an item's name and its place in
// the listing.
type entry struct {
	test       string
	class      *class        // which has the profile
	bin        *bin          // where it waits: its class's or its group's
	length     length        // known from earlier runs, or unknown
	began      time.Duration // since the queue's epoch; only when begun
	pledged    length        // what it counts in its worker's load; only when sent
	prev, next int32         // what its worker was sent before and after it; while it waits, its level's list
	worker     int32         // who has it, or none
	takenBack  int32         // how often it came back from a lost worker
	state      itemState
	asked      bool // the worker was asked to give it back
	filed      bool // its ref is in its bin
	profiled   bool // belongs to a profile that has a name
	grouped    bool // belongs to a group
	measured   bool // what it took in this run is learned; that of a retry is not
}

func (e *entry) item() Item { return Item{Test: e.test, Profile: e.class.stock.profile.name} }

// is says whether the item is this one. With a million of them the class is
// memory that nobody has looked at for long, so it is not asked without need.
func (e *entry) is(it Item) bool {
	return e.test == it.Test && (e.profiled && e.class.stock.profile.name == it.Profile || !e.profiled && it.Profile == "")
}

// group returns the item's group, or nil.
func (e *entry) group() *group {
	if !e.grouped {
		return nil
	}
	return e.bin.group
}

// open says whether the item is neither done nor abandoned.
func (e *entry) open() bool { return e.state <= begun }

// estimate is how long the item is expected to take.
func (e *entry) estimate() length {
	if e.length == unknown {
		return e.class.estimate
	}
	return e.length
}

// bin is where items wait that have something in common: those of a class that
// belong to no group, or those of a group.
//
// Only its best item, that which it would give next, stands for a bin on its
// shelf. So an item is in one heap only, and what is learned of a class moves
// one bin, however many of its items wait.
type bin struct {
	class *class // nil for a group
	group *group // nil for a class
	stock *stock

	known   refs // a class's items of known length
	listed  refs // its others, or all items of a group: as added
	waiting int  // items in the two that wait
	stale   int  // the others in the two

	best    int32  // the entry that the bin would give next
	rank    rank   // what that counts; a group's counts as the sum
	length  length // how long that is expected to take
	guessed bool   // that is an estimate
	unheard bool   // of a class of which nothing is known, and in which nobody was yet
	visited bool   // some worker was given an item of it, where the order asks for that

	shelf      *shelf // where it stands, or stood last
	at         uint64 // its place on its shelf, or nowhere
	level      int    // which of the levels' lists it is in, or none
	prev, next *bin   // in that
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

func (b *bin) place() uint64 { return b.at }

// open says whether anybody may have the bin's items, of which there are some.
func (b *bin) open() bool { return b.at != nowhere }

// guess is what the bin's place among the levels goes by: the estimate that a
// class's items of unknown length share, or the sum of a group.
func (b *bin) guess() length {
	if g := b.group; g != nil {
		return g.known + g.guessed
	}
	return b.class.estimate
}

// loose says whether the entry waits on its own account in the levels' lists.
func (q *Queue) loose(e *entry) bool {
	return e.length != unknown && !e.grouped && q.opts.Order != Listed
}

// put makes the entry wait in its bin.
func (q *Queue) put(at int32) {
	e := &q.entries[at]
	b := e.bin
	e.state, e.worker, e.asked = waiting, none, false
	q.counts.Waiting++
	b.waiting++
	if b.stock.waiting == 0 {
		q.balanced.segment = nil
	}
	b.stock.queued += e.estimate()
	b.stock.waiting++
	b.stock.profile.waiting++
	if e.length == unknown {
		e.class.idle++
	}
	if q.loose(e) {
		q.enlist(at)
	}
	switch {
	case e.filed:
		b.stale--
	case q.loose(e):
		b.known.push(refTo(rankOf(e.length), at))
	default:
		b.listed.push(refTo(0, at))
	}
	e.filed = true
	if g := b.group; g != nil {
		q.count(e, b)
		if g.owner != nil && b.waiting == 1 {
			g.owner.ready = append(g.owner.ready, b)
		}
	}
	q.rerank(b)
}

// count adds a waiting entry to its group's sum.
func (q *Queue) count(e *entry, b *bin) {
	if e.length != unknown {
		b.group.known += e.length
		return
	}
	q.guesses++
	b.group.guesses++
	b.group.guessed += e.class.estimate
	q.note(b)
}

// take is the inverse of put. The entry's ref goes from the bin now if it stands
// in front, else when it comes there.
func (q *Queue) take(e *entry) {
	b := e.bin
	q.counts.Waiting--
	b.waiting--
	b.stock.queued -= e.estimate()
	b.stock.waiting--
	b.stock.profile.waiting--
	if e.length == unknown {
		e.class.idle--
	}
	if q.loose(e) {
		q.delist(e)
	}
	b.stale++
	g := b.group
	switch {
	case g == nil:
	case e.length != unknown:
		g.known -= e.length
	default:
		q.guesses--
		g.guesses--
		g.guessed -= e.class.estimate
		if g.guesses == 0 {
			g.guessed = 0 // publish, which puts right what has changed since, passes the group over
		}
	}
}

// rerank finds out what the bin would give next and puts it where it belongs:
// nowhere if nothing waits in it, or if a worker owns it.
func (q *Queue) rerank(b *bin) {
	q.choose(b)
	if b.waiting == 0 || b.group != nil && b.group.owner != nil {
		b.relevel(none)
		if b.open() {
			b.shelf.remove(b)
		}
		return
	}
	if q.opts.Order == LongestFirst {
		level := none
		if len(b.listed) > 0 {
			level = levelOf(b.guess())
		}
		b.relevel(level)
	}
	to := b.home()
	if b.open() && b.shelf != to {
		b.shelf.remove(b)
	}
	b.shelf = to
	at := refTo(b.rank, b.best)
	if b.visited {
		at |= 1 << 31 // so that it is never mistaken for what it was when it was not
	}
	to.put(b, uint64(at))
}

// choose sets what the bin would give next.
func (q *Queue) choose(b *bin) {
	q.trim(b, &b.known)
	q.trim(b, &b.listed)
	if b.waiting == 0 {
		return
	}
	if len(b.listed) > 0 {
		b.best = b.listed[0].number()
	}
	switch {
	case q.opts.Order == Listed:
	case b.group != nil:
		b.length = b.guess()
		b.rank = rankOf(b.length)
	default:
		b.length, b.rank, b.guessed = b.class.estimate, rankOf(b.class.estimate), true
		if b.unheard = b.class.tally.n == 0 && !b.visited; b.unheard {
			b.rank = rankOf(b.length * surprise)
		}
		if len(b.listed) == 0 || len(b.known) > 0 && b.known[0] < refTo(b.rank, b.best) {
			b.best = b.known[0].number()
			b.length = q.entries[b.best].length
			b.rank, b.guessed = rankOf(b.length), false
		}
	}
}

// trim drops stale refs from the front of one of the bin's heaps.
func (q *Queue) trim(b *bin, h *refs) {
	for b.stale > 0 && len(*h) > 0 {
		e := &q.entries[(*h)[0].number()]
		if e.state == waiting {
			return
		}
		e.filed = false
		h.pop()
		b.stale--
	}
}
