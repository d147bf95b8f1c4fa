package repo

import (
	"encoding/binary"
	"errors"
	"time"

	"testr/internal/event"
	"testr/internal/protocol"
)

// columns are decoded columns of tests. Column by column they are a tenth of
// what the tests are that can be made of them.
type columns struct {
	ids, parents    []uint64 // numbers
	statuses, flags []byte
	attempts        []uint64
	starts, ends    []int64
	durations       []uint64 // with signs: see duration
	firsts, lengths []uint64
	routes, reasons []uint64 // places in texts
	tags            []int    // places in lists
	texts           []string
	lists           [][]string
	listed          map[string]int // while they are read: the lists as they are stored
}

// decodeTests is the inverse of encodeTests, but that tests have numbers instead
// of ids.
func decodeTests(raw []byte) (*columns, error) {
	d := decoder{b: raw}
	count := d.uvarint()
	if d.bad || count > blockTests || count > uint64(len(raw)) {
		return nil, errors.New("columns of tests: bad count")
	}
	n := int(count)
	c := &columns{tags: make([]int, n), listed: map[string]int{}}
	c.ids = d.sums(n)
	c.parents = d.uvarints(n)
	c.statuses, c.flags = d.take(n), d.take(n)
	c.attempts = d.uvarints(n)
	at := int64(0)
	c.starts, at = c.times(&d, testStart, at)
	c.ends, _ = c.times(&d, testEnd, at)
	c.durations = d.uvarints(n)
	c.firsts = d.sums(n)
	c.lengths = d.uvarints(n)
	c.readTexts(&d)
	if d.bad || len(d.b) > 0 || !c.valid() {
		return nil, errors.New("columns of tests: can't be read")
	}
	return c, nil
}

// times reads the column of times that those tests have that the flag says; at
// is the time before.
func (c *columns) times(d *decoder, flag byte, at int64) (times []int64, last int64) {
	n := 0
	for _, flags := range c.flags {
		if flags&flag != 0 {
			n++
		}
	}
	steps := d.uvarints(n)
	times = make([]int64, len(c.flags))
	for i, flags := range c.flags {
		if flags&flag != 0 {
			at += signed(steps[0])
			times[i], steps = at, steps[1:]
		}
	}
	return times, at
}

// readTexts reads the columns of texts and the table that they point into.
func (c *columns) readTexts(d *decoder) {
	c.routes, c.reasons = d.uvarints(len(c.ids)), d.uvarints(len(c.ids))
	var lists [][]uint64
	for i := range c.tags {
		from := d.b
		list := d.uvarints(d.length())
		key := from[:len(from)-len(d.b)]
		at, ok := c.listed[string(key)]
		if !ok {
			at = len(lists)
			lists, c.listed[string(key)] = append(lists, list), at
		}
		c.tags[i] = at
	}
	c.texts = make([]string, d.length())
	for i := range c.texts {
		c.texts[i] = d.string()
	}
	for _, list := range lists {
		var tags []string
		for _, at := range list {
			if at >= uint64(len(c.texts)) {
				d.bad = true
				return
			}
			tags = append(tags, c.texts[at])
		}
		c.lists = append(c.lists, tags)
	}
}

// valid reports whether every test can be made.
func (c *columns) valid() bool {
	texts := uint64(len(c.texts))
	for i := range c.ids {
		if c.statuses[i] > byte(protocol.StatusXFail) || c.flags[i]&^testAll != 0 ||
			c.routes[i] >= texts || c.reasons[i] >= texts {
			return false
		}
	}
	return true
}

// test makes the test of a row, without its ids. Tests share lists of tags.
func (c *columns) test(i int, t *event.Test) {
	flags := c.flags[i]
	*t = event.Test{
		Route:    c.texts[c.routes[i]],
		Status:   protocol.Status(c.statuses[i]),
		Open:     flags&testOpen != 0,
		Runnable: flags&testRunnable != 0,
		Asked:    flags&testAsked != 0,
		Tags:     c.lists[c.tags[i]],
		NotRun:   c.texts[c.reasons[i]],
		Attempts: int(c.attempts[i]),
		Duration: c.duration(i),
		Timed:    flags&testTimed != 0,
		Measured: flags&testMeasured != 0,
		FirstSeq: c.firsts[i],
		LastSeq:  c.firsts[i] + c.lengths[i],
	}
	if flags&testStart != 0 {
		t.Start = time.Unix(0, c.starts[i]).UTC()
	}
	if flags&testEnd != 0 {
		t.End = time.Unix(0, c.ends[i]).UTC()
	}
}

func (c *columns) duration(i int) time.Duration { return time.Duration(signed(c.durations[i])) }

// signed is what binary.AppendVarint wrote, read as a value without a sign.
func signed(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }

// length reads how many values follow, each of a byte at least.
func (d *decoder) length() int {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.bad = true
		return 0
	}
	return int(n)
}

// uvarints reads n values.
func (d *decoder) uvarints(n int) []uint64 {
	if n == 0 {
		return nil
	}
	column, b := make([]uint64, n), d.b
	for i := range column {
		v, size := binary.Uvarint(b)
		if size <= 0 {
			d.bad = true
			return column
		}
		column[i], b = v, b[size:]
	}
	d.b = b
	return column
}

// sums reads n values that are stored as differences.
func (d *decoder) sums(n int) []uint64 {
	column := d.uvarints(n)
	sum := uint64(0)
	for i, step := range column {
		sum += uint64(signed(step))
		column[i] = sum
	}
	return column
}
