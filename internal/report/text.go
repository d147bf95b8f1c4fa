package report

import (
	"fmt"
	"io"
	"strings"
	"time"

	"testr/internal/event"
	"testr/internal/protocol"
)

// TextOptions say where and for whom a Text writes. The zero TextOptions are
// for a file: raw, without colours and status line.
type TextOptions struct {
	// Terminal says that the writer is a terminal: what others wrote is
	// escaped, and Tick draws a status line.
	Terminal bool
	// Color has labels and the verdict in colour.
	Color bool
	// Quiet leaves out the summary; failures are shown all the same.
	Quiet bool
	// FilterTags are the tags whose tests the summary doesn't count, unless
	// they fail the run.
	FilterTags []string
	// Host is the machine that the run's supervisor is on, or was. Of tests that
	// ran on another one the host is shown.
	Host string
	// Elsewhere says that this machine is not Host.
	Elsewhere bool

	// Err gets chatter and warnings; nil drops them.
	Err io.Writer
	// ErrTerminal says that Err is a terminal: chatter is escaped, and what
	// workers write to stdout is shown as well.
	ErrTerminal bool
	// Routes has each line of chatter begin with the route it came by: for
	// runs of several workers.
	Routes bool
}

// Text shows a run's events as text. It is an event.Sink; like every Sink it
// belongs to one goroutine, which also has to call Tick, Summary and Close. It
// keeps nothing of the events that it was given but the host of each slot, which
// tests moved from instances that were lost, and of the files of tests in progress
// at most 4 MiB a test and 64 MiB in all.
type Text struct {
	w      io.Writer
	opts   TextOptions
	quote  quoter
	files  collector
	places places
	chat   chatter
	line   statusDrawn
	buf    []byte

	interrupted []string // details of the interruptions
	moved       moved
}

// NewText returns a Text that writes to w.
func NewText(w io.Writer, opts TextOptions) *Text {
	return &Text{
		w:      w,
		opts:   opts,
		quote:  quoter(opts.Terminal),
		files:  collector{tests: map[testKey]*attachments{}},
		places: places{home: opts.Host},
	}
}

// Event shows what e has to show: a failure, with all files that its test had
// until then, or chatter. An error is that of a writer.
func (t *Text) Event(e event.Event) error {
	switch e.Kind {
	case event.KindPacket:
		return t.packet(e.Profile, e.Packet)
	case event.KindWarning:
		return t.warn(e.Detail)
	case event.KindWorkerStarted:
		t.places.started(e)
	case event.KindInterrupted:
		if len(t.interrupted) < maxReasons {
			t.interrupted = append(t.interrupted, e.Detail)
		}
	case event.KindRequeued:
		t.moved.add(e)
	default:
	}
	return nil
}

func (t *Text) packet(profile string, p *protocol.Packet) error {
	if p.Has&protocol.HasTestID == 0 {
		return t.chatter(p)
	}
	attempt := event.AttemptOf(p)
	if attempt > 1 && p.Status == protocol.StatusInProgress {
		t.files.take(profile, p.Route, p.TestID) // of an attempt that never ended
	}
	t.files.add(profile, p)
	label := ""
	switch p.Status {
	case protocol.StatusNone, protocol.StatusInProgress:
		return nil
	case protocol.StatusFail:
		label = labelFail
	case protocol.StatusUxSuccess:
		label = labelUxSuccess
	default:
	}
	a := t.files.take(profile, p.Route, p.TestID)
	switch {
	case label != "":
		return t.block(label, name{profile, p.TestID}, p.Route, p.Tags, a)
	case attempt > 1 && p.Has&protocol.HasParent == 0 && p.Status.Final():
		return t.flaky(profile, p, attempt)
	}
	return nil
}

// flaky takes back what was shown of the attempts before.
func (t *Text) flaky(profile string, p *protocol.Packet, attempt int) error {
	if err := t.clear(); err != nil {
		return err
	}
	t.buf = t.coloured(t.buf[:0], colourYellow, labelFlaky)
	t.buf = append(t.buf, ": "...)
	t.buf = t.name(t.buf, name{profile, p.TestID})
	t.buf = fmt.Appendf(t.buf, " (%s at attempt %d)\n", flakyWords[p.Status], attempt)
	return t.put(t.w)
}

func (t *Text) block(label string, of name, route string, tags []string, a *attachments) error {
	if err := t.clear(); err != nil {
		return err
	}
	t.buf = t.appendBlock(t.buf[:0], label, of, route, tags, a)
	return t.put(t.w)
}

func (t *Text) warn(detail string) error {
	if t.opts.Err == nil {
		return nil
	}
	if err := t.clear(); err != nil {
		return err
	}
	t.buf = quoter(t.opts.ErrTerminal).text(t.buf[:0], Warning(detail))
	return t.put(t.opts.Err)
}

// Warning is how people are told of a warning that a run has: in lines, of which
// those that begin with "hint: " say what to do. What others wrote in it is not
// escaped.
func Warning(detail string) string {
	return "testr: warning: " + strings.ReplaceAll(detail, "\nhint: ", "\ntestr: hint: ") + "\n"
}

// Note shows lines that are no part of the run where warnings go. They end with a
// newline.
func (t *Text) Note(lines string) error {
	if t.opts.Err == nil {
		return nil
	}
	if err := t.clear(); err != nil {
		return err
	}
	t.buf = quoter(t.opts.ErrTerminal).text(t.buf[:0], lines)
	return t.put(t.opts.Err)
}

// Close takes the status line away and ends an unfinished line of chatter. Text
// that was written stays, and a closed Text can be used again.
func (t *Text) Close() error { return t.clear() }

// clear makes the cursor stand at the beginning of an empty line, on a
// terminal.
func (t *Text) clear() error {
	if err := t.erase(); err != nil {
		return err
	}
	return t.endChatter()
}

// put writes what is in the buffer.
func (t *Text) put(w io.Writer) error {
	_, err := w.Write(t.buf)
	if cap(t.buf) > 1<<20 {
		t.buf = nil // one huge failure need not be remembered
	}
	if err != nil {
		return fmt.Errorf("show the run: %w", err)
	}
	return nil
}

// statusDrawn is the status line on the screen.
type statusDrawn struct {
	text string // what stands there; empty without
	at   time.Time
}
