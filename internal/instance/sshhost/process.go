package sshhost

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"testr/internal/instance"
)

const (
	// startPatience is how long a command's shell has to say that it runs.
	startPatience = 60 * time.Second
	// killPatience is how long a command that was killed before it began is
	// waited for: its shell may hang in a start-up file, where nobody finds it.
	killPatience = 5 * time.Second
)

// process is a command that was started on a host.
//
// Its main goroutine is run, started by begin. That starts, and joins before it
// ends,
//
//	requests  takes what the server says of the session
//	control   ends the command when its context ends
//	two       streams' pumps
//	feed      writes the command's input; not joined where that is a file,
//	          which may not give anything to read for ever
//
// They have ended soon after the command has, and its streams were read to
// their ends.
type process struct {
	host    *Host
	of      *hostInstance // nil for a program of our own
	program *program
	key     string // what the keeper calls it

	file           *os.File
	stdin          *input // nil where the command reads file
	stdout, stderr *stream

	pid     atomic.Int64
	killed  chan struct{} // closed when it has to end at once
	kill    func()        // closes killed
	begun   chan struct{} // closed when the command's shell has said that it runs
	settled chan struct{} // closed when it has said that, or something else, or nothing any more
	settle  func()        // closes settled
	exited  chan struct{} // closed when the command has ended, or never was
	done    chan struct{} // closed when status and err are set, for good

	status instance.ExitStatus
	err    error

	unwanted atomic.Bool // somebody has ended it

	// mu guards what follows.
	mu     sync.Mutex
	paused bool
	life   *life // once it has begun there, until it has ended
	fault  error // why it did not begin
}

func newProcess(h *Host, of *hostInstance, prog *program, file *os.File) *process {
	p := &process{
		host: h, of: of, program: prog, file: file,
		key:    strconv.FormatInt(h.started.Add(1), 10),
		killed: make(chan struct{}), begun: make(chan struct{}), settled: make(chan struct{}),
		exited: make(chan struct{}), done: make(chan struct{}),
		stdout: newStream(), stderr: newStream(),
	}
	p.kill = sync.OnceFunc(func() { close(p.killed) })
	p.settle = sync.OnceFunc(func() { close(p.settled) })
	if file == nil {
		p.stdin = newInput(p.exited)
	}
	return p
}

// begin starts the process, in a life or in whatever life the host has.
func (p *process) begin(ctx context.Context, l *life) {
	go p.run(ctx, l)
}

// run is all of a process, from the wish for a connection to the end of its
// streams.
func (p *process) run(ctx context.Context, l *life) {
	l, s, err := p.open(ctx, l)
	if err != nil {
		p.finish(instance.ExitStatus{}, err)
		p.stdout.end()
		p.stderr.end()
		return
	}
	var work sync.WaitGroup
	ended := make(chan end, 1)
	work.Go(func() {
		takeRequests(s, ended)
		l.closed(s)
	})
	work.Go(func() { p.stdout.pump(s, l.token, nil) })
	work.Go(func() {
		p.stderr.pump(s.Stderr(), l.token, func(text string) {
			p.heed(l, text)
			p.settle()
		})
		p.settle()
	})
	work.Go(func() { p.control(ctx, l, s) })
	if p.file == nil {
		work.Go(func() { p.stdin.feed(s, p.begun) })
	} else {
		go p.copyFile(s)
	}
	e := <-ended
	l.ending(s)
	p.await(l, e)
	p.drain(s)
	_ = s.Close()
	work.Wait()
}

// open brings what the command needs and asks for it.
func (p *process) open(ctx context.Context, l *life) (*life, *session, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	opened := make(chan struct{})
	defer close(opened)
	go func() {
		select {
		case <-p.killed:
			cancel(instance.ErrClosed)
		case <-opened:
		}
	}()
	var err error
	if l == nil {
		if l, err = p.host.connect(ctx); err != nil {
			return nil, nil, err
		}
	}
	for _, file := range p.program.files {
		if err := l.bring(ctx, file); err != nil {
			return nil, nil, err
		}
	}
	s, err := l.openSession(ctx)
	if err != nil {
		return nil, nil, err
	}
	if err := p.ask(l, s); err != nil {
		_ = s.Close()
		go func() {
			ssh.DiscardRequests(s.requests)
			l.closed(s)
		}()
		return nil, nil, l.why(s.on.reason(err))
	}
	return l, s, nil
}

// ask has a session become the command.
func (p *process) ask(l *life, s *session) error {
	request, input := bootstrap(launch(l, p.key, p.program))
	if err := s.exec(request); err != nil {
		return err
	}
	_, _ = io.WriteString(s, input) // the session says why it has ended, if it has
	return nil
}

// end is how a session ended, as far as the server says.
type end struct {
	status instance.ExitStatus
	known  bool
}

// takeRequests takes what a server says of a session until the session is
// closed, and passes its end on as soon as that is known.
func takeRequests(s *session, ended chan<- end) {
	var e end
	for req := range s.requests {
		if !e.known {
			switch req.Type {
			case "exit-status":
				var status struct{ Code uint32 }
				if ssh.Unmarshal(req.Payload, &status) == nil {
					e = end{instance.ExitStatus{Code: int(status.Code)}, true}
				}
			case "exit-signal":
				var signal struct {
					Name    string
					Core    bool
					Message string
					Tag     string
				}
				if ssh.Unmarshal(req.Payload, &signal) == nil {
					e = end{instance.ExitStatus{Code: -1, Signal: signalName(signal.Name)}, true}
				}
			}
			if e.known {
				ended <- e
			}
		}
		if req.WantReply {
			_ = req.Reply(false, nil)
		}
	}
	if !e.known {
		ended <- e
	}
}

// signalName is the system's name for what a server calls a signal.
func signalName(name string) string {
	plain := name != "" && len(name) <= 16 && strings.IndexFunc(name, func(r rune) bool {
		return (r < 'A' || r > 'Z') && (r < '0' || r > '9')
	}) < 0
	if !plain { // OpenSSH has no names for most
		return "a signal without a name"
	}
	return "SIG" + name
}

// heed takes what the command's shell says when it becomes the command, or why
// it doesn't.
func (p *process) heed(l *life, text string) {
	verb, rest, _ := strings.Cut(text, " ")
	pid, _ := strconv.ParseInt(rest, 10, 64)
	p.mu.Lock()
	defer p.mu.Unlock()
	if verb != "pid" || pid <= 0 {
		p.fault = p.host.lost(fmt.Errorf("begin %q: %s", p.program.args[0], rest))
		return
	}
	p.pid.Store(pid)
	p.life = l
	close(p.begun)
	if p.paused {
		l.keeper.tell(p.key, "STOP")
		l.keeper.hold(1)
	}
}

// await settles how the command ended. What is left of its group is killed.
func (p *process) await(l *life, e end) {
	if e.known {
		// The shell says that it runs on standard error, which may come later.
		limit := time.NewTimer(killPatience)
		defer limit.Stop()
		select {
		case <-p.settled:
		case <-limit.C: // something else holds it
		}
		confirmed := l.keeper.over(p.key)
		if e.status.Signal == "SIGKILL" && !p.unwanted.Load() {
			// Before it says that it is lost, a host kills what runs there.
			select {
			case <-confirmed:
			case <-l.lost:
				e.known = false
			case <-p.killed:
			case <-limit.C:
			}
		}
	}
	p.mu.Lock()
	if p.paused && p.life != nil {
		l.keeper.hold(-1)
	}
	p.life = nil
	fault, begun := p.fault, p.pid.Load() != 0
	p.mu.Unlock()
	switch {
	case !e.known && fault == nil:
		fault = p.unknown(l)
	case !e.known || begun || p.unwanted.Load():
	case fault == nil:
		fault = p.host.lost(fmt.Errorf("begin %q: its shell ended before, with %v", p.program.args[0], e.status))
	}
	if e.known && begun {
		fault = nil
	}
	p.finish(e.status, fault)
}

// unknown is why it isn't known how the command ended.
func (p *process) unknown(l *life) error {
	select {
	case <-l.lost:
		return l.err
	case <-time.After(time.Second): // a connection that ends says so in a moment
		return fmt.Errorf("wait for %q on %s: its session has ended without an exit status",
			p.program.args[0], p.host.cfg.Name)
	}
}

// finish says how the process ended.
func (p *process) finish(status instance.ExitStatus, err error) {
	close(p.exited)
	p.status, p.err = status, err
	p.host.forget(p)
	close(p.done)
}

// control ends the command when its context ends: SIGTERM to its group, and
// SIGKILL after a grace period; or at once when it has to be killed. It ends
// with the command.
func (p *process) control(ctx context.Context, l *life, s *session) {
	start := time.NewTimer(startPatience)
	defer start.Stop()
	begun := p.begun
	for wanted := true; wanted; {
		select {
		case <-p.exited:
			return
		case <-begun:
			begun = nil
			start.Stop()
		case <-start.C:
			p.giveUp(s, p.host.lost(fmt.Errorf("begin %q: its shell has not run it within %v",
				p.program.args[0], startPatience)))
			return
		case <-ctx.Done():
			wanted = false
		case <-p.killed:
			wanted = false
		}
	}
	p.unwanted.Store(true)
	if ctx.Err() != nil {
		l.keeper.tell(p.key, "TERM")
		l.keeper.tell(p.key, "CONT") // who is stopped could not use its time of grace
		if p.over(p.host.cfg.Grace, p.killed) {
			return
		}
	}
	l.keeper.tell(p.key, "KILL")
	if !p.over(killPatience, nil) && p.pid.Load() == 0 {
		err := context.Cause(ctx)
		if err == nil {
			err = instance.ErrClosed
		}
		p.giveUp(s, err)
	}
}

// over waits for the end of the command, for at most wait or until stop.
func (p *process) over(wait time.Duration, stop <-chan struct{}) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-p.exited:
		return true
	case <-timer.C:
	case <-stop:
	}
	return false
}

// giveUp closes the session of a command that has not begun. Its shell will see
// that nobody wants it any more.
func (p *process) giveUp(s *session, why error) {
	p.mu.Lock()
	p.fault = why
	p.mu.Unlock()
	p.host.cfg.Log.Debug("give up a command that has not begun", "instance", p.host.cfg.Name, "error", why)
	_ = s.Close()
}

// Pause stops the command's process group.
func (p *process) Pause() error { return p.pause(true, "STOP", 1) }

// Resume lets it go on.
func (p *process) Resume() error { return p.pause(false, "CONT", -1) }

func (p *process) pause(paused bool, signal string, more int) error {
	select {
	case <-p.exited:
		return fmt.Errorf("send SIG%s to %q: %w", signal, p.program.args[0], os.ErrProcessDone)
	default:
	}
	p.mu.Lock()
	l := p.life
	if l != nil {
		l.keeper.tell(p.key, signal)
		if p.paused != paused {
			l.keeper.hold(more)
		}
	}
	p.paused = paused
	p.mu.Unlock()
	if l != nil && paused {
		l.keeper.flush()
	}
	return nil
}

// PID is the command's number there; 0 before it is known, or if it never is.
func (p *process) PID() int { return int(p.pid.Load()) }

// Stdin is the pipe to the command, or nil.
func (p *process) Stdin() io.WriteCloser {
	if p.stdin == nil {
		return nil
	}
	return p.stdin
}

// Stdout is for one reader.
func (p *process) Stdout() io.Reader { return p.stdout }

// Stderr is for one reader.
func (p *process) Stderr() io.Reader { return p.stderr }

// Wait waits for the command's end.
func (p *process) Wait() (instance.ExitStatus, error) {
	<-p.done
	return p.status, p.err
}
