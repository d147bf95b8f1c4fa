package supervisor

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"

	"github.com/hashicorp/go-hclog"

	"testr/internal/event"
	"testr/internal/instance"
	"testr/internal/protocol"
)

// program is a worker that lives in the test's own process. What it returns is
// its exit code; when its context ends it was killed.
type program func(ctx context.Context, p *fakeProcess) int

// fakeInstance starts programs in place of commands. Its pipes are io.Pipes, so
// that time in a synctest bubble passes while somebody waits at one.
type fakeInstance struct {
	program program
	startup error // of Start

	mu      sync.Mutex
	started int // guarded by mu
	paused  int // guarded by mu
}

func (i *fakeInstance) ID() string              { return "fake" }
func (i *fakeInstance) Path(file string) string { return file }
func (i *fakeInstance) Close() error            { return nil }

func (i *fakeInstance) Start(ctx context.Context, cmd instance.Command) (instance.Process, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.started++
	if i.startup != nil {
		return nil, i.startup
	}
	p := &fakeProcess{inst: i, cmd: cmd, start: i.started, over: make(chan struct{})}
	p.in, p.stdin = io.Pipe()
	p.stdout, p.out = io.Pipe()
	p.stderr, p.err = io.Pipe()
	go func() {
		stop := context.AfterFunc(ctx, func() { _ = p.in.CloseWithError(io.EOF) })
		p.status.Code = i.program(ctx, p)
		if !stop() || ctx.Err() != nil {
			p.status = instance.ExitStatus{Code: -1, Signal: "SIGTERM"}
		}
		if p.died {
			p.status = instance.ExitStatus{Code: -1, Signal: "SIGKILL"}
		}
		_ = p.in.Close()
		_ = p.out.Close()
		_ = p.err.Close()
		close(p.over)
	}()
	return p, nil
}

func (i *fakeInstance) pause(n int) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.paused += n
	return nil
}

type fakeProcess struct {
	inst     *fakeInstance
	cmd      instance.Command
	start    int // which start on its instance this is, from 1
	in       *io.PipeReader
	out, err *io.PipeWriter
	stdin    *io.PipeWriter
	stdout   *io.PipeReader
	stderr   *io.PipeReader
	status   instance.ExitStatus
	died     bool  // by SIGKILL
	lost     error // with its instance
	over     chan struct{}
}

func (p *fakeProcess) PID() int              { return 1000 + p.start }
func (p *fakeProcess) Pause() error          { return p.inst.pause(+1) }
func (p *fakeProcess) Resume() error         { return p.inst.pause(-1) }
func (p *fakeProcess) Stdin() io.WriteCloser { return p.stdin }
func (p *fakeProcess) Stdout() io.Reader     { return p.stdout }
func (p *fakeProcess) Stderr() io.Reader     { return p.stderr }
func (p *fakeProcess) Wait() (instance.ExitStatus, error) {
	<-p.over
	if p.lost != nil {
		return instance.ExitStatus{}, p.lost
	}
	return p.status, nil
}

// send writes a packet as a worker does.
func (p *fakeProcess) send(id string, s protocol.Status) {
	_ = protocol.NewWriter(p.out).WritePacket(&protocol.Packet{
		Has: protocol.HasTestID, TestID: id, Status: s, Runnable: true})
}

// stream is a streaming worker: each test is begun, done, and passes unless do
// says otherwise. do may return false to end the worker then and there.
func stream(do func(p *fakeProcess, id string) (protocol.Status, bool)) program {
	return func(_ context.Context, p *fakeProcess) int {
		requests := make(chan string, 1000)
		var waiting, withdrawn sync.Map // by id; a test that has begun can't be withdrawn any more
		go func() {
			defer close(requests)
			r := protocol.NewReader(p.in)
			for {
				packet, err := r.ReadPacket()
				if err != nil {
					return
				}
				if packet.Status == protocol.StatusExists {
					waiting.Store(packet.TestID, true)
					requests <- packet.TestID
				} else if _, ok := waiting.Load(packet.TestID); ok {
					withdrawn.Store(packet.TestID, true)
				}
			}
		}()
		for id := range requests {
			waiting.Delete(id)
			if _, ok := withdrawn.LoadAndDelete(id); ok {
				p.send(id, protocol.StatusExists)
				continue
			}
			p.send(id, protocol.StatusInProgress)
			outcome, goOn := do(p, id)
			if outcome != protocol.StatusNone {
				p.send(id, outcome)
			}
			if !goOn {
				return 7
			}
		}
		return 0
	}
}

var passing = stream(func(*fakeProcess, string) (protocol.Status, bool) { return protocol.StatusSuccess, true })

// recorder is a sink that keeps what it gets, and can fail.
type recorder struct {
	events []event.Event
	failAt int // the event that can't be stored, from 1; 0 for none
}

var errDiskFull = errors.New("disk full")

func (r *recorder) Event(e event.Event) error {
	if r.failAt > 0 && len(r.events)+1 >= r.failAt {
		return errDiskFull
	}
	r.events = append(r.events, e)
	return nil
}

// of returns the details of the events of a kind.
func (r *recorder) of(k event.Kind) []string {
	var out []string
	for _, e := range r.events {
		if e.Kind == k {
			out = append(out, e.Detail)
		}
	}
	return out
}

// setup makes a configuration with so many slots on one instance.
func setup(t *testing.T, slots int, program program, tests ...string) (Config, *recorder) {
	rec := &recorder{}
	inst := &fakeInstance{program: program}
	cfg := Config{Sink: rec,
		Profiles: []Profile{{Worker: Worker{Stream: fixed(instance.Command{})}, Tests: tests}},
		Log:      hclog.New(&hclog.LoggerOptions{Output: t.Output(), Level: hclog.Trace})}
	for i := range slots {
		cfg.Slots = append(cfg.Slots, Slot{Place: Place{Instance: inst}, Route: string(rune(48 + i))})
	}
	return cfg, rec
}

// statuses are the outcomes by id.
func statuses(o *event.Outcomes) map[string]string {
	out := map[string]string{}
	for _, t := range o.Tests() {
		s := t.Status.String()
		if t.Open {
			s = "open"
		}
		if t.NotRun != "" && !t.Settled() {
			s = "not run: " + t.NotRun
		}
		out[t.ID] = s
	}
	return out
}

// fixed is a command that is the same everywhere.
func fixed(cmd instance.Command) func(instance.Instance) (instance.Command, error) {
	return func(instance.Instance) (instance.Command, error) { return cmd, nil }
}
