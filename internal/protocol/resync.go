package protocol

import (
	"bytes"
	"hash/crc32"
)

// verdict is what can be said of a candidate by itself.
type verdict uint8

const (
	none verdict = iota // no packet
	good                // a whole packet
	void                // a packet by its checksum, and its fields are wrong
	open                // not whole; what has come contradicts nothing
)

// The kinds of search for a good packet.
const (
	anywhere = iota // in what was a packet: each signature counts
	inText          // in what may be text: none that stands in a character
)

// probedTags is how many tags of a candidate are looked at before its checksum:
// enough to refute what is no packet, and a constant.
const probedTags = 32

// candidate decides on the candidate at the beginning of held, or waits.
func (r *Reader) candidate(held []byte, at phase) (decided bool, p *Packet, err error) {
	length, reason := header(held)
	switch {
	case reason != "":
		return true, nil, r.damage(held, 1, reason)
	case length == 0 || length > len(held):
		err = r.unfinished(held, length, at)
		return err != nil, nil, err
	}
	if !r.badSum {
		b := held[:length]
		if r.checksum(held, length) == storedSum(b) {
			var l layout
			if f := l.check(b); f != (fault{}) {
				return true, nil, r.damage(held, length, f.reason())
			}
			return true, r.packet(held, &l, length), nil
		}
		r.badSum = true
	}
	err = r.damaged(held, length, at)
	return err != nil, nil, err
}

// weak judges the candidate held[i], which ends a character of the text. It is
// text unless it is a good packet behind a character that was cut off; text has
// to appear, so it is not waited for when nothing comes or when a packet follows
// that can't be content of its file.
func (r *Reader) weak(held []byte, i int, at phase) verdict {
	switch v, _ := r.probe(held, i); v {
	case good:
		return good
	case open:
		if at != flowing {
			return none
		}
		g, v := r.find(held, i+1, len(held), inText, at)
		if v != good || contentOf(held[i:]).holds(g-i) {
			return open
		}
	}
	return none
}

// unfinished returns the damage that is a candidate of which the end has not
// come, or nil to wait.
func (r *Reader) unfinished(held []byte, length int, at phase) error {
	if f := contradiction(held); f != (fault{}) {
		// Its length may be right all the same, and tell what belongs to it.
		_, v := r.find(held, 1, len(held), inText, flowing)
		if at == flowing && v != good {
			return nil
		}
		return r.damage(held, 1, f.reason())
	}
	r.want = length
	if at == flowing {
		return nil
	}
	g, v := r.find(held, 1, len(held), anywhere, at)
	switch {
	case v == good:
		return r.damage(held, g, "packet breaks off")
	case at == ended:
		return r.damage(held, len(held), "stream ends within a packet")
	}
	return nil
}

// contentOf tells where the content of the unfinished candidate at the
// beginning of b is, if that is known.
func contentOf(b []byte) span {
	length, _ := header(b)
	if length == 0 {
		return span{}
	}
	var l layout
	l.walk(b, length, probedTags)
	return l.content
}

// contradiction tells what is wrong with the lengths in the candidate at the
// beginning of b, as far as it has come.
func contradiction(b []byte) fault {
	length, _ := header(b)
	if length == 0 {
		return fault{}
	}
	var l layout
	return l.walk(b[:min(length, len(b))], length, probedTags)
}

// checksum hashes the candidate at the beginning of held, in one go if it is
// in no part that was hashed in vain before.
func (r *Reader) checksum(held []byte, length int) uint32 {
	if r.sums.covers(r.win.off) {
		return r.sums.checksum(held, 0, length-sumSize)
	}
	sum := crc32.ChecksumIEEE(held[:length-sumSize])
	if sum != storedSum(held[:length]) {
		r.sums.begin(r.win.off, r.win.off+int64(length))
		r.sums.hashed += int64(length)
	}
	return sum
}

const wrongSum = "wrong checksum"

// damaged returns the damage that begins with a whole candidate of a wrong
// checksum, or nil to wait. If its length is right it is damaged elsewhere, and all of
// it is given up. If not, it was cut short or is no packet: others may begin within it.
func (r *Reader) damaged(held []byte, length int, at phase) error {
	var l layout
	f := l.walk(held[:length], length, probedTags)
	if f != (fault{}) {
		return r.contradictory(held, length, &l, f, at)
	}
	g, inner := r.find(held, 1, length, anywhere, at)
	if inner == none {
		return r.damage(held, length, wrongSum)
	}
	early := r.endsEarly(held, &l, length)
	follows := none
	if inner == open && !early {
		follows = r.follows(held, length, at)
	}
	if inner == open && (early || follows == good) {
		// What is not whole by now is none.
		g, inner = r.find(held, 1, length, anywhere, stalled)
	}
	if inner == good && r.torn(held, &l, g) {
		return r.damage(held, g, wrongSum)
	}
	if early {
		return r.damage(held, l.fields.to+sumSize, wrongSum)
	}
	if inner == good {
		follows = r.follows(held, length, at)
	}
	switch follows {
	case good:
		return r.damage(held, length, wrongSum)
	case open:
		return nil
	}
	if inner == open {
		if _, n := r.probe(held, g); g+n <= maxHeld {
			return nil
		}
	}
	return r.damage(held, g, wrongSum)
}

// endsEarly reports whether a good packet stands in the candidate at the
// beginning, where the candidate would end by its fields, of layout l: then it is the length
// that is wrong.
func (r *Reader) endsEarly(held []byte, l *layout, length int) bool {
	end := l.fields.to + sumSize
	if l.fields.to == 0 || end >= length || held[end] != signature {
		return false
	}
	v, _ := r.probe(held, end)
	return v == good
}

// contradictory is damaged for a candidate of layout l with a fault f: most
// likely it is text, unless its length leads to a packet.
func (r *Reader) contradictory(held []byte, length int, l *layout, f fault, at phase) error {
	switch r.follows(held, length, at) {
	case good:
		if g, inner := r.find(held, 1, length, anywhere, stalled); inner != good || !r.torn(held, l, g) {
			return r.damage(held, length, f.reason())
		}
	case open:
		return nil
	}
	return r.damage(held, 1, f.reason())
}

// torn reports whether the good packet held[g], inside the candidate of layout
// l at the beginning, is none that the candidate's file holds.
func (r *Reader) torn(held []byte, l *layout, g int) bool {
	_, n := r.probe(held, g)
	return !l.content.holds(g) || !l.content.holds(g+n-1)
}

// follows tells whether a packet or the end follows at held[i], so that the
// length which leads there is to be trusted: good, none or open.
func (r *Reader) follows(held []byte, i int, at phase) verdict {
	if i == len(held) {
		if at == flowing {
			return open
		}
		return good
	}
	if held[i] != signature {
		return none
	}
	switch v, n := r.probe(held, i); v {
	case good, void:
		return good
	case open:
		if at == flowing && i+n <= maxHeld {
			return open
		}
	}
	return none
}

// probe judges the candidate held[i] by itself and tells the length that it
// claims, 0 if that has not come. The work is a constant, but for a packet whose
// checksum is right: that one is gone past, or was not damaged to begin with.
func (r *Reader) probe(held []byte, i int) (v verdict, length int) {
	length, reason := header(held[i:])
	switch {
	case reason != "":
		return none, 0
	case length == 0:
		return open, 0
	case r.known == r.win.off+int64(i):
		return good, length
	}
	b := held[i:min(i+length, len(held))]
	var l layout
	if l.walk(b, length, probedTags) != (fault{}) {
		return none, length
	}
	if len(b) < length {
		return open, length
	}
	r.sums.begin(r.win.off, r.win.off+int64(i+length))
	if r.sums.checksum(held, i, i+length-sumSize) != storedSum(b) {
		return none, length
	}
	if l.check(b) != (fault{}) {
		return void, length
	}
	r.known = r.win.off + int64(i)
	return good, length
}

// find looks for the first good packet that begins in held[from:to]: its place
// and good, or none. While the stream flows a candidate that is not whole yet stops
// the search: its place and open. What was passed once is not looked at again.
func (r *Reader) find(held []byte, from, to, kind int, at phase) (g int, v verdict) {
	from = max(from, int(r.passed[kind]-r.win.off))
	skipped := -1 // the first candidate that may become good when more comes
	for from < to {
		i := bytes.IndexByte(held[from:to], signature)
		if i < 0 {
			from = to
			break
		}
		from += i
		v, length := r.probeAs(kind, held, from, at)
		if v == good || v == open && at == flowing {
			r.pass(kind, from, skipped)
			return from, v
		}
		if v == void {
			from += length
			continue
		}
		if v == open && skipped < 0 && at == stalled {
			skipped = from
		}
		from++
	}
	r.pass(kind, from, skipped)
	return 0, none
}

// probeAs is probe for a search of that kind.
func (r *Reader) probeAs(kind int, held []byte, i int, at phase) (v verdict, length int) {
	if kind == inText {
		switch where, _ := place(held, i, at == ended); where {
		case unfinished:
			return open, 0
		case middle, last:
			return none, 0
		}
	}
	return r.probe(held, i)
}

// pass remembers how far a search went.
func (r *Reader) pass(kind, to, skipped int) {
	if skipped >= 0 {
		to = skipped
	}
	r.passed[kind] = max(r.passed[kind], r.win.off+int64(to))
}
