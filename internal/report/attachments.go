package report

import (
	"slices"
	"strings"

	"testr/internal/protocol"
)

// How much of the files of tests that have not ended is kept to be shown, and
// how much of that only the traceback may use, so that no log crowds it out.
const (
	testLimit        = 4 << 20
	allLimit         = 64 << 20
	tracebackReserve = 1 << 20
)

// fileOverhead is what a file costs beside its content.
const fileOverhead = 128

// tracebackName is the file that a failure is mostly about.
const tracebackName = "traceback"

// attachments are the files of one test, in the order of their first bytes.
type attachments struct {
	files   []*file
	size    int   // of what is kept, counted against the limits
	leftOut int64 // bytes of text that are not kept
}

type file struct {
	name    string
	mime    mimeType
	content []byte // of text only; nobody is shown the rest
}

// testKey tells tests apart that run at the same time.
type testKey struct{ profile, route, id string }

// collector keeps the files of tests until they end.
type collector struct {
	tests map[testKey]*attachments
	size  int
}

// add keeps the file bytes of p. Empty files don't count as files.
func (c *collector) add(profile string, p *protocol.Packet) {
	if p.Has&protocol.HasFile == 0 || len(p.Content) == 0 {
		return
	}
	key := testKey{profile, p.Route, p.TestID}
	a := c.tests[key]
	if a == nil {
		a = &attachments{}
		key.route, key.id = strings.Clone(key.route), strings.Clone(key.id)
		c.tests[key] = a
	}
	before := a.size
	a.add(p, c.size)
	c.size += a.size - before
}

// take returns the files of a test, or nil, and forgets them.
func (c *collector) take(profile, route, id string) *attachments {
	if len(c.tests) == 0 {
		return nil
	}
	key := testKey{profile, route, id}
	a := c.tests[key]
	if a != nil {
		delete(c.tests, key)
		c.size -= a.size
	}
	return a
}

// add keeps as much of p's file as the limits allow; all is the size of the
// files of all tests.
func (a *attachments) add(p *protocol.Packet, all int) {
	room := min(testLimit-a.size, allLimit-all)
	if p.FileName != tracebackName {
		room -= tracebackReserve
	}
	i := slices.IndexFunc(a.files, func(f *file) bool { return f.name == p.FileName })
	if i < 0 {
		cost := fileOverhead + len(p.FileName) + len(p.MIMEType)
		if room < cost {
			a.leftOut += int64(len(p.Content))
			return
		}
		room -= cost
		a.size += cost
		i = len(a.files)
		a.files = append(a.files, &file{name: strings.Clone(p.FileName), mime: parseMIME(strings.Clone(p.MIMEType))})
	}
	f := a.files[i]
	if !f.mime.text() {
		return
	}
	n := max(0, min(len(p.Content), room))
	f.content = append(f.content, p.Content[:n]...)
	a.size += n
	a.leftOut += int64(len(p.Content) - n)
}
