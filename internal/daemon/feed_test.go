package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"testr/internal/supervisor"
)

// taken are the messages that a feed has, in a word each.
func taken(t *testing.T, f *feed) (all []string) {
	t.Helper()
	batch, err := f.next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range batch {
		s := m.Kind + m.Text
		if m.Status != nil {
			s += fmt.Sprint(m.Status.Waiting)
		}
		all = append(all, s)
	}
	return all
}

// TestFeed: of what tells how it goes the last counts, and all else comes in order.
func TestFeed(t *testing.T) {
	f := newFeed()
	status := func(n int) Message { return Message{Kind: kindStatus, Status: &supervisor.Status{Waiting: n}} }
	progress := func(instance, text string, over bool) Message {
		return Message{Kind: kindProgress, Instance: instance, Text: text, Over: over}
	}
	for _, m := range []Message{{Kind: kindReady}, status(3), {Kind: kindWarning, Text: "one"}, status(2),
		progress("a", "1", false), progress("b", "1", false), progress("a", "2", true), progress("a", "3", false),
		progress("a", "4", false), {Kind: kindWarning, Text: "two"}, status(1)} {
		f.put(m)
	}
	want := []string{"ready", "status1", "warningone", "progress2", "progress1", "progress4", "warningtwo"}
	if diff := cmp.Diff(want, taken(t, f)); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
	f.put(status(0))
	f.end()
	f.put(status(9))
	if diff := cmp.Diff([]string{"status0"}, taken(t, f)); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
	if _, err := f.next(t.Context()); !errors.Is(err, io.EOF) {
		t.Errorf("got %v after the end; want %v", err, io.EOF)
	}
}

// TestFeedBounded: who doesn't read costs no more than so much, and loses nothing
// that anything depends on.
func TestFeedBounded(t *testing.T) {
	f := newFeed()
	for range maxHeld + 500 {
		f.put(Message{Kind: kindWarning, Text: "x"})
		f.put(Message{Kind: kindStatus, Status: &supervisor.Status{}})
	}
	f.put(Message{Kind: kindResult})
	got := taken(t, f)
	if n := len(got); n > maxHeld+2 || got[n-2] != kindResult || got[n-1] != kindWarning+tooMany(501) {
		t.Errorf("got %d messages, the last ones %q; want %d at most, the result, and how many are lost", n, got[n-2:],
			maxHeld+2)
	}

	f.leave()
	f.put(Message{Kind: kindResult})
	if f.held != nil {
		t.Error("messages are kept for nobody")
	}
}

// TestFeedWaits: a message wakes who waits for it, and so does the end of patience.
func TestFeedWaits(t *testing.T) {
	f := newFeed()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
	defer cancel()
	if _, err := f.next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v; want %v", err, context.DeadlineExceeded)
	}
	got := make(chan []string)
	go func() { got <- taken(t, f) }()
	f.put(Message{Kind: kindReady})
	if diff := cmp.Diff([]string{"ready"}, <-got); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
}
