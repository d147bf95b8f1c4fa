package relay

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"

	"testr/internal/instance"
)

// actor is a command that is a function. It has to end when its files are
// closed.
type actor func(stdin io.Reader, stdout, stderr io.Writer) (code int)

// stage is a provider whose commands are actors, by the names of programs.
type stage map[string]actor

func (s stage) Provision(_ context.Context, count int) ([]instance.Instance, error) {
	var out []instance.Instance
	for range count {
		out = append(out, &scene{actors: s})
	}
	return out, nil
}

type scene struct {
	actors stage
	mu     sync.Mutex
	closed bool
	plays  []*play
}

func (s *scene) ID() string              { return "scene" }
func (s *scene) Path(file string) string { return file }

func (s *scene) Start(ctx context.Context, cmd instance.Command) (instance.Process, error) {
	act := s.actors[cmd.Args[0]]
	if act == nil {
		return nil, errors.New("no actor " + cmd.Args[0])
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, instance.ErrClosed
	}
	p := newPlay(act)
	s.plays = append(s.plays, p)
	go func() {
		select {
		case <-ctx.Done():
			p.end("SIGTERM")
		case <-p.done:
		}
	}()
	return p, nil
}

func (s *scene) Close() error {
	s.mu.Lock()
	s.closed = true
	plays := s.plays
	s.mu.Unlock()
	for _, p := range plays {
		p.end("SIGKILL")
		<-p.done
	}
	return nil
}

// play is an actor that acts.
type play struct {
	piped
	stdinOut           *io.PipeReader
	stdoutIn, stderrIn *io.PipeWriter
	mu                 sync.Mutex
	signal             string
}

func newPlay(act actor) *play {
	p := &play{}
	p.done = make(chan struct{})
	p.stdinOut, p.stdin = io.Pipe()
	p.stdout, p.stdoutIn = io.Pipe()
	p.stderr, p.stderrIn = io.Pipe()
	go func() {
		code := act(p.stdinOut, p.stdoutIn, p.stderrIn)
		p.mu.Lock()
		p.status = instance.ExitStatus{Code: code}
		if p.signal != "" {
			p.status = instance.ExitStatus{Code: -1, Signal: p.signal}
		}
		p.mu.Unlock()
		_ = p.stdinOut.CloseWithError(io.ErrClosedPipe)
		_ = p.stdoutIn.Close()
		_ = p.stderrIn.Close()
		close(p.done)
	}()
	return p
}

// end ends an actor from without.
func (p *play) end(signal string) {
	p.mu.Lock()
	if p.signal == "" {
		p.signal = signal
	}
	p.mu.Unlock()
	_ = p.stdinOut.CloseWithError(io.ErrClosedPipe)
	_ = p.stdoutIn.CloseWithError(io.EOF)
	_ = p.stderrIn.CloseWithError(io.EOF)
}

// staged is a client of a relay in this process that starts actors.
func staged(t testing.TB, s stage) *Client {
	t.Helper()
	p, cancel := startPiped((&Server{Provider: s, Version: "test"}).Serve)
	return client(t, p, cancel)
}
