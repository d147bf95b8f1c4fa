package scheduler

import (
	"slices"
	"time"
)

// Item is a piece of work: a test under a profile.
type Item struct {
	Test    string
	Profile string
}

// State is what Next says of the worker's future.
type State uint8

// The states.
const (
	// StateInvalid is never returned.
	StateInvalid State = iota
	// Have comes with at least one item.
	Have
	// Wait means nothing now, perhaps later: items may still be added, given
	// back or freed.
	Wait
	// Done means that nothing will ever come for this worker.
	Done
	// Change means that nothing more will come for this worker before it was
	// lost, and then perhaps something of another profile.
	Change
)

var stateNames = [...]string{"invalid", "have", "wait", "done", "change"}

// String returns the state's name.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return stateNames[0]
}

// Order is the order in which items are handed out.
type Order uint8

const (
	// LongestFirst hands out first what is expected to take longest, so that
	// no long test is left for the end. What is equally long stays with the
	// worker that runs its class already, else goes in the order of adding.
	LongestFirst Order = iota
	// Listed hands out in the order of adding, whatever the durations: for a
	// single worker, which longest first gains nothing, and for an order that
	// was made before.
	Listed
)

// defaultAttempts is MaxAttempts where that is zero.
const defaultAttempts = 3

// Options say how a Queue works. The zero value serves no worker.
type Options struct {
	// Workers is how many workers may ask. They are numbered from 0.
	Workers int
	// Profiles names the profiles that a worker can run; the answer nil means
	// all. Nil means that all can run all.
	Profiles func(worker int) []string
	// Group names the group of an item. The items of a group and a profile go
	// to one worker, in the order of adding; "" means alone. Nil means that
	// there are no groups.
	Group func(Item) string
	// Estimate tells how long an item took in earlier runs, and false where
	// that is not known. Nil means that nothing is known.
	Estimate func(Item) (time.Duration, bool)
	// Order is the order of handing out.
	Order Order
	// Segment is the number of the segment of an item. Segments are handed out
	// one after another, from 0 up: each to its end before the next. Nil means
	// that all items are in segment 0.
	Segment func(Item) int
	// Concurrency is how many workers may have items of a segment at a time, by
	// its number; 0, and one that is not there, means any number.
	Concurrency []int
	// MaxAttempts is how often an item that had not begun may be taken back
	// from lost workers; once more, and it is abandoned. Zero means 3.
	MaxAttempts int
}

// Queue hands out items to workers. See the package comment for the rules of
// its use.
type Queue struct {
	opts    Options
	listed  bool // ListingDone was called
	epoch   time.Time
	counts  Counts
	entries []entry
	index   index
	workers []worker

	opened   bool       // see Opened
	segments []*segment // by number
	first    int        // before it none has open items
	classes  []*class   // by number
	modules  []*module  // by number
	groups   map[prefix]*bin
	profiles []*profile // by number
	room     []candidate

	estimates
	crew
	balanced balanced
	plan     plan
}

// Counts says how many items are in which state. Items that were removed are
// in none.
type Counts struct {
	Waiting   int // no worker has it
	Sent      int // a worker has it and has not begun it
	Begun     int // a worker runs it
	Done      int // it has finished, or was lost with the worker that ran it
	Abandoned int // taken back from lost workers too often
}

// Remaining is how many items are neither done nor abandoned.
func (c Counts) Remaining() int { return c.Waiting + c.Sent + c.Begun }

// New returns an empty queue.
func New(opts Options) *Queue {
	if opts.MaxAttempts == 0 {
		opts.MaxAttempts = defaultAttempts
	}
	q := &Queue{
		opts:      opts,
		index:     newIndex(),
		workers:   make([]worker, max(opts.Workers, 0)),
		groups:    make(map[prefix]*bin),
		estimates: newEstimates(),
	}
	for i := range q.workers {
		w := &q.workers[i]
		w.number, w.first, w.last, w.speed = i, none, none, 1
		var names []string
		if opts.Profiles != nil {
			names = opts.Profiles(i)
		}
		w.team = q.team(names)
		q.enter(w)
	}
	return q
}

// Add puts items at the end of the listing. It may be called while the run
// goes on, until ListingDone. Items that the queue has or had already are
// ignored and returned, in order; an item that was removed is new again.
func (q *Queue) Add(items ...Item) (duplicates []Item) {
	q.entries = slices.Grow(q.entries, len(items))
	q.grow(len(items))
	for _, it := range items {
		slot := q.place(it)
		if q.index.slots[slot] > 0 {
			duplicates = append(duplicates, it)
			continue
		}
		at := int32(len(q.entries))
		q.index.slots[slot] = at + 1
		q.index.used++
		q.entries = append(q.entries, q.newEntry(it))
		q.open(&q.entries[at])
		q.put(at)
	}
	q.stale()
	return duplicates
}

// newEntry finds the segment, class and group of an item and its known length.
func (q *Queue) newEntry(it Item) entry {
	var seg *segment
	if q.opts.Segment != nil {
		seg = q.segment(q.opts.Segment(it))
	} else {
		seg = q.segment(0)
	}
	s := q.stock(seg, q.profile(it.Profile))
	e := entry{test: it.Test, worker: none, prev: none, next: none, length: unknown, profiled: it.Profile != ""}
	e.class = q.classOf(s, it)
	e.bin = &e.class.bin
	if q.opts.Group != nil {
		if name := q.opts.Group(it); name != "" {
			e.grouped, e.bin = true, q.groupOf(s, name)
		}
	}
	if q.opts.Estimate != nil {
		if d, ok := q.opts.Estimate(it); ok {
			e.length = lengthOf(d)
		}
	}
	return e
}

func (q *Queue) groupOf(s *stock, name string) *bin {
	key := prefix{s.profile.name, name, s.segment.number}
	b := q.groups[key]
	if b == nil {
		b = &bin{group: new(group), stock: s, at: nowhere, level: none}
		q.groups[key] = b
	}
	return b
}

// Remove takes out those of items that no worker has, as if they had never
// been added, and returns them: ids remembered from an earlier run that the
// listing lacks. Items that a worker has stay its own.
func (q *Queue) Remove(items ...Item) (removed []Item) {
	for _, it := range items {
		at := q.find(it)
		if at == none || q.entries[at].state != waiting {
			continue
		}
		e := &q.entries[at]
		q.drop(it)
		q.close(e)
		q.take(e)
		e.state = gone
		q.rerank(e.bin)
		removed = append(removed, it)
	}
	q.stale()
	return removed
}

// ListingDone says that nothing more will be added of these profiles, or of any
// if none is named. Next may answer Done or Change then to those that can run no
// others; and hand out items of later segments once no name was given.
func (q *Queue) ListingDone(profiles ...string) {
	for _, name := range profiles {
		q.profile(name).listed = true
	}
	if len(profiles) > 0 {
		return
	}
	q.listed = true
	for _, p := range q.profiles {
		p.listed = true
	}
}

// Counts returns how many items are in which state.
func (q *Queue) Counts() Counts { return q.counts }

// Left returns how many items of a profile nobody has, somebody has and has not
// begun, and somebody has begun.
func (q *Queue) Left(profile string) (waiting, sent, begun int) {
	for _, p := range q.profiles {
		if p.name == profile {
			return p.waiting, p.sent, p.open - p.waiting - p.sent
		}
	}
	return 0, 0, 0
}

// Outstanding returns the items that are neither done nor abandoned, in the
// order of adding. It looks at every item.
func (q *Queue) Outstanding() []Item {
	var out []Item
	for i := range q.entries {
		if e := &q.entries[i]; e.open() {
			out = append(out, e.item())
		}
	}
	return out
}
