package protocol

import (
	"bytes"
	"hash/crc32"
)

// decision is what comes of a candidate: a signature that may begin a packet.
type decision uint8

const (
	decided   decision = iota // there is a packet, text or damage to return
	undecided                 // more octets have to come
	plainText                 // the signature is text
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

// candidate decides on the candidate held[i]. A weak one ends a character of
// text and is then the last octet of the first character that is held; any
// other is at the beginning.
func (r *Reader) candidate(held []byte, i int, weak bool, at phase) (decision, *Packet, error) {
	if weak {
		return r.weak(held, i, at)
	}
	length, reason := header(held)
	switch {
	case reason != "":
		return decided, nil, r.damage(held, 1, reason)
	case length == 0 || length > len(held):
		return r.unfinished(held, length, at)
	}
	return r.whole(held, length, at)
}

// weak decides on a candidate in a character. It is text unless it is a good
// packet behind a character that was cut off; text has to appear, so it is not
// waited for when nothing comes or a packet follows that is none of its parts.
func (r *Reader) weak(held []byte, i int, at phase) (decision, *Packet, error) {
	switch v, _ := r.probe(held, i); v {
	case good:
		return decided, r.text(held, i), nil
	case open:
		if at != flowing {
			return plainText, nil, nil
		}
		if _, v := r.find(held, i+1, len(held), inText, at); v != good {
			return undecided, nil, nil
		}
	}
	return plainText, nil, nil
}

// unfinished decides on a candidate of which the end has not come.
func (r *Reader) unfinished(held []byte, length int, at phase) (decision, *Packet, error) {
	if reason := r.contradiction(held, length); reason != "" {
		// Its length may be right all the same, and tell what belongs to it.
		if r.gap {
			return plainText, nil, nil
		}
		_, v := r.find(held, 1, len(held), inText, flowing)
		if at == flowing && v != good {
			return undecided, nil, nil
		}
		return decided, nil, r.damage(held, 1, reason)
	}
	r.want = length
	if at == flowing {
		return undecided, nil, nil
	}
	g, v := r.find(held, 1, len(held), anywhere, at)
	switch {
	case v == good:
		return decided, nil, r.damage(held, g, "packet breaks off")
	case at == ended:
		return decided, nil, r.damage(held, len(held), "stream ends within a packet")
	}
	return undecided, nil, nil
}

// contradiction tells what is wrong with the lengths in the candidate at the
// beginning of held, as far as it has come.
func (r *Reader) contradiction(held []byte, length int) (reason string) {
	if length == 0 {
		return ""
	}
	var l layout
	return l.walk(held[:min(length, len(held))], length, probedTags)
}

// whole decides on a candidate that is there to its end.
func (r *Reader) whole(held []byte, length int, at phase) (decision, *Packet, error) {
	if r.gap && r.contradiction(held, length) != "" {
		return plainText, nil, nil
	}
	if r.sumError != "" {
		return r.damaged(held, length, at)
	}
	b := held[:length]
	if got, want := r.checksum(held, length), storedSum(b); got != want {
		r.sumError = sumReason(got, want)
		return r.damaged(held, length, at)
	}
	var l layout
	if reason := l.check(b); reason != "" {
		return decided, nil, r.damage(held, length, reason)
	}
	return decided, r.packet(held, &l, length), nil
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

// damaged decides how far the damage goes that begins with a whole candidate
// of a wrong checksum. If its length is right it is damaged elsewhere, and all of it
// is given up. If not, it was cut short or is no packet: other packets may
// begin within it.
func (r *Reader) damaged(held []byte, length int, at phase) (decision, *Packet, error) {
	contradiction := r.contradiction(held, length)
	g, inner := r.find(held, 1, length, anywhere, at)
	if inner == none && contradiction == "" {
		return decided, nil, r.damage(held, length, r.sumError)
	}
	switch r.follows(held, length, at) {
	case good:
		return decided, nil, r.damage(held, length, r.sumError)
	case open:
		return undecided, nil, nil
	}
	if contradiction != "" {
		return decided, nil, r.damage(held, 1, contradiction)
	}
	if inner == open {
		if _, n := r.probe(held, g); g+n <= maxHeld {
			return undecided, nil, nil
		}
	}
	return decided, nil, r.damage(held, g, r.sumError)
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
	if l.walk(b, length, probedTags) != "" {
		return none, length
	}
	if len(b) < length {
		return open, length
	}
	r.sums.begin(r.win.off, r.win.off+int64(i+length))
	if r.sums.checksum(held, i, i+length-sumSize) != storedSum(b) {
		return none, length
	}
	if l.check(b) != "" {
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
		v, length := open, 0
		if kind == anywhere {
			v, length = r.probe(held, from)
		} else {
			v, length = r.probeInText(held, from, at)
		}
		if v == good || v == open && at == flowing {
			r.pass(kind, from, skipped)
			return from, v
		}
		switch v {
		case void:
			from += length
		case open:
			if skipped < 0 && at == stalled {
				skipped = from
			}
			from++
		default:
			from++
		}
	}
	r.pass(kind, from, skipped)
	return 0, none
}

func (r *Reader) probeInText(held []byte, i int, at phase) (v verdict, length int) {
	switch where, _ := place(held, i, at == ended); where {
	case apart:
		return r.probe(held, i)
	case unfinished:
		return open, 0
	}
	return none, 0
}

// pass remembers how far a search went.
func (r *Reader) pass(kind, to, skipped int) {
	if skipped >= 0 {
		to = skipped
	}
	r.passed[kind] = max(r.passed[kind], r.win.off+int64(to))
}
