package repo

import (
	"encoding/binary"
	"errors"
	"time"

	"testr/internal/event"
	"testr/internal/protocol"
)

// blockTests is how many tests' columns are stored as one value.
const blockTests = 1 << 14

// The bits of a test that stand in one column.
const (
	testOpen = 1 << iota
	testRunnable
	testAsked
	testTimed
	testMeasured
	testStart
	testEnd

	testAll = 1<<iota - 1
)

// encodeTests returns tests as columns. num has the numbers of their ids and of
// their parents'.
func encodeTests(tests []*event.Test, num numbers) []byte {
	dst := binary.AppendUvarint(nil, uint64(len(tests)))
	column := func(put func(t *event.Test)) {
		for _, t := range tests {
			put(t)
		}
	}
	number := int64(0)
	column(func(t *event.Test) {
		n := int64(num[t.ID])
		dst = binary.AppendVarint(dst, n-number)
		number = n
	})
	column(func(t *event.Test) { dst = binary.AppendUvarint(dst, num[t.ParentID]) })
	column(func(t *event.Test) { dst = append(dst, byte(t.Status)) })
	column(func(t *event.Test) { dst = append(dst, testFlags(t)) })
	column(func(t *event.Test) { dst = binary.AppendUvarint(dst, uint64(t.Attempts)) })
	at := int64(0)
	column(func(t *event.Test) { dst, at = appendTime(dst, t.Start, at) })
	column(func(t *event.Test) { dst, at = appendTime(dst, t.End, at) })
	column(func(t *event.Test) { dst = binary.AppendVarint(dst, int64(t.Duration)) })
	seq := uint64(0)
	column(func(t *event.Test) {
		dst = binary.AppendVarint(dst, int64(t.FirstSeq-seq))
		seq = t.FirstSeq
	})
	column(func(t *event.Test) { dst = binary.AppendUvarint(dst, t.LastSeq-t.FirstSeq) })
	var texts table
	column(func(t *event.Test) { dst = binary.AppendUvarint(dst, texts.index(t.Route)) })
	column(func(t *event.Test) { dst = binary.AppendUvarint(dst, texts.index(t.NotRun)) })
	column(func(t *event.Test) {
		dst = binary.AppendUvarint(dst, uint64(len(t.Tags)))
		for _, tag := range t.Tags {
			dst = binary.AppendUvarint(dst, texts.index(tag))
		}
	})
	dst = binary.AppendUvarint(dst, uint64(len(texts.list)))
	for _, s := range texts.list {
		dst = appendString(dst, s)
	}
	return dst
}

func testFlags(t *event.Test) byte {
	flags := byte(0)
	for i, on := range []bool{t.Open, t.Runnable, t.Asked, t.Timed, t.Measured, !t.Start.IsZero(), !t.End.IsZero()} {
		if on {
			flags |= 1 << i
		}
	}
	return flags
}

// appendTime appends how much later t is than the time before, at.
func appendTime(dst []byte, t time.Time, at int64) ([]byte, int64) {
	if t.IsZero() {
		return dst, at
	}
	now := t.UnixNano()
	return binary.AppendVarint(dst, now-at), now
}

// table numbers the texts that many tests share.
type table struct {
	list []string
	at   map[string]uint64
}

func (x *table) index(s string) uint64 {
	if i, ok := x.at[s]; ok {
		return i
	}
	if x.at == nil {
		x.at = map[string]uint64{}
	}
	i := uint64(len(x.list))
	x.at[s] = i
	x.list = append(x.list, s)
	return i
}

// columns are decoded columns: tests that lack their ids and texts.
type columns struct {
	tests   []*event.Test
	ids     []uint64
	parents []uint64
}

// decodeTests is the inverse of encodeTests.
func decodeTests(raw []byte) (*columns, error) {
	d := decoder{b: raw}
	n := d.uvarint()
	if d.bad || n > blockTests || n > uint64(len(raw)) {
		return nil, errors.New("columns of tests: bad count")
	}
	c := &columns{ids: make([]uint64, n), parents: make([]uint64, n), tests: make([]*event.Test, n)}
	all := make([]event.Test, n)
	number := int64(0)
	for i := range all {
		c.tests[i] = &all[i]
		number += d.varint()
		c.ids[i] = uint64(number)
	}
	for i := range all {
		c.parents[i] = d.uvarint()
	}
	c.numbers(&d)
	c.texts(&d)
	if d.bad || len(d.b) > 0 {
		return nil, errors.New("columns of tests: can't be read")
	}
	return c, nil
}

// numbers reads the columns of numbers, times and flags.
func (c *columns) numbers(d *decoder) {
	for _, t := range c.tests {
		t.Status = protocol.Status(d.byte())
		d.bad = d.bad || t.Status > protocol.StatusXFail
	}
	flags := make([]byte, len(c.tests))
	for i, t := range c.tests {
		flags[i] = d.byte()
		d.bad = d.bad || flags[i]&^testAll != 0
		t.Open, t.Runnable, t.Asked = flags[i]&testOpen != 0, flags[i]&testRunnable != 0, flags[i]&testAsked != 0
		t.Timed, t.Measured = flags[i]&testTimed != 0, flags[i]&testMeasured != 0
	}
	for _, t := range c.tests {
		t.Attempts = int(d.uvarint())
	}
	at := int64(0)
	for i, t := range c.tests {
		if flags[i]&testStart != 0 {
			at += d.varint()
			t.Start = time.Unix(0, at).UTC()
		}
	}
	for i, t := range c.tests {
		if flags[i]&testEnd != 0 {
			at += d.varint()
			t.End = time.Unix(0, at).UTC()
		}
	}
	for _, t := range c.tests {
		t.Duration = time.Duration(d.varint())
	}
	seq := uint64(0)
	for _, t := range c.tests {
		seq += uint64(d.varint())
		t.FirstSeq = seq
	}
	for _, t := range c.tests {
		t.LastSeq = t.FirstSeq + d.uvarint()
	}
}

// texts reads the columns of texts and the table that they point into.
func (c *columns) texts(d *decoder) {
	routes, reasons := make([]uint64, len(c.tests)), make([]uint64, len(c.tests))
	tags := make([][]uint64, len(c.tests))
	for i := range routes {
		routes[i] = d.uvarint()
	}
	for i := range reasons {
		reasons[i] = d.uvarint()
	}
	for i := range tags {
		n := d.uvarint()
		if n > uint64(len(d.b)) {
			d.bad = true
			return
		}
		for range n {
			tags[i] = append(tags[i], d.uvarint())
		}
	}
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.bad = true
		return
	}
	list := make([]string, n)
	for i := range list {
		list[i] = d.string()
	}
	text := func(i uint64) string {
		if i >= n {
			d.bad = true
			return ""
		}
		return list[i]
	}
	for i, t := range c.tests {
		t.Route, t.NotRun = text(routes[i]), text(reasons[i])
		for _, tag := range tags[i] {
			t.Tags = append(t.Tags, text(tag))
		}
	}
}
