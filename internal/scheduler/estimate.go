package scheduler

import (
	"math"
	"slices"
	"strings"
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

// class is the tests whose ids agree up to the last dot, in one profile.
type class struct {
	tally    tally
	module   *tally
	estimate length // for those of its tests whose length is unknown
	open     length // how many of those are not settled
	bin      bin
}

// prefix names a class, a module or a group of a profile.
type prefix struct {
	profile, name string
}

// estimates is what the queue knows and learns of lengths.
type estimates struct {
	all     tally
	modules map[prefix]*tally
	classes map[prefix]*class
	left    length // sum of the estimates of all that is not settled

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
		modules:    make(map[prefix]*tally),
		classes:    make(map[prefix]*class),
		generation: 1,
	}
}

// classOf returns the item's class. Ids are anything at all; one without a dot
// belongs to the class "".
func (s *estimates) classOf(it Item) *class {
	key := prefix{it.Profile, beforeDot(it.Test)}
	c := s.classes[key]
	if c != nil {
		return c
	}
	outer := prefix{it.Profile, beforeDot(key.name)}
	m := s.modules[outer]
	if m == nil {
		m = &tally{mean: unknown}
		s.modules[outer] = m
	}
	c = &class{module: m}
	c.bin.class, c.bin.pos = c, none
	c.estimate = s.inherited(c)
	s.classes[key] = c
	s.bare = append(s.bare, c)
	return c
}

// beforeDot returns what stands before the last dot, or "".
func beforeDot(id string) string {
	return id[:max(strings.LastIndexByte(id, '.'), 0)]
}

// inherited is the estimate of a class of which nothing is known.
func (s *estimates) inherited(c *class) length {
	for _, t := range []*tally{c.module, &s.all} {
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
	s.left += (to - c.estimate) * c.open
	c.estimate = to
}

// open counts an entry that is not settled and learns its known length.
func (q *Queue) open(e *entry) {
	if e.length == unknown {
		e.class.open++
		q.left += e.class.estimate
		return
	}
	q.left += e.length
	q.learn(e.class, e.length, 1)
}

// close counts the entry as settled.
func (q *Queue) close(e *entry) {
	q.left -= e.estimate()
	if e.length == unknown {
		e.class.open--
	}
}

// learn adds to the sum and the number of the lengths known of a class. The
// class goes by its new mean at once; those who go by what is known of others,
// when it is their turn.
func (q *Queue) learn(c *class, sum, n length) {
	for _, t := range []*tally{&c.tally, c.module, &q.all} {
		t.sum += sum
		t.n += n
	}
	q.learned++
	q.setEstimate(c, c.tally.sum/c.tally.n)
	if c.bin.pos != none {
		q.rerank(&c.bin)
	}
	// Publishing looks at every class without numbers and at every guess in a
	// group. It is due when what was learned since pays for that, or when there
	// is twice as much to go by, as again and again at the start of a first run.
	since := q.learned - q.published
	if since*4 >= len(q.bare)+q.guesses || since >= q.published {
		q.publish()
	}
}

// publish begins a generation: it brings up to date what is estimated from
// other classes, and the sums of groups.
func (q *Queue) publish() {
	q.published = q.learned
	q.generation++
	q.bare = slices.DeleteFunc(q.bare, func(c *class) bool { return c.tally.n > 0 })
	q.noted = slices.DeleteFunc(q.noted, func(b *bin) bool {
		b.group.noted = b.group.guesses > 0
		return !b.group.noted
	})
	// Few changes are put right one by one, many all at once.
	many := len(q.bare)+len(q.noted) > len(q.bins)/8
	changed := func(b *bin) {
		if b.pos == none {
			return
		}
		q.choose(b)
		if !many {
			q.bins.fix(b.pos)
		}
	}
	for _, c := range q.bare {
		q.setEstimate(c, q.inherited(c))
		changed(&c.bin)
	}
	for _, b := range q.noted {
		q.guess(b)
		changed(b)
	}
	if many {
		q.bins.build()
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
		if e := &q.entries[r.at]; e.length == unknown && e.state != gone {
			b.group.guessed += e.class.estimate
		}
	}
}

// learnRun learns how long an entry took in this run, which takes the place of
// what was known of it.
func (q *Queue) learnRun(e *entry, took time.Duration) {
	if e.length == unknown {
		q.learn(e.class, lengthOf(took), 1)
	} else {
		q.learn(e.class, lengthOf(took)-e.length, 0)
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
