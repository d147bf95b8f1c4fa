package supervisor

import "unicode/utf8"

// tail keeps the end of what is written to it: at least limit bytes, if so many
// came.
type tail struct {
	limit int
	buf   []byte
}

// Write never fails.
func (t *tail) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p...)
	if len(t.buf) > 2*t.limit {
		t.buf = append(t.buf[:0], t.buf[len(t.buf)-t.limit:]...)
	}
	return len(p), nil
}

// String returns the last limit bytes, from the first whole character on.
func (t *tail) String() string {
	b := t.buf[max(0, len(t.buf)-t.limit):]
	if len(b) < len(t.buf) {
		for len(b) > 0 && !utf8.RuneStart(b[0]) {
			b = b[1:]
		}
	}
	return string(b)
}
