package protocol

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"
)

// MaxPacket is the length of the longest packet that the protocol allows, in
// octets, from the signature to the checksum.
const MaxPacket = 4194303

const (
	signature = 0xB3

	minPacket = 8 // signature, flags, a length of one octet, checksum
	sumSize   = 4

	version2     = 0x2000
	flagRunnable = 0x0100
	flagEOF      = 0x0010
	statusMask   = 0x0007
	fieldMask    = HasTestID | HasRoute | HasTime | HasTags | HasFile | HasMIME | HasParent
)

// number reads the number at the beginning of b. The width is 0 if b ends
// before the number does.
func number[T []byte | string](b T) (value, width int) {
	if len(b) == 0 {
		return 0, 0
	}
	first := int(b[0] & 0x3F)
	width = int(b[0]>>6) + 1
	if len(b) < width {
		return 0, 0
	}
	switch width {
	case 1:
		return first, 1
	case 2:
		return first<<8 | int(b[1]), 2
	case 3:
		return first<<16 | int(b[1])<<8 | int(b[2]), 3
	}
	return first<<24 | int(b[1])<<16 | int(b[2])<<8 | int(b[3]), 4
}

// header reads what a packet that begins at b says of its length. A length of
// 0 means that b ends too early to tell; a reason, that no packet of version 2
// begins like this.
func header(b []byte) (length int, reason string) {
	if len(b) > 1 && b[1]>>4 != version2>>12 {
		return 0, "not a packet of version 2"
	}
	if len(b) < 4 {
		return 0, ""
	}
	if b[3]>>6 == 3 {
		return 0, "packet length of four octets"
	}
	length, width := number(b[3:])
	if width == 0 {
		return 0, ""
	}
	if length < minPacket-1+width {
		return 0, "packet length too small"
	}
	return length, ""
}

// span is a stretch of a packet.
type span struct{ from, to int }

func (s span) of(b []byte) []byte { return b[s.from:s.to] }

func (s span) holds(i int) bool { return s.from <= i && i < s.to }

// layout is where the fields of a packet are, found by the lengths in it alone.
type layout struct {
	flags   Fields
	seconds uint32
	nanos   int
	fields  span // from the first string to the last
	id      span
	tags    int // how many
	tagSpan span
	mime    span
	name    span
	content span
	route   span
	parent  span
}

// fault is what is wrong with a field, if anything is.
type fault struct{ field, what string }

func (f fault) reason() string { return f.field + " " + f.what }

// cursor goes through the fields of a packet of which b has arrived; end is
// where the last field has to end, which may be beyond b.
type cursor struct {
	b     []byte
	pos   int
	end   int
	bad   fault
	short bool // b ends before the answer
}

func (c *cursor) stopped() bool { return c.short || c.bad != fault{} }

func (c *cursor) number(field string) int {
	if c.stopped() {
		return 0
	}
	if c.pos >= c.end {
		c.bad = fault{field, "is missing"}
		return 0
	}
	if c.pos >= len(c.b) {
		c.short = true
		return 0
	}
	value, width := number(c.b[c.pos:min(len(c.b), c.end)])
	if width > 0 {
		c.pos += width
		return value
	}
	if len(c.b) >= c.end || c.pos+int(c.b[c.pos]>>6) >= c.end {
		c.bad = fault{field, "is cut short"}
		return 0
	}
	c.short = true
	return 0
}

// octets takes a number and so many octets.
func (c *cursor) octets(field string) span {
	n := c.number(field)
	if c.stopped() {
		return span{}
	}
	if n > c.end-c.pos {
		c.bad = fault{field, "extends past the end of the packet"}
		return span{}
	}
	s := span{c.pos, c.pos + n}
	c.pos += n
	return s
}

// walk finds the fields of the packet that begins at b, which is length octets
// long and may not have arrived whole. A fault means that the lengths
// contradict each other. Tags beyond maxTags are not looked at, nor what comes
// after them: the answer is then that nothing is wrong so far.
func (l *layout) walk(b []byte, length, maxTags int) fault {
	l.flags = Fields(binary.BigEndian.Uint16(b[1:]))
	c := cursor{b: b, pos: 4 + int(b[3]>>6), end: length - sumSize}
	if l.flags&HasTime != 0 {
		l.walkTime(&c)
	}
	l.fields.from = c.pos
	if l.flags&HasTestID != 0 {
		l.id = c.octets("test id")
	}
	if l.flags&HasTags != 0 && !l.walkTags(&c, maxTags) {
		return fault{}
	}
	if l.flags&HasMIME != 0 {
		l.mime = c.octets("MIME type")
	}
	if l.flags&HasFile != 0 {
		l.name = c.octets("file name")
		l.content = c.octets("file content")
	}
	if l.flags&HasRoute != 0 {
		l.route = c.octets("route code")
	}
	if l.flags&HasParent != 0 {
		l.walkParent(&c)
	}
	l.fields.to = c.pos
	return c.bad
}

func (l *layout) walkTime(c *cursor) {
	switch {
	case c.end-c.pos < 4:
		c.bad = fault{"time", "is cut short"}
		return
	case len(c.b)-c.pos < 4:
		c.short = true
		return
	}
	l.seconds = binary.BigEndian.Uint32(c.b[c.pos:])
	c.pos += 4
	l.nanos = c.number("nanoseconds")
}

// walkTags goes past the tags and reports whether it reached their end.
func (l *layout) walkTags(c *cursor, maxTags int) bool {
	l.tags = c.number("tags")
	if c.stopped() {
		return true
	}
	if l.tags > c.end-c.pos {
		c.bad = fault{"tags", "are more than the packet can hold"}
		return true
	}
	l.tagSpan.from = c.pos
	for range min(l.tags, maxTags) {
		c.octets("tag")
		if c.stopped() {
			return true
		}
	}
	l.tagSpan.to = c.pos
	return l.tags <= maxTags
}

// walkParent finds the parent test id. Version 2.0 knows neither the bit nor
// the field and takes no notice of them: the bit alone announces nothing.
func (l *layout) walkParent(c *cursor) {
	if !c.stopped() && c.pos == c.end {
		l.flags &^= HasParent
		return
	}
	l.parent = c.octets("parent test id")
}

// checkTexts looks into the strings of the whole packet b.
func (l *layout) checkTexts(b []byte) fault {
	if f := checkText(l.id.of(b), "test id"); f != (fault{}) {
		return f
	}
	for rest := l.tagSpan.of(b); len(rest) > 0; {
		n, width := number(rest)
		if f := checkText(rest[width:width+n], "tag"); f != (fault{}) {
			return f
		}
		rest = rest[width+n:]
	}
	if f := checkText(l.mime.of(b), "MIME type"); f != (fault{}) {
		return f
	}
	if f := checkText(l.name.of(b), "file name"); f != (fault{}) {
		return f
	}
	if f := checkText(l.route.of(b), "route code"); f != (fault{}) {
		return f
	}
	return checkText(l.parent.of(b), "parent test id")
}

func checkText(b []byte, field string) fault {
	if bytes.IndexByte(b, 0) >= 0 {
		return fault{field, "holds a NUL"}
	}
	if !utf8.Valid(b) {
		return fault{field, "is not UTF-8"}
	}
	return fault{}
}
