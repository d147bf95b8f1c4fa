package protocol

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"testing"
	"testing/iotest"
	"time"
)

// Whatever comes, the Reader delivers each octet once, as text, as damage or
// as a packet, which written again has the same octets; unless its numbers were not
// in their shortest form or something followed its last field: then it is written as
// a packet that is read as the same.
func FuzzReader(f *testing.F) {
	for _, v := range vectors(f) {
		if data := vectorFile(f, v.Files.Stream); len(data) < 2000 {
			f.Add(data)
		}
	}
	f.Add([]byte("\xe4\xb8\xb3\x29\x01\x0c\x03foo\x08\x55\x5f\x1b"))
	f.Fuzz(func(t *testing.T, data []byte) {
		pieces := readAll(t, data, bytes.NewReader(data))
		for _, p := range pieces {
			if p.packet == nil || p.packet.Text {
				continue
			}
			wire, err := AppendPacket(nil, p.packet)
			if err != nil {
				t.Fatalf("%x: %v", p.raw, err)
			}
			if bytes.Equal(wire, p.raw) {
				continue
			}
			again, n, err := ParsePacket(wire)
			if err != nil || n != len(wire) || !reflect.DeepEqual(p.packet, again) || canonical(p.raw) {
				t.Fatalf("%x is written as %x, %v", p.raw, wire, err)
			}
		}
		readAll(t, data, iotest.OneByteReader(bytes.NewReader(data)))
	})
}

// canonical reports whether the good packet b is as a writer makes it. It reads
// b in its own way.
func canonical(b []byte) bool {
	pos := 3
	short := true
	next := func() (value int) {
		value, width := number(b[pos:])
		pos += width
		short = short && width == numberLength(value)
		return value
	}
	text := func(flag Fields) {
		if (Fields(b[1])<<8|Fields(b[2]))&flag != 0 {
			pos += next()
		}
	}
	length := next()
	// The length counts itself, so 64 has no shortest form, for one.
	switch rest, width := length-(pos-3), pos-3; width {
	case 2:
		short = rest > 62
	case 3:
		short = rest > 16381
	}
	if b[1]&2 != 0 {
		pos += 4
		if next() >= 1e9 {
			return false
		}
	}
	text(HasTestID)
	if b[2]&0x80 != 0 {
		for range next() {
			pos += next()
		}
	}
	text(HasMIME)
	text(HasFile)
	if b[2]&0x40 != 0 {
		pos += next()
	}
	text(HasRoute)
	hasParent := b[2]&8 != 0
	if hasParent && pos == len(b)-sumSize {
		return false
	}
	text(HasParent)
	return short && pos == len(b)-sumSize
}

// What is written is read as it was, alone and among others, and with text
// around it.
func FuzzWriterReader(f *testing.F) {
	f.Add("a", "p", "t", "0/1", "f", "text/plain", []byte("content\xb3"), uint16(0xFFFF), int64(1e18))
	f.Add("", "", "", "", "", "", []byte{}, uint16(0), int64(0))
	f.Add("ó", "丳", "³", "", "\xff", "", []byte{}, uint16(0x0FFF), int64(-1))
	f.Fuzz(func(t *testing.T, id, parent, tag, route, name, mime string, content []byte, bits uint16, at int64) {
		p := &Packet{
			Has:    Fields(bits) & fieldMask,
			Status: Status(bits & statusMask), Runnable: bits&flagRunnable != 0, EOF: bits&flagEOF != 0,
		}
		set := func(field Fields, do func()) {
			if p.Has&field != 0 {
				do()
			}
		}
		set(HasTestID, func() { p.TestID = id })
		set(HasParent, func() { p.ParentID = parent })
		set(HasTags, func() { p.Tags = []string{tag, id, tag} })
		set(HasRoute, func() { p.Route = route })
		set(HasMIME, func() { p.MIMEType = mime })
		set(HasFile, func() { p.FileName, p.Content = name, append([]byte{}, content...) })
		set(HasTime, func() { p.Time = time.Unix(0, at).UTC() })
		wire, err := AppendPacket(nil, p)
		if err != nil {
			if len(wire) > 0 {
				t.Fatalf("%v, and %x", err, wire)
			}
			return
		}
		parsed, n, err := ParsePacket(wire)
		if err != nil || n != len(wire) || !reflect.DeepEqual(p, parsed) {
			t.Fatalf("%+v is read as %+v, %v", p, parsed, err)
		}
		stream := append(append([]byte("text\n"), wire...), wire...)
		src := &randomReader{bytes.NewReader(stream), rand.New(rand.NewPCG(uint64(at), 0)), 9}
		read := joined(readAll(t, stream, src))
		if len(read) != 3 || !reflect.DeepEqual(p, read[1].packet) || !reflect.DeepEqual(p, read[2].packet) {
			t.Fatalf("%x is read as %q", stream, summary(read))
		}
	})
}
