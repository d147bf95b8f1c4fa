package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"testr/internal/event"
	"testr/internal/protocol"
	"testr/internal/repo"
	"testr/internal/report"
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
		st.Running = append(st.Running, runningOf(r))
	}
	return o.Tick(time.Now(), st)
}

func runningOf(r supervisor.Running) report.Running {
	return report.Running{Test: r.Test, Profile: r.Profile, Route: r.Route, Since: r.Since}
}

func (o *textOutput) slots(slots []report.Slot) error { return o.Slots(time.Now(), slots) }

func (o *textOutput) note(text string) error { return o.Note(text) }

// unlessGone forgets that nobody reads the output any more: who went away
// doesn't want it, and what it was about is stored.
func unlessGone(err error) error {
	if errors.Is(err, syscall.EPIPE) {
		return nil
	}
	return err
}

// replay gives an output all events of a run, to its end.
func replay(ctx context.Context, r repo.Queries, run int, out output) error {
	events, err := r.Follow(run, 0)
	if err != nil {
		return err
	}
	for {
		batch, err := events.Next(ctx)
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
	return report.Summary{RunID: run, Counts: o.Counts(), Duration: o.Span(), Tests: o.Tests(), Profiles: o.ByProfile()}
}

// summarize prints the last lines of a run, which compare it with the one before, as
// far as that had the same profiles.
func summarize(out *textOutput, r repo.Queries, s report.Summary) error {
	previous, err := r.Run(s.RunID - 1)
	switch {
	case err == nil:
		s.Previous = previousOf(s, previous)
	case !errors.Is(err, repo.ErrNoRun):
		return err
	}
	return out.Summary(s)
}

// previousOf are the numbers of another run for the profiles that a summary is about;
// nil if it hasn't got all of them.
func previousOf(s report.Summary, other repo.RunInfo) *report.Previous {
	p := &report.Previous{}
	for key := range s.Profiles {
		of, ok := other.Profile(profileName(key))
		if !ok {
			return nil
		}
		p.Counts = p.Counts.Plus(of.Counts)
	}
	if len(s.Profiles) == len(other.Profiles) {
		p.Counts, p.Duration = other.Counts, other.Span
	}
	return p
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

// count is a number with what it counts.
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// noColor is the convention of https://no-color.org.
func noColor() bool { return os.Getenv("NO_COLOR") != "" }

// thisHost is this machine's name, or empty if it has none.
func thisHost() string {
	host, _ := os.Hostname()
	return host
}
