package api

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"testr/internal/event"
	"testr/internal/protocol"
)

// wireEvent is a line of a stream of events: one of them, or the stream's end. The
// keys of an event are written by AppendEvent.
type wireEvent struct {
	Seq     uint64          `json:"seq"`
	Time    *time.Time      `json:"time,omitempty"`
	Kind    string          `json:"kind"`
	Profile string          `json:"profile,omitempty"`
	Worker  *int            `json:"worker,omitempty"`
	Packet  json.RawMessage `json:"packet,omitempty"`  // as event.AppendJSON has it
	Subunit []byte          `json:"subunit,omitempty"` // or else as protocol.AppendPacket has it
	Text    bool            `json:"text,omitempty"`    // the packet was text between packets
	Tests   []string        `json:"tests,omitempty"`
	Detail  string          `json:"detail,omitempty"`

	Error *wireError `json:"error,omitempty"` // of kind kindError
}

// The kinds of lines that are no events. A stream without one of them at its end
// was cut.
const (
	kindEnd   = "end"
	kindError = "error"
)

// AppendEvent appends an event as a line of JSON, with its newline. ParseEvent
// makes the same event of it. The error is one of the packet's, which nothing
// that was stored has.
func AppendEvent(dst []byte, e event.Event) ([]byte, error) {
	return appendEvent(dst, e, func(dst []byte, p *protocol.Packet) ([]byte, error) {
		return event.AppendJSON(append(dst, `,"packet":`...), p)
	})
}

// appendRaw is AppendEvent with the packet as it is in a subunit stream, in base64:
// a third of the work for both ends.
func appendRaw(dst []byte, e event.Event) ([]byte, error) {
	return appendEvent(dst, e, func(dst []byte, p *protocol.Packet) ([]byte, error) {
		packet, err := protocol.AppendPacket(nil, p)
		dst = append(dst, `,"subunit":"`...)
		dst = base64.StdEncoding.AppendEncode(dst, packet)
		return append(dst, '"'), err
	})
}

func appendEvent(to []byte, e event.Event,
	appendPacket func([]byte, *protocol.Packet) ([]byte, error)) ([]byte, error) {
	dst := strconv.AppendUint(append(to, `{"seq":`...), e.Seq, 10)
	if !e.Time.IsZero() {
		dst = append(e.Time.UTC().AppendFormat(append(dst, `,"time":"`...), time.RFC3339Nano), '"')
	}
	dst = append(append(append(dst, `,"kind":"`...), e.Kind.String()...), '"') // no name has to be escaped
	if e.Worker != event.NoWorker {
		dst = strconv.AppendInt(append(dst, `,"worker":`...), int64(e.Worker), 10)
	}
	if p := e.Packet; p != nil {
		var err error
		if dst, err = appendPacket(dst, p); err != nil {
			return to, fmt.Errorf("encode event %d: %w", e.Seq, err)
		}
		if p.Text {
			dst = append(dst, `,"text":true`...)
		}
	}
	var errs [3]error
	if e.Profile != "" {
		dst, errs[0] = appendValue(dst, `,"profile":`, e.Profile)
	}
	if len(e.Tests) > 0 {
		dst, errs[1] = appendValue(dst, `,"tests":`, e.Tests)
	}
	if e.Detail != "" {
		dst, errs[2] = appendValue(dst, `,"detail":`, e.Detail)
	}
	if err := errors.Join(errs[:]...); err != nil {
		return to, err
	}
	return append(dst, '}', '\n'), nil
}

func appendValue(dst []byte, key string, v any) ([]byte, error) {
	text, err := encode(v)
	return append(append(dst, key...), bytes.TrimSuffix(text, []byte{'\n'})...), err
}

// ParseEvent makes an event of a line. It owns its memory. At the end of a stream
// the error is io.EOF, or what went wrong at the other end.
func ParseEvent(line []byte) (event.Event, error) {
	var w wireEvent
	if err := decode(line, &w); err != nil {
		return event.Event{}, fmt.Errorf("an event of the stream: %w", err)
	}
	switch {
	case w.Kind == kindEnd:
		return event.Event{}, io.EOF
	case w.Kind == kindError && w.Error != nil:
		return event.Event{}, fromWire(*w.Error)
	}
	e := event.Event{Seq: w.Seq, Kind: event.ParseKind(w.Kind), Profile: w.Profile, Worker: event.NoWorker,
		Tests: w.Tests, Detail: w.Detail}
	if w.Time != nil {
		e.Time = *w.Time
	}
	if w.Worker != nil {
		e.Worker = *w.Worker
	}
	var err error
	switch {
	case w.Packet != nil:
		e.Packet, err = event.ParseJSON(w.Packet)
	case w.Subunit != nil:
		e.Packet, err = parseRaw(w.Subunit)
	}
	if err != nil {
		return event.Event{}, fmt.Errorf("event %d of the stream: %w", w.Seq, err)
	}
	if e.Packet != nil {
		e.Packet.Text = w.Text
	}
	if e.Kind == event.KindInvalid || e.Kind == event.KindPacket && e.Packet == nil {
		return event.Event{}, fmt.Errorf("event %d of the stream: unknown kind %.50q, or no packet", w.Seq, w.Kind)
	}
	return e, nil
}

// parseRaw reads a packet that is one, and nothing else.
func parseRaw(b []byte) (*protocol.Packet, error) {
	p, n, err := protocol.ParsePacket(b)
	if err == nil && n != len(b) {
		err = fmt.Errorf("a packet of %d bytes in %d", n, len(b))
	}
	return p, err
}

// appendEnd appends the last line of a stream; err is why it ends, or nil.
func appendEnd(dst []byte, err error) []byte {
	w := wireEvent{Kind: kindEnd}
	if err != nil {
		e, _ := toWire(err)
		w.Kind, w.Error = kindError, &e
	}
	line, err := encode(w)
	if err != nil { // of plain texts: it can't be
		return dst
	}
	return append(dst, line...)
}

const (
	// maxLine is how long a line of a stream may be: the largest packet takes 22 MiB
	// as JSON.
	maxLine = 64 << 20
	// maxBatch is how many events are handed over at a time.
	maxBatch = 1000
)

// lines reads a stream of events. It belongs to one goroutine.
type lines struct {
	r   *bufio.Reader
	err error
}

func newLines(r io.Reader) *lines { return &lines{r: bufio.NewReaderSize(r, 64<<10)} }

// batch returns the events that are at hand, one at least; with none comes the
// reason, io.EOF if the stream is over.
func (l *lines) batch() (events []event.Event, err error) {
	for l.err == nil && len(events) < maxBatch && (len(events) == 0 || l.whole()) {
		var line []byte
		if line, l.err = l.line(); l.err != nil {
			break
		}
		var e event.Event
		if e, l.err = ParseEvent(line); l.err == nil {
			events = append(events, e)
		}
	}
	if len(events) > 0 {
		return events, nil
	}
	return nil, l.err
}

// whole reports whether the next line is at hand.
func (l *lines) whole() bool {
	held, err := l.r.Peek(l.r.Buffered())
	return err == nil && bytes.IndexByte(held, '\n') >= 0
}

// line returns the next line, which is good until the next call.
func (l *lines) line() ([]byte, error) {
	line, err := l.r.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return line, cut(err)
	}
	long := bytes.Clone(line)
	for errors.Is(err, bufio.ErrBufferFull) {
		if len(long) > maxLine {
			return nil, fmt.Errorf("a stream of events: a line of more than %d bytes", maxLine)
		}
		line, err = l.r.ReadSlice('\n')
		long = append(long, line...)
	}
	return long, cut(err)
}

// cut says of a stream that ends without its last line that it was cut.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// appendPacket appends an event's packet as it is in a subunit stream, if it has
// one.
func appendPacket(dst []byte, e event.Event) ([]byte, error) {
	if e.Kind != event.KindPacket {
		return dst, nil
	}
	return protocol.AppendPacket(dst, e.Packet)
}
