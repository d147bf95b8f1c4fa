package protocol

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"strings"
	"unicode/utf8"
)

// AppendPacket appends p as it is on the wire to dst and returns the extended
// slice. The fields of p.Has are written, empty ones too, every number in its
// shortest form; p.Text makes no difference. What AppendPacket wrote and
// ParsePacket or a Reader read is written again with the same bytes. It
// allocates nothing but room in dst. The errors are ErrTooLarge, ErrText,
// ErrTime and ErrFields, wrapped, with dst unchanged.
func AppendPacket(dst []byte, p *Packet) ([]byte, error) {
	if err := check(p); err != nil {
		return dst, err
	}
	return appendFields(dst, p, p.Has)
}

// appendFields appends p, which was checked, with the fields has.
func appendFields(dst []byte, p *Packet, has Fields) ([]byte, error) {
	length := wireLength(p, has)
	if length > MaxPacket {
		return dst, fmt.Errorf("packet of %d octets: %w", length, ErrTooLarge)
	}
	start := len(dst)
	if cap(dst)-start < length {
		dst = append(make([]byte, 0, max(2*cap(dst), start+length)), dst...)
	}
	flags := version2 | uint16(has&fieldMask) | uint16(p.Status&statusMask)
	if p.Runnable {
		flags |= flagRunnable
	}
	if p.EOF {
		flags |= flagEOF
	}
	dst = append(dst, signature, byte(flags>>8), byte(flags))
	dst = appendNumber(dst, length)
	if has&HasTime != 0 {
		dst = appendTime(dst, p)
	}
	if has&HasTestID != 0 {
		dst = appendText(dst, p.TestID)
	}
	if has&HasTags != 0 {
		dst = appendNumber(dst, len(p.Tags))
		for _, tag := range p.Tags {
			dst = appendText(dst, tag)
		}
	}
	if has&HasMIME != 0 {
		dst = appendText(dst, p.MIMEType)
	}
	if has&HasFile != 0 {
		dst = appendText(dst, p.FileName)
		dst = appendNumber(dst, len(p.Content))
		dst = appendContent(dst, p.Content)
	}
	if has&HasRoute != 0 {
		dst = appendText(dst, p.Route)
	}
	if has&HasParent != 0 {
		dst = appendText(dst, p.ParentID)
	}
	return binary.BigEndian.AppendUint32(dst, crc32.ChecksumIEEE(dst[start:])), nil
}

func appendText(dst []byte, s string) []byte {
	return append(appendNumber(dst, len(s)), s...)
}

// appendContent appends in pieces that stay in the processor's cache, where the
// checksum finds them: a copy of 1 MiB at once goes past the cache and takes three
// times as long.
func appendContent(dst, content []byte) []byte {
	const piece = 64 << 10
	for len(content) > piece {
		dst = append(dst, content[:piece]...)
		content = content[piece:]
	}
	return append(dst, content...)
}

// appendNumber appends n in its shortest form.
func appendNumber(dst []byte, n int) []byte {
	switch {
	case n < 1<<6:
		return append(dst, byte(n))
	case n < 1<<14:
		return append(dst, byte(n>>8)|0x40, byte(n))
	case n < 1<<22:
		return append(dst, byte(n>>16)|0x80, byte(n>>8), byte(n))
	}
	return append(dst, byte(n>>24)|0xC0, byte(n>>16), byte(n>>8), byte(n))
}

// wireTime is p's time as the wire has it. The nanoseconds may be those of the
// second after the last that 32 bits can count: a packet that was read with
// such a time is written as it was.
func wireTime(p *Packet) (seconds int64, nanos int) {
	seconds, nanos = p.Time.Unix(), p.Time.Nanosecond()
	if seconds == math.MaxUint32+1 {
		return math.MaxUint32, nanos + 1e9
	}
	return seconds, nanos
}

func appendTime(dst []byte, p *Packet) []byte {
	seconds, nanos := wireTime(p)
	return appendNumber(binary.BigEndian.AppendUint32(dst, uint32(seconds)), nanos)
}

// wireLength is how long p with the fields has is on the wire. It counts
// itself, so its own width comes last.
func wireLength(p *Packet, has Fields) int {
	n := 1 + 2 + sumSize
	if has&HasTime != 0 {
		_, nanos := wireTime(p)
		n += 4 + numberLength(nanos)
	}
	if has&HasTestID != 0 {
		n += textLength(p.TestID)
	}
	if has&HasTags != 0 {
		n += numberLength(len(p.Tags))
		for _, tag := range p.Tags {
			n += textLength(tag)
		}
	}
	if has&HasMIME != 0 {
		n += textLength(p.MIMEType)
	}
	if has&HasFile != 0 {
		n += textLength(p.FileName) + numberLength(len(p.Content)) + len(p.Content)
	}
	if has&HasRoute != 0 {
		n += textLength(p.Route)
	}
	if has&HasParent != 0 {
		n += textLength(p.ParentID)
	}
	switch {
	case n+1 < 1<<6:
		return n + 1
	case n+2 < 1<<14:
		return n + 2
	}
	return n + 3
}

func textLength(s string) int { return numberLength(len(s)) + len(s) }

func numberLength(n int) int {
	switch {
	case n < 1<<6:
		return 1
	case n < 1<<14:
		return 2
	case n < 1<<22:
		return 3
	}
	return 4
}

// check tells whether p, apart from its length, has a form on the wire.
func check(p *Packet) error {
	if stray := p.values() &^ p.Has; stray != 0 {
		return fmt.Errorf("packet of test id %.100q, fields %#04x: %w", p.TestID, uint16(stray), ErrFields)
	}
	if p.Has&HasTime != 0 {
		if seconds, nanos := wireTime(p); seconds < 0 || seconds > math.MaxUint32 || nanos >= 1<<30 {
			return fmt.Errorf("packet of test id %.100q, %v: %w", p.TestID, p.Time, ErrTime)
		}
	}
	for _, tag := range p.Tags {
		if !isText(tag) {
			return textError("tag", tag)
		}
	}
	switch {
	case !isText(p.TestID):
		return textError("test id", p.TestID)
	case !isText(p.MIMEType):
		return textError("MIME type", p.MIMEType)
	case !isText(p.FileName):
		return textError("file name", p.FileName)
	case !isText(p.Route):
		return textError("route code", p.Route)
	case !isText(p.ParentID):
		return textError("parent test id", p.ParentID)
	}
	return nil
}

func textError(field, value string) error {
	return fmt.Errorf("packet's %s %.100q: %w", field, value, ErrText)
}

// isText reports whether s can be on the wire.
func isText(s string) bool {
	return s == "" || utf8.ValidString(s) && strings.IndexByte(s, 0) < 0
}

// values are the fields of p that have a value.
func (p *Packet) values() (has Fields) {
	if p.TestID != "" {
		has |= HasTestID
	}
	if p.ParentID != "" {
		has |= HasParent
	}
	if len(p.Tags) > 0 {
		has |= HasTags
	}
	if !p.Time.IsZero() {
		has |= HasTime
	}
	if p.FileName != "" || len(p.Content) > 0 {
		has |= HasFile
	}
	if p.MIMEType != "" {
		has |= HasMIME
	}
	if p.Route != "" {
		has |= HasRoute
	}
	return has
}
