package repo

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"

	"testr/internal/event"
	"testr/internal/protocol"
)

const (
	// chunkSize is how much of framed events a chunk holds before it is closed.
	// Larger ones compress no better, smaller ones worse.
	chunkSize = 64 << 10

	// maxTests is how many bytes of test ids one stored event may name.
	maxTests = 1 << 20

	// maxEvent is how much one event may hold: the largest packet and its like.
	maxEvent = 16 << 20
)

// The bits that say which parts of an event are there.
const (
	hasTime = 1 << iota
	hasWorker
	hasPacket
	isText
	hasTests
	hasDetail
	hasProfile

	hasAll = 1<<iota - 1
)

// chunk is consecutive events of a run in their stored form: see
// docs/repository-format.md.
type chunk struct {
	first uint64 // sequence number of its first event
	count int
	raw   []byte
	prev  int64 // time of its last event with one
}

// add appends an event. It fails for a packet that can't be written as one.
func (c *chunk) add(e event.Event) error {
	at := len(c.raw)
	raw, err := appendEvent(c.raw, e, c.prev)
	switch {
	case err != nil:
	case e.Kind == event.KindPacket && e.Packet == nil:
		err = errors.New("a packet event without a packet")
	case len(raw)-at > maxEvent:
		err = errors.New("too long")
	}
	if err != nil {
		c.raw = c.raw[:at]
		return fmt.Errorf("store event %d: %w", c.first+uint64(c.count), err)
	}
	c.raw = raw
	c.count++
	if !e.Time.IsZero() {
		c.prev = e.Time.UnixNano()
	}
	return nil
}

// reset empties the chunk and has it go on where it stood.
func (c *chunk) reset() { *c = chunk{first: c.first + uint64(c.count), raw: c.raw[:0]} }

// value returns the chunk in its stored form, in memory of its own.
func (c *chunk) value(pack *codec) []byte {
	v := binary.AppendUvarint(nil, c.first)
	v = binary.AppendUvarint(v, uint64(c.count))
	return pack.pack(v, c.raw)
}

func appendEvent(dst []byte, e event.Event, prev int64) ([]byte, error) {
	flags := byte(0)
	set := func(bit byte, on bool) {
		if on {
			flags |= bit
		}
	}
	set(hasTime, !e.Time.IsZero())
	set(hasWorker, e.Worker != event.NoWorker)
	set(hasPacket, e.Packet != nil)
	set(isText, e.Packet != nil && e.Packet.Text)
	set(hasTests, len(e.Tests) > 0)
	set(hasDetail, e.Detail != "")
	set(hasProfile, e.Profile != "")
	dst = append(dst, byte(e.Kind), flags)
	if flags&hasTime != 0 {
		dst = binary.AppendVarint(dst, e.Time.UnixNano()-prev)
	}
	if flags&hasWorker != 0 {
		dst = binary.AppendVarint(dst, int64(e.Worker))
	}
	if flags&hasPacket != 0 {
		var err error
		if dst, err = protocol.AppendPacket(dst, e.Packet); err != nil {
			return nil, err
		}
	}
	if flags&hasTests != 0 {
		dst = binary.AppendUvarint(dst, uint64(len(e.Tests)))
		for _, id := range e.Tests {
			dst = appendString(dst, id)
		}
	}
	if flags&hasDetail != 0 {
		dst = appendString(dst, e.Detail)
	}
	if flags&hasProfile != 0 {
		dst = appendString(dst, e.Profile)
	}
	return dst, nil
}

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// openChunk returns what a stored chunk holds: the number of its first event,
// how many there are, and these one after the other, in the memory of dst if
// that is enough.
func openChunk(value []byte, pack *codec, dst []byte) (first, count uint64, raw []byte, err error) {
	d := decoder{b: value}
	first, count = d.uvarint(), d.uvarint()
	if d.bad {
		return 0, 0, nil, errors.New("chunk: bad head")
	}
	if raw, err = pack.unpack(d.b, dst); err != nil {
		return 0, 0, nil, fmt.Errorf("chunk of event %d: %w", first, err)
	}
	if count == 0 || count > uint64(len(raw)) {
		return 0, 0, nil, fmt.Errorf("chunk of event %d: bad count", first)
	}
	return first, count, raw, nil
}

// decodeChunk returns the events of a stored chunk.
func decodeChunk(value []byte, pack *codec) ([]event.Event, error) {
	first, count, raw, err := openChunk(value, pack, nil)
	if err != nil {
		return nil, err
	}
	events := make([]event.Event, 0, min(count, uint64(len(raw)/2)))
	d := decoder{b: raw}
	prev := int64(0)
	for i := range count {
		e := d.event(&prev)
		if d.bad {
			return nil, fmt.Errorf("event %d can't be read", first+i)
		}
		e.Seq = first + i
		events = append(events, e)
	}
	if len(d.b) > 0 {
		return nil, fmt.Errorf("chunk of event %d: more than it says", first)
	}
	return events, nil
}

// event reads one event; prev is the time of the one before.
func (d *decoder) event(prev *int64) event.Event {
	e := event.Event{Kind: event.Kind(d.byte()), Worker: event.NoWorker}
	flags := d.byte()
	if flags&^hasAll != 0 || (flags&isText != 0 || e.Kind == event.KindPacket) && flags&hasPacket == 0 {
		d.bad = true
	}
	if flags&hasTime != 0 {
		*prev += d.varint()
		e.Time = time.Unix(0, *prev).UTC()
	}
	if flags&hasWorker != 0 {
		e.Worker = int(d.varint())
	}
	if flags&hasPacket != 0 {
		e.Packet = d.packet()
	}
	if e.Packet != nil {
		e.Packet.Text = flags&isText != 0
	}
	if flags&hasTests != 0 {
		n := d.uvarint()
		if n == 0 || n > uint64(len(d.b)) { // an id takes a byte at least
			d.bad = true
			return e
		}
		e.Tests = make([]string, n)
		for i := range e.Tests {
			e.Tests[i] = d.string()
		}
	}
	if flags&hasDetail != 0 {
		e.Detail = d.string()
	}
	if flags&hasProfile != 0 {
		e.Profile = d.string()
	}
	return e
}

func (d *decoder) packet() *protocol.Packet {
	if d.bad {
		return nil
	}
	p, n, err := protocol.ParsePacket(d.b)
	if err != nil || n <= 0 || n > len(d.b) {
		d.bad = true
		return nil
	}
	d.b = d.b[n:]
	return p
}

// decoder takes values from the front of b. After the first thing that isn't
// there, bad is set and everything else is zero.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) byte() byte {
	if d.bad || len(d.b) == 0 {
		d.bad = true
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if d.bad || n <= 0 {
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 { return signed(d.uvarint()) }

func (d *decoder) string() string { return string(d.bytes()) }

// bytes reads what appendString wrote; it is shared.
func (d *decoder) bytes() []byte {
	n := d.uvarint()
	if d.bad || n > uint64(len(d.b)) {
		d.bad = true
		return nil
	}
	b := d.b[:n]
	d.b = d.b[n:]
	return b
}

// splitTests cuts an event that names very many tests into several that name
// them together, so that no chunk grows without bound.
func splitTests(e event.Event) []event.Event {
	size, from := 0, 0
	var parts []event.Event
	for i, id := range e.Tests {
		if size += len(id) + 2; size > maxTests && i > from {
			part := e
			part.Tests = e.Tests[from:i]
			parts = append(parts, part)
			from, size = i, len(id)+2
		}
	}
	e.Tests = e.Tests[from:]
	return append(parts, e)
}

func be64(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// getBE64 returns the number that is stored under key.
func getBE64(b *bolt.Bucket, key []byte) (uint64, error) {
	v := b.Get(key)
	if len(v) != 8 {
		return 0, fmt.Errorf("%s: not a number", key)
	}
	return binary.BigEndian.Uint64(v), nil
}
