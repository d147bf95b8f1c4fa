package tree

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// A sync waits for another one's end, says for whose, and touches nothing until
// then; several at once come one after the other.
func testTogether(t *testing.T, w way) {
	p := newPair(t, w)
	before.write(t, p.here)
	h := p.lock(t)
	o := p.options()
	released := false
	o.Progress = func(now Progress) {
		if now.Waiting == "" || released {
			return
		}
		if want := fmt.Sprintf("process %d on ", h.process.PID()); !strings.HasPrefix(now.Waiting, want) {
			t.Errorf("got %q; want %q", now.Waiting, want)
		}
		if got := read(t, p.away); len(got) > 0 {
			t.Errorf("got %v there before the lock is released; want nothing", got)
		}
		released = true
		if err := h.close(); err != nil {
			t.Error(err)
		}
	}
	p.syncWith(o)
	if !released {
		t.Error("it did not wait")
	}
	after.write(t, p.here)
	var syncing sync.WaitGroup
	for range 4 {
		syncing.Go(func() {
			if _, err := Sync(t.Context(), p.inst, workDir, p.options()); err != nil {
				t.Error(err)
			}
		})
	}
	syncing.Wait()
	want(t, p.away, read(t, p.here))
}

// lock gets the lock as another sync does.
func (p *pair) lock(t *testing.T) *hold {
	t.Helper()
	h, err := newThere(p.inst, workDir).hold(t.Context(), func(err error) { t.Errorf("got %v; want the lock", err) })
	if err != nil {
		t.Fatal(err)
	}
	if err := h.wait(t.Context(), func(string) {}); err != nil {
		t.Fatal(err)
	}
	return h
}

// The lock of a process that is dead is nobody's, and only one of those who
// find it has it next. That of one who may be alive is his.
func testStale(t *testing.T, w way) {
	p := newPair(t, w)
	before.write(t, p.here)
	dead, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	h, err := newThere(p.inst, workDir).hold(dead, cancel)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.wait(dead, func(string) {}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(h.process.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-dead.Done()
	if err := context.Cause(dead); err == nil || !strings.Contains(err.Error(), "SIGKILL") {
		t.Errorf("got %v; want the end of who has the lock to be noticed", err)
	}
	_ = h.close()
	lock := filepath.Join(p.away, ".testr/sync/lock")
	stale, err := os.ReadFile(lock)
	if err != nil {
		t.Fatal(err)
	}
	var holding atomic.Int32
	var racing sync.WaitGroup
	for range 8 {
		racing.Go(func() {
			h := p.lock(t)
			if n := holding.Add(1); n != 1 {
				t.Errorf("%d have the lock", n)
			}
			holding.Add(-1)
			if err := h.close(); err != nil {
				t.Error(err)
			}
		})
	}
	racing.Wait()
	if err := os.WriteFile(lock, stale, 0o600); err != nil {
		t.Fatal(err)
	}
	o := p.options()
	o.Progress = func(now Progress) {
		if now.Waiting != "" {
			t.Errorf("it waits for %s", now.Waiting)
		}
	}
	p.syncWith(o)
	want(t, p.away, read(t, p.here))

	fields := strings.Fields(string(stale))
	for _, tt := range []struct{ name, lock, want string }{
		{"of a process that runs", strings.Replace(string(stale), " "+fields[3]+" ", fmt.Sprintf(" %d ", os.Getpid()), 1),
			fmt.Sprintf("process %d on %s", os.Getpid(), fields[0])},
		{"of another machine", "elsewhere" + strings.TrimPrefix(string(stale), fields[0]),
			"process " + fields[3] + " on elsewhere"},
		{"of another container", strings.Replace(string(stale), fields[2], "pid:[1]", 1),
			"process " + fields[3] + " on " + fields[0]},
		{"unknown", "$(touch x) *", "an unknown process"},
		{"empty", "", "an unknown process"},
	} {
		if err := os.WriteFile(lock, []byte(tt.lock), 0o600); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		o.Progress = func(now Progress) {
			if now.Waiting != tt.want {
				t.Errorf("a lock %s: got %q; want %q", tt.name, now.Waiting, tt.want)
			}
			cancel(errCut)
		}
		if _, err := Sync(ctx, p.inst, workDir, o); !errors.Is(err, errCut) {
			t.Errorf("a lock %s: got %v; want it to wait", tt.name, err)
		}
		if got, err := os.ReadFile(lock); err != nil || string(got) != tt.lock {
			t.Errorf("a lock %s: got %q, %v; want it untouched", tt.name, got, err)
		}
	}
	// That of before the machine was started anew.
	rebooted := strings.Replace(string(stale), fields[1], "an-earlier-boot", 1)
	rebooted = strings.Replace(rebooted, " "+fields[3]+" ", fmt.Sprintf(" %d ", os.Getpid()), 1)
	if err := os.WriteFile(lock, []byte(rebooted), 0o600); err != nil {
		t.Fatal(err)
	}
	p.sync()
}
