package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"testr/internal/event"
	"testr/internal/protocol"
	"testr/internal/repo"
)

// supervisor is who has a repository open and answers.
type supervisor struct {
	t   *testing.T
	dir string
	r   *repo.Repository
	s   *Server
}

func newSupervisor(t *testing.T, dir string) *supervisor {
	t.Helper()
	r, err := repo.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Serve(Config{Dir: dir, Queries: r})
	if err != nil {
		t.Fatal(err)
	}
	v := &supervisor{t, dir, r, s}
	t.Cleanup(v.end)
	return v
}

// end is how it ends; the run that goes on is left unfinished, as by a crash.
func (v *supervisor) end() {
	v.t.Helper()
	if v.s == nil {
		return
	}
	if err := errors.Join(v.s.Close(), v.r.Close()); err != nil {
		v.t.Error(err)
	}
	v.s = nil
}

func openReader(t *testing.T, dir string) *Reader {
	t.Helper()
	reader, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = reader.Close() })
	return reader
}

// large are events of some MiB, with which a client that doesn't read is soon behind.
func large(n int) []event.Event {
	var events []event.Event
	for i := range n {
		e := status(fmt.Sprintf("m.C.t%d", i), protocol.StatusFail, i)
		e.Packet.Has |= protocol.HasFile
		e.Packet.FileName, e.Packet.Content = "log", make([]byte, 64<<10)
		e.Worker, e.Packet.Content[0] = event.NoWorker, byte(i)
		events = append(events, e)
	}
	return events
}

// ids are the tests of events, in their order.
func ids(events []event.Event) (ids []string) {
	for _, e := range events {
		ids = append(ids, e.Packet.TestID)
	}
	return ids
}

// TestMoves: a reader asks whoever has the repository: one supervisor, the file, the
// next supervisor. Its questions have an answer at any time.
func TestMoves(t *testing.T) {
	dir := t.TempDir()
	if err := repo.Init(dir); err != nil {
		t.Fatal(err)
	}
	reader := openReader(t, dir)
	for run := range 3 {
		if err := reader.Close(); err != nil { // who has it open to read keeps writers away
			t.Fatal(err)
		}
		v := newSupervisor(t, dir)
		reader = openReader(t, dir)
		store(t, v.r, repo.RunInfo{}, repo.End{State: repo.Finished})
		if info, err := reader.Latest(); err != nil || info.ID != run {
			t.Errorf("got run %d, %v; want %d", info.ID, err, run)
		}
		v.end()
		if info, err := reader.Latest(); err != nil || info.ID != run {
			t.Errorf("from the file: got run %d, %v; want %d", info.ID, err, run)
		}
	}
	if err := reader.Close(); err != nil {
		t.Fatal(err)
	}
	first := newSupervisor(t, dir)
	reader = openReader(t, dir)
	if _, err := reader.Stats(); err != nil {
		t.Fatal(err)
	}
	first.end()
	newSupervisor(t, dir)
	if stats, err := reader.Stats(); err != nil || stats.Runs != 3 {
		t.Errorf("from the next one: got %+v, %v; want 3 runs", stats, err)
	}
	if _, ok := reader.source.(*Client); !ok {
		t.Errorf("got an answer of %T; want one of the next supervisor", reader.source)
	}
}

// TestStreamsMove is F22: streams go on where they were when who wrote them ends,
// with nothing missing and nothing twice.
func TestStreamsMove(t *testing.T) {
	dir := t.TempDir()
	if err := repo.Init(dir); err != nil {
		t.Fatal(err)
	}
	v := newSupervisor(t, dir)
	events := large(120)
	store(t, v.r, repo.RunInfo{}, repo.End{State: repo.Finished}, events...)
	w, err := v.r.Begin(repo.RunInfo{}) // is left unfinished
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if err := w.Event(e); err != nil {
			t.Fatal(err)
		}
	}
	stored := w.Follow()
	for n := 0; n < len(events); {
		batch, err := stored.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		n += len(batch)
	}
	reader := openReader(t, dir)
	follow, err := reader.Follow(1, 0)
	if err != nil {
		t.Fatal(err)
	}
	got, err := follow.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := repo.Wanted{}
	for i, id := range ids(events) {
		want.Tests = append(want.Tests, repo.Span{ID: id, First: uint64(i), Last: uint64(i)})
	}
	var excerpt []event.Event
	err = reader.Excerpt(0, want, func(e event.Event) error {
		if excerpt = append(excerpt, e); len(excerpt) == 1 {
			v.end()
		}
		return nil
	})
	if diff := cmp.Diff(ids(events), ids(excerpt)); err != nil || diff != "" {
		t.Errorf("excerpt: %v -want +got:\n%s", err, diff)
	}
	rest, err := all(t.Context(), follow)
	if diff := cmp.Diff(ids(events), ids(append(got, rest...))); err != nil || diff != "" {
		t.Errorf("follow: %v -want +got:\n%s", err, diff)
	}
	if len(got) == len(events) {
		t.Error("all had come before the supervisor ended: this shows nothing")
	}
	if _, err := follow.Next(t.Context()); !errors.Is(err, io.EOF) {
		t.Errorf("after its end: got %v; want EOF", err)
	}
	if info, err := reader.Run(1); err != nil || info.State != repo.Interrupted {
		t.Errorf("got %v, %v; want that run 1 was interrupted", info.State, err)
	}
}

// TestReaderEnds: what is asked ends with the context of Open and with Close, and
// so does what is asked later; and an error of the caller's is the caller's.
func TestReaderEnds(t *testing.T) {
	dir := t.TempDir()
	if err := repo.Init(dir); err != nil {
		t.Fatal(err)
	}
	v := newSupervisor(t, dir)
	w, err := v.r.Begin(repo.RunInfo{})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range large(3) {
		if err := w.Event(e); err != nil {
			t.Fatal(err)
		}
	}
	for stored, n := w.Follow(), 0; n < 3; {
		batch, err := stored.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		n += len(batch)
	}
	for name, test := range map[string]struct {
		end  func(*Reader, context.CancelCauseFunc)
		want error
	}{
		"close":   {func(r *Reader, _ context.CancelCauseFunc) { _ = r.Close() }, repo.ErrClosed},
		"context": {func(_ *Reader, cancel context.CancelCauseFunc) { cancel(io.ErrNoProgress) }, io.ErrNoProgress},
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		reader, err := Open(ctx, dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := reader.Excerpt(0, repo.Wanted{Beside: true, Tests: []repo.Span{{ID: "m.C.t0"}}},
			func(event.Event) error { return io.ErrClosedPipe }); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("%s, excerpt: got %v; want the callback's error", name, err)
		}
		follow, err := reader.Follow(0, 3)
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan error, 1)
		go func() {
			_, err := follow.Next(t.Context())
			got <- err
		}()
		test.end(reader, cancel)
		if err := <-got; !errors.Is(err, test.want) {
			t.Errorf("%s, next: got %v; want %v", name, err, test.want)
		}
		if _, err := reader.Stats(); !errors.Is(err, test.want) {
			t.Errorf("%s, stats: got %v; want %v", name, err, test.want)
		}
		cancel(nil)
		_ = reader.Close()
	}
	if _, err := w.Close(repo.End{State: repo.Finished}); err != nil {
		t.Fatal(err)
	}
}

// TestSlowClient is F16 and S13: clients that don't read hold up nobody, however
// much there is to be read, take no memory for it, and don't keep a server from
// ending.
func TestSlowClient(t *testing.T) {
	dir := t.TempDir()
	if err := repo.Init(dir); err != nil {
		t.Fatal(err)
	}
	v := newSupervisor(t, dir)
	w, err := v.r.Begin(repo.RunInfo{})
	if err != nil {
		t.Fatal(err)
	}
	var slow []repo.Events
	c := dial(t, dir)
	for range 20 {
		events, err := c.Follow(0, 0)
		if err != nil {
			t.Fatal(err)
		}
		slow = append(slow, events)
	}
	events := large(10)
	for range 100 { // 64 MiB, and 85 on the way to each
		for _, e := range events {
			if err := w.Event(e); err != nil {
				t.Fatal(err)
			}
		}
	}
	follow, err := c.Follow(0, 999)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := follow.Next(t.Context()); err != nil { // all is on disk
		t.Fatal(err)
	}
	runtime.GC()
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	if got, limit := mem.HeapAlloc>>20, uint64(100); got > limit {
		t.Errorf("got %d MiB in memory; want less than %d", got, limit)
	}
	if _, err := w.Close(repo.End{State: repo.Finished}); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		v.end()
	}()
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Fatal("the server doesn't end")
	}
	for _, events := range slow {
		if _, err := all(t.Context(), events); !Gone(err) {
			t.Errorf("got %v; want that the stream was cut", err)
		}
	}
}

// TestManyReaders is F22: many ask at once, of one who ends meanwhile.
func TestManyReaders(t *testing.T) {
	dir := t.TempDir()
	if err := repo.Init(dir); err != nil {
		t.Fatal(err)
	}
	v := newSupervisor(t, dir)
	events := large(20)
	store(t, v.r, repo.RunInfo{}, repo.End{State: repo.Finished}, events...)
	if _, err := v.r.Begin(repo.RunInfo{}); err != nil { // left unfinished: somebody has to close it
		t.Fatal(err)
	}
	var asking sync.WaitGroup
	halfway := make(chan struct{}, 50)
	errs := make(chan error, 50)
	for range cap(errs) {
		reader := openReader(t, dir)
		asking.Go(func() {
			for i := range 20 {
				tests, err := reader.Tests(0, repo.DefaultProfile, repo.ChooseFailed)
				if err == nil && len(tests) != len(events) {
					err = fmt.Errorf("got %d tests; want %d", len(tests), len(events))
				}
				if err != nil {
					errs <- err
					break
				}
				if i == 10 {
					halfway <- struct{}{}
				}
			}
			_ = reader.Close()
		})
	}
	for range 10 {
		select {
		case <-halfway:
		case err := <-errs:
			t.Fatal(err)
		}
	}
	v.end()
	asking.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
}
