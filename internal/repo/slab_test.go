package repo

import (
	"errors"
	"fmt"
	"testing"

	"testr/internal/protocol"
)

// An event that can't be stored ends its run, and nothing else: what came before it is
// on disk and with cursors, wherever in memory it stands, and nothing after it is.
func TestBadEvent(t *testing.T) {
	for _, bad := range []int{0, 1, maxSlab - 1, maxSlab, maxSlab + 7, 3 * maxSlab} {
		t.Run(fmt.Sprint(bad), func(t *testing.T) {
			dir := newDir(t)
			r := openRepo(t, dir)
			w, err := r.Begin(RunInfo{})
			if err != nil {
				t.Fatal(err)
			}
			cursor := w.Follow()
			for i := range 4 * maxSlab {
				e := status(fmt.Sprint("test ", i), protocol.StatusSuccess, i)
				if i == bad {
					e.Packet.TestID = "\x00"
				}
				if err := w.Event(e); err != nil && !errors.Is(err, protocol.ErrText) {
					t.Fatal(err)
				}
			}
			seen := 0
			for err = nil; err == nil; {
				events, next := cursor.Next(t.Context())
				for _, e := range events {
					if e.Packet.TestID != fmt.Sprint("test ", seen) {
						t.Fatalf("event %d is about %q", seen, e.Packet.TestID)
					}
					seen++
				}
				err = next
			}
			_, closed := w.Close(End{})
			if seen != bad || !errors.Is(err, protocol.ErrText) || !errors.Is(closed, protocol.ErrText) {
				t.Errorf("got %d events, %v, %v; want %d, and %v", seen, err, closed, bad, protocol.ErrText)
			}
			closeRepo(t, r)
			r = openRepo(t, dir)
			info, err := r.Latest()
			if err != nil || info.State != Interrupted || info.Events != uint64(bad) || info.Counts.Tests != bad {
				t.Errorf("got %+v, %v; want %d events and tests", info, err, bad)
			}
		})
	}
}
