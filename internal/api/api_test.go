package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"testr/internal/event"
	"testr/internal/protocol"
	"testr/internal/repo"
)

// newRepo makes a repository, and opens it for writing until the test ends.
func newRepo(t *testing.T, dir string) *repo.Repository {
	t.Helper()
	if err := repo.Init(dir); err != nil {
		t.Fatal(err)
	}
	return openRepo(t, dir)
}

func openRepo(t *testing.T, dir string) *repo.Repository {
	t.Helper()
	r, err := repo.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// serve answers for a repository until the test ends.
func serve(t *testing.T, dir string, q repo.Queries) *Server {
	t.Helper()
	s, err := Serve(Config{Dir: dir, Queries: q})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func dial(t *testing.T, dir string) *Client {
	t.Helper()
	c, err := Dial(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func status(id string, s protocol.Status, second int) event.Event {
	return event.Event{Kind: event.KindPacket, Worker: second % 2, Time: time.Unix(1000, int64(second)+1),
		Packet: &protocol.Packet{Has: protocol.HasTestID | protocol.HasTime | protocol.HasRoute, TestID: id, Status: s,
			Runnable: true, Time: time.Unix(int64(second), 7).UTC(), Route: fmt.Sprint(second % 2)}}
}

// hostile are strings that some encodings don't keep.
var hostile = []string{"", "a", "m.C.tést", "\xff\xfe", "a\xc3", "\x00", "a\nb\r", "\uFFFD", "\uFFFF", "\uFFFFff",
	"\uFFFF\xff", `\ufffd`, `\uffff`, "<&>", "\u2028", "\x1b[31m", "\xed\xb0\x80", strings.Repeat("x", 70<<10)}

// aRun is a run with everything in it that an answer may have.
func aRun() []event.Event {
	none := event.NoWorker
	events := []event.Event{
		{Kind: event.KindAsked, Worker: none, Tests: append([]string{"m.C.a", "m.C.b", "m.C.c", "m.C.d"}, hostile[1:17]...)},
		{Kind: event.KindWorkerStarted, Worker: 0, Time: time.Unix(1000, 0), Detail: `{"host":"vm"}`},
		{Kind: event.KindSent, Worker: 1, Tests: []string{"m.C.a"}},
		status("m.C.a", protocol.StatusInProgress, 1), status("m.C.a", protocol.StatusFail, 3),
		status("m.C.b", protocol.StatusInProgress, 4), status("m.C.b", protocol.StatusSuccess, 9),
		status("m.C.e", protocol.StatusUxSuccess, 10), status("m.C.f", protocol.StatusInProgress, 11),
		{Kind: event.KindRequeued, Worker: 1, Tests: []string{"m.C.d"}, Detail: "\xfflost"},
		{Kind: event.KindNotRun, Worker: none, Tests: []string{"m.C.c", "\xff\xfe"}, Detail: "the \xff machine"},
		{Kind: event.KindWarning, Worker: none, Detail: "\xed\xb0\x80 \uFFFF"},
		{Kind: event.KindInterrupted, Worker: none, Detail: "SIGINT"},
	}
	fields := protocol.HasTestID | protocol.HasRoute | protocol.HasTags | protocol.HasFile | protocol.HasMIME |
		protocol.HasParent
	packets := []*protocol.Packet{
		{Has: fields, Runnable: true, TestID: "m.C.g", Status: protocol.StatusSuccess, Tags: []string{}},
		{Has: fields &^ protocol.HasParent, TestID: "m.C.g"},
		{Has: protocol.HasFile, FileName: "stdout", Content: []byte("between\x00\xff\uFFFF"), Text: true},
		{Has: protocol.HasFile, FileName: "stdout", Content: []byte("as a packet"), EOF: true},
		{Has: protocol.HasTags | protocol.HasTestID, TestID: "\uFFFD \uFFFF <&>", Tags: []string{"b", "a", "b"}},
		{},
		{EOF: true},
	}
	for _, p := range packets {
		events = append(events, event.Event{Kind: event.KindPacket, Worker: none, Packet: p})
	}
	return events
}

func store(t *testing.T, r *repo.Repository, info repo.RunInfo, end repo.End, events ...event.Event) {
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
	if _, err := w.Close(end); err != nil {
		t.Fatal(err)
	}
}

// all reads events to their end.
func all(ctx context.Context, events repo.Events) (got []event.Event, err error) {
	for {
		batch, err := events.Next(ctx)
		if errors.Is(err, io.EOF) {
			return got, nil
		}
		if err != nil {
			return got, err
		}
		if len(batch) == 0 {
			return got, errors.New("a batch without an event")
		}
		got = append(got, batch...)
	}
}

// following makes one answer of all events.
func following(run int, from uint64) func(repo.Queries) (any, error) {
	return func(q repo.Queries) (any, error) {
		events, err := q.Follow(run, from)
		if err != nil {
			return nil, err
		}
		return all(context.Background(), events)
	}
}

func excerpt(run int, want repo.Wanted) func(repo.Queries) (any, error) {
	return func(q repo.Queries) (any, error) {
		var got []event.Event
		err := q.Excerpt(run, want, func(e event.Event) error { got = append(got, e); return nil })
		return got, err
	}
}

// everyQuestion asks all that can be asked, and what has no answer.
func everyQuestion() map[string]func(repo.Queries) (any, error) {
	const p = repo.DefaultProfile
	qs := map[string]func(repo.Queries) (any, error){
		"latest":           func(q repo.Queries) (any, error) { return q.Latest() },
		"current":          func(q repo.Queries) (any, error) { return q.Current() },
		"runs":             func(q repo.Queries) (any, error) { return q.Runs() },
		"leases":           func(q repo.Queries) (any, error) { return q.Leases() },
		"stats":            func(q repo.Queries) (any, error) { return q.Stats() },
		"follow":           following(0, 0),
		"follow from 5":    following(0, 5),
		"follow past all":  following(0, 1<<40),
		"follow no run":    following(99, 0),
		"excerpt":          excerpt(0, repo.Wanted{Tests: []repo.Span{{ID: "m.C.a", Last: 9}}}),
		"excerpt beside":   excerpt(0, repo.Wanted{Beside: true}),
		"excerpt no run":   excerpt(99, repo.Wanted{Beside: true}),
		"excerpt nothing":  excerpt(0, repo.Wanted{}),
		"route":            func(q repo.Queries) (any, error) { return q.Schedule(0, repo.DefaultProfile, "1") },
		"no route":         func(q repo.Queries) (any, error) { return q.Schedule(0, repo.DefaultProfile, "no\xff&route=1") },
		"no route, no run": func(q repo.Queries) (any, error) { return q.Schedule(99, repo.DefaultProfile, "7") },
	}
	for _, run := range []int{0, 1, 2, -1, 99} {
		for name, ask := range map[string]func(repo.Queries) (any, error){
			"run":      func(q repo.Queries) (any, error) { return q.Run(run) },
			"tests":    func(q repo.Queries) (any, error) { return q.Tests(run, p, 0) },
			"failed":   func(q repo.Queries) (any, error) { return q.Tests(run, p, repo.ChooseFailed) },
			"some":     func(q repo.Queries) (any, error) { return q.Tests(run, p, repo.ChooseFlaky|repo.ChooseNotRun) },
			"ran":      func(q repo.Queries) (any, error) { return q.Ran(run, p) },
			"slowest":  func(q repo.Queries) (any, error) { return q.Slowest(run, p, -1) },
			"slow 2":   func(q repo.Queries) (any, error) { return q.Slowest(run, p, 2) },
			"slow 0":   func(q repo.Queries) (any, error) { return q.Slowest(run, p, 0) },
			"schedule": func(q repo.Queries) (any, error) { return q.Schedule(run, repo.DefaultProfile, "") },
			"left":     func(q repo.Queries) (any, error) { return q.Left(run, repo.DefaultProfile) },
		} {
			qs[fmt.Sprintf("%s %d", name, run)] = ask
		}
	}
	for _, profile := range []string{p, "", "no\xffsuch", "a&profile=default"} {
		qs["failing "+profile] = func(q repo.Queries) (any, error) { return q.Failing(profile) }
		qs["timing "+profile] = func(q repo.Queries) (any, error) { return q.Timing(profile) }
		qs["flaky "+profile] = func(q repo.Queries) (any, error) { return q.Flaky(profile) }
		qs["outcomes "+profile] = func(q repo.Queries) (any, error) { return q.Outcomes(profile, "m.C.a") }
		qs["listing "+profile] = func(q repo.Queries) (any, error) { return q.Listing(profile) }
		qs["tests of "+profile] = func(q repo.Queries) (any, error) { return q.Tests(0, profile, 0) }
	}
	return qs
}

// TestContract: whoever is asked, the answers are the same, and so are the errors.
func TestContract(t *testing.T) {
	dir := t.TempDir()
	r := newRepo(t, dir)
	listing := append([]string{"m.C.a", "m.C.b"}, hostile[1:]...)
	store(t, r, repo.RunInfo{Start: time.Unix(5, 6), Command: []string{"run"}, Selection: hostile[1:4], Random: true,
		Seed: 1<<64 - 1, Host: "vm", Revision: "abc"}, repo.End{State: repo.Interrupted,
		Profiles: map[string]repo.ProfileEnd{repo.DefaultProfile: {Listing: listing}}}, aRun()...)
	store(t, r, repo.RunInfo{}, repo.End{State: repo.Finished})
	lease := repo.Lease{Section: "a", ID: "\xffid", Dispose: "x", PID: 1, Since: time.Unix(1, 2)}
	if _, err := r.PutLease(lease); err != nil {
		t.Fatal(err)
	}
	w, err := r.Begin(repo.RunInfo{Host: "vm"}) // run 2 goes on
	if err != nil {
		t.Fatal(err)
	}
	serve(t, dir, r)
	reader, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Close() }()
	answered := 0
	for _, q := range []struct {
		name string
		q    repo.Queries
	}{{"client", dial(t, dir)}, {"reader", reader}} {
		for name, ask := range everyQuestion() {
			want, wantErr := ask(r)
			got, err := ask(q.q)
			if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(event.Test{})); diff != "" {
				t.Errorf("%s, %s: -repository +socket:\n%s", q.name, name, diff)
			}
			if wantErr == nil {
				answered++
			}
			sameError(t, q.name+", "+name, wantErr, err)
		}
	}
	if _, err := w.Close(repo.End{State: repo.Finished}); err != nil {
		t.Fatal(err)
	}
	if answered < 2*40 {
		t.Errorf("only %d questions have an answer", answered)
	}
}

func sameError(t *testing.T, what string, want, got error) {
	t.Helper()
	if (want == nil) != (got == nil) {
		t.Errorf("%s: got %v; want %v", what, got, want)
		return
	}
	if want == nil {
		return
	}
	if got.Error() != strings.ToValidUTF8(want.Error(), "?") && got.Error() != want.Error() {
		t.Errorf("%s: got %q; want %q", what, got, want)
	}
	for _, is := range []error{repo.ErrNoRun, repo.ErrNoRuns, repo.ErrRunning} {
		if errors.Is(want, is) != errors.Is(got, is) {
			t.Errorf("%s: got %#v; want one that is %v as %#v is", what, got, is, want)
		}
	}
	wantRoute, _ := errors.AsType[*repo.NoRouteError](want)
	gotRoute, _ := errors.AsType[*repo.NoRouteError](got)
	if diff := cmp.Diff(wantRoute, gotRoute); diff != "" {
		t.Errorf("%s: -want +got:\n%s", what, diff)
	}
}

// TestErrors: those that both ends know keep their type and what is in them, and
// all keep their text.
func TestErrors(t *testing.T) {
	since := time.Date(2026, 11, 27, 1, 2, 3, 4, time.UTC)
	for _, want := range []error{
		repo.ErrNoRuns, repo.ErrNoRun, repo.ErrClosed, repo.ErrRunning,
		&repo.NoRouteError{Run: 3, Route: "\xff", Routes: []string{"0", "1/\xfe"}}, &repo.NotFoundError{Dir: "/a\xff"},
		&repo.ExistsError{Dir: "d"}, &repo.BusyError{PID: 7, Run: -1, Since: since, Command: []string{"run", "\xff"}},
		&repo.FormatError{Found: 1 << 63, Known: 1}, &repo.DamagedError{Path: "p", Reason: "r\xff"},
	} {
		wrapped := fmt.Errorf("ask: %w", want)
		sent, _ := toWire(wrapped)
		text, err := encode(sent)
		if err != nil {
			t.Fatal(err)
		}
		var got wireError
		if err := decode(text, &got); err != nil {
			t.Fatal(err)
		}
		failure := fromWire(got)
		if failure.Error() != wrapped.Error() {
			t.Errorf("%T: got %q; want %q", want, failure, wrapped)
		}
		if got := errors.Unwrap(failure); !reflect.DeepEqual(got, want) {
			t.Errorf("got %#v; want %#v", got, want)
		}
	}
	for _, want := range []error{errors.New("anything"), context.Canceled} {
		sent, _ := toWire(want)
		if got := fromWire(sent); got.Error() != want.Error() || errors.Unwrap(got) != nil {
			t.Errorf("got %#v; want the text of %v alone", got, want)
		}
	}
	sent, code := toWire(&repo.SpaceError{Err: io.ErrShortWrite})
	if _, ok := errors.AsType[*repo.SpaceError](fromWire(sent)); !ok || code != 507 {
		t.Errorf("got %#v, status %d; want a SpaceError, 507", fromWire(sent), code)
	}
}

// TestTexts: no string changes on its way.
func TestTexts(t *testing.T) {
	type all struct {
		A string
		M map[string]string
		L []string
		P *all
		T time.Time
		I []byte
	}
	for _, s := range hostile {
		want := all{A: s, M: map[string]string{s: s, "x": "y"}, L: []string{s, s},
			P: &all{A: s, T: time.Unix(1, 2).UTC(), I: []byte(s)}}
		text, err := encode(want)
		if err != nil {
			t.Fatal(err)
		}
		if slices.Contains(text[:len(text)-1], '\n') {
			t.Errorf("%.20q: got more than one line", s)
		}
		var got all
		if err := decode(text, &got); err != nil {
			t.Fatalf("%.20q: %v", s, err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%.20q: -want +got:\n%s", s, diff)
		}
	}
}

func FuzzTexts(f *testing.F) {
	for _, s := range hostile {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		text, err := encode([]string{s})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		if err := decode(text, &got); err != nil || len(got) != 1 || got[0] != s {
			t.Errorf("got %q, %v; want %q", got, err, s)
		}
	})
}

// TestForms: an event is the same in any form, and one line.
func TestForms(t *testing.T) {
	for name, form := range packetForms {
		for i, e := range aRun() {
			e.Seq = uint64(i)
			line, err := form([]byte("before"), e)
			if err != nil {
				t.Fatal(err)
			}
			line = line[len("before"):]
			if bytes.Count(line, []byte("\n")) != 1 || line[len(line)-1] != '\n' {
				t.Errorf("%q, event %d: got %q; want one line", name, i, line)
			}
			got, err := ParseEvent(line)
			if diff := cmp.Diff(e, got, cmpopts.EquateEmpty()); err != nil || diff != "" {
				t.Errorf("%q, event %d: %v -want +got:\n%s", name, i, err, diff)
			}
		}
	}
	bad := aRun()[3]
	bad.Packet = &protocol.Packet{Has: protocol.HasTestID, TestID: "\xff"}
	for name, form := range packetForms {
		if got, err := form([]byte("before"), bad); err == nil || string(got) != "before" {
			t.Errorf("%q: got %q, %v; want an error, and nothing else", name, got, err)
		}
	}
}

// FuzzParseEvent: whatever a line holds, it is an event that is the same line
// again, or an error.
func FuzzParseEvent(f *testing.F) {
	for i, e := range aRun() {
		e.Seq = uint64(i)
		line, err := AppendEvent(nil, e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(line)
	}
	raw, err := appendRaw(nil, aRun()[3])
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add(append([]byte(`{"kind":"packet","subunit":"AAAA`), raw[len(`{"seq":0,"kind":"packet","subunit":"`):]...))
	f.Add(appendEnd(nil, nil))
	f.Add(appendEnd(nil, repo.ErrNoRun))
	f.Add([]byte(`{"kind":"packet"}`))
	f.Add([]byte(`{"kind":"packet","packet":null}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		e, err := ParseEvent(line)
		if err != nil {
			return
		}
		again, err := AppendEvent(nil, e)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseEvent(again)
		if diff := cmp.Diff(e, got, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Errorf("%v -want +got:\n%s", err, diff)
		}
	})
}
