package report

import (
	"fmt"
	"slices"
	"strconv"
	"time"
)

// Status is what the status line tells of a run.
type Status struct {
	Done    int // tests with an outcome
	Failed  int
	Total   int // tests that were asked for; zero means unknown
	Running []Running
	Left    time.Duration // estimate; zero means unknown
	Width   int           // columns of the terminal; zero means 80
}

// Running is a test that has begun and not ended.
type Running struct {
	Test    string
	Profile string // empty for the default one
	Route   string
	Since   time.Time
}

const (
	eraseLine    = "\r\x1b[K"
	statusPeriod = 100 * time.Millisecond
)

// Tick draws the status line, if the writer is a terminal, not more often than
// ten times a second; now is the caller's clock. Whatever is shown next takes
// the line away first.
func (t *Text) Tick(now time.Time, s Status) error {
	if !t.opts.Terminal {
		return nil
	}
	if d := now.Sub(t.line.at); d >= 0 && d < statusPeriod {
		return nil
	}
	if t.chat.open && t.opts.ErrTerminal {
		if t.chat.since.IsZero() {
			t.chat.since = now
		}
		if now.Sub(t.chat.since) < chatterRest {
			return nil
		}
		if err := t.endChatter(); err != nil {
			return err
		}
	}
	text := statusLine(now, s)
	if text == t.line.text {
		return nil
	}
	t.line = statusDrawn{text, now}
	t.buf = append(append(t.buf[:0], eraseLine...), text...)
	return t.put(t.w)
}

// erase takes the status line from the screen.
func (t *Text) erase() error {
	if t.line.text == "" {
		return nil
	}
	t.line.text = ""
	t.buf = append(t.buf[:0], eraseLine...)
	return t.put(t.w)
}

// enoughOfID is how many columns of a test's id tell which it is.
const enoughOfID = 10

// statusLine returns the line for a moment of a run: the numbers, then the
// test that has been running for longest. It is narrower than the terminal,
// whatever the tests are called: first the time that is left makes room for the
// test, and where that isn't enough the test is left out.
func statusLine(now time.Time, s Status) string {
	width := s.Width
	if width <= 0 {
		width = 80
	}
	width-- // a full line makes some terminals begin the next one

	numbers := strconv.Itoa(s.Done)
	if s.Total > 0 {
		numbers += fmt.Sprintf("/%d", s.Total)
	}
	numbers += fmt.Sprintf(" done, %d failed, %d running", s.Failed, len(s.Running))
	left := ""
	if s.Left > 0 {
		left = fmt.Sprintf(", %s left", span(s.Left))
	}
	if len(s.Running) == 0 {
		return cutRight(numbers+left, width)
	}
	oldest := slices.MinFunc(s.Running, func(a, b Running) int { return a.Since.Compare(b.Since) })
	where := fmt.Sprintf("; %s ", span(max(0, now.Sub(oldest.Since))))
	if oldest.Route != "" {
		where += EscapeLine(oldest.Route) + ": "
	}
	id := EscapeLine(withProfile(oldest.Test, oldest.Profile))
	for _, head := range []string{numbers + left + where, numbers + where} {
		if room := width - columns(head); room >= min(enoughOfID, columns(id)) {
			return head + cutLeft(id, room)
		}
	}
	return cutRight(numbers+left, width)
}

// span returns a duration in whole seconds, as people say it.
func span(d time.Duration) string {
	s := int(d / time.Second)
	switch {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	}
	return fmt.Sprintf("%dh%02dm", s/3600, s/60%60)
}
