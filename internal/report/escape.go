package report

import (
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Escape returns s with everything visible that could do something to a
// terminal: control characters (but newline and tab), invalid UTF-8, and
// invisible or direction-changing characters become escapes like \x1b, \r or
// \u202e. A string without any is returned as it is.
func Escape(s string) string { return escape(s, false) }

// EscapeLine is Escape for what stands within one line: newlines and tabs are
// escaped as well.
func EscapeLine(s string) string { return escape(s, true) }

func escape(s string, line bool) string {
	for i := range len(s) {
		if !plain(s[i], line) {
			dst := append(make([]byte, 0, len(s)+16), s[:i]...)
			return string(appendEscaped(dst, s[i:], line))
		}
	}
	return s
}

// plain says whether the byte stands for itself, whatever is around it.
func plain(c byte, line bool) bool {
	return c >= ' ' && c < 0x7f || !line && (c == '\n' || c == '\t')
}

func appendEscaped(dst []byte, s string, line bool) []byte {
	for len(s) > 0 {
		n := 0
		for n < len(s) && plain(s[n], line) {
			n++
		}
		dst = append(dst, s[:n]...)
		if s = s[n:]; s == "" {
			break
		}
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r < utf8.RuneSelf:
			dst = appendControl(dst, s[0])
		case r == utf8.RuneError && size == 1:
			dst = appendHex(append(dst, '\\', 'x'), rune(s[0]), 2)
		case !hidden(r):
			dst = append(dst, s[:size]...)
		case r > 0xffff:
			dst = appendHex(append(dst, '\\', 'U'), r, 8)
		default:
			dst = appendHex(append(dst, '\\', 'u'), r, 4)
		}
		s = s[size:]
	}
	return dst
}

func appendControl(dst []byte, c byte) []byte {
	switch c {
	case '\n':
		return append(dst, '\\', 'n')
	case '\t':
		return append(dst, '\\', 't')
	case '\r':
		return append(dst, '\\', 'r')
	}
	return appendHex(append(dst, '\\', 'x'), rune(c), 2)
}

func appendHex(dst []byte, r rune, digits int) []byte {
	for shift := 4 * (digits - 1); shift >= 0; shift -= 4 {
		dst = append(dst, "0123456789abcdef"[r>>shift&0xf])
	}
	return dst
}

// hidden says whether a character beyond ASCII changes how others look or
// can't be seen itself. The joiners stay, because some scripts can't be
// written without them, and so do the format characters that have a shape.
func hidden(r rune) bool {
	const zeroWidthNonJoiner, zeroWidthJoiner = 0x200c, 0x200d
	switch {
	case r < 0xa0: // C1
		return true
	case r == zeroWidthNonJoiner || r == zeroWidthJoiner:
		return false
	}
	return unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) && !unicode.Is(unicode.Prepended_Concatenation_Mark, r)
}

// Escaper is Escape for text that comes in pieces: a character that is split
// over two of them is put together. The zero Escaper is ready to use.
type Escaper struct {
	held []byte // the beginning of a character
}

// Append appends p, escaped, to dst. It keeps back an unfinished character at
// the end of p.
func (e *Escaper) Append(dst, p []byte) []byte {
	if len(e.held) > 0 {
		p = slices.Concat(e.held, p)
	}
	end := len(p) - unfinished(p)
	e.held = append(e.held[:0], p[end:]...)
	return appendEscaped(dst, string(p[:end]), false)
}

// Flush appends what is kept back to dst: there is no more text.
func (e *Escaper) Flush(dst []byte) []byte {
	dst = appendEscaped(dst, string(e.held), false)
	e.held = e.held[:0]
	return dst
}

// unfinished returns how many bytes at the end of p are the beginning of a
// character.
func unfinished(p []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(p); n++ {
		if tail := p[len(p)-n:]; utf8.RuneStart(tail[0]) {
			if utf8.FullRune(tail) {
				return 0
			}
			return n
		}
	}
	return 0
}

// EscapeWriter writes to a terminal what others wrote. It is not safe for
// concurrent use.
type EscapeWriter struct {
	w   io.Writer
	esc Escaper
	buf []byte
}

// NewEscapeWriter returns a writer that escapes what is written to it, as
// Escape does, on its way to w.
func NewEscapeWriter(w io.Writer) *EscapeWriter { return &EscapeWriter{w: w} }

// Write writes p, escaped, with at most one write. The beginning of a
// character at the end of p waits for its rest.
func (w *EscapeWriter) Write(p []byte) (int, error) {
	w.buf = w.esc.Append(w.buf[:0], p)
	if err := w.put(); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Flush writes what Write kept back.
func (w *EscapeWriter) Flush() error {
	w.buf = w.esc.Flush(w.buf[:0])
	return w.put()
}

func (w *EscapeWriter) put() error {
	if len(w.buf) == 0 {
		return nil
	}
	_, err := w.w.Write(w.buf)
	return err
}

// quoter puts what others wrote into text: escaped for a terminal, else raw.
type quoter bool

const (
	raw      quoter = false
	terminal quoter = true
)

func (q quoter) line(dst []byte, s string) []byte {
	if q == raw {
		return append(dst, s...)
	}
	return appendEscaped(dst, s, true)
}

func (q quoter) text(dst []byte, s string) []byte {
	if q == raw {
		return append(dst, s...)
	}
	return appendEscaped(dst, s, false)
}

// hasNewline says whether a list with an id a line would show s as two.
func hasNewline(s string) bool { return strings.IndexByte(s, '\n') >= 0 }
