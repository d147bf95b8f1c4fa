package report

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"
)

const (
	// maxSlotTests is how many running tests of a worker are shown.
	maxSlotTests = 10
	// maxSlotLines is how many of a worker's last lines are shown.
	maxSlotLines = 5
)

// Slot is what one worker does at the moment.
type Slot struct {
	Route   string
	Host    string    // the machine that it is on; empty for this one
	PID     int       // 0 for none, or where it is unknown
	Since   time.Time // when its process was started; zero without one
	Running []Running // tests that it has begun, the first one first; their routes are not shown
	Waiting int       // tests that it was given and has not begun
	Last    string    // the end of what it wrote beside packets
	Heard   time.Time // when anything came from it last; zero for never
}

// WriteSlots writes what every worker does at the moment, since when, and what
// it wrote last: for whoever wants to know why a run doesn't end. What others
// wrote is escaped for a terminal, else raw; now is the caller's clock.
func WriteSlots(w io.Writer, now time.Time, slots []Slot, toTerminal bool) error {
	var dst []byte
	for _, s := range slots {
		dst = appendSlot(dst, now, s, quoter(toTerminal))
	}
	if len(slots) == 0 {
		dst = append(dst, "no workers\n"...)
	}
	if _, err := w.Write(dst); err != nil {
		return fmt.Errorf("show the workers: %w", err)
	}
	return nil
}

// Slots is WriteSlots to where warnings go, below what stands on the screen.
func (t *Text) Slots(now time.Time, slots []Slot) error {
	if t.opts.Err == nil {
		return nil
	}
	if err := t.clear(); err != nil {
		return err
	}
	return WriteSlots(t.opts.Err, now, slots, t.opts.ErrTerminal)
}

func appendSlot(dst []byte, now time.Time, s Slot, quote quoter) []byte {
	dst = append(dst, "worker "...)
	dst = quote.line(dst, s.Route)
	if s.Host != "" {
		dst = quote.line(append(dst, " on "...), s.Host)
	}
	if s.Since.IsZero() {
		return append(dst, ": no process\n"...)
	}
	if s.PID != 0 {
		dst = fmt.Appendf(dst, ", process %d", s.PID)
	}
	dst = fmt.Appendf(dst, ", for %s: ", ago(now, s.Since))
	dst = fmt.Appendf(dst, "%d running, %d waiting; ", len(s.Running), s.Waiting)
	if s.Heard.IsZero() {
		dst = append(dst, "nothing heard of it\n"...)
	} else {
		dst = fmt.Appendf(dst, "last heard of %s ago\n", ago(now, s.Heard))
	}
	for i, r := range s.Running {
		if i == maxSlotTests {
			dst = fmt.Appendf(dst, "  and %d more\n", len(s.Running)-i)
			break
		}
		dst = fmt.Appendf(dst, "  for %s: ", ago(now, r.Since))
		dst = append(quote.line(dst, withProfile(r.Test, r.Profile)), '\n')
	}
	return appendLast(dst, s.Last, quote)
}

// appendLast appends the last lines of a worker's text.
func appendLast(dst []byte, text string, quote quoter) []byte {
	lines := strings.Split(strings.TrimRight(text, "\r\n"), "\n")
	if len(lines) == 1 && lines[0] == "" {
		return dst
	}
	for _, line := range lines[max(0, len(lines)-maxSlotLines):] {
		dst = append(dst, "  | "...)
		dst = append(bytes.TrimRight(quote.line(dst, strings.TrimRight(line, "\r")), " "), '\n')
	}
	return dst
}

func ago(now, then time.Time) string { return span(max(0, now.Sub(then))) }
