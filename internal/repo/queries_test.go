package repo

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"

	"testr/internal/protocol"
)

// TestQueriesOfARunThatGoesOn: the last run is the last that is over, and the one
// that goes on has its own question, and events from any on to its end.
func TestQueriesOfARunThatGoesOn(t *testing.T) {
	r := newRepo(t)
	if _, err := r.Latest(); !errors.Is(err, ErrNoRuns) {
		t.Errorf("latest of none: got %v; want ErrNoRuns", err)
	}
	w, err := r.Begin(RunInfo{Host: "vm"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Latest(); !errors.Is(err, ErrNoRuns) {
		t.Errorf("latest beside the first run: got %v; want ErrNoRuns", err)
	}
	current, err := r.Current()
	if err != nil || current.ID != 0 || current.State != Running || current.Host != "vm" {
		t.Errorf("current: got %+v, %v", current, err)
	}
	if _, err := w.Close(End{State: Finished}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Current(); !errors.Is(err, ErrNoRun) {
		t.Errorf("current of none: got %v; want ErrNoRun", err)
	}

	if w, err = r.Begin(RunInfo{}); err != nil {
		t.Fatal(err)
	}
	if info, err := r.Latest(); err != nil || info.ID != 0 {
		t.Errorf("latest beside run 1: got run %d, %v; want 0", info.ID, err)
	}
	follow := func(from uint64) Events {
		t.Helper()
		events, err := r.Follow(1, from)
		if err != nil {
			t.Fatal(err)
		}
		return events
	}
	fromFirst, fromSecond, fromLast := follow(0), follow(1), follow(3)
	ids := []string{"a", "b", "c"}
	for i, id := range ids {
		if err := w.Event(status(id, protocol.StatusSuccess, i)); err != nil {
			t.Fatal(err)
		}
		if got, err := fromFirst.Next(t.Context()); err != nil || len(got) != 1 || got[0].Packet.TestID != id {
			t.Errorf("event %d: got %v, %v", i, got, err)
		}
	}
	if _, err := w.Close(End{State: Finished}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		events Events
		want   []string
	}{"all": {fromFirst, nil}, "from the second": {fromSecond, ids[1:]}, "from its end": {fromLast, nil},
		"when it is over": {follow(2), ids[2:]}} {
		var got []string
		for {
			events, err := c.events.Next(t.Context())
			if err != nil {
				if !errors.Is(err, io.EOF) {
					t.Errorf("%s: %v", name, err)
				}
				break
			}
			for _, e := range events {
				got = append(got, e.Packet.TestID)
			}
		}
		if !slices.Equal(c.want, got) {
			t.Errorf("%s: got %q; want %q", name, got, c.want)
		}
	}
	if _, err := r.Follow(2, 0); !errors.Is(err, ErrNoRun) {
		t.Errorf("follow no run: got %v; want ErrNoRun", err)
	}
}

// TestFollowEndsWithItsContext: nobody waits for the next event longer than for
// its context.
func TestFollowEndsWithItsContext(t *testing.T) {
	r := newRepo(t)
	w, err := r.Begin(RunInfo{})
	if err != nil {
		t.Fatal(err)
	}
	events, err := r.Follow(w.ID(), 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan error, 1)
	go func() {
		_, err := events.Next(ctx)
		got <- err
	}()
	cancel()
	if err := <-got; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v; want the context's error", err)
	}
	if _, err := w.Close(End{State: Interrupted}); err != nil {
		t.Fatal(err)
	}
}
