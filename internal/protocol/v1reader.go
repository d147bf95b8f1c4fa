package protocol

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// maxLine is the longest line that can be anything but text.
const maxLine = bufferSize

// V1Reader takes packets, and the text between them, from a stream of version
// 1. It is not safe for concurrent use.
//
// It gives what python-subunit's conversion to version 2 gives, where that is
// right: a directive is a packet, or none, and the parts of an outcome's details
// are files before it. Packets have the time that the stream gave last, and none
// before it gave one.
//
// It holds at most the details of one outcome, 4 MiB of them, and a constant,
// whatever the stream says, and its work is linear in what it reads.
type V1Reader struct {
	win     window
	err     error // what the source ended with
	sought  int   // so much of what is held has no newline
	run     int   // so much of what is held is text
	midLine bool  // what is held begins within a line

	out     []v1Item // to be returned
	atEnd   bool     // the end was dealt with
	time    time.Time
	hasTime bool
	tags    v1Tags // outside of tests

	test     *v1Test // that runs
	beside   *v1Test // that ran when another one began, and may yet have its outcome
	details  *v1Details
	skipping bool // up to the closing bracket of damaged details
}

// v1Item is what ReadPacket returns.
type v1Item struct {
	packet *Packet
	err    error
}

// v1Test is a test that has begun.
type v1Test struct {
	label []byte // as it stands in the stream
	id    string
	tags  v1Tags
	colon bool // its directive stood with a colon, as writers write it
}

// NewV1Reader returns a V1Reader of r. It reads as much as r has ready and never
// reads again before everything that can be decided was returned.
func NewV1Reader(r io.Reader) *V1Reader { return &V1Reader{win: window{src: r}} }

// ReadPacket returns the next packet or piece of text (see Packet.Text), which
// is the caller's. Pieces of text are at most 64 KiB long and end between
// characters.
//
// A *CorruptError is damage that was gone past: call again. Any other error
// ends the stream, for good: io.EOF where it ends, else the source's error,
// wrapped. A test that the end finds running has failed, as one whose connection
// was lost.
//
// A line that is malformed, or can't stand where it stands, is text. Where a test
// begins while another one runs, both directives being written with a colon, the
// first one goes on beside it, since its outcome may have been torn; python-subunit
// takes all that follows for text then.
func (r *V1Reader) ReadPacket() (*Packet, error) {
	for len(r.out) == 0 {
		switch {
		case r.err == nil || len(r.win.held()) > 0:
			r.step()
		case !r.atEnd:
			r.end()
		default:
			return nil, r.err
		}
	}
	item := r.out[0]
	r.out[0] = v1Item{}
	r.out = r.out[1:]
	return item.packet, item.err
}

// step takes a line, or reads more.
func (r *V1Reader) step() {
	if r.details != nil {
		r.readDetails()
		return
	}
	line, whole := r.line()
	if line == nil {
		return
	}
	if !r.midLine && whole {
		if l := parseV1Line(line); l.kind != noDirective && r.directive(l, line) {
			return
		}
	}
	if r.skipping && whole && string(bytes.TrimSuffix(line, []byte("\n"))) == "]" {
		r.skipping = false
	}
	r.midLine = !whole
	r.run += len(line)
	if r.run >= maxText {
		r.text()
	}
}

// line returns the line that stands behind the text that is held, or as much of
// a very long one as can be told apart. If it isn't held, line delivers the text
// and reads more.
func (r *V1Reader) line() (line []byte, whole bool) {
	held := r.win.held()[r.run:]
	i := bytes.IndexByte(held[r.sought:], '\n')
	switch {
	case i >= 0:
		i += r.sought + 1
		r.sought = 0
		return held[:i], true
	case r.err != nil && len(held) > 0:
		r.sought = 0
		return held, true
	case len(held) >= maxLine:
		r.sought = 0
		return held[:len(held)-halfCharacter(held)], false
	}
	r.sought = len(held)
	if r.run > 0 {
		r.text()
		return nil, false
	}
	r.fill()
	return nil, false
}

// fill reads more.
func (r *V1Reader) fill() {
	switch _, err := r.win.fill(0); {
	case err == nil || errors.Is(err, ErrStalled):
	case errors.Is(err, io.EOF):
		r.err = io.EOF
	default:
		r.err = fmt.Errorf("read subunit stream: %w", err)
	}
}

// drop goes past n octets of what is held.
func (r *V1Reader) drop(n int) { r.win.drop(n) }

// text delivers the text that is held.
func (r *V1Reader) text() {
	for r.run > 0 {
		n := textCut(r.win.held()[:r.run])
		r.out = append(r.out, v1Item{packet: textPacket(r.win.held()[:n])})
		r.run -= n
		r.drop(n)
	}
}

// directive follows a directive, and reports false if it is text where it
// stands. Text before it is delivered first.
func (r *V1Reader) directive(l v1Line, line []byte) bool {
	start := l.kind == startDirective && (r.test == nil || r.test.colon && l.colon)
	if r.skipping && (!start || !l.colon) {
		return false
	}
	in := &r.tags
	if r.test != nil {
		in = &r.test.tags
	}
	tags := *in
	at, ok := r.time, true
	var o v1Outcome
	switch l.kind {
	case startDirective:
		ok = start
	case outcomeDirective:
		o, ok = r.match(l.arg)
	case tagsDirective:
		tags, ok = tags.change(l.arg)
	case timeDirective:
		at, _, ok = parseV1Time(l.arg)
	case progressDirective:
		ok = goodProgress(l.arg)
	}
	if !ok {
		return false
	}
	r.text()
	r.skipping = false
	switch l.kind {
	case startDirective:
		r.start(l)
	case outcomeDirective:
		r.begin(l, o)
	case tagsDirective:
		*in = tags
	case timeDirective:
		r.time, r.hasTime = at, storable(at)
	}
	r.drop(len(line))
	return true
}

// start begins a test.
func (r *V1Reader) start(l v1Line) {
	if r.test != nil {
		r.lost(r.beside, "")
		r.beside = r.test
	}
	r.test = &v1Test{label: bytes.Clone(l.arg), id: cleanText(l.arg), tags: r.tags, colon: l.colon}
	r.deliver(Packet{Has: HasTestID, TestID: r.test.id, Status: StatusInProgress})
}

// v1Outcome is what an outcome's directive ends, and how.
type v1Outcome struct {
	test               *v1Test
	details, multipart bool
}

// match finds the test that an outcome is of.
func (r *V1Reader) match(arg []byte) (v1Outcome, bool) {
	t := r.test
	if t == nil {
		t = r.beside
	}
	if t == nil {
		return v1Outcome{}, false
	}
	o, ok := matchOutcome(arg, t.label)
	o.test = t
	return o, ok
}

// matchOutcome reports whether an outcome's directive is of the test with that
// label, and what follows it.
func matchOutcome(arg, label []byte) (o v1Outcome, ok bool) {
	rest, ok := bytes.CutPrefix(arg, label)
	switch string(rest) {
	case "":
	case " [":
		o.details = true
	case " [ multipart":
		o.details, o.multipart = true, true
	default:
		return o, false
	}
	return o, ok
}

// begin begins an outcome, which without details is all of it.
func (r *V1Reader) begin(l v1Line, o v1Outcome) {
	if o.test == r.beside {
		r.test, r.beside = r.beside, nil
	}
	if o.details {
		r.details = newDetails(l, o.multipart)
		return
	}
	r.outcome(l.status)
}

// outcome delivers the outcome of the running test, which ends it.
func (r *V1Reader) outcome(status Status) {
	r.ended(r.test, status)
	r.test, r.details = nil, nil
}

func (r *V1Reader) ended(t *v1Test, status Status) {
	p := Packet{Has: HasTestID, TestID: t.id, Status: status}
	if len(t.tags) > 0 {
		p.Has |= HasTags
		p.Tags = slices.Clone(t.tags)
	}
	r.deliver(p)
}

// lost delivers the failure of a test that was begun and has no outcome, if t is
// one. The words are python-subunit's.
func (r *V1Reader) lost(t *v1Test, report string) {
	if t == nil {
		return
	}
	text := fmt.Appendf(nil, "testtools.testresult.real._StringException: lost connection during %stest '%s'\n",
		report, t.id)
	r.deliver(Packet{Has: HasTestID | HasFile | HasMIME, TestID: t.id, FileName: "traceback", MIMEType: mimeLost,
		Content: text, EOF: true})
	r.ended(t, StatusFail)
}

// end delivers what the end of the stream leaves open.
func (r *V1Reader) end() {
	r.atEnd = true
	r.lost(r.beside, "")
	report := ""
	if r.details != nil {
		report = r.details.outcome.label + " report of "
	}
	r.lost(r.test, report)
	r.test, r.beside, r.details = nil, nil, nil
}

// file delivers a file, or a piece of one, of the running test.
func (r *V1Reader) file(name, mime string, content []byte, eof bool) {
	r.deliver(Packet{Has: HasTestID | HasFile | HasMIME, TestID: r.test.id, FileName: name, MIMEType: mime,
		Content: content, EOF: eof})
}

// deliver puts a packet to those that are to be returned.
func (r *V1Reader) deliver(p Packet) {
	p.Runnable = true
	if r.hasTime {
		p.Has |= HasTime
		p.Time = r.time
	}
	r.out = append(r.out, v1Item{packet: &p})
}
