package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"testr/internal/instance"
	"testr/internal/protocol"
	"testr/internal/worker"
)

// probeKept is how much of a command's output is kept, of each kind.
const probeKept = 64 << 10

// saidLines is how many lines of what somebody wrote are shown.
const saidLines = 8

// slowError says that a step took longer than it may.
type slowError struct{ limit time.Duration }

func (e *slowError) Error() string { return fmt.Sprintf("it takes longer than %v", e.limit) }

// step is a context for one step.
func (d *doctor) step(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, d.Timeout, &slowError{d.Timeout})
}

// ran is a command that has ended, or was ended.
type ran struct {
	stdout, stderr kept
	status         instance.ExitStatus
	err            error // how it ended is not known, or it was ended: a *slowError if it took too long
	took           time.Duration
}

// kept is the beginning of what was written to it.
type kept struct {
	bytes []byte
	more  bool // there was more than that
}

// Write never fails.
func (k *kept) Write(b []byte) (int, error) {
	n := min(len(b), probeKept-len(k.bytes))
	k.bytes = append(k.bytes, b[:n]...)
	k.more = k.more || n < len(b)
	return len(b), nil
}

// well says that the command exited with 0.
func (r *ran) well() bool { return r.err == nil && r.status.Success() }

// slow says that it took too long.
func (r *ran) slow() bool {
	var slow *slowError
	return errors.As(r.err, &slow)
}

// end says how it ended, and what it wrote to standard error.
func (r *ran) end() string {
	if r.err != nil {
		return r.err.Error() + r.said()
	}
	return r.status.String() + r.said()
}

// said is what it wrote to standard error, to be put behind something.
func (r *ran) said() string { return saying(string(r.stderr.bytes)) }

// saying is a text of somebody's, the end of it, in lines below something; or
// nothing if there is none.
func saying(text string) string {
	text = strings.TrimSpace(text)
	if text == "" {
		return ""
	}
	lines := strings.Split(text, "\n")
	if n := len(lines) - saidLines; n > 0 {
		lines = append([]string{"[...]"}, lines[n:]...)
	}
	for n, line := range lines {
		line = strings.TrimRight(line, "\r")
		if len(line) > 500 {
			line = strings.ToValidUTF8(line[:500], "") + " [...]"
		}
		lines[n] = line
	}
	return ":\n" + strings.Join(lines, "\n")
}

// run runs a command to its end, with that as its input. One that takes too long
// is ended.
func (d *doctor) run(ctx context.Context, on instance.Instance, cmd instance.Command, stdin []byte) *ran {
	ctx, cancel := d.step(ctx)
	defer cancel()
	r := &ran{}
	begun := time.Now()
	p, err := on.Start(ctx, cmd)
	if err != nil {
		r.err = err
		return r
	}
	r.follow(ctx, p, &r.stdout, func() {
		if stdin != nil {
			_, _ = p.Stdin().Write(stdin) // who doesn't read it is seen by what comes of it
		}
		_ = p.Stdin().Close()
	})
	r.took = time.Since(begun)
	return r
}

// follow reads what a process writes until it has ended. Its stdout goes to out;
// feed is called beside that.
func (r *ran) follow(ctx context.Context, p instance.Process, out io.Writer, feed func()) {
	var streams sync.WaitGroup
	streams.Go(func() { _, _ = io.Copy(out, p.Stdout()) })
	streams.Go(func() { _, _ = io.Copy(&r.stderr, p.Stderr()) })
	streams.Go(feed)
	r.status, r.err = p.Wait()
	streams.Wait()
	if ctx.Err() != nil {
		r.err = context.Cause(ctx)
	}
}

// shellSyntax has a shell read a command and run nothing.
func shellSyntax(shell string) instance.Command {
	return instance.Command{Args: []string{"/bin/sh", "-n", "-c", shell}}
}

// works checks that a worker of each profile that the instance can run can be started
// there, and lists the tests there if it is the place for that. More is put behind what
// is wrong.
func (p *patient) works(ctx context.Context, at place, more string) {
	for n, pr := range p.session.profiles {
		m, err := pr.plan.mode(false)
		if err != nil || p.conf.Profiles != nil && !slices.Contains(p.conf.Profiles, pr.Name) {
			continue // the former was told
		}
		if m == modeStream {
			p.startsWorker(ctx, at, pr, more)
		} else {
			p.findsProgram(ctx, at, pr, more)
		}
		p.lists(ctx, at, n, more)
	}
}

// ofWorker tells of a check of a profile's worker. Fix is what to do; it may be empty.
func (p *patient) ofWorker(pr *profile, outcome CheckOutcome, fix, format string, args ...any) {
	c := Check{Instance: p.name, Name: checkWorker, Outcome: outcome, Fix: fix,
		Detail: pr.said(fmt.Sprintf(format, args...))}
	if outcome != CheckOK {
		c.File, c.Line = p.session.req.Config.File, pr.commandLine()
	}
	p.tell(c)
}

// startsWorker starts a streaming worker and gives it nothing to do.
func (p *patient) startsWorker(ctx context.Context, at place, pr *profile, more string) {
	cmd, err := pr.plan.stream.command(at)
	if err != nil {
		p.ofWorker(pr, CheckProblem, fixOf(err), "%v", err)
		return
	}
	ctx, cancel := p.step(ctx)
	defer cancel()
	begun := time.Now()
	process, err := at.Start(ctx, cmd)
	if err != nil {
		p.ofWorker(pr, CheckProblem, fixOf(err), "it can't be started: %v%s", err, more)
		return
	}
	var seen spoken
	r := &ran{}
	in, out := io.Pipe()
	var reading sync.WaitGroup
	reading.Go(func() { seen.read(in) })
	r.follow(ctx, process, out, func() { _ = process.Stdin().Close() })
	_ = out.Close()
	reading.Wait()
	shell := cmd.Args[len(cmd.Args)-1]
	byHand := "start it there by hand: " + shell
	switch {
	case r.slow():
		p.ofWorker(pr, CheckProblem, "a worker ends when its input does: testr worker check says more",
			"a worker was started, its input ended, and it did not: %s%s%s", r.end(), seen.said(), more)
	case r.err != nil:
		p.ofWorker(pr, CheckProblem, fixOf(r.err), "%v%s", r.err, r.said())
	case !r.status.Success():
		p.ofWorker(pr, CheckProblem, byHand, "a worker that has nothing to do ends with %s%s%s",
			r.end(), seen.said(), more)
	case seen.damage != "":
		p.ofWorker(pr, CheckProblem, byHand, "what a worker writes is no stream: %s", seen.damage)
	case seen.text.bytes != nil:
		p.ofWorker(pr, CheckWarning, "have it print to standard error, or nothing",
			"a worker starts, but prints to where its packets go%s", seen.said())
	default:
		p.ofWorker(pr, CheckOK, "", "it starts, and ends with its input, in %s", short(time.Since(begun)))
	}
}

// spoken is what a worker wrote that had nothing to do.
type spoken struct {
	text   kept
	damage string // the first
}

func (o *spoken) read(r io.Reader) {
	pr := protocol.NewReader(r)
	for {
		p, err := pr.ReadPacket()
		var corrupt *protocol.CorruptError
		switch {
		case errors.As(err, &corrupt):
			if o.damage == "" {
				o.damage = corrupt.Error()
			}
		case err != nil:
			_, _ = io.Copy(io.Discard, r)
			return
		case p.Text:
			_, _ = o.text.Write(p.Content)
		}
	}
}

func (o *spoken) said() string { return saying(string(o.text.bytes)) }

// findsProgram looks for what the test command starts.
func (p *patient) findsProgram(ctx context.Context, at place, pr *profile, more string) {
	name := worker.Program(pr.TestCommand.Text)
	if name == "" {
		p.ofWorker(pr, CheckOK, "", "what test_command starts can't be told from it; it was not started")
		return
	}
	look, input := p.look(at, name)
	look.Env = pr.Env
	r := p.run(ctx, at, look, input)
	switch {
	case r.well():
		p.ofWorker(pr, CheckOK, "", "%s is there; it was not started", name)
	case r.err != nil:
		p.ofWorker(pr, CheckProblem, fixOf(r.err), "look for %s: %s%s", name, r.end(), more)
	default:
		p.ofWorker(pr, CheckProblem, "install it there, or see to it by setup and env.PATH",
			"%s is not there%s%s", name, r.said(), more)
	}
}

// look is a command that looks for a program, and its input.
func (p *patient) look(at place, name string) (instance.Command, []byte) {
	if at.bare {
		return p.carrier.command("found", name)
	}
	return instance.Command{Args: []string{"/bin/sh", "-c", `command -v -- "$1" >/dev/null`, "testr", name}}, nil
}

// short is a time for people.
func short(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case d < time.Second:
		return d.Round(100 * time.Microsecond).String()
	case d >= time.Minute:
		return d.Round(time.Second).String()
	}
	return d.Round(10 * time.Millisecond).String()
}
