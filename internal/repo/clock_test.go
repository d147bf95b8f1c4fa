package repo

import (
	"context"
	"fmt"
	"testing"
	"time"

	"testr/internal/event"
	"testr/internal/protocol"
)

// TestMeasuredDurations: durations that the supervisor measured are the same when
// they are worked out again from what is stored, though the times that it has
// have a reading of another clock besides, which disagrees by some nanoseconds.
func TestMeasuredDurations(t *testing.T) {
	r := newRepo(t)
	w, err := r.Begin(RunInfo{})
	if err != nil {
		t.Fatal(err)
	}
	send := func(e event.Event) {
		t.Helper()
		if err := w.Event(e); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 200 {
		id := fmt.Sprintf("m.C.test_%d", i)
		send(event.Event{Kind: event.KindSent, Time: time.Now(), Tests: []string{id}})
		send(event.Event{Kind: event.KindPacket, Time: time.Now(), Packet: &protocol.Packet{
			Has: protocol.HasTestID | protocol.HasTime, TestID: id, Status: protocol.StatusSuccess, Runnable: true,
			Time: at(i)}})
	}
	if _, err := w.Close(End{State: Finished}); err != nil {
		t.Fatal(err)
	}
	if err := r.Check(context.Background()); err != nil {
		t.Error(err)
	}
	tests, err := r.Tests(w.ID(), DefaultProfile, 0)
	if err != nil || len(tests) != 200 || !tests[0].Measured {
		t.Fatalf("got %d tests, %v; want 200 that were measured", len(tests), err)
	}
}
