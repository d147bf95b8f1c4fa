package protocol

import (
	"errors"
	"fmt"
)

// ErrStalled is what the source of a Reader may return from Read, with no
// bytes, to say that nothing came for a while. The Reader then gives up what
// only looked like the beginning of a packet, if it can, and reads again: the
// source must have waited, for the Reader does not.
var ErrStalled = errors.New("nothing came for a while")

// The errors of AppendPacket, Split and Writer for packets that have no form
// on the wire. They come wrapped, with the field that is wrong.
var (
	// ErrTooLarge says that a packet is longer than MaxPacket.
	ErrTooLarge = errors.New("packet too large")
	// ErrText says that a string is not UTF-8 or holds a NUL.
	ErrText = errors.New("not text")
	// ErrTime says that a time is before 1970 or after 2106.
	ErrTime = errors.New("time out of range")
	// ErrFields says that a field has a value and its bit is not in Has.
	ErrFields = errors.New("value of a field that is absent")
)

// CorruptError is a damaged stretch of a stream. The Reader has gone past it:
// call ReadPacket again. Data is the caller's.
type CorruptError struct {
	Offset int64  // where Data begins in the stream
	Data   []byte // everything that was given up
	Reason string // what is wrong with it, for people
}

// Error tells where the damage is and what it is.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("subunit stream damaged at offset %d, %d octets: %s", e.Offset, len(e.Data), e.Reason)
}
