package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"testr/internal/event"
	"testr/internal/protocol"
	"testr/internal/repo"
	"testr/internal/report"
	"testr/internal/runner"
	"testr/internal/supervisor"
)

// output is what a command shows of a run.
type output interface {
	event.Sink
	// flush is called when nothing more is known at the moment.
	flush() error
	tick(supervisor.Status) error
	// slots shows what the workers do, to whoever asked for it.
	slots([]report.Slot) error
	// note shows a line, or some, that are no part of the run.
	note(text string) error
}

// subunitOutput writes a run's packets, and nothing else.
type subunitOutput struct {
	w         io.Writer
	env       *environment
	version20 bool // without parent test ids
	buf       []byte
}

func newSubunitOutput(env *environment, o streamOptions) *subunitOutput {
	return &subunitOutput{w: env.stdout, env: env, version20: o.version == "2"}
}

// Event takes the packet of an event, if it has one. Warnings are no part of the
// stream.
func (o *subunitOutput) Event(e event.Event) (err error) {
	switch e.Kind {
	case event.KindPacket:
	case event.KindWarning:
		return o.note(report.Warning(e.Detail))
	default:
		return nil
	}
	p := e.Packet
	if o.version20 && p.Has&protocol.HasParent != 0 {
		without := *p
		without.Has, without.ParentID = p.Has&^protocol.HasParent, ""
		p = &without
	}
	if o.buf, err = protocol.AppendPacket(o.buf, p); err != nil {
		return fmt.Errorf("write event %d as a packet: %w", e.Seq, err)
	}
	if len(o.buf) >= 64<<10 {
		return o.flush()
	}
	return nil
}

func (o *subunitOutput) flush() error {
	_, err := o.w.Write(o.buf)
	o.buf = o.buf[:0]
	return err
}

func (o *subunitOutput) tick(supervisor.Status) error { return nil }

func (o *subunitOutput) slots(slots []report.Slot) error {
	_, isTerminal := terminal(o.env.stderr)
	return report.WriteSlots(o.env.stderr, time.Now(), slots, isTerminal)
}

func (o *subunitOutput) note(text string) error {
	_, err := io.WriteString(o.env.errWriter(), text)
	return err
}

// textOutput shows a run to people.
type textOutput struct {
	*report.Text
	width int
}

// newTextOutput shows to people what opts say beyond what follows from the
// environment.
func newTextOutput(env *environment, opts report.TextOptions) *textOutput {
	width, isTerminal := terminal(env.stdout)
	opts.Terminal, opts.Color, opts.Quiet = isTerminal, isTerminal && !noColor(), env.quiet
	opts.Err = env.stderr
	_, opts.ErrTerminal = terminal(env.stderr)
	return &textOutput{width: width, Text: report.NewText(env.stdout, opts)}
}

func (o *textOutput) flush() error { return nil }

func (o *textOutput) tick(s supervisor.Status) error {
	c := s.Counts
	st := report.Status{Done: c.Tests, Failed: c.Failed, Total: c.Asked, Left: s.Left, Width: o.width}
	for _, r := range s.Running {
		st.Running = append(st.Running, report.Running{Test: r.Test, Route: r.Route, Since: r.Since})
	}
	return o.Tick(time.Now(), st)
}

func (o *textOutput) slots(slots []report.Slot) error { return o.Slots(time.Now(), slots) }

func (o *textOutput) note(text string) error { return o.Note(text) }

// follower shows a run while it goes on. Two goroutines are its own: one reads
// the cursor, the other owns the output. Both end with the run.
type follower struct {
	env    *environment
	out    output
	text   *textOutput // out, or nil where that is a stream
	begun  atomic.Bool
	status chan supervisor.Status
	states <-chan []supervisor.SlotState
	notes  chan string
	done   chan struct{}
	err    error // after done

	mu   sync.Mutex
	told map[string]time.Time // when there was progress of an instance to tell; guarded by mu
}

func newFollower(env *environment, o streamOptions, filterTags []string, several bool) *follower {
	f := &follower{env: env, status: make(chan supervisor.Status, 1), done: make(chan struct{}),
		states: env.signals.states, notes: make(chan string), told: map[string]time.Time{}}
	if o.subunit {
		f.out = newSubunitOutput(env, o)
	} else {
		f.text = newTextOutput(env, report.TextOptions{FilterTags: filterTags, Routes: several, Host: thisHost()})
		f.out = f.text
	}
	return f
}

// begin follows a run from its first event.
func (f *follower) begin(w *repo.RunWriter) {
	f.begun.Store(true)
	cursor := w.Follow()
	batches := make(chan []event.Event)
	var readErr error
	go func() {
		defer close(batches)
		for {
			batch, err := cursor.Next(context.Background())
			if err != nil {
				readErr = err
				return
			}
			batches <- batch
		}
	}()
	go func() {
		defer close(f.done)
		f.show(batches)
		if !errors.Is(readErr, io.EOF) {
			f.err = errors.Join(f.err, readErr)
		}
	}()
}

func (f *follower) show(batches <-chan []event.Event) {
	for {
		select {
		case batch, ok := <-batches:
			if !ok {
				return
			}
			f.batch(batch)
		case s := <-f.status:
			if f.err == nil {
				f.err = f.out.tick(s)
			}
		case text := <-f.notes:
			_ = f.out.note(text) // likewise
		case states := <-f.states:
			_ = f.out.slots(slotsOf(states)) // on stderr: the results go on being shown
		}
	}
}

func slotsOf(states []supervisor.SlotState) []report.Slot {
	var out []report.Slot
	for _, s := range states {
		slot := report.Slot{Route: s.Route, Host: s.Host, PID: s.PID, Since: s.Since, Waiting: s.Waiting, Last: s.Last,
			Heard: s.Heard}
		for _, r := range s.Running {
			slot.Running = append(slot.Running, report.Running{Test: r.Test, Route: r.Route, Since: r.Since})
		}
		out = append(out, slot)
	}
	return out
}

// batch shows events. When the output fails the run goes on without it.
func (f *follower) batch(batch []event.Event) {
	for _, e := range batch {
		if f.err != nil {
			return
		}
		f.err = f.out.Event(e)
	}
	if f.err == nil {
		f.err = f.out.flush()
	}
}

// tell hands over the state of the run; an older one that was not shown yet is
// forgotten. It never blocks. Only one goroutine may call it.
func (f *follower) tell(s supervisor.Status) {
	select {
	case <-f.status:
	default:
	}
	f.status <- s
}

// progressEvery is how often people are told how far it is with an instance.
const progressEvery = 2 * time.Second

// progress shows how far it is with an instance, now and then, and its end.
func (f *follower) progress(instance, text string, over bool) {
	now := time.Now()
	f.mu.Lock()
	last, begun := f.told[instance]
	due := over || begun && now.Sub(last) >= progressEvery
	if due || !begun { // what is over soon needs no more than its end
		f.told[instance] = now
	}
	f.mu.Unlock()
	if !due {
		return
	}
	f.tellLines("testr: " + instance + " " + text + "\n")
}

// warn shows what went wrong beside the run.
func (f *follower) warn(err error) {
	var b strings.Builder
	f.env.sayTo(&b, "warning", err)
	f.tellLines(b.String())
}

// tellLines shows lines among, but not as part of, what is shown of the run; or,
// where that has not begun or is over, by themselves.
func (f *follower) tellLines(lines string) {
	if f.begun.Load() {
		select {
		case f.notes <- lines:
			return
		case <-f.done:
		}
	}
	_, _ = io.WriteString(f.env.errWriter(), lines)
}

// end waits until everything of the run was shown, and adds the last lines. err
// is what the run ended with.
func (f *follower) end(r *repo.Repository, res runner.Result, err error) error {
	if !res.Recorded {
		return err
	}
	<-f.done
	if err == nil { // else showing may have ended for the same reason
		err = unlessGone(f.err)
	}
	if f.text == nil || res.Outcomes == nil {
		return err
	}
	s := summaryOf(res.Run, res.Outcomes)
	s.Counts.Interrupted = s.Counts.Interrupted || err != nil // whatever was passed, the run wasn't
	return errors.Join(err, unlessGone(summarize(f.text, r, s)))
}

// unlessGone forgets that nobody reads the output any more: who went away
// doesn't want it, and what it was about is stored.
func unlessGone(err error) error {
	if errors.Is(err, syscall.EPIPE) {
		return nil
	}
	return err
}

// replay gives an output all events of a run that is over.
func replay(ctx context.Context, r *repo.Repository, run int, out output) error {
	cursor, err := r.Replay(run)
	if err != nil {
		return err
	}
	for {
		batch, err := cursor.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, e := range batch {
			if err := out.Event(e); err != nil {
				return err
			}
		}
		if err := out.flush(); err != nil {
			return err
		}
	}
}

// summaryOf is what a run that is over comes to.
func summaryOf(run int, o *event.Outcomes) report.Summary {
	return report.Summary{RunID: run, Counts: o.Counts(), Duration: o.Span(), Tests: o.Tests()}
}

// summarize prints the last lines of a run, which compare it with the one before.
func summarize(out *textOutput, r *repo.Repository, s report.Summary) error {
	previous, err := r.Run(s.RunID - 1)
	switch {
	case err == nil:
		s.Previous = &report.Previous{Counts: previous.Counts, Duration: previous.Span}
	case !errors.Is(err, repo.ErrNoRun):
		return err
	}
	return out.Summary(s)
}

// judge makes the exit status of a run that was done as asked.
func judge(c event.Counts) error {
	switch c.Verdict() {
	case event.Failed:
		return errFailed
	case event.Incomplete:
		if c.Interrupted {
			return errors.New("the run was stopped before its end")
		}
		return fmt.Errorf("of %d tests that were asked for, %d did not run", c.Asked, c.NotRun+c.Unaccounted())
	}
	return nil
}

// noColor is the convention of https://no-color.org.
func noColor() bool { return os.Getenv("NO_COLOR") != "" }

// thisHost is this machine's name, or empty if it has none.
func thisHost() string {
	host, _ := os.Hostname()
	return host
}
