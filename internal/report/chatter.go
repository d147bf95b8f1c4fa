package report

import (
	"bytes"
	"time"

	"testr/internal/protocol"
)

// stderrName is the file as which a worker's stderr is delivered.
const stderrName = "stderr"

// chatterRest is how long an unfinished line of chatter, maybe a prompt, keeps
// the status line from the screen.
const chatterRest = time.Second

// chatter is the state of the text that workers write outside of tests.
type chatter struct {
	open  bool // the last line has no end yet
	from  source
	esc   Escaper
	since time.Time // when Tick first saw the open line; zero if it has grown since
}

type source struct{ route, file string }

// chatter shows the text in p, if it is some.
func (t *Text) chatter(p *protocol.Packet) error {
	if t.opts.Err == nil || p.Has&protocol.HasFile == 0 || len(p.Content) == 0 {
		return nil
	}
	if p.FileName != stderrName && (p.FileName != protocol.TextName || !t.opts.ErrTerminal) {
		return nil
	}
	if err := t.erase(); err != nil {
		return err
	}
	from := source{p.Route, p.FileName}
	if from != t.chat.from {
		if err := t.endChatter(); err != nil {
			return err
		}
	}
	c := &t.chat
	c.from, c.since = from, time.Time{}
	t.buf = t.buf[:0]
	for line := range bytes.Lines(p.Content) {
		if !c.open && t.opts.Routes && from.route != "" {
			t.buf = quoter(t.opts.ErrTerminal).line(t.buf, from.route)
			t.buf = append(t.buf, ": "...)
		}
		if t.opts.ErrTerminal {
			t.buf = c.esc.Append(t.buf, line)
		} else {
			t.buf = append(t.buf, line...)
		}
		c.open = line[len(line)-1] != '\n'
	}
	return t.put(t.opts.Err)
}

// endChatter ends an open line of chatter, before something else is shown.
// Text that isn't labelled and doesn't share a screen with anything is left as
// it came.
func (t *Text) endChatter() error {
	if !t.chat.open || !t.opts.ErrTerminal && !t.opts.Routes {
		return nil
	}
	t.chat.open = false
	t.buf = append(t.chat.esc.Flush(t.buf[:0]), '\n')
	return t.put(t.opts.Err)
}
