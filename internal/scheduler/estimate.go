package scheduler

import (
	"math"
	"slices"
	"time"
)

// length is a duration in microseconds. Finer differences mean nothing for the
// order, and a million tests of a day each can still be summed.
type length int64

const (
	// unknown is the length of a test that no earlier run has measured.
	unknown length = -1
	// longest is what a single test counts at most.
	longest = 24 * time.Hour
	// neutral is the estimate while no length at all is known. All tests are
	// equal then; groups count by their size.
	neutral = length(100 * time.Millisecond / time.Microsecond)
)

func lengthOf(d time.Duration) length {
	return length(min(max(d, 0), longest) / time.Microsecond)
}

// rank is a length in steps of 16 ms, as which it counts in the order. What
// differs by less than durations do from run to run counts as equally long, so
// that the tests of a class stay in the order of the listing where nothing
// speaks against it.
type rank uint64

// highest is the rank of all that is longer than a day or so.
const highest rank = 1<<24 - 1

func rankOf(l length) rank { return min(rank(l>>14), highest) }

// surprise is as how much longer than its module's tests one counts of a class
// of which nothing is known: it goes first, so that this is found out while
// there is time to do something about it.
const surprise = 16

// tally is what is known of the lengths of a class, of a module or of all
// tests: one number a test, that of this run once it has finished.
type tally struct {
	sum, n length
	// mean is what those who have no numbers of their own go by in one
	// generation, or unknown. It stays the same until the next one, so that
	// the equal stay equal.
	mean       length
	generation int
}

// class is the tests of a class in one profile and one segment: of a stock.
type class struct {
	tally    tally
	outer    *tally // of its module
	estimate length // for those of its tests whose length is unknown
	open     int32  // how many of those are not settled
	idle     int32  // how many of those wait
	number   int32
	teacher  int32 // the only worker that has taught what is known of it, or nobody or several
	stock    *stock
	module   *module
	bin      bin
}

// Teachers of a class that are no worker.
const (
	nobody  = -1
	several = -2
)

// prefix names a class, a module or a group.
type prefix struct {
	profile, name string
	segment       int
}

// estimates is what the queue knows and learns of lengths.
type estimates struct {
	all       tally
	tallies   map[prefix]*tally // of modules, with segment 0
	moduleIDs map[prefix]*module
	classIDs  map[prefix]*class
	left      length // sum of the estimates of all that is not settled

	learned    int // how often a tally changed
	published  int // learned when the generation began
	generation int
	bare       []*class // those without numbers, and some that have had them since the last publish
	noted      []*bin   // groups in which items of unknown length wait, and some in which none does any more
	guesses    int      // how many items wait in them
}

func newEstimates() estimates {
	return estimates{
		all:        tally{mean: unknown},
		tallies:    make(map[prefix]*tally),
		moduleIDs:  make(map[prefix]*module),
		classIDs:   make(map[prefix]*class),
		generation: 1,
	}
}

// classOf returns the class of an item of the stock.
func (q *Queue) classOf(s *stock, it Item) *class {
	name, outer := splitID(it.Test)
	key := prefix{it.Profile, name, s.segment.number}
	c := q.classIDs[key]
	if c != nil {
		return c
	}
	c = &class{number: int32(len(q.classes)), stock: s, module: q.moduleOf(s, outer)}
	c.teacher, c.outer = nobody, c.module.tally
	c.bin = bin{class: c, stock: s, at: nowhere, level: none}
	c.estimate = q.inherited(c)
	q.classIDs[key] = c
	q.classes = append(q.classes, c)
	q.bare = append(q.bare, c)
	return c
}

// moduleOf returns a module in a stock.
func (q *Queue) moduleOf(s *stock, name string) *module {
	key := prefix{s.profile.name, name, s.segment.number}
	m := q.moduleIDs[key]
	if m != nil {
		return m
	}
	key.segment = 0
	t := q.tallies[key]
	if t == nil {
		t = &tally{mean: unknown}
		q.tallies[key] = t
	}
	key.segment = s.segment.number
	m = new(module)
	*m = s.newModule(int32(len(q.modules)), t)
	q.moduleIDs[key] = m
	q.modules = append(q.modules, m)
	return m
}

// inherited is the estimate of a class of which nothing is known.
func (s *estimates) inherited(c *class) length {
	for _, t := range []*tally{c.outer, &s.all} {
		if t.generation != s.generation {
			t.generation = s.generation
			if t.n > 0 {
				t.mean = t.sum / t.n
			}
		}
		if t.mean != unknown {
			return t.mean
		}
	}
	return neutral
}

// setEstimate changes the estimate of the class's tests of unknown length.
func (s *estimates) setEstimate(c *class, to length) {
	s.left += (to - c.estimate) * length(c.open)
	c.stock.queued += (to - c.estimate) * length(c.idle)
	c.estimate = to
}

// reestimate changes the estimate of the class's tests of unknown length, and
// the place of its bin if that depends on it.
func (q *Queue) reestimate(c *class, to length) {
	from, b := c.estimate, &c.bin
	q.setEstimate(c, to)
	switch {
	case c.open == 0 || len(b.listed) == 0:
	case b.unheard || rankOf(from) != rankOf(to) || levelOf(from) != levelOf(to):
		q.rerank(b)
	case b.guessed:
		b.length = to
	}
}

// open counts an entry that is not settled and learns its known length.
func (q *Queue) open(e *entry) {
	q.unsettle(e)
	if e.length != unknown {
		e.class.teacher = several
		q.learn(e.class, e.length, 1)
	}
}

// unsettle counts an entry that is not settled, or not any more.
func (q *Queue) unsettle(e *entry) {
	q.left += e.estimate()
	e.class.stock.segment.open++
	e.class.stock.profile.open++
	if e.length == unknown {
		e.class.open++
	}
	q.reopen(e.class.stock.segment)
}

// close counts the entry as settled.
func (q *Queue) close(e *entry) {
	q.left -= e.estimate()
	s := e.class.stock.segment
	s.open--
	q.opened = q.opened || s.open == 0
	e.class.stock.profile.open--
	if e.length == unknown {
		e.class.open--
	}
}

// learn adds to the sum and the number of the lengths known of a class. The
// class goes by its new mean at once; those who go by what is known of others,
// when it is their turn.
func (q *Queue) learn(c *class, sum, n length) {
	for _, t := range []*tally{&c.tally, c.outer, &q.all} {
		t.sum += sum
		t.n += n
	}
	q.learned++
	q.reestimate(c, c.tally.sum/c.tally.n)
	// Publishing looks at every class without numbers and at every guess in a
	// group. It is due when what was learned since pays for that, or when there
	// is twice as much to go by, and later eight times, as again and again at the
	// start of a first run.
	const little, early = 16, 64
	since := q.learned - q.published
	if since*2+little >= len(q.bare)+q.guesses || since >= 7*q.published || since >= q.published && since < early {
		q.publish()
	}
}

// publish begins a generation: it brings up to date what is estimated from
// other classes, and the sums of groups.
func (q *Queue) publish() {
	q.published = q.learned
	q.generation++
	q.bare = slices.DeleteFunc(q.bare, func(c *class) bool {
		if c.tally.n > 0 {
			return true
		}
		if l := q.inherited(c); l != c.estimate {
			q.reestimate(c, l)
		}
		return false
	})
	q.noted = slices.DeleteFunc(q.noted, func(b *bin) bool {
		b.group.noted = b.group.guesses > 0
		return !b.group.noted
	})
	for _, b := range q.noted {
		q.guess(b)
		q.rerank(b)
	}
}

// note has publish look at a group.
func (q *Queue) note(b *bin) {
	if !b.group.noted {
		b.group.noted = true
		q.noted = append(q.noted, b)
	}
}

// guess sums the estimates of a group's items of unknown length anew.
func (q *Queue) guess(b *bin) {
	b.group.guessed = 0
	for _, r := range b.listed {
		if e := &q.entries[r.number()]; e.length == unknown && e.state == waiting {
			b.group.guessed += e.class.estimate
		}
	}
}

// learnRun learns how long an entry took in this run, which takes the place of
// what was known of it.
func (q *Queue) learnRun(e *entry, w *worker, took length) {
	if c := e.class; c.teacher == nobody {
		c.teacher = int32(w.number)
	} else if c.teacher != int32(w.number) {
		c.teacher = several
	}
	if e.length == unknown {
		q.learn(e.class, took, 1)
	} else {
		q.learn(e.class, took-e.length, 0)
	}
}

// EstimatedRemaining is how long the items that are neither done nor abandoned
// would take one after another; those that have begun count whole. It is 0
// while nothing is known of any duration.
func (q *Queue) EstimatedRemaining() time.Duration {
	if q.all.n == 0 {
		return 0
	}
	return time.Duration(min(q.left, math.MaxInt64/length(time.Microsecond))) * time.Microsecond
}
