package protocol

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// maxText is the longest piece of text that is delivered at once.
const maxText = bufferSize

// Reader takes packets, and the text between them, from a stream. It is not
// safe for concurrent use.
//
// It holds at most one packet and a constant, whatever the stream says, and its
// work is linear in what it reads.
type Reader struct {
	win  window
	sums sums
	err  error // what the source ended with

	gap  bool // damage was reported since the last packet
	scan int  // so much of what is held is text
	want int  // so much has to be held before the candidate is decided; 0: unknown

	badSum bool     // the candidate at the beginning is whole and has a wrong checksum
	known  int64    // the candidate at this place is a good packet
	passed [2]int64 // no candidate before this place is good: one for each kind of search
}

// NewReader returns a Reader of r. It reads as much as r has ready and never
// reads again before everything that can be decided was returned.
func NewReader(r io.Reader) *Reader { return &Reader{win: window{src: r}, known: -1} }

// Offset returns how many octets of the stream have been returned, as packets,
// as text or as damage.
func (r *Reader) Offset() int64 { return r.win.off }

// Recycle gives the content of a packet of this Reader back, for another packet
// to come. Nobody may use it any more; p.Content is nil from then on. It saves
// much of what a large file costs, and nobody has to call it.
func (r *Reader) Recycle(p *Packet) {
	if b := p.Content[:cap(p.Content)]; len(b) > bufferSize {
		r.win.spare = b
	}
	p.Content = nil
}

// phase is what the Reader knows of the octets that it does not hold.
type phase uint8

const (
	flowing phase = iota // they may come
	stalled              // they did not come for a while
	ended                // there are none
)

// ReadPacket returns the next packet or piece of text (see Packet.Text), which
// is the caller's. Pieces of text are at most 64 KiB long and end between
// characters.
//
// A *CorruptError is damage that was gone past: call again. Any other error
// ends the stream, for good: io.EOF where it ends, else the source's error,
// wrapped. A packet that the end cuts off is damage.
//
// A packet may begin at the beginning of the stream, after a packet and after
// any text but half a character; one that begins inside a character counts too
// if it is whole and good. What a packet holds beyond its last field is left out,
// numbers may be longer than they need to be, and bit 0x0008 may stand without
// a parent test id; the Packet does not tell.
func (r *Reader) ReadPacket() (*Packet, error) {
	at := flowing
	for {
		if r.err != nil {
			at = ended
		}
		p, err := r.next(at)
		if p != nil || err != nil {
			return p, err
		}
		if r.err != nil {
			return nil, r.err
		}
		at = r.fill()
	}
}

// fill reads more and tells what that says of the octets that did not come.
func (r *Reader) fill() phase {
	n, err := r.win.fill(r.want)
	switch {
	case err == nil:
	case errors.Is(err, ErrStalled):
		if n == 0 {
			return stalled
		}
	case errors.Is(err, io.EOF):
		r.err = io.EOF
	default:
		r.err = fmt.Errorf("read subunit stream: %w", err)
	}
	return flowing
}

// next returns what can be decided from what is held, or nothing.
func (r *Reader) next(at phase) (*Packet, error) {
	held := r.win.held()
	for r.scan < len(held) {
		i := bytes.IndexByte(held[r.scan:], signature)
		if i < 0 {
			break
		}
		i += r.scan
		if r.gap {
			i = lastOfRun(held, i)
		}
		where, before := place(held, i, at == ended)
		if where == unfinished {
			return r.text(held, before), nil
		}
		_, reason := header(held[i:])
		if where == middle || reason != "" && (where == last || r.gap) {
			r.scan = i + 1
			continue
		}
		if where == last {
			switch r.weak(held, i, at) {
			case good:
				return r.text(held, i), nil
			case open:
				return r.text(held, before), nil
			}
			r.scan = i + 1
			continue
		}
		if r.gap && contradiction(held[i:]) != (fault{}) {
			r.scan = i + 1
			continue
		}
		if before > 0 {
			return r.text(held, before), nil
		}
		if decided, p, err := r.candidate(held, at); decided {
			return p, err
		}
		return nil, nil
	}
	if at == ended {
		return r.text(held, len(held)), nil
	}
	return r.text(held, len(held)-halfCharacter(held)), nil
}

// lastOfRun goes to the last of the signatures that stand side by side from
// held[i] on: no other can begin a packet.
func lastOfRun(held []byte, i int) int {
	for i+1 < len(held) && held[i+1] == signature {
		i++
	}
	return i
}

// consume goes past n octets of what is held.
func (r *Reader) consume(held []byte, n int) {
	r.sums.advance(held, r.win.off+int64(n))
	r.win.drop(n)
	r.scan = max(0, r.scan-n)
	r.want, r.badSum = 0, false
}

// text returns the first n octets of what is held, or so many as make a piece.
func (r *Reader) text(held []byte, n int) *Packet {
	if n == 0 {
		return nil
	}
	n = textCut(held[:n])
	p := textPacket(held[:n])
	r.consume(held, n)
	return p
}

// textCut returns how much of a text makes a piece, which ends between
// characters.
func textCut(text []byte) int {
	if len(text) <= maxText {
		return len(text)
	}
	start := maxText
	for start > maxText-utf8.UTFMax && !utf8.RuneStart(text[start]) {
		start--
	}
	if _, size := utf8.DecodeRune(text[start:]); start+size > maxText {
		return start
	}
	return maxText
}

func textPacket(text []byte) *Packet {
	return &Packet{
		Has: HasFile, FileName: TextName, Content: bytes.Clone(text),
		Runnable: true, Text: true,
	}
}

// packet returns the good packet that what is held begins with.
func (r *Reader) packet(held []byte, l *layout, length int) *Packet {
	content := l.content.to - l.content.from
	give := r.win.large() && content > len(r.win.buf)/2 && len(held)-length <= bufferSize
	p := l.packet(held[:length], give)
	r.consume(held, length)
	r.gap = false
	if give {
		r.win.give(length)
	}
	return p
}

// damage returns the first n octets of what is held as damaged.
func (r *Reader) damage(held []byte, n int, reason string) error {
	err := &CorruptError{Offset: r.win.off, Data: bytes.Clone(held[:n]), Reason: reason}
	r.consume(held, n)
	r.gap = true
	r.win.proof = 0
	return err
}

// placing is where in the text a signature stands.
type placing uint8

const (
	apart      placing = iota // where a packet may begin
	middle                    // in a character that goes on after it
	last                      // as the last octet of a character
	unfinished                // in what may become a character
)

// place tells where held[i], a signature, stands, and where the text before it
// ends: at the beginning of its character if it is in one. With final, nothing
// comes after held.
func place(held []byte, i int, final bool) (where placing, before int) {
	for start := i - 1; start >= max(0, i-utf8.UTFMax+1); start-- {
		if !utf8.RuneStart(held[start]) {
			continue
		}
		if !utf8.FullRune(held[start:]) {
			if final {
				return apart, i
			}
			return unfinished, start
		}
		switch _, size := utf8.DecodeRune(held[start:]); {
		case start+size > i+1:
			return middle, start
		case start+size == i+1:
			return last, start
		}
		break
	}
	return apart, i
}

// halfCharacter is how many octets at the end of held begin a character.
func halfCharacter(held []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(held); n++ {
		if start := len(held) - n; utf8.RuneStart(held[start]) {
			if utf8.FullRune(held[start:]) {
				return 0
			}
			return n
		}
	}
	return 0
}
