package instancetest

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"testr/internal/instance"
)

func (c contract) testExitStatus(t *testing.T) {
	i := c.instance(t, Settings{})
	tests := []struct {
		helper, arg string
		want        instance.ExitStatus
	}{
		{"exit", "0", instance.ExitStatus{}},
		{"exit", "1", instance.ExitStatus{Code: 1}},
		{"exit", "255", instance.ExitStatus{Code: 255}},
		{"die", "SIGKILL", instance.ExitStatus{Code: -1, Signal: "SIGKILL"}},
		{"die", "SIGTERM", instance.ExitStatus{Code: -1, Signal: "SIGTERM"}},
	}
	for _, tt := range tests {
		got := Output(t, i, Program(t, tt.helper, tt.arg), nil).Status
		if tt.want.Signal != "" {
			tt.want = c.death(tt.want.Signal)
		}
		if got != tt.want || got.Success() != (tt.arg == "0") {
			t.Errorf("%s %s: got %v; want %v", tt.helper, tt.arg, got, tt.want)
		}
	}
}

// death is how a command ends by a signal that its shell, if any, survives.
func (c contract) death(signal string) instance.ExitStatus {
	if c.traits.Shell {
		return instance.ExitStatus{Code: 128 + int(unix.SignalNum(signal))}
	}
	return instance.ExitStatus{Code: -1, Signal: signal}
}

func (c contract) testWaitAgain(t *testing.T) {
	p := Start(t.Context(), t, c.instance(t, Settings{}), Program(t, "exit", "7"))
	var waiting sync.WaitGroup
	for range 8 {
		waiting.Go(func() {
			for range 2 {
				if got, err := p.Wait(); err != nil || got != (instance.ExitStatus{Code: 7}) {
					t.Errorf("got %v, %v; want exit status 7", got, err)
				}
			}
		})
	}
	waiting.Wait()
}

func (c contract) testCancelBeforeStart(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("no more")
	cancel(cause)
	if _, err := c.instance(t, Settings{}).Start(ctx, Program(t, "block")); !errors.Is(err, cause) {
		t.Errorf("got %v; want %v", err, cause)
	}
}

// F8: a process that reads nothing blocks its writer; its end frees it.
func (c contract) testCancelBlocked(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p := Start(ctx, t, c.instance(t, Settings{}), Program(t, "block"))
	AwaitReady(t, p)
	written := make(chan error)
	go func() {
		_, err := p.Stdin().Write(make([]byte, 8<<20))
		written <- err
	}()
	cancel()
	got, err := FinishReading(p)
	if want := c.death("SIGTERM"); err != nil || got.Status != want {
		t.Errorf("got %v, %v; want %v", got.Status, err, want)
	}
	if err := <-written; err == nil {
		t.Error("got no error from writing what the process never read")
	}
}

func (c contract) testCancelPolite(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p := Start(ctx, t, c.instance(t, Settings{}), Program(t, "polite"))
	AwaitReady(t, p)
	cancel()
	got, err := FinishReading(p)
	if want := (Result{Stdout: "last words\n", Status: instance.ExitStatus{Code: 42}}); err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
}

// F8: after the grace period SIGTERM becomes SIGKILL.
func (c contract) testCancelStubborn(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p := Start(ctx, t, c.instance(t, Settings{Grace: 30 * time.Millisecond}), Program(t, "stubborn"))
	AwaitReady(t, p)
	cancel()
	got, err := FinishReading(p)
	if want := (instance.ExitStatus{Code: -1, Signal: "SIGKILL"}); err != nil || got.Status != want {
		t.Errorf("got %v, %v; want %v", got.Status, err, want)
	}
}

// F18: a process that is paused does nothing until it is resumed.
func (c contract) testPause(t *testing.T) {
	p := Start(t.Context(), t, c.instance(t, Settings{}), Program(t, "echo"))
	if !c.traits.NoPID {
		PID(t, p)
	}
	if err := p.Pause(); errors.Is(err, errors.ErrUnsupported) {
		return
	} else if err != nil {
		t.Fatal(err)
	}
	c.awaitState(t, p, 'T')
	if err := p.Resume(); err != nil {
		t.Error(err)
	}
	if got, err := Finish(p, []byte("hello")); err != nil || got.Stdout != "hello" {
		t.Errorf("got %+v, %v; want it to go on", got, err)
	}
	for _, do := range []func() error{p.Pause, p.Resume} {
		if err := do(); !errors.Is(err, os.ErrProcessDone) {
			t.Errorf("after the end: got %v; want %v", err, os.ErrProcessDone)
		}
	}
}

// awaitState waits until p is in a state, where anybody can know.
func (c contract) awaitState(t *testing.T, p instance.Process, state byte) {
	t.Helper()
	if c.traits.NoPID {
		return
	}
	AwaitState(t, PID(t, p), state)
}

// F8: a process that is stopped, by us or by whom else, has its time of grace.
func (c contract) testCancelPaused(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	p := Start(ctx, t, c.instance(t, Settings{}), Program(t, "polite"))
	AwaitReady(t, p)
	if err := p.Pause(); errors.Is(err, errors.ErrUnsupported) {
		return
	}
	c.awaitState(t, p, 'T')
	cancel()
	got, err := FinishReading(p)
	if want := (Result{Stdout: "last words\n", Status: instance.ExitStatus{Code: 42}}); err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
}

// F8: and it can be killed.
func (c contract) testClosePaused(t *testing.T) {
	i := c.instance(t, Settings{})
	p := Start(t.Context(), t, i, Program(t, "stubborn"))
	AwaitReady(t, p)
	if err := p.Pause(); errors.Is(err, errors.ErrUnsupported) {
		return
	}
	c.awaitState(t, p, 'T')
	if err := i.Close(); err != nil {
		t.Error(err)
	}
	got, err := FinishReading(p)
	if want := (instance.ExitStatus{Code: -1, Signal: "SIGKILL"}); err != nil || got.Status != want {
		t.Errorf("got %v, %v; want %v", got.Status, err, want)
	}
}

func (c contract) testClose(t *testing.T) {
	i := c.instance(t, Settings{})
	var processes []instance.Process
	for range 3 {
		p := Start(t.Context(), t, i, Program(t, "stubborn"))
		AwaitReady(t, p)
		processes = append(processes, p)
	}
	var closing sync.WaitGroup
	for range 2 {
		closing.Go(func() {
			if err := i.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	}
	closing.Wait()
	for _, p := range processes {
		got, err := FinishReading(p)
		if err != nil || got.Status.Success() {
			t.Errorf("got %v, %v; want a process that was ended", got, err)
		}
	}
	if _, err := i.Start(t.Context(), Program(t, "exit", "0")); !errors.Is(err, instance.ErrClosed) {
		t.Errorf("Start after Close: got %v; want %v", err, instance.ErrClosed)
	}
}

// What the command started ends with it.
func (c contract) testGrandchildInGroup(t *testing.T) {
	p, child := StartLeaving(t, c.instance(t, Settings{}), "own", "hold", 0)
	AwaitReady(t, p)
	got, err := Finish(p, []byte("end\n"))
	if err != nil || got.Stdout != "last words\n" || !got.Status.Success() {
		t.Errorf("got %+v, %v; want the last words and success", got, err)
	}
	if !child.Gone(10 * time.Second) {
		t.Error("a process of the command's group lives on")
	}
}

// F9: a process that got away with all three pipes holds nobody up, and takes
// nothing of the command's own output with it.
func (c contract) testGrandchildSetsid(t *testing.T) {
	const size = 60_000
	for _, early := range []bool{true, false} {
		p, child := StartLeaving(t, c.instance(t, Settings{}), "setsid", "hold", size)
		AwaitReady(t, p)
		if _, err := p.Stdin().Write([]byte("end\n")); err != nil {
			t.Fatal(err)
		}
		if !early {
			if _, err := p.Wait(); err != nil {
				t.Fatal(err)
			}
		}
		got, err := FinishReading(p)
		if want := string(Pattern(size)) + "last words\n"; err != nil || got.Stdout != want || !got.Status.Success() {
			t.Errorf("early=%t: got %d bytes, %v, %v; want %d, success",
				early, len(got.Stdout), got.Status, err, len(want))
		}
		if child.Gone(0) {
			t.Error("the grandchild has ended; the test shows nothing")
		}
		if _, err := p.Stdin().Write(make([]byte, 8<<20)); err == nil {
			t.Error("writing to a pipe that only the grandchild holds gave no error")
		}
	}
}

// F9: nor does one that writes faster than we read.
func (c contract) testGrandchildFloods(t *testing.T) {
	p, child := StartLeaving(t, c.instance(t, Settings{}), "setsid", "spam", 0)
	if _, err := io.ReadFull(p.Stdout(), make([]byte, len("spam"))); err != nil {
		t.Fatal(err)
	}
	got, err := Finish(p, []byte("end\n"))
	if err != nil || !strings.Contains(got.Stdout, "last words\n") || !got.Status.Success() {
		t.Errorf("got %d bytes, %v, %v; want the last words and success", len(got.Stdout), got.Status, err)
	}
	if child.Gone(0) {
		t.Error("the grandchild has ended; the test shows nothing")
	}
}
