package repo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"testr/internal/event"
	"testr/internal/protocol"
)

// TestMain lets the test binary be one of the processes that tests kill, limit
// or let fail.
func TestMain(m *testing.M) {
	if role := os.Getenv("TESTR_REPO_CHILD"); role != "" {
		os.Exit(children[role](os.Getenv("TESTR_REPO_DIR")))
	}
	os.Exit(m.Run())
}

// newDir returns a directory with an empty repository in it, which is checked
// when the test is over.
func newDir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := Init(dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { checkDir(t, dir) })
	return dir
}

// checkDir opens the repository in dir and checks it.
func checkDir(t testing.TB, dir string) {
	t.Helper()
	r, err := OpenReadOnly(dir)
	if err != nil {
		t.Errorf("open for the check: %v", err)
		return
	}
	if err := errors.Join(r.Check(context.Background()), r.Close()); err != nil {
		t.Error(err)
	}
}

// openRepo opens the repository in dir, and closes it when the test is over.
func openRepo(t testing.TB, dir string) *Repository {
	t.Helper()
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeRepo(t, r) })
	return r
}

func closeRepo(t testing.TB, r *Repository) {
	t.Helper()
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// newRepo returns an open repository of its own for a test.
func newRepo(t testing.TB) *Repository {
	t.Helper()
	return openRepo(t, newDir(t))
}

var epoch = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)

// at is a time some milliseconds after the epoch of these tests.
func at(ms int) time.Time { return epoch.Add(time.Duration(ms) * time.Millisecond) }

func packet(p protocol.Packet) event.Event {
	return event.Event{Kind: event.KindPacket, Time: p.Time, Packet: &p}
}

// status is a packet that says how a runnable test stands.
func status(id string, s protocol.Status, ms int) event.Event {
	return packet(protocol.Packet{Has: protocol.HasTestID | protocol.HasTime | protocol.HasRoute,
		TestID: id, Status: s, Runnable: true, Time: at(ms), Route: "0"})
}

// file is a packet with a piece of a test's file.
func file(id, name string, content []byte) event.Event {
	return packet(protocol.Packet{Has: protocol.HasTestID | protocol.HasFile | protocol.HasMIME,
		TestID: id, FileName: name, MIMEType: "text/plain", Content: content, EOF: true})
}

func asked(ids ...string) event.Event {
	return event.Event{Kind: event.KindAsked, Time: at(0), Worker: event.NoWorker, Tests: ids}
}

func notRun(reason string, ids ...string) event.Event {
	return event.Event{Kind: event.KindNotRun, Time: at(0), Worker: event.NoWorker, Tests: ids, Detail: reason}
}

// outcome is the events of a test that begins and ends.
func outcome(id string, s protocol.Status, from, to int) []event.Event {
	return []event.Event{status(id, protocol.StatusInProgress, from), status(id, s, to)}
}

func join(lists ...[]event.Event) []event.Event {
	var all []event.Event
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

// listed is the end of a run that got to know which tests there are.
func listed(ids []string) map[string]ProfileEnd {
	return map[string]ProfileEnd{DefaultProfile: {Listing: ids}}
}

// store makes a run of events.
func store(t testing.TB, r *Repository, info RunInfo, end End, events ...event.Event) RunInfo {
	t.Helper()
	w, err := r.Begin(info)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if err := w.Event(e); err != nil {
			t.Fatal(err)
		}
	}
	if end.State == StateInvalid {
		end.State = Finished
	}
	got, err := w.Close(end)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// collect reads a cursor to its end.
func collect(t testing.TB, c *Cursor) []event.Event {
	t.Helper()
	var all []event.Event
	for {
		events, err := c.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, events...)
	}
}

func replay(t testing.TB, r *Repository, run int) []event.Event {
	t.Helper()
	c, err := r.Replay(run)
	if err != nil {
		t.Fatal(err)
	}
	return collect(t, c)
}

// numbered returns events with the numbers that a run gives them.
func numbered(events []event.Event) []event.Event {
	for i := range events {
		events[i].Seq = uint64(i)
	}
	return events
}

// wire returns the packets of events as a stream.
func wire(t testing.TB, events []event.Event) []byte {
	t.Helper()
	var b []byte
	for _, e := range events {
		var err error
		if e.Packet == nil {
			continue
		}
		if b, err = protocol.AppendPacket(b, e.Packet); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func TestRun(t *testing.T) {
	dir := newDir(t)
	r := openRepo(t, dir)
	events := join(
		[]event.Event{asked("pkg.a", "pkg.b", "pkg.c"),
			{Kind: event.KindWorkerStarted, Time: at(1), Worker: 3, Detail: "host 1 0"}},
		outcome("pkg.a", protocol.StatusSuccess, 2, 12),
		[]event.Event{status("pkg.b", protocol.StatusInProgress, 5), file("pkg.b", "traceback", []byte("no\xff\x00")),
			packet(protocol.Packet{Has: protocol.HasFile, Text: true, FileName: protocol.TextName, Content: []byte("> ")}),
			packet(protocol.Packet{Has: protocol.HasTestID | protocol.HasParent | protocol.HasTags, TestID: "pkg.b (i=1)",
				ParentID: "pkg.b", Tags: []string{"worker-0", "slow"}, Status: protocol.StatusFail})},
		[]event.Event{status("pkg.b", protocol.StatusFail, 45)},
		outcome("pkg.c", protocol.StatusSkip, 50, 51),
		[]event.Event{{Kind: event.KindWarning, Worker: event.NoWorker, Detail: "a\nb"}})
	info := RunInfo{Start: at(0), Command: []string{"testr", "run"}, Host: "h", Revision: "abc",
		Selection: []string{"--failing", "x"}, Random: true, Seed: 1<<64 - 1}
	end := End{State: Finished, Time: at(60), Profiles: listed([]string{"pkg.c", "pkg.a", "pkg.b"})}
	got := store(t, r, info, end, events...)

	want := RunInfo{ID: 0, State: Finished, Start: at(0), End: at(60), Listed: true, Command: []string{"testr", "run"},
		Host: "h", Revision: "abc", Profiles: []string{DefaultProfile}, Events: uint64(len(events)),
		Selection: []string{"--failing", "x"}, Random: true, Seed: 1<<64 - 1,
		Span:   49 * time.Millisecond,
		Counts: event.Counts{Asked: 3, Tests: 3, Passed: 1, Skipped: 1, Failed: 2}}
	want.ByProfile = []ProfileRun{{Name: DefaultProfile, Bytes: takes(t, r, 0),
		Counts: event.Counts{Asked: 3, Tests: 3, Passed: 1, Skipped: 1, Failed: 2}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Close: -want +got:\n%s", diff)
	}
	closeRepo(t, r)
	r = queryRepo(t, dir)
	if got, err := r.Run(0); err != nil || !cmp.Equal(want, got) {
		t.Errorf("Run: %v -want +got:\n%s", err, cmp.Diff(want, got))
	}
	checkEvents(t, r, numbered(events))
	checkAnswers(t, r)
}

// checkEvents checks what TestRun's run says of its events.
func checkEvents(t *testing.T, r *Repository, events []event.Event) {
	t.Helper()
	if got, err := r.Latest(); err != nil || got.Duration() != 60*time.Millisecond || got.Events != uint64(len(events)) {
		t.Errorf("Latest: got %+v, %v", got, err)
	}
	stored := replay(t, r, 0)
	if diff := cmp.Diff(events, stored); diff != "" {
		t.Errorf("Replay: -want +got:\n%s", diff)
	}
	if string(wire(t, stored)) != string(wire(t, events)) {
		t.Error("the packets are not the same bytes")
	}
	f := newFold()
	for _, e := range events {
		f.take(e)
	}
	tests, err := r.Tests(0, DefaultProfile, 0)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(f.Tests(), tests, cmpopts.IgnoreUnexported(event.Test{})); diff != "" {
		t.Errorf("Tests: -want +got:\n%s", diff)
	}
	excerpt := excerptOf(t, r, 0, Wanted{Tests: []Span{{ID: "pkg.b", First: tests[1].FirstSeq, Last: tests[1].LastSeq}}})
	if diff := cmp.Diff([]event.Event{events[4], events[5], events[7], events[8]}, excerpt); diff != "" {
		t.Errorf("Excerpt: -want +got:\n%s", diff)
	}
}

// checkAnswers checks what TestRun's run leaves in the repository.
func checkAnswers(t *testing.T, r *Repository) {
	t.Helper()
	failing, err := r.Failing(DefaultProfile)
	if diff := cmp.Diff([]Failing{{ID: "pkg.b", Status: protocol.StatusFail, FirstSeq: 4, LastSeq: 8}},
		failing); diff != "" || err != nil {
		t.Errorf("Failing: %v -want +got:\n%s", err, diff)
	}
	timing, err := r.Timing(DefaultProfile)
	if diff := cmp.Diff(map[string]time.Duration{"pkg.a": 10 * time.Millisecond, "pkg.b": 40 * time.Millisecond},
		timing); diff != "" || err != nil {
		t.Errorf("Timing: %v -want +got:\n%s", err, diff)
	}
	listing, err := r.Listing(DefaultProfile)
	if diff := cmp.Diff([]string{"pkg.c", "pkg.a", "pkg.b"}, listing); diff != "" || err != nil {
		t.Errorf("Listing: %v -want +got:\n%s", err, diff)
	}
	stats, err := r.Stats()
	if stats.Runs != 1 || stats.Tests != 4 || stats.Bytes == 0 || err != nil {
		t.Errorf("Stats: got %+v, %v", stats, err)
	}
}

// queryRepo opens a repository for queries, and closes it when the test is over.
func queryRepo(t testing.TB, dir string) *Repository {
	t.Helper()
	r, err := OpenReadOnly(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeRepo(t, r) })
	return r
}

// What a profile that no run covers has, and a repository without runs, is
// nothing: no error.
func TestEmpty(t *testing.T) {
	r := newRepo(t)
	if _, err := r.Latest(); !errors.Is(err, ErrNoRuns) {
		t.Errorf("Latest: got %v; want ErrNoRuns", err)
	}
	for _, id := range []int{-1, 0, 1 << 40} {
		if _, err := r.Run(id); !errors.Is(err, ErrNoRun) {
			t.Errorf("Run(%d): got %v; want ErrNoRun", id, err)
		}
		if _, err := r.Replay(id); !errors.Is(err, ErrNoRun) {
			t.Errorf("Replay(%d): got %v; want ErrNoRun", id, err)
		}
	}
	for what, query := range map[string]func(string) (int, error){
		"Failing": func(p string) (int, error) { x, err := r.Failing(p); return len(x), err },
		"Timing":  func(p string) (int, error) { x, err := r.Timing(p); return len(x), err },
		"Listing": func(p string) (int, error) { x, err := r.Listing(p); return len(x), err },
	} {
		for _, profile := range []string{DefaultProfile, "", "py34"} {
			if n, err := query(profile); n != 0 || err != nil {
				t.Errorf("%s(%q): got %d, %v; want nothing", what, profile, n, err)
			}
		}
	}
	store(t, r, RunInfo{}, End{})
	if events := replay(t, r, 0); len(events) != 0 {
		t.Errorf("a run without events has %d", len(events))
	}
	if runs, err := r.Runs(); len(runs) != 1 || err != nil {
		t.Errorf("Runs: got %v, %v", runs, err)
	}
}

// Ids are bytes like any other: nothing in them is special, nor how long they are.
func TestOddIDs(t *testing.T) {
	r := newRepo(t)
	ids := []string{"", "a b", "a\nb", "$(x)", "ü", string(make([]byte, 512)), string(make([]byte, 513)),
		fmt.Sprintf("%0*d", 1<<20, 7), fmt.Sprintf("%0*d", 1<<20, 8), "\x01x"}
	events := []event.Event{asked(ids...)}
	for _, id := range []string{"", "a b", "a\nb", "$(x)", "ü", ids[7], ids[8]} {
		events = append(events, outcome(id, protocol.StatusFail, 1, 2)...)
	}
	events = append(events, notRun("lost", ids[5], ids[6], ids[9]))
	store(t, r, RunInfo{}, End{Profiles: listed(ids)}, events...)
	if listing, err := r.Listing(DefaultProfile); err != nil || !cmp.Equal(listing, ids) {
		t.Errorf("the listing differs: %v", err)
	}
	failing, err := r.Failing(DefaultProfile)
	if err != nil || len(failing) != len(ids) {
		t.Errorf("got %d failing tests, %v; want %d", len(failing), err, len(ids))
	}
	if diff := cmp.Diff(numbered(events), replay(t, r, 0)); diff != "" {
		t.Error("the events differ")
	}
}

func TestModes(t *testing.T) {
	dir := newDir(t)
	openRepo(t, dir)
	for name, want := range map[string]os.FileMode{"": 0o700, FileName: 0o600, "holder": 0o600} {
		info, err := os.Stat(filepath.Join(dir, DirName, name))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: got %v, %v; want mode %o", name, info.Mode(), err, want)
		}
	}
}

// noise is bytes that don't compress.
func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(n)}).Read(b)
	return b
}
