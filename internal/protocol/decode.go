package protocol

import (
	"bytes"
	"encoding/binary"
	"fmt"
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
	if got, want := crc32.ChecksumIEEE(b[:n-sumSize]), storedSum(b); got != want {
		return corrupt(sumReason(got, want))
	}
	var l layout
	if reason := l.check(b); reason != "" {
		return corrupt(reason)
	}
	return l.packet(b, false), n, nil
}

func storedSum(b []byte) uint32 { return binary.BigEndian.Uint32(b[len(b)-sumSize:]) }

func sumReason(got, want uint32) string {
	return fmt.Sprintf("checksum is 0x%08x, the packet says 0x%08x", got, want)
}

// check finds the fields of the whole packet b and looks into its strings.
func (l *layout) check(b []byte) (reason string) {
	if reason := l.walk(b, len(b), math.MaxInt); reason != "" {
		return reason
	}
	return l.checkTexts(b)
}

// packet makes a Packet of the whole packet b, which was checked. All strings
// share one allocation. With alias, the content stays where it is in b.
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
	text, shift := l.text(b)
	at := func(s span, shift int) string {
		if s.from == s.to {
			return ""
		}
		return text[s.from-shift : s.to-shift]
	}
	if p.Has&HasTestID != 0 {
		p.TestID = at(l.id, shift.before)
	}
	if p.Has&HasTags != 0 {
		p.Tags = l.tagList(b, text, shift.before)
	}
	if p.Has&HasMIME != 0 {
		p.MIMEType = at(l.mime, shift.before)
	}
	if p.Has&HasFile != 0 {
		p.FileName = at(l.name, shift.before)
		if alias {
			p.Content = b[l.content.from:l.content.to:l.content.to]
		} else {
			p.Content = append([]byte{}, l.content.of(b)...)
		}
	}
	if p.Has&HasRoute != 0 {
		p.Route = at(l.route, shift.after)
	}
	if p.Has&HasParent != 0 {
		p.ParentID = at(l.parent, shift.after)
	}
	return p
}

// shifts is by how much the strings before and after the content have moved.
type shifts struct{ before, after int }

// text copies everything from the first string to the last, but the content.
func (l *layout) text(b []byte) (string, shifts) {
	from, to := len(b), 0
	for _, s := range [...]span{l.id, l.tagSpan, l.mime, l.name, l.route, l.parent} {
		if s.from < s.to {
			from, to = min(from, s.from), max(to, s.to)
		}
	}
	if from >= to {
		return "", shifts{}
	}
	cut := l.content
	if cut.to <= from || to <= cut.from {
		return string(b[from:to]), shifts{from, from}
	}
	var s strings.Builder
	s.Grow(to - from - (cut.to - cut.from))
	s.Write(b[from:cut.from])
	s.Write(b[cut.to:to])
	return s.String(), shifts{from, from + cut.to - cut.from}
}

func (l *layout) tagList(b []byte, text string, shift int) []string {
	tags := make([]string, 0, l.tags)
	for pos := l.tagSpan.from; pos < l.tagSpan.to; {
		n, width := number(b[pos:])
		pos += width
		tag := ""
		if n > 0 {
			tag = text[pos-shift : pos-shift+n]
		}
		tags = append(tags, tag)
		pos += n
	}
	return tags
}
