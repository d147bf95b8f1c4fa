package repo

import (
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"testr/internal/event"
	"testr/internal/protocol"
)

// longIDs are ids as long as those of large suites.
func longIDs(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("nova.tests.unit.compute.test_module_%03d.ComputeManagerUnitTestCase%02d.test_what_it_does_%05d",
			i/200, i/20%100, i)
	}
	return ids
}

// benchEvents is a run of n tests, two events a test, one of fifty failing.
func benchEvents(ids []string) []event.Event {
	events := []event.Event{asked(ids...)}
	for i, id := range ids {
		s := protocol.StatusSuccess
		if i%50 == 0 {
			s = protocol.StatusFail
		}
		events = append(events, outcome(id, s, i, i+1+i%10)...)
	}
	return events
}

func benchStore(b *testing.B, r *Repository, events []event.Event, listing []string) {
	b.Helper()
	w, err := r.Begin(RunInfo{Start: at(0)})
	if err != nil {
		b.Fatal(err)
	}
	for _, e := range events {
		if err := w.Event(e); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := w.Close(End{State: Finished, Profiles: listed(listing)}); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkStore stores 40,000 events of 20,000 tests durably, Close included:
// into an empty repository (new), and into one that knows the tests (again).
func BenchmarkStore(b *testing.B) {
	ids := longIDs(20000)
	events := benchEvents(ids)
	b.Run("new", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			r := newRepo(b)
			b.StartTimer()
			benchStore(b, r, events, ids)
		}
	})
	b.Run("again", func(b *testing.B) {
		r := newRepo(b)
		benchStore(b, r, events, ids)
		for b.Loop() {
			benchStore(b, r, events, ids)
		}
	})
}

// BenchmarkClose is the end of such a run alone.
func BenchmarkClose(b *testing.B) {
	ids := longIDs(20000)
	events := benchEvents(ids)
	r := newRepo(b)
	benchStore(b, r, events, ids)
	for b.Loop() {
		b.StopTimer()
		w, err := r.Begin(RunInfo{Start: at(0)})
		if err != nil {
			b.Fatal(err)
		}
		for _, e := range events {
			if err := w.Event(e); err != nil {
				b.Fatal(err)
			}
		}
		if err := w.Sync(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if _, err := w.Close(End{State: Finished, Profiles: listed(ids)}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkVisible is how long an event takes to be on disk and delivered to a
// cursor, when few others are under way: the 99th percentile is a figure of its own.
func BenchmarkVisible(b *testing.B) {
	r := newRepo(b)
	w, err := r.Begin(RunInfo{})
	if err != nil {
		b.Fatal(err)
	}
	c := w.Follow()
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		from := time.Now()
		if err := w.Event(status("a", protocol.StatusSuccess, i)); err != nil {
			b.Fatal(err)
		}
		if _, err := c.Next(b.Context()); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(from))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
	if _, err := w.Close(End{State: Finished}); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkAttachments stores attachments of 1 MiB that don't compress.
func BenchmarkAttachments(b *testing.B) {
	r := newRepo(b)
	w, err := r.Begin(RunInfo{})
	if err != nil {
		b.Fatal(err)
	}
	e := file("t", "f", noise(1<<20))
	b.SetBytes(1 << 20)
	for b.Loop() {
		if err := w.Event(e); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := w.Close(End{State: Finished}); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkQuery asks a repository of 20,000 tests and ten runs, opened for
// every question as by a command.
func BenchmarkQuery(b *testing.B) {
	dir := newDir(b)
	ids := longIDs(20000)
	events := benchEvents(ids)
	r := openRepo(b, dir)
	for range 10 {
		benchStore(b, r, events, ids)
	}
	closeRepo(b, r)
	for _, query := range []struct {
		name string
		ask  func(r *Repository) error
	}{
		{"Latest", func(r *Repository) error { _, err := r.Latest(); return err }},
		{"Failing", func(r *Repository) error { _, err := r.Failing(DefaultProfile); return err }},
		{"Tests", func(r *Repository) error { _, err := r.Tests(9, DefaultProfile, 0); return err }},
		{"Slowest", func(r *Repository) error { _, err := r.Slowest(9, DefaultProfile, 10); return err }},
		{"Excerpt", func(r *Repository) error {
			return r.Excerpt(9, Wanted{Beside: true}, func(event.Event) error { return nil })
		}},
		{"Timing", func(r *Repository) error { _, err := r.Timing(DefaultProfile); return err }},
		{"Listing", func(r *Repository) error { _, err := r.Listing(DefaultProfile); return err }},
		{"Schedule", func(r *Repository) error { _, err := r.Schedule(9, DefaultProfile, ""); return err }},
		{"Left", func(r *Repository) error { _, err := r.Left(9, DefaultProfile); return err }},
		{"Stats", func(r *Repository) error { _, err := r.Stats(); return err }},
		{"FirstEvents", func(r *Repository) error {
			c, err := r.Replay(9)
			if err == nil {
				_, err = c.Next(b.Context())
			}
			return err
		}},
		{"Replay", func(r *Repository) error {
			c, err := r.Replay(9)
			for err == nil {
				_, err = c.Next(b.Context())
			}
			if err == io.EOF { //nolint:errorlint // as it comes
				err = nil
			}
			return err
		}},
	} {
		b.Run(query.name, func(b *testing.B) {
			for b.Loop() {
				r, err := OpenReadOnly(dir)
				if err == nil {
					err = query.ask(r)
				}
				if err != nil {
					b.Fatal(err)
				}
				closeRepo(b, r)
			}
		})
	}
}
