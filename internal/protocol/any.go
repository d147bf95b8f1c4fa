package protocol

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
)

// maxUndecided is how much may follow a line that looks like version 1 before
// the stream's version is decided without more to go by.
const maxUndecided = 1 << 20

// AnyReader takes packets, and the text between them, from a stream of version 1
// or 2: which, what comes first tells. It is not safe for concurrent use.
//
// A whole packet makes a stream version 2. What a program prints before that may
// look like version 1, so only a test that began and its outcome make it version 1, with
// no packet right behind them. Until then everything is text, which in either version
// it would be; but from the first line on that may be a directive it is held. When 1 MiB is
// held, or the stream ends, it is version 1 if there was a test that began, with a
// colon, or a time to the second, and else it is text.
type AnyReader struct {
	src     io.Reader
	v2      *Reader
	v1      *V1Reader // once the stream is known to be that
	version int
	out     []v1Item // to be returned before anything else

	held    []byte // text that isn't decided, from the beginning of a line on
	line    int    // where in held the line begins that isn't whole
	sought  int    // so much of that line has no newline
	hint    bool   // held begins with a line that may be a directive
	sure    bool   // there is one that is hardly anything else
	pair    bool   // held ends with the outcome of a test that was begun
	label   []byte // of the last test in held that was begun; nil: of none
	midLine bool   // what comes next is within a line that was returned in part
}

// NewAnyReader returns an AnyReader of r. It reads as Reader and V1Reader do.
func NewAnyReader(r io.Reader) *AnyReader { return &AnyReader{src: r, v2: NewReader(r)} }

// Version returns 1 or 2, or 0 while it is not decided. It stays 0 for a stream
// that has text alone.
func (r *AnyReader) Version() int { return r.version }

// Recycle gives the content of a packet back, see Reader.Recycle.
func (r *AnyReader) Recycle(p *Packet) {
	if r.version == 2 {
		r.v2.Recycle(p)
	}
	p.Content = nil
}

// ReadPacket returns the next packet or piece of text. All that is said of
// Reader.ReadPacket and V1Reader.ReadPacket holds.
func (r *AnyReader) ReadPacket() (*Packet, error) {
	for {
		switch {
		case len(r.out) > 0:
			item := r.out[0]
			r.out = r.out[1:]
			return item.packet, item.err
		case r.version == 1:
			return r.v1.ReadPacket()
		case r.version == 2:
			return r.v2.ReadPacket()
		}
		if err := r.decide(r.v2.ReadPacket()); err != nil {
			return nil, err
		}
	}
}

// decide takes what a Reader of version 2 makes of the stream. It returns the
// error that ends it.
func (r *AnyReader) decide(p *Packet, err error) error {
	var corrupt *CorruptError
	switch damaged := errors.As(err, &corrupt); {
	case err == nil && p.Text:
		r.text(p.Content)
	case err == nil:
		r.version = 2
		r.release(len(r.held))
		r.out = append(r.out, v1Item{packet: p})
	case damaged && r.sure: // in version 1 it is text
		r.held = append(r.held, corrupt.Data...)
		r.turn()
	case damaged:
		r.giveUp()
		r.midLine = !bytes.HasSuffix(corrupt.Data, []byte("\n"))
		r.out = append(r.out, v1Item{err: err})
	case r.sure:
		r.turn()
	case len(r.held) > 0:
		r.giveUp()
	default:
		return err
	}
	return nil
}

// text takes a piece of text.
func (r *AnyReader) text(piece []byte) {
	r.held = append(r.held, piece...)
	for {
		if r.pair && r.line < len(r.held) {
			r.turn()
			return
		}
		rest := r.held[r.line:]
		i := bytes.IndexByte(rest[r.sought:], '\n')
		if i < 0 {
			r.sought = len(rest)
			break
		}
		from, end := r.line, r.line+r.sought+i+1
		r.line, r.sought = end, 0
		if r.midLine {
			r.midLine = false
			continue
		}
		if r.look(r.held[from:end]) && !r.hint {
			r.hint = true
			r.release(from)
		}
	}
	if !r.hint {
		r.release(r.line)
		if r.midLine || len(r.held) > maxLine || !mayBecomeDirective(r.held) {
			r.midLine = r.midLine || len(r.held) > 0
			r.release(len(r.held))
		}
	}
	switch {
	case len(r.held) <= maxUndecided:
	case r.sure:
		r.turn()
	default:
		r.giveUp()
	}
}

// look looks at a line, and reports whether it may be a directive of version 1.
func (r *AnyReader) look(line []byte) (hint bool) {
	l := parseV1Line(line)
	switch l.kind {
	case startDirective:
		r.label = append(make([]byte, 0, len(l.arg)), l.arg...)
		r.sure = r.sure || l.colon
		return true
	case outcomeDirective:
		_, ok := matchOutcome(l.arg, r.label)
		r.pair = ok && r.label != nil
		r.sure = r.sure || r.pair
	case tagsDirective:
		_, hint = v1Tags(nil).change(l.arg)
	case timeDirective:
		var exact bool
		_, exact, hint = parseV1Time(l.arg)
		r.sure = r.sure || exact
	case progressDirective:
		hint = goodProgress(l.arg)
	}
	return hint
}

// mayBecomeDirective reports whether a line that begins with b may be one.
func mayBecomeDirective(b []byte) bool {
	word := b
	if i := bytes.IndexFunc(b, func(c rune) bool { return c < 0x80 && v1Space(byte(c)) }); i >= 0 {
		word = b[:i]
	}
	if len(word) > maxWord {
		return false
	}
	text := strings.TrimRight(string(word), ":")
	if _, ok := v1Words[text]; ok || len(word) < len(b) {
		return ok
	}
	for w := range v1Words {
		if strings.HasPrefix(w, text) {
			return true
		}
	}
	return false
}

// giveUp makes all that is held text, for which it stays undecided what comes
// after it.
func (r *AnyReader) giveUp() {
	r.midLine = r.midLine || r.line < len(r.held)
	r.release(len(r.held))
	r.hint, r.sure, r.label = false, false, nil
}

// release puts the first n octets of what is held to what is to be returned.
func (r *AnyReader) release(n int) {
	for rest := r.held[:n]; len(rest) > 0; {
		k := textCut(rest)
		r.out = append(r.out, v1Item{packet: textPacket(rest[:k])})
		rest = rest[k:]
	}
	r.held = slices.Delete(r.held, 0, n)
	if r.line -= n; r.line < 0 {
		r.line, r.sought = 0, 0
	}
}

// turn makes the stream one of version 1, which begins with what is held.
func (r *AnyReader) turn() {
	r.version = 1
	rest := r.src
	if err := r.v2.err; err != nil {
		if cause := errors.Unwrap(err); cause != nil {
			err = cause // V1Reader wraps it again
		}
		rest = endedSource{err}
	}
	r.v1 = NewV1Reader(io.MultiReader(bytes.NewReader(r.held), bytes.NewReader(r.v2.win.held()), rest))
	r.held, r.v2 = nil, nil
}

// endedSource is a source that has ended, with that error.
type endedSource struct{ err error }

func (e endedSource) Read([]byte) (int, error) { return 0, e.err }
