package repo

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"testr/internal/event"
	"testr/internal/protocol"
)

// Wanted says which of a run's events an excerpt has.
type Wanted struct {
	// Tests are those whose packets are wanted, with what names them as its parent
	// between these.
	Tests []Span
	// Beside asks for what people are shown beside tests: packets of no test,
	// warnings and interruptions, where workers were started, and which tests
	// moved from an instance that was lost.
	Beside bool
}

// Span is where the packets of a test begin and end, as event.Test and Failing
// say.
type Span struct {
	ID          string
	First, Last uint64
	Profile     string // of the test; empty or DefaultProfile for the default one
}

// Excerpt gives each the events of a run that are wanted, in their order. It
// reads no more of the run than it has to, and makes events of the wanted ones
// alone. Its error may be each's.
func (r *Repository) Excerpt(run int, want Wanted, each func(event.Event) error) error {
	x := excerpt{ids: make(map[testName]bool, len(want.Tests)), beside: want.Beside, each: each}
	for _, s := range want.Tests {
		x.ids[testName{profileName(s.Profile), s.ID}] = true
	}
	spans := union(want.Tests)
	x.spans = spans
	all, err := r.Replay(run)
	if err != nil {
		return err
	}
	if want.Beside {
		if all.total == 0 {
			return nil
		}
		spans = []Span{{Last: all.total - 1}}
	}
	next := uint64(0)
	var value []byte
	for _, s := range spans {
		for next = max(next, s.First); next <= s.Last; {
			var err error
			value, err = r.chunk(run, all.parts, next, value)
			if err != nil {
				return fmt.Errorf("read run %d: %w", run, err)
			}
			over, err := x.chunk(value, r.codec)
			switch {
			case errors.Is(err, errDamage) || err == nil && over <= next:
				return r.damaged("run %d: event %d: %v", run, next, err)
			case err != nil:
				return err
			}
			next = over
		}
	}
	return nil
}

// union returns spans, in order, that cover what the given ones cover and don't
// overlap.
func union(spans []Span) []Span {
	spans = slices.Clone(spans)
	slices.SortFunc(spans, func(a, b Span) int { return cmp.Compare(a.First, b.First) })
	covered := spans[:0]
	for _, s := range spans {
		if n := len(covered); n > 0 && s.First <= covered[n-1].Last {
			covered[n-1].Last = max(covered[n-1].Last, s.Last)
			continue
		}
		covered = append(covered, s)
	}
	return covered
}

// excerpt picks the wanted events out of chunks, which it is given in order.
type excerpt struct {
	ids    map[testName]bool // the profiles being names
	spans  []Span            // those of the tests that aren't over yet; they don't overlap
	beside bool
	each   func(event.Event) error
	raw    []byte // of the last chunk, for the next one
}

var errDamage = errors.New("a chunk can't be read")

// chunk gives the wanted events of a stored chunk to each, and returns the
// number of the event after the last. The error is each's, or errDamage.
func (x *excerpt) chunk(value []byte, pack *codec) (over uint64, err error) {
	first, count, raw, err := openChunk(value, pack, x.raw)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errDamage, err)
	}
	x.raw = raw
	d := decoder{b: raw}
	prev := int64(0)
	for i := range count {
		from, before := d.b, prev
		if seen := d.pass(&prev); d.bad || !x.promising(first+i, seen) {
			continue
		}
		again := decoder{b: from}
		e := again.event(&before)
		if again.bad {
			return 0, errDamage
		}
		profile := profileName(e.Profile)
		if p := packetOf(e); p != nil && !x.ids[testName{profile, p.TestID}] && !x.ids[testName{profile, p.ParentID}] {
			continue
		}
		e.Seq = first + i
		if err := x.each(e); err != nil {
			return 0, err
		}
	}
	if d.bad || len(d.b) > 0 {
		return 0, errDamage
	}
	return first + count, nil
}

// promising reports whether an event is wanted, or may be: whose child a test is
// shows in the packet alone.
func (x *excerpt) promising(seq uint64, seen glance) bool {
	switch seen.kind {
	case event.KindPacket:
		switch {
		case seen.has&protocol.HasTestID == 0:
			return x.beside
		case !x.covers(seq):
			return false
		case seen.has&protocol.HasParent != 0:
			return true
		}
		return x.ids[testName{profileName(string(seen.profile)), string(testID(seen))}]
	case event.KindWarning, event.KindInterrupted, event.KindWorkerStarted:
		return x.beside
	case event.KindRequeued:
		_, moved := event.MovedFrom(string(seen.detail))
		return x.beside && moved
	default:
		return false
	}
}

// covers reports whether an event lies between the packets of a wanted test. It
// is asked in order.
func (x *excerpt) covers(seq uint64) bool {
	for len(x.spans) > 0 && x.spans[0].Last < seq {
		x.spans = x.spans[1:]
	}
	return len(x.spans) > 0 && x.spans[0].First <= seq
}

// glance is what is seen of an event in going past it.
type glance struct {
	kind   event.Kind
	has    protocol.Fields // of its packet
	fields []byte          // likewise: what follows the length

	detail, profile []byte
}

// pass goes past one event, as event reads it.
func (d *decoder) pass(prev *int64) (seen glance) {
	if d.bad || len(d.b) < 2 {
		d.bad = true
		return seen
	}
	flags := d.b[1]
	seen.kind, d.b = event.Kind(d.b[0]), d.b[2:]
	if flags&hasTime != 0 {
		*prev += d.varint()
	}
	if flags&hasWorker != 0 {
		d.varint()
	}
	if flags&hasPacket != 0 {
		seen.has, seen.fields = d.passPacket()
	}
	if flags&hasTests != 0 {
		for n := d.uvarint(); n > 0 && !d.bad; n-- {
			d.bytes()
		}
	}
	if flags&hasDetail != 0 {
		seen.detail = d.bytes()
	}
	if flags&hasProfile != 0 {
		seen.profile = d.bytes()
	}
	return seen
}

// passPacket goes past a packet as it is on the wire.
func (d *decoder) passPacket() (has protocol.Fields, fields []byte) {
	const head = 3 // signature and flags
	if d.bad || len(d.b) < head {
		d.bad = true
		return 0, nil
	}
	length, n := wireNumber(d.b[head:])
	if n == 0 || length < head+n || length > len(d.b) {
		d.bad = true
		return 0, nil
	}
	has, fields = protocol.Fields(binary.BigEndian.Uint16(d.b[1:])), d.b[head+n:length]
	d.b = d.b[length:]
	return has, fields
}

// testID returns the test id of a packet that has one, or nil where it ends
// before that.
func testID(seen glance) []byte {
	b := seen.fields
	if seen.has&protocol.HasTime != 0 {
		if len(b) < 4 {
			return nil
		}
		_, n := wireNumber(b[4:])
		b = b[4+n:]
	}
	size, n := wireNumber(b)
	if n+size > len(b) {
		return nil
	}
	return b[n : n+size]
}

// wireNumber reads the number that b begins with, whose first two bits say how
// many more bytes it has, and tells how many it has in all; 0, if they aren't
// there.
func wireNumber(b []byte) (v, n int) {
	if len(b) == 0 {
		return 0, 0
	}
	v, n = int(b[0]&0x3F), 1+int(b[0]>>6)
	if n > len(b) {
		return 0, 0
	}
	for _, c := range b[1:n] {
		v = v<<8 | int(c)
	}
	return v, n
}

// take takes n bytes, which are shared.
func (d *decoder) take(n int) []byte {
	if d.bad || n > len(d.b) {
		d.bad = true
		return nil
	}
	b := d.b[:n]
	d.b = d.b[n:]
	return b
}
