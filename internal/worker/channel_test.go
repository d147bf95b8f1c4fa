package worker

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"testr/internal/protocol"
)

// The packets that a supervisor sends.
func requestPacket(id string) *protocol.Packet {
	return &protocol.Packet{
		Has: protocol.HasTestID, TestID: id, Status: protocol.StatusExists, Runnable: true,
	}
}

func withdrawPacket(id string) *protocol.Packet {
	return &protocol.Packet{Has: protocol.HasTestID, TestID: id, Status: protocol.StatusSkip}
}

func stdinPacket(content string, end bool) *protocol.Packet {
	return &protocol.Packet{Has: protocol.HasFile, FileName: "stdin", Content: []byte(content), EOF: end}
}

func endPacket() *protocol.Packet { return &protocol.Packet{EOF: true} }

// encode returns packets as they are on the wire.
func encode(t testing.TB, packets ...*protocol.Packet) []byte {
	t.Helper()
	var b bytes.Buffer
	w := protocol.NewWriter(&b)
	for _, p := range packets {
		if err := w.WritePacket(p); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

// decode returns the packets of a stream that has nothing else.
func decode(t testing.TB, stream []byte) []*protocol.Packet {
	t.Helper()
	var packets []*protocol.Packet
	for r := protocol.NewReader(bytes.NewReader(stream)); ; {
		p, err := r.ReadPacket()
		if errors.Is(err, io.EOF) {
			return packets
		}
		if err != nil {
			t.Fatal(err)
		}
		if p.Text {
			t.Errorf("got text %q between packets", p.Content)
		}
		packets = append(packets, p)
	}
}

// outline is a packet's status and test, for comparison.
func outline(p *protocol.Packet) string { return p.Status.String() + " " + p.TestID }

// supervised is a worker that runs on pipes.
type supervised struct {
	t       *testing.T
	w       *protocol.Writer
	in      *io.PipeWriter
	packets chan *protocol.Packet // closed when the worker has ended
	done    chan error
}

// supervise starts a worker; the test's end ends its channel.
func supervise(t *testing.T, worker func(in io.Reader, out io.Writer) error) *supervised {
	t.Helper()
	inRead, inWrite := io.Pipe()
	outRead, outWrite := io.Pipe()
	s := &supervised{
		t: t, w: protocol.NewWriter(inWrite), in: inWrite,
		packets: make(chan *protocol.Packet, 100_000), done: make(chan error, 1),
	}
	go func() {
		s.done <- worker(inRead, outWrite)
		_ = outWrite.Close()
	}()
	go func() {
		defer close(s.packets)
		for r := protocol.NewReader(outRead); ; {
			p, err := r.ReadPacket()
			if err != nil {
				return
			}
			s.packets <- p
		}
	}()
	t.Cleanup(func() {
		_ = inWrite.Close()
		for range s.packets { // until it has ended
		}
	})
	return s
}

func (s *supervised) send(packets ...*protocol.Packet) {
	s.t.Helper()
	for _, p := range packets {
		if err := s.w.WritePacket(p); err != nil {
			s.t.Fatal(err)
		}
	}
}

// await returns the next packet that is wanted.
func (s *supervised) await(what string, wanted func(*protocol.Packet) bool) *protocol.Packet {
	s.t.Helper()
	timeout := time.After(time.Minute)
	for {
		select {
		case p, ok := <-s.packets:
			if !ok {
				s.t.Fatalf("the worker has ended; want %s", what)
			}
			if wanted(p) {
				return p
			}
		case <-timeout:
			s.t.Fatalf("no packet for a minute; want %s", what)
		}
	}
}

func (s *supervised) awaitOutline(want string) {
	s.t.Helper()
	s.await(want, func(p *protocol.Packet) bool { return outline(p) == want })
}

// double runs tests that do nothing.
func double(_ context.Context, req Request, w *protocol.Writer) error {
	for _, status := range []protocol.Status{protocol.StatusInProgress, protocol.StatusSuccess} {
		err := w.WritePacket(&protocol.Packet{
			Has: protocol.HasTestID, TestID: req.TestID, Status: status, Runnable: true,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func TestServeRunsInOrder(t *testing.T) {
	for _, test := range []struct {
		name    string
		packets []*protocol.Packet
		want    []string
	}{
		{name: "no request"},
		{name: "an end without packet", packets: []*protocol.Packet{requestPacket("a")},
			want: []string{"inprogress a", "success a"}},
		{name: "two, then the end", packets: []*protocol.Packet{requestPacket("b"), requestPacket("a"), endPacket()},
			want: []string{"inprogress b", "success b", "inprogress a", "success a"}},
		{name: "twice the same", packets: []*protocol.Packet{requestPacket("a"), requestPacket("a")},
			want: []string{"inprogress a", "success a", "inprogress a", "success a"}},
		{name: "nobody's withdrawal", packets: []*protocol.Packet{withdrawPacket("a"), requestPacket("b")},
			want: []string{"inprogress b", "success b"}},
		{name: "packets that mean nothing", packets: []*protocol.Packet{
			{Has: protocol.HasTestID, TestID: "a", Status: protocol.StatusExists},
			{Has: protocol.HasTestID, TestID: "a", Status: protocol.StatusSuccess, Runnable: true},
			{Has: protocol.HasTestID, TestID: "a", EOF: true},
			{Has: protocol.HasFile, FileName: "other", Content: []byte("x"), EOF: true},
			{Has: protocol.HasRoute | protocol.HasTestID, Route: "0", TestID: "b",
				Status: protocol.StatusExists, Runnable: true},
		}, want: []string{"inprogress b", "success b"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out bytes.Buffer
			if err := Serve(t.Context(), bytes.NewReader(encode(t, test.packets...)), &out, double); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range decode(t, out.Bytes()) {
				got = append(got, outline(p))
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("packets (-want +got):\n%s", diff)
			}
		})
	}
}

// gated runs each test until proceed gives it a value.
func gated(proceed <-chan struct{}) RunFunc {
	return func(ctx context.Context, req Request, w *protocol.Writer) error {
		begun := &protocol.Packet{
			Has: protocol.HasTestID, TestID: req.TestID, Status: protocol.StatusInProgress, Runnable: true,
		}
		if err := w.WritePacket(begun); err != nil {
			return err
		}
		select {
		case <-proceed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		ended := &protocol.Packet{
			Has: protocol.HasTestID, TestID: req.TestID, Status: protocol.StatusSuccess, Runnable: true,
		}
		return w.WritePacket(ended)
	}
}

// A test can be withdrawn while another runs, and asked for again; one that has
// begun can't.
func TestServeWithdraws(t *testing.T) {
	proceed := make(chan struct{}, 10)
	s := supervise(t, func(in io.Reader, out io.Writer) error {
		return Serve(t.Context(), in, out, gated(proceed))
	})
	s.send(requestPacket("a"), requestPacket("b"), requestPacket("c"))
	s.awaitOutline("inprogress a")
	s.send(withdrawPacket("a"), withdrawPacket("b"))
	s.awaitOutline("exists b")
	s.send(requestPacket("b"), endPacket(), withdrawPacket("c"))
	s.awaitOutline("exists c") // after the end, too
	close(proceed)
	var got []string
	for p := range s.packets {
		got = append(got, outline(p))
	}
	if diff := cmp.Diff([]string{"success a", "inprogress b", "success b"}, got); diff != "" {
		t.Errorf("packets (-want +got):\n%s", diff)
	}
	if err := <-s.done; err != nil {
		t.Errorf("got error %v", err)
	}
}

func TestServeGivesInput(t *testing.T) {
	var got []string
	begin := make(chan struct{})
	run := func(_ context.Context, req Request, _ *protocol.Writer) error {
		begin <- struct{}{}
		if req.TestID != "deaf" {
			b, err := io.ReadAll(req.Stdin)
			got = append(got, req.TestID+" "+string(b))
			return err
		}
		return nil
	}
	s := supervise(t, func(in io.Reader, out io.Writer) error { return Serve(t.Context(), in, out, run) })
	s.send(stdinPacket("ear", false), stdinPacket("ly", false), requestPacket("a"))
	<-begin
	s.send(requestPacket("deaf"), requestPacket("b"), stdinPacket(" late", true))
	<-begin
	s.send(stdinPacket("too late", true), endPacket())
	<-begin // "b" is the one that runs now, and there is no more input
	if err := <-s.done; err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a early late", "b "}, got); diff != "" {
		t.Errorf("input (-want +got):\n%s", diff)
	}
}

// F15: a worker that can't trust its channel ends; the supervisor then knows
// that what it sent has not begun.
func TestServeEndsOnDamage(t *testing.T) {
	damaged := encode(t, requestPacket("a"))
	damaged[len(damaged)-1] ^= 1
	var out bytes.Buffer
	err := Serve(t.Context(), bytes.NewReader(append(damaged, encode(t, endPacket())...)), &out, double)
	if _, ok := errors.AsType[*protocol.CorruptError](err); !ok {
		t.Errorf("got error %v; want a CorruptError", err)
	}
	if out.Len() > 0 {
		t.Errorf("got %d bytes of output; want none", out.Len())
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	for _, running := range []bool{false, true} {
		t.Run(strconv.FormatBool(running), func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			s := supervise(t, func(in io.Reader, out io.Writer) error {
				return Serve(ctx, in, out, gated(nil))
			})
			if running {
				s.send(requestPacket("a"))
				s.awaitOutline("inprogress a")
			}
			why := errors.New("enough")
			cancel(why)
			if err := <-s.done; !errors.Is(err, why) {
				t.Errorf("got error %v; want %v", err, why)
			}
		})
	}
}

func TestServeReturnsErrorsOfTheWorker(t *testing.T) {
	broken := errors.New("broken")
	run := func(context.Context, Request, *protocol.Writer) error { return broken }
	err := Serve(t.Context(), bytes.NewReader(encode(t, requestPacket("a"))), io.Discard, run)
	if !errors.Is(err, broken) {
		t.Errorf("got error %v; want %v", err, broken)
	}
}

// BenchmarkServe measures what the channel costs each test.
func BenchmarkServe(b *testing.B) {
	const tests = 10_000
	var packets []*protocol.Packet
	for i := range tests {
		packets = append(packets, requestPacket("package.module.Class.test_"+strconv.Itoa(i)))
	}
	in := encode(b, packets...)
	for b.Loop() {
		if err := Serve(b.Context(), strings.NewReader(string(in)), io.Discard, double); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*tests/b.Elapsed().Seconds(), "tests/s")
}
