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
	durations       []int64
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
	c := &columns{ids: make([]uint64, n), firsts: make([]uint64, n), starts: make([]int64, n), ends: make([]int64, n),
		tags: make([]int, n), listed: map[string]int{}}
	d.sums(c.ids)
	c.parents = d.uvarints(n)
	c.statuses, c.flags = d.take(n), d.take(n)
	c.attempts = d.uvarints(n)
	at := int64(0)
	for i, flags := range c.flags {
		if flags&testStart != 0 {
			at += d.varint()
			c.starts[i] = at
		}
	}
	for i, flags := range c.flags {
		if flags&testEnd != 0 {
			at += d.varint()
			c.ends[i] = at
		}
	}
	c.durations = make([]int64, n)
	for i := range c.durations {
		c.durations[i] = d.varint()
	}
	d.sums(c.firsts)
	c.lengths = d.uvarints(n)
	c.readTexts(&d)
	if d.bad || len(d.b) > 0 || !c.valid() {
		return nil, errors.New("columns of tests: can't be read")
	}
	return c, nil
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
func (c *columns) test(i int) event.Test {
	flags := c.flags[i]
	t := event.Test{
		Route:    c.texts[c.routes[i]],
		Status:   protocol.Status(c.statuses[i]),
		Open:     flags&testOpen != 0,
		Runnable: flags&testRunnable != 0,
		Asked:    flags&testAsked != 0,
		Tags:     c.lists[c.tags[i]],
		NotRun:   c.texts[c.reasons[i]],
		Attempts: int(c.attempts[i]),
		Duration: time.Duration(c.durations[i]),
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
	return t
}

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

// sums reads values that are stored as differences.
func (d *decoder) sums(column []uint64) {
	sum := uint64(0)
	for i := range column {
		sum += uint64(d.varint())
		column[i] = sum
	}
}
