package protocol

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"math"
	"strings"
	"time"
)

// ParsePacket reads the packet that b begins with and tells how long it is.
// The packet owns its memory. The error is io.ErrUnexpectedEOF if b ends before
// the packet does, and a *CorruptError if b does not begin with a packet; the
// whole of b is its Data.
func ParsePacket(b []byte) (p *Packet, n int, err error) {
	if len(b) == 0 {
		return nil, 0, io.ErrUnexpectedEOF
	}
	corrupt := func(reason string) (*Packet, int, error) {
		return nil, 0, &CorruptError{Data: bytes.Clone(b), Reason: reason}
	}
	if b[0] != signature {
		return corrupt("no signature")
	}
	n, reason := header(b)
	switch {
	case reason != "":
		return corrupt(reason)
	case n == 0 || n > len(b):
		return nil, 0, io.ErrUnexpectedEOF
	}
	b = b[:n]
	if crc32.ChecksumIEEE(b[:n-sumSize]) != storedSum(b) {
		return corrupt(wrongSum)
	}
	var l layout
	if f := l.check(b); f != (fault{}) {
		return corrupt(f.reason())
	}
	return l.packet(b, false), n, nil
}

func storedSum(b []byte) uint32 { return binary.BigEndian.Uint32(b[len(b)-sumSize:]) }

// check finds the fields of the whole packet b and looks into its strings.
func (l *layout) check(b []byte) fault {
	if f := l.walk(b, len(b), math.MaxInt); f != (fault{}) {
		return f
	}
	return l.checkTexts(b)
}

// packet makes a Packet of the whole packet b, which was checked. All strings
// share one allocation. With alias, the content stays where it is in b, with
// everything after it as its capacity.
func (l *layout) packet(b []byte, alias bool) *Packet {
	p := &Packet{
		Has:      l.flags & fieldMask,
		Status:   Status(l.flags & statusMask),
		Runnable: l.flags&flagRunnable != 0,
		EOF:      l.flags&flagEOF != 0,
	}
	if p.Has&HasTime != 0 {
		p.Time = time.Unix(int64(l.seconds), int64(l.nanos)).UTC()
	}
	// The text is the fields without the content; early and late are what
	// the strings before and after that have moved by.
	var text string
	early, late := l.fields.from, l.fields.from
	if p.Has&HasFile != 0 {
		late += l.content.to - l.content.from
		text = without(b, l.fields, l.content)
		p.FileName = text[l.name.from-early : l.name.to-early]
		p.Content = b[l.content.from:l.content.to]
		if !alias {
			p.Content = append([]byte{}, p.Content...)
		}
	} else {
		text = string(l.fields.of(b))
	}
	if p.Has&HasTestID != 0 {
		p.TestID = text[l.id.from-early : l.id.to-early]
	}
	if p.Has&HasTags != 0 {
		p.Tags = l.tagList(text, early)
	}
	if p.Has&HasMIME != 0 {
		p.MIMEType = text[l.mime.from-early : l.mime.to-early]
	}
	if p.Has&HasRoute != 0 {
		p.Route = text[l.route.from-late : l.route.to-late]
	}
	if p.Has&HasParent != 0 {
		p.ParentID = text[l.parent.from-late : l.parent.to-late]
	}
	return p
}

// without returns the octets of the span but those of cut, which lies in it.
func without(b []byte, all, cut span) string {
	if cut.to == all.to {
		return string(b[all.from:cut.from])
	}
	var s strings.Builder
	s.Grow(all.to - all.from - (cut.to - cut.from))
	s.Write(b[all.from:cut.from])
	s.Write(b[cut.to:all.to])
	return s.String()
}

func (l *layout) tagList(text string, shift int) []string {
	tags := make([]string, 0, l.tags)
	rest := text[l.tagSpan.from-shift : l.tagSpan.to-shift]
	for rest != "" {
		n, width := number(rest)
		tags = append(tags, rest[width:width+n])
		rest = rest[width+n:]
	}
	return tags
}
