package repo

import (
	"errors"
	"io"
	"os"
	"testing"

	"testr/internal/event"
	"testr/internal/protocol"
)

var errInjected = errors.New("injected")

// failFrom has the commit number n fail, or that and all after it, before or
// after it takes effect; left counts down.
func failFrom(r *Repository, step string, n int, persistent bool) (left *int) {
	left = &n
	r.fault = func(s string) error {
		if s == step {
			n--
		}
		if s == step && (n == 0 || persistent && n < 0) {
			return errInjected
		}
		return nil
	}
	return left
}

// F13, finding 4: a commit that fails may be there or not. Whichever it is, for
// once or for good: who goes on in the same process closes that run first, every
// event is there once, and the check is clean.
func TestGoOnAfterFailure(t *testing.T) {
	for _, step := range []string{"before", "after"} {
		for n := 1; ; n++ {
			dir := newDir(t)
			r := openRepo(t, dir)
			left := failFrom(r, step, n, false)
			_, failed := faultyRun(r)
			r.fault = nil
			if *left > 0 {
				if failed != nil {
					t.Fatal(failed)
				}
				break
			}
			if !errors.Is(failed, errInjected) {
				t.Errorf("%s commit %d: got %v; want the error", step, n, failed)
			}
			again := store(t, r, RunInfo{}, End{}, status("a", protocol.StatusSuccess, 0))
			if err := r.Check(t.Context()); err != nil {
				t.Errorf("%s commit %d: %v", step, n, err)
			}
			for id := range again.ID {
				wantOnce(t, r, id)
			}
			closeRepo(t, r)
		}
	}
}

// wantOnce wants the events of a run to be those of a child, each once.
func wantOnce(t *testing.T, r *Repository, id int) {
	t.Helper()
	info, err := r.Run(id)
	if err != nil || info.State == Running {
		t.Errorf("run %d: got %v, %v; want it closed", id, info.State, err)
	}
	events := replay(t, r, id)
	want := make([]event.Event, len(events))
	for i := range want {
		want[i] = childEvent(i)
	}
	if string(wire(t, events)) != string(wire(t, want)) {
		t.Errorf("run %d: its events are not what was written, in order and once", id)
	}
}

// F24: with every commit failing from one on, everybody who asks is told, and no
// cursor delivers what isn't stored.
func TestPersistentFailure(t *testing.T) {
	for n := 1; n <= 6; n++ {
		dir := newDir(t)
		r := openRepo(t, dir)
		failFrom(r, "before", n, true)
		synced, err := faultyRun(r)
		if !errors.Is(err, errInjected) {
			t.Errorf("from commit %d on: got %v; want the error", n, err)
		}
		if _, err := r.Begin(RunInfo{}); !errors.Is(err, errInjected) {
			t.Errorf("from commit %d on: Begin: got %v; want the error", n, err)
		}
		if _, err := r.PutLease(Lease{ID: "x"}); !errors.Is(err, errInjected) {
			t.Errorf("from commit %d on: PutLease: got %v; want the error", n, err)
		}
		closeRepo(t, r)
		r = openRepo(t, dir)
		info, err := r.Latest()
		if n > 1 && (err != nil || info.Events != synced || info.State != Interrupted) {
			t.Errorf("from commit %d on: got %+v, %v; want an interrupted run of %d events", n, info, err, synced)
		}
		closeRepo(t, r)
	}
}

// Promise 1: a cursor delivers nothing before its transaction is over.
func TestNothingBeforeCommit(t *testing.T) {
	dir := newDir(t)
	r := openRepo(t, dir)
	w, err := r.Begin(RunInfo{})
	if err != nil {
		t.Fatal(err)
	}
	reached, release := make(chan struct{}), make(chan struct{})
	r.fault = func(step string) error {
		if step == "before" {
			close(reached)
			<-release
			return errInjected
		}
		return nil
	}
	if err := w.Event(childEvent(0)); err != nil {
		t.Fatal(err)
	}
	<-reached
	events, changed, err := w.since(0)
	if len(events) > 0 || changed == nil || err != nil {
		t.Errorf("before the commit: got %d events, %v", len(events), err)
	}
	close(release)
	<-w.over
	if events, _, err := w.since(0); len(events) > 0 || !errors.Is(err, errInjected) {
		t.Errorf("after it failed: got %d events, %v; want the error", len(events), err)
	}
	if err := w.Sync(); !errors.Is(err, errInjected) {
		t.Errorf("Sync: got %v; want the error", err)
	}
	if _, err := w.Close(End{State: Finished}); !errors.Is(err, errInjected) || errors.Is(err, io.EOF) {
		t.Errorf("Close: got %v; want the error", err)
	}
}

// S23: of many that open a repository at once one gets it, and all others are
// told soon who has it.
func TestManyAtOnce(t *testing.T) {
	const many = 20
	for range 3 {
		dir := newDir(t)
		opened, refused := make(chan *Repository, many), make(chan error, many)
		for range many {
			go func() {
				if r, err := Open(dir); err == nil {
					opened <- r
				} else {
					refused <- err
				}
			}()
		}
		for range many - 1 {
			err := <-refused // nobody gives the repository back before
			busy, ok := errors.AsType[*BusyError](err)
			if !ok || busy.PID != os.Getpid() && busy.PID != 0 {
				t.Errorf("got %v; want it busy with this process", err)
			}
		}
		closeRepo(t, <-opened)
	}
}

// Closing the repository while a run is to begin that can't comes to an end.
func TestCloseUnderFailingBegin(t *testing.T) {
	r := newRepo(t)
	over := make(chan error, 1)
	r.fault = func(string) error {
		r.fault = nil
		r.mu.Lock()
		w := r.running
		r.mu.Unlock()
		w.mu.Lock()
		defer w.mu.Unlock()
		go func() { over <- r.Close() }()
		for !w.closing {
			w.wait()
		}
		return errInjected
	}
	if _, err := r.Begin(RunInfo{}); !errors.Is(err, errInjected) {
		t.Errorf("got %v; want the error", err)
	}
	if err := <-over; err != nil {
		t.Error(err)
	}
}
