package repo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"testr/internal/event"
	"testr/internal/protocol"
)

// Printed means stored: what a cursor delivers is in a copy of the file made
// right then.
func TestFollowAfterCommit(t *testing.T) {
	dir := newDir(t)
	r := openRepo(t, dir)
	w, err := r.Begin(RunInfo{Start: at(0)})
	if err != nil {
		t.Fatal(err)
	}
	var done sync.WaitGroup
	done.Go(func() {
		for i := range 500 {
			if err := w.Event(status(fmt.Sprint(i), protocol.StatusSuccess, i)); err != nil {
				t.Error(err)
			}
			if i%50 == 0 {
				if err := w.Sync(); err != nil {
					t.Error(err)
				}
			}
		}
		if _, err := w.Close(End{State: Finished}); err != nil {
			t.Error(err)
		}
	})
	c, seen, batches := w.Follow(), uint64(0), 0
	for ; ; batches++ {
		events, err := c.Next(t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			if e.Seq != seen {
				t.Fatalf("got event %d; want %d", e.Seq, seen)
			}
			seen++
		}
		if stored := countCopy(t, dir, w.ID()); stored < seen {
			t.Fatalf("event %d was delivered, %d are stored", seen-1, stored)
		}
	}
	done.Wait()
	if seen != 500 || batches < 5 {
		t.Errorf("got %d events in %d batches; want 500 in 5 at least", seen, batches)
	}
}

// countCopy returns how many events a run has in a copy of the repository.
func countCopy(t *testing.T, dir string, run int) uint64 {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, DirName, FileName))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "copy.db")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := open("", path, true, lockTimeout)
	if err != nil {
		t.Fatal(err)
	}
	defer closeRepo(t, r)
	c, err := r.Replay(run)
	if err != nil {
		t.Fatal(err)
	}
	return c.total
}

// A cursor that nobody reads until the end has everything all the same, though
// far more went by than memory holds; and the writer didn't wait for it.
func TestSlowCursor(t *testing.T) {
	r := newRepo(t)
	w, err := r.Begin(RunInfo{})
	if err != nil {
		t.Fatal(err)
	}
	slow := w.Follow()
	if first, err := firstOf(t.Context(), w, slow); err != nil || first.Seq != 0 {
		t.Fatalf("got %v, %v", first, err)
	}
	block := make([]byte, 100<<10)
	for i := range 120 {
		_, _ = rand.NewChaCha8([32]byte{byte(i)}).Read(block)
		if err := w.Event(file("t", fmt.Sprint(i), bytes.Clone(block))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Close(End{State: Finished}); err != nil {
		t.Fatal(err)
	}
	if w.held > maxRecent+groupSize+maxPending {
		t.Errorf("%d bytes are held for cursors", w.held)
	}
	events := collect(t, slow)
	if len(events) != 120 || len(collect(t, w.Follow())) != 121 {
		t.Errorf("got %d events; want 120", len(events))
	}
	for i, e := range events {
		_, _ = rand.NewChaCha8([32]byte{byte(i)}).Read(block)
		if e.Seq != uint64(i+1) || !bytes.Equal(e.Packet.Content, block) {
			t.Fatalf("event %d is not what was stored", i+1)
		}
	}
}

// firstOf stores one event and waits for it.
func firstOf(ctx context.Context, w *RunWriter, c *Cursor) (event.Event, error) {
	if err := w.Event(status("t", protocol.StatusInProgress, 0)); err != nil {
		return event.Event{}, err
	}
	events, err := c.Next(ctx)
	if err != nil {
		return event.Event{}, err
	}
	return events[0], nil
}

func TestCursorCancelled(t *testing.T) {
	r := newRepo(t)
	w, err := r.Begin(RunInfo{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.Follow().Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v; want it cancelled", err)
	}
	if _, err := r.Begin(RunInfo{}); !errors.Is(err, ErrRunning) {
		t.Errorf("a second run: got %v; want ErrRunning", err)
	}
	if _, err := w.Close(End{State: Finished}); err != nil {
		t.Error(err)
	}
	if _, err := w.Close(End{State: Finished}); !errors.Is(err, ErrClosed) {
		t.Errorf("closed twice: got %v; want ErrClosed", err)
	}
	if err := w.Event(asked("x")); !errors.Is(err, ErrClosed) {
		t.Errorf("an event after Close: got %v; want ErrClosed", err)
	}
}

// Closing the repository under a writer is as a crash is: the run is there.
func TestCloseUnderWriter(t *testing.T) {
	dir := newDir(t)
	r := openRepo(t, dir)
	w, err := r.Begin(RunInfo{})
	if err != nil {
		t.Fatal(err)
	}
	c := w.Follow()
	if _, err := firstOf(t.Context(), w, c); err != nil {
		t.Fatal(err)
	}
	closeRepo(t, r)
	if _, err := c.Next(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("the cursor: got %v; want ErrClosed", err)
	}
	if _, err := r.Latest(); !errors.Is(err, ErrClosed) {
		t.Errorf("a query: got %v; want ErrClosed", err)
	}
	info, err := queryRepo(t, dir).Latest()
	if err != nil || info.State != Interrupted || info.Events != 1 || info.Counts.InProgress != 1 || !info.Partial {
		t.Errorf("the run is %+v, %v", info, err)
	}
}

// Whoever asks while the repository is closed gets an answer, or ErrClosed.
func TestCloseWhileAsked(t *testing.T) {
	dir := newDir(t)
	r := openRepo(t, dir)
	ids := longIDs(300)
	store(t, r, RunInfo{}, End{Profiles: listed(ids)}, benchEvents(ids)...)
	closeRepo(t, r)
	for range 20 {
		r := openRepo(t, dir)
		var asking sync.WaitGroup
		first := make(chan struct{}, 4)
		for n := range cap(first) {
			asking.Go(func() {
				for i := 0; ; i++ {
					if err := askOne(t, r, n); errors.Is(err, ErrClosed) {
						return
					} else if err != nil {
						t.Error(err)
						return
					}
					if i == 0 {
						first <- struct{}{}
					}
				}
			})
		}
		for range cap(first) {
			<-first
		}
		closeRepo(t, r)
		asking.Wait()
	}
}

// askOne reads run 0: its tests or its events.
func askOne(t *testing.T, r *Repository, n int) error {
	if n%2 == 0 {
		_, err := r.Tests(0, DefaultProfile, 0)
		return err
	}
	_, err := r.foldRun(t.Context(), 0)
	return err
}

// Closing a run again changes nothing, neither for its cursors nor for the next run.
func TestCloseTwice(t *testing.T) {
	r := newRepo(t)
	w, err := r.Begin(RunInfo{})
	if err != nil {
		t.Fatal(err)
	}
	c := w.Follow()
	if _, err := firstOf(t.Context(), w, c); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Close(End{State: Finished}); err != nil {
		t.Fatal(err)
	}
	next, err := r.Begin(RunInfo{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Close(End{State: Finished}); !errors.Is(err, ErrClosed) {
		t.Errorf("again: got %v; want ErrClosed", err)
	}
	if _, err := c.Next(t.Context()); !errors.Is(err, io.EOF) {
		t.Errorf("the cursor: got %v; want its end", err)
	}
	if _, err := r.Begin(RunInfo{}); !errors.Is(err, ErrRunning) {
		t.Errorf("a third run: got %v; want ErrRunning", err)
	}
	if _, err := next.Close(End{State: Finished}); err != nil {
		t.Error(err)
	}
}

// bbolt keeps a value's memory until the commit: events that differ come back
// different, whatever the sizes of groups and chunks, and a packet's memory is
// its own again once it was committed (finding 3).
func TestDistinctEvents(t *testing.T) {
	for seed := range uint64(8) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		r := newRepo(t)
		w, err := r.Begin(RunInfo{})
		if err != nil {
			t.Fatal(err)
		}
		var want []event.Event
		for n := range 1 + rnd.IntN(600) {
			e := randomEvent(rnd, n)
			want = append(want, e)
			if err := w.Event(e); err != nil {
				t.Fatal(err)
			}
			if rnd.IntN(40) == 0 {
				if err := w.Sync(); err != nil {
					t.Fatal(err)
				}
			}
		}
		stream := wire(t, want)
		if _, err := w.Close(End{State: Finished}); err != nil {
			t.Fatal(err)
		}
		for _, e := range want { // nobody needs what we gave any more
			if e.Packet != nil {
				clear(e.Packet.Content)
			}
		}
		got := replay(t, r, w.ID())
		if len(got) != len(want) || !bytes.Equal(wire(t, got), stream) {
			t.Fatalf("seed %d: the events differ", seed)
		}
		for i, e := range got {
			if e.Kind != want[i].Kind || e.Detail != want[i].Detail || !e.Time.Equal(want[i].Time) ||
				e.Worker != want[i].Worker || fmt.Sprint(e.Tests) != fmt.Sprint(want[i].Tests) {
				t.Fatalf("seed %d: event %d is %v; want %v", seed, i, e, want[i])
			}
		}
	}
}

func randomEvent(rnd *rand.Rand, n int) event.Event {
	id := fmt.Sprint("test ", n)
	switch rnd.IntN(6) {
	case 0:
		return event.Event{Kind: event.Kind(2 + rnd.IntN(8)), Worker: rnd.IntN(9) - 1, Detail: id, Tests: []string{id, ""}}
	case 1:
		size := rnd.IntN(100)
		if rnd.IntN(10) == 0 {
			size = rnd.IntN(200 << 10)
		}
		content := make([]byte, size)
		for i := range content {
			content[i] = byte(rnd.Uint32() & 3)
		}
		return file(id, "f", content)
	}
	e := status(id, protocol.Status(rnd.IntN(8)), rnd.IntN(1e6))
	e.Worker = rnd.IntN(70) - 1
	return e
}
