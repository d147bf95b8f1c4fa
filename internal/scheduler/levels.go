package scheduler

import "math/bits"

// levels finds a waiting item of about a given length: those of like length
// stand in one list, eight lists to an octave. Items of known length stand in
// them themselves, linked through the entries; classes and groups whose items
// share an estimate stand in them once. What came first stands first.
type levels struct {
	items [levelCount]ends
	bins  [levelCount]*bin
	has   [levelCount / 64]uint64
}

// ends is the numbers of a list's first and last entry plus one, or 0.
type ends struct{ first, last int32 }

const levelCount = 512

// levelOf returns the number of the list for items of a length.
func levelOf(l length) int {
	if l < 8 {
		return int(max(l, 0))
	}
	exp := bits.Len64(uint64(l)) - 1
	return (exp-2)*8 + int(l>>(exp-3))&7
}

// below returns the highest level at or below n that has something, or none.
func (v *levels) below(n int) int {
	if n < 0 {
		return none
	}
	word := n / 64
	set := v.has[word] & (^uint64(0) >> (63 - n%64))
	for set == 0 {
		if word--; word < 0 {
			return none
		}
		set = v.has[word]
	}
	return word*64 + bits.Len64(set) - 1
}

func (v *levels) note(n int) {
	if v.items[n].first != 0 || v.bins[n] != nil {
		v.has[n/64] |= 1 << (n % 64)
	} else {
		v.has[n/64] &^= 1 << (n % 64)
	}
}

// enlist puts a waiting item of known length into its list.
func (q *Queue) enlist(at int32) {
	e := &q.entries[at]
	v := &e.class.stock.levels
	n := levelOf(e.length)
	l := &v.items[n]
	e.prev, e.next = l.last-1, none
	if e.prev != none {
		q.entries[e.prev].next = at
	} else {
		l.first = at + 1
	}
	l.last = at + 1
	v.note(n)
}

// delist takes it out.
func (q *Queue) delist(e *entry) {
	v := &e.class.stock.levels
	n := levelOf(e.length)
	l := &v.items[n]
	if e.next != none {
		q.entries[e.next].prev = e.prev
	} else {
		l.last = e.prev + 1
	}
	if e.prev != none {
		q.entries[e.prev].next = e.next
	} else {
		l.first = e.next + 1
	}
	e.prev, e.next = none, none
	v.note(n)
}

// relevel moves a bin to the list for its length, or to none.
func (b *bin) relevel(to int) {
	if b.level == to {
		return
	}
	v := &b.stock.levels
	if b.level != none {
		if b.next != nil {
			b.next.prev = b.prev
		}
		if b.prev != nil {
			b.prev.next = b.next
		} else {
			v.bins[b.level] = b.next
		}
		v.note(b.level)
	}
	b.level, b.prev, b.next = to, nil, nil
	if to != none {
		if b.next = v.bins[to]; b.next != nil {
			b.next.prev = b
		}
		v.bins[to] = b
		v.note(to)
	}
}

// fitting returns an item that is about as long as one of those that wait can
// be without being longer than limit: the number of its entry, or none.
func (q *Queue) fitting(s *stock, limit length) int32 {
	if limit < 0 {
		return none
	}
	v := &s.levels
	top := levelOf(limit)
	if at := q.within(v, top, limit); at != none {
		return at
	}
	if n := v.below(top - 1); n != none {
		return q.within(v, n, limit)
	}
	return none
}

// within looks for an item not longer than limit in one list. It doesn't look
// far.
func (q *Queue) within(v *levels, n int, limit length) int32 {
	const far = 8
	at := v.items[n].first - 1
	for tries := 0; at != none && tries < far; tries++ {
		if q.entries[at].length <= limit {
			return at
		}
		at = q.entries[at].next
	}
	b := v.bins[n]
	for tries := 0; b != nil && tries < far; tries++ {
		if b.guess() <= limit {
			return b.listed[0].number()
		}
		b = b.next
	}
	return none
}
