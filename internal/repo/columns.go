package repo

import (
	"encoding/binary"
	"time"

	"testr/internal/event"
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

// block returns the columns of the block of tests that begins with the place first.
func (s *share) block(first int) []byte {
	end := min(first+blockTests, len(s.tests))
	return encodeTests(s.tests[first:end], s.numbers[first:end], s.parents[first:end])
}

// encodeTests returns tests as columns, with the numbers of their ids and of their
// parents' instead of these.
func encodeTests(tests []*event.Test, ids, parents []uint64) []byte {
	const most = 32 // octets that a test takes, as a rule
	dst := binary.AppendUvarint(make([]byte, 0, most*(1+len(tests))), uint64(len(tests)))
	column := func(put func(t *event.Test)) {
		for _, t := range tests {
			put(t)
		}
	}
	number := uint64(0)
	for _, n := range ids {
		dst = binary.AppendVarint(dst, int64(n-number))
		number = n
	}
	for _, n := range parents {
		dst = binary.AppendUvarint(dst, n)
	}
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
