package sshhost

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"testr/internal/instance"
	"testr/internal/instance/instancetest"
	"testr/internal/lab"
)

// awaitLost waits for a process to be lost with its instance, and gives the
// reason.
func awaitLost(t *testing.T, p instance.Process) string {
	t.Helper()
	_, err := instancetest.FinishReading(p)
	var lost *instance.LostError
	if !errors.As(err, &lost) {
		t.Fatalf("got %v; want the instance to be lost", err)
	}
	if lost.Instance != "desktop" {
		t.Errorf("got instance %q; want its name", lost.Instance)
	}
	return lost.Error()
}

// F5: a connection that breaks takes its commands with it, and says so; the next
// start connects again, and what was brought is brought again.
func TestConnectionBroken(t *testing.T) {
	srv := server(t, lab.ServerOptions{MaxSessions: 2})
	h := host(t, srv, Config{})
	i := instancetest.One(t, h)
	var running []instance.Process
	for range 3 {
		p := instancetest.Start(t.Context(), t, i, instancetest.Program(t, "block"))
		instancetest.AwaitReady(t, p)
		running = append(running, p)
	}
	file := tempFile(t, "file", "content")
	where := i.Path(file)
	cat := instance.Command{Args: []string{"cat", where}, Files: []string{file}}
	instancetest.Output(t, i, cat, nil)
	pids := []int{instancetest.PID(t, running[0]), instancetest.PID(t, running[1]), instancetest.PID(t, running[2])}
	srv.Drop()
	for _, p := range running {
		awaitLost(t, p)
		if err := p.Pause(); !errors.Is(err, os.ErrProcessDone) {
			t.Errorf("Pause: got %v; want %v", err, os.ErrProcessDone)
		}
		if _, err := p.Stdin().Write([]byte("x")); err == nil {
			t.Error("writing to a lost process gave no error")
		}
	}
	if got := instancetest.Output(t, i, cat, nil); got.Stdout != "content" || i.Path(file) != where {
		t.Errorf("after a new connect: got %+v at %s; want the content at %s", got, i.Path(file), where)
	}
	for _, pid := range pids {
		awaitGone(t, pid)
	}
}

// awaitGone waits for the end of a process.
func awaitGone(t *testing.T, pid int) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return // it is gone
	}
	defer func() { _ = unix.Close(fd) }()
	for deadline := time.Now().Add(patience); ; {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 100)
		if n > 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("process %d lives on (%v)", pid, err)
		}
	}
}

// F5: if only one of several connections breaks, it is the same.
func TestOneConnectionBroken(t *testing.T) {
	srv := server(t, lab.ServerOptions{MaxSessions: 1})
	var mu sync.Mutex
	var conns []Conn
	dialed := dialer(t, srv)
	h := host(t, srv, Config{Dial: func(ctx context.Context) (Conn, error) {
		c, err := dialed(ctx)
		mu.Lock()
		defer mu.Unlock()
		conns = append(conns, c)
		return c, err
	}})
	i := instancetest.One(t, h)
	a := instancetest.Start(t.Context(), t, i, instancetest.Program(t, "block"))
	instancetest.AwaitReady(t, a)
	b := instancetest.Start(t.Context(), t, i, instancetest.Program(t, "block"))
	instancetest.AwaitReady(t, b)
	mu.Lock()
	_ = conns[2].Close()
	mu.Unlock()
	awaitLost(t, a)
	awaitLost(t, b)
}

// Those that need a connection at the same time share one, or its error.
func TestSingleFlight(t *testing.T) {
	srv := server(t, lab.ServerOptions{})
	refused := errors.New("no way")
	dialed := dialer(t, srv)
	for _, result := range []error{refused, nil} {
		var dials atomic.Int64
		all := make(chan struct{}) // closed when all wait
		h := host(t, srv, Config{Dial: func(ctx context.Context) (Conn, error) {
			dials.Add(1)
			<-all
			if result != nil {
				return nil, result
			}
			return dialed(ctx)
		}})
		i := &hostInstance{host: h, id: "i"} // Provision would have connected
		var processes []instance.Process
		for range 20 {
			p := instancetest.Start(t.Context(), t, i, instance.Command{Args: []string{"true"}})
			processes = append(processes, p)
		}
		awaitState(t, "20 that wait for a connection", func() bool {
			h.mu.Lock()
			defer h.mu.Unlock()
			return h.attempt != nil && h.attempt.waiting == 20
		})
		close(all)
		for _, p := range processes {
			_, err := instancetest.Finish(p, nil)
			_, lost := errors.AsType[*instance.LostError](err)
			if !errors.Is(err, result) || lost != (result != nil) {
				t.Errorf("got %v; want %v, as a loss", err, result)
			}
		}
		if n := dials.Load(); n != 1 {
			t.Errorf("got %d dials; want 1", n)
		}
	}
}

// awaitState waits until something holds.
func awaitState(t *testing.T, what string, holds func() bool) {
	t.Helper()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for limit := time.After(patience); !holds(); {
		select {
		case <-look.C:
		case <-limit:
			t.Fatalf("waited %v for %s", patience, what)
		}
	}
}

// A start doesn't wait for the network, and giving it up doesn't either.
func TestStartWhileDialing(t *testing.T) {
	srv := server(t, lab.ServerOptions{})
	canceled := make(chan struct{})
	h := host(t, srv, Config{Dial: func(ctx context.Context) (Conn, error) {
		<-ctx.Done()
		close(canceled)
		return nil, context.Cause(ctx)
	}})
	i := &hostInstance{host: h, id: "i"}
	ctx, cancel := context.WithCancelCause(t.Context())
	p := instancetest.Start(ctx, t, i, instancetest.Program(t, "echo"))
	written := make(chan error)
	go func() {
		_, err := p.Stdin().Write([]byte("hello"))
		written <- err
	}()
	if p.PID() != 0 {
		t.Errorf("got process %d; want none", p.PID())
	}
	cause := errors.New("no more")
	cancel(cause)
	if _, err := instancetest.FinishReading(p); !errors.Is(err, cause) {
		t.Errorf("got %v; want %v", err, cause)
	}
	if err := <-written; err == nil {
		t.Error("writing to a process that was never there gave no error")
	}
	<-canceled // nobody waits for the connection any more
}

// F6: a host that says nothing any more is given up when it is closed.
func TestCloseWhileHanging(t *testing.T) {
	t.Parallel()
	srv := server(t, lab.ServerOptions{})
	h := New(Config{Name: "desktop", Dial: dialer(t, srv)})
	i := instancetest.One(t, h)
	p := instancetest.Start(t.Context(), t, i, instancetest.Program(t, "stubborn"))
	instancetest.AwaitReady(t, p)
	pid := instancetest.PID(t, p)
	srv.Hang()
	if err := i.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	awaitLost(t, p)
	if err := h.Close(); err != nil {
		t.Errorf("Close of a host that is lost: got %v; want nil", err)
	}
	srv.Resume()
	awaitGone(t, pid)
}

// keeperOf is the number of the process that keeps a directory.
func keeperOf(t *testing.T, h *Host) int {
	t.Helper()
	files, err := filepath.Glob(h.life.run + "/k.*")
	if err != nil || len(files) != 1 {
		t.Fatalf("got %v, %v; want the keeper's file", files, err)
	}
	pid := 0
	for _, c := range strings.Split(filepath.Base(files[0]), ".")[1] {
		pid = 10*pid + int(c-'0')
	}
	return pid
}

// A host whose keeper is killed counts as lost, and everything ends there.
func TestKeeperKilled(t *testing.T) {
	t.Parallel()
	srv := server(t, lab.ServerOptions{})
	h := host(t, srv, Config{})
	i := instancetest.One(t, h)
	p, child := instancetest.StartLeaving(t, i, "setsid", "hold", 0)
	run := h.life.run
	if err := unix.Kill(keeperOf(t, h), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	lost := awaitLost(t, p)
	if !strings.Contains(lost, "keeper") {
		t.Errorf("got %v; want it to name the keeper", lost)
	}
	if !child.Gone(patience) {
		t.Error("what the command had started lives on")
	}
	awaitNoFile(t, run)
}

// awaitNoFile waits until there is no file any more.
func awaitNoFile(t *testing.T, name string) {
	t.Helper()
	awaitState(t, "the end of "+name, func() bool {
		_, err := os.Lstat(name)
		return errors.Is(err, os.ErrNotExist)
	})
}

// The keeper goes on through the signals of a session's end, and goes with its
// input.
func TestKeeperSignals(t *testing.T) {
	srv := server(t, lab.ServerOptions{})
	h := New(Config{Name: "desktop", Dial: dialer(t, srv)})
	i := instancetest.One(t, h)
	run, link := h.life.run, filepath.Join(h.life.base, h.id)
	keeper := keeperOf(t, h)
	for _, sig := range []unix.Signal{unix.SIGHUP, unix.SIGTERM, unix.SIGINT, unix.SIGPIPE} {
		if err := unix.Kill(-keeper, sig); err != nil {
			t.Fatal(err)
		}
	}
	if got := instancetest.Output(t, i, instance.Command{Args: []string{"echo", "here"}}, nil); got.Stdout != "here\n" {
		t.Errorf("got %+v; want the host to go on", got)
	}
	info, err := os.Stat(run)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("got %v, %v; want a directory for its owner alone", info, err)
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	for _, name := range []string{run, link} {
		if _, err := os.Lstat(name); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there (%v)", name, err)
		}
	}
	awaitGone(t, keeper)
	if _, err := i.Start(t.Context(), instance.Command{Args: []string{"true"}}); !errors.Is(err, instance.ErrClosed) {
		t.Errorf("Start after Close: got %v; want %v", err, instance.ErrClosed)
	}
}

// F6: when nothing is heard any more, everything ends by itself.
func TestSilence(t *testing.T) {
	t.Parallel()
	srv := server(t, lab.ServerOptions{})
	h := host(t, srv, Config{Silence: time.Second})
	i := instancetest.One(t, h)
	p, child := instancetest.StartLeaving(t, i, "setsid", "hold", 0)
	run := h.life.run
	pid := instancetest.PID(t, p)
	if child.Gone(3 * time.Second) {
		t.Fatal("it was ended though there were signs of life")
	}
	srv.Hang()
	defer srv.Resume()
	awaitGone(t, pid)
	if !child.Gone(patience) {
		t.Error("what the command had started lives on")
	}
	awaitNoFile(t, run)
	srv.Resume()
	awaitLost(t, p)
}

// F18: silence means nothing while a command is paused, or while somebody else
// says that this process may be stopped.
func TestSilencePaused(t *testing.T) {
	for _, tt := range []struct {
		name       string
		stop, goOn func(*Host, instance.Process) error
		state      byte
	}{
		{"paused", func(_ *Host, p instance.Process) error { return p.Pause() },
			func(_ *Host, p instance.Process) error { return p.Resume() }, 'T'},
		{"held", func(h *Host, _ instance.Process) error { h.Hold(true); return nil },
			func(h *Host, _ instance.Process) error { h.Hold(false); return nil }, 'S'},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv := server(t, lab.ServerOptions{})
			h := host(t, srv, Config{Silence: 3 * time.Second})
			i := instancetest.One(t, h)
			p := instancetest.Start(t.Context(), t, i, instancetest.Program(t, "echo"))
			pid := instancetest.PID(t, p)
			if err := tt.stop(h, p); err != nil {
				t.Fatal(err)
			}
			instancetest.AwaitState(t, pid, tt.state)
			srv.Hang() // as if this process were stopped
			select {
			case <-p.(*process).done:
				t.Fatal("it was ended")
			case <-time.After(8 * time.Second):
			}
			srv.Resume()
			if err := tt.goOn(h, p); err != nil {
				t.Fatal(err)
			}
			if got, err := instancetest.Finish(p, []byte("hello")); err != nil || got.Stdout != "hello" {
				t.Errorf("got %+v, %v; want it to go on", got, err)
			}
		})
	}
}

// F2: nothing on a host outlives a testr that was killed.
func TestKilled(t *testing.T) {
	srv := server(t, lab.ServerOptions{})
	local := instancetest.One(t, &instance.Local{})
	killAndLook(t, instancetest.Start(t.Context(), t, local, instancetest.Program(t, "testr", client(t, srv), srv.Name())))
}

// killAndLook kills the program testr, and what it has started has to end.
func killAndLook(t *testing.T, testr instance.Process) {
	t.Helper()
	var pid, child int
	var run string
	if _, err := scan(testr.Stdout(), &pid, &child, &run); err != nil {
		text, _ := io.ReadAll(testr.Stderr())
		t.Fatalf("%v: %s", err, text)
	}
	fds := make([]int, 0, 2)
	for _, p := range []int{pid, child} {
		fd, err := unix.PidfdOpen(p, 0)
		if err != nil {
			t.Fatal(err)
		}
		fds = append(fds, fd)
	}
	killed := time.Now()
	if err := unix.Kill(testr.PID(), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for n, fd := range fds {
		if ready, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 10_000); ready == 0 {
			t.Errorf("process %d of [command, daemon] lives on after 10 s (%v)", n, err)
		}
		_ = unix.Close(fd)
	}
	awaitNoFile(t, run)
	t.Logf("all was gone after %v", time.Since(killed).Round(time.Millisecond))
}
