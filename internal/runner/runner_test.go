package runner

import (
	"bytes"
	"context"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"testr/internal/event"
	"testr/internal/protocol"
	"testr/internal/repo"
)

// newRepo makes a repository that is checked when the test ends.
func newRepo(t *testing.T) *repo.Repository {
	t.Helper()
	dir := t.TempDir()
	if err := repo.Init(dir); err != nil {
		t.Fatal(err)
	}
	r, err := repo.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Check(context.Background()); err != nil {
			t.Errorf("check the repository: %v", err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func packet(id string, s protocol.Status) *protocol.Packet {
	return &protocol.Packet{Has: protocol.HasTestID, TestID: id, Status: s, Runnable: true}
}

// encode puts packets, and text as it is, into a stream.
func encode(t *testing.T, parts ...any) []byte {
	t.Helper()
	var b bytes.Buffer
	w := protocol.NewWriter(&b)
	for _, part := range parts {
		switch part := part.(type) {
		case string:
			b.WriteString(part)
		case *protocol.Packet:
			if err := w.WritePacket(part); err != nil {
				t.Fatal(err)
			}
		}
	}
	return b.Bytes()
}

// stored returns the packets of a run.
func stored(t *testing.T, r *repo.Repository, run int) []any {
	t.Helper()
	c, err := r.Replay(run)
	if err != nil {
		t.Fatal(err)
	}
	var packets []any
	for {
		batch, err := c.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return packets
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range batch {
			if e.Packet != nil {
				packets = append(packets, e.Packet)
			}
		}
	}
}

func load(t *testing.T, r *repo.Repository, streams ...[]byte) (Result, error) {
	t.Helper()
	var s []Stream
	for _, b := range streams {
		s = append(s, Stream{Name: "test", Reader: bytes.NewReader(b)})
	}
	return Load(t.Context(), r, s, Labels{}, repo.RunInfo{Start: time.Now()}, func(*repo.RunWriter) {})
}

func TestLoadOne(t *testing.T) {
	r := newRepo(t)
	timed := packet("a", protocol.StatusInProgress)
	timed.Has |= protocol.HasTime
	timed.Time = time.Unix(1e9, 7).UTC()
	long := strings.Repeat("text before the first packet\n", 100_000) // more than is held in memory
	stream := encode(t, long, timed, "chatter", packet("a", protocol.StatusFail))
	res, err := load(t, r, stream)
	if err != nil {
		t.Fatal(err)
	}
	if c := res.Outcomes.Counts(); c.Tests != 1 || c.Failed != 1 {
		t.Errorf("got %+v; want one test that failed", c)
	}
	var text strings.Builder
	var last *protocol.Packet
	for _, part := range stored(t, r, res.Run) {
		p, _ := part.(*protocol.Packet)
		if p.Has&protocol.HasTime == 0 || p.Has&protocol.HasRoute != 0 {
			t.Errorf("got a packet with %#x; want a time and no route", p.Has)
		}
		text.Write(p.Content)
		last = p
	}
	if text.String() != long+"chatter" {
		t.Errorf("got %d octets of text; want %d", text.Len(), len(long)+7)
	}
	if !last.Time.Equal(timed.Time) {
		t.Errorf("got %v for a packet without a time; want that of the one before, %v", last.Time, timed.Time)
	}

	// What is stored and loaded again is the same.
	first := encode(t, stored(t, r, res.Run)...)
	again, err := load(t, r, first)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, encode(t, stored(t, r, again.Run)...)) {
		t.Error("the second run has other packets than the first")
	}
}

func TestLoadSeveral(t *testing.T) {
	r := newRepo(t)
	res, err := load(t, r, encode(t, packet("a", protocol.StatusSuccess)), encode(t, packet("b", protocol.StatusFail)))
	if err != nil {
		t.Fatal(err)
	}
	routes := map[string]string{}
	for _, part := range stored(t, r, res.Run) {
		p, _ := part.(*protocol.Packet)
		routes[p.TestID] = p.Route + " " + strings.Join(p.Tags, " ")
	}
	if diff := cmp.Diff(map[string]string{"a": "0 worker-0", "b": "1 worker-1"}, routes); diff != "" {
		t.Errorf("routes differ (-want +got):\n%s", diff)
	}
}

// TestLoadRefuses: what is no stream leaves no run behind (F15, S4).
func TestLoadRefuses(t *testing.T) {
	tests := []struct {
		name   string
		stream string
		want   error
	}{
		{"nothing", "", ErrEmpty},
		{"text", "test a\nsuccess: b\n", ErrNoPackets},
		{"signatures", strings.Repeat("\xb3", 1000), ErrNoPackets},
		{"half a packet", "\xb3\x29\x01\x0c\x03fo", ErrNoPackets},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := newRepo(t)
			if _, err := load(t, r, []byte(test.stream)); !errors.Is(err, test.want) {
				t.Errorf("got %v; want %v", err, test.want)
			}
			if _, err := r.Latest(); !errors.Is(err, repo.ErrNoRuns) {
				t.Errorf("got %v; want no run", err)
			}
		})
	}
}

// TestLoadDamage: damage is a failure, before the first packet and after it.
func TestLoadDamage(t *testing.T) {
	const damaged = "\xb3\x29\x01\x0c\x03foo\x08\x55\x5f\x1c"
	for _, parts := range [][]any{
		{damaged, packet("a", protocol.StatusSuccess)},
		{packet("a", protocol.StatusSuccess), damaged},
	} {
		r := newRepo(t)
		res, err := load(t, r, encode(t, parts...))
		if err != nil {
			t.Fatal(err)
		}
		if test := res.Outcomes.Get("", event.ParserID); test == nil || !test.Failed() {
			t.Errorf("got %+v; want a failure of %s", test, event.ParserID)
		}
	}
}

// brokenReader gives a packet and then an error.
type brokenReader struct{ rest []byte }

var errBroken = errors.New("broken")

func (b *brokenReader) Read(p []byte) (int, error) {
	if len(b.rest) == 0 {
		return 0, errBroken
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

func TestLoadBreaksOff(t *testing.T) {
	r := newRepo(t)
	s := []Stream{{Name: "x", Reader: &brokenReader{encode(t, packet("a", protocol.StatusSuccess))}}}
	res, err := Load(t.Context(), r, s, Labels{}, repo.RunInfo{Start: time.Now()}, func(*repo.RunWriter) {})
	if !errors.Is(err, errBroken) {
		t.Errorf("got %v; want %v", err, errBroken)
	}
	info, err := r.Run(res.Run)
	if err != nil || info.State != repo.Interrupted || !info.Partial || info.Counts.Passed != 1 {
		t.Errorf("got %+v, %v; want an interrupted, partial run with what was read", info, err)
	}
}

// TestLoadInterrupted: a reader that never ends is left behind.
func TestLoadInterrupted(t *testing.T) {
	r := newRepo(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	in, out := io.Pipe()
	defer func() { _ = out.Close() }()
	begun := make(chan struct{})
	go func() {
		_, _ = out.Write(encode(t, packet("a", protocol.StatusSuccess)))
		<-begun
		cancel(errors.New("stopped"))
	}()
	res, err := Load(ctx, r, []Stream{{Name: "x", Reader: in}}, Labels{}, repo.RunInfo{Start: time.Now()},
		func(*repo.RunWriter) { close(begun) })
	if err != nil || !res.Interrupted {
		t.Errorf("got %+v, %v; want an interrupted run", res, err)
	}
}

func TestSelection(t *testing.T) {
	filter := func(s ...string) (out []*regexp.Regexp) {
		for _, f := range s {
			out = append(out, regexp.MustCompile(f))
		}
		return out
	}
	ids := []string{"m.A.one", "m.A.two", "m.B.one"}
	tests := []struct {
		name string
		sel  Selection
		want []string
		all  bool
	}{
		{"none", Selection{}, ids, true},
		{"searched", Selection{Filters: filter("B")}, []string{"m.B.one"}, false},
		{"united, in the listing's order", Selection{Filters: filter("B", "two$")}, []string{"m.A.two", "m.B.one"}, false},
		{"nothing", Selection{Filters: filter("^one")}, nil, false},
		{"arguments select too, who knows what", Selection{Args: []string{"-x"}}, ids, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, test.sel.filter(ids)); diff != "" {
				t.Errorf("tests differ (-want +got):\n%s", diff)
			}
			if got := test.sel.all(); got != test.all {
				t.Errorf("got all %v; want %v", got, test.all)
			}
		})
	}
}
