package relay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"testr/internal/instance"
	"testr/internal/instance/instancetest"
	"testr/internal/protocol"
)

// hello is what a relay says first.
func hello() []byte { return message(noSlot, nameHello, helloMessage{Relay: speaks, Version: "test"}) }

// packetOf is a packet of a worker in a slot.
func packetOf(slot string) []byte {
	b, err := protocol.AppendPacket(nil, &protocol.Packet{Has: protocol.HasTestID | protocol.HasRoute, TestID: "a",
		Route: slot})
	if err != nil {
		panic(err)
	}
	return b
}

// lies are what no relay says of the one command that it has in slot 0, whose
// stdout is read in packets.
func lies() map[string][]byte {
	started := message(0, nameStarted, startedMessage{PID: 1})
	exit := message(0, nameExit, exitMessage{})
	stdoutEnds := appendControl(nil, 0, nameStdout, nil, true)
	failed := message(0, nameFailed, failedMessage{Error: "no"})
	return map[string][]byte{
		"text":                       []byte("hello?\n"),
		"damage":                     append([]byte{0xb3, 0x29, 0x01, 0x0c}, packetOf("0")...),
		"no route":                   packetOf(""),
		"a name that is no slot":     packetOf("x"),
		"a slot where nothing runs":  packetOf("1"),
		"a slot in another form":     packetOf("00"),
		"exit of nothing":            message(7, nameExit, exitMessage{}),
		"exit of the channel":        message(noSlot, nameExit, exitMessage{}),
		"exit twice":                 append(bytes.Clone(exit), exit...),
		"starts twice":               append(bytes.Clone(started), started...),
		"starts after its end":       append(bytes.Clone(exit), started...),
		"fails after it has started": append(bytes.Clone(started), failed...),
		"fails after its end":        append(bytes.Clone(exit), failed...),
		"stdout ends twice":          append(bytes.Clone(stdoutEnds), stdoutEnds...),
		"packets after the end":      append(bytes.Clone(stdoutEnds), packetOf("0")...),
		"octets in place of packets": appendControl(nil, 0, nameStdout, []byte("x"), false),
		"stderr that nobody reads":   appendControl(nil, 0, nameStderr, []byte("x"), false),
		"a message that is no JSON":  pieces(0, nameExit, []byte("{")),
		"a window out of nothing":    message(0, nameWindow, windowMessage{Stream: nameStdin, Octets: 4 * windowSize}),
		"a window for stdout":        message(0, nameWindow, windowMessage{Stream: nameStdout, Octets: 1}),
		"a packet that is none":      pieces(0, namePacket, []byte("packet")),
		"a message without an end":   bytes.Repeat(appendControl(nil, 0, nameDamage, make([]byte, maxPiece), false), 20),
		"a control that is no file":  packetOf("c/0"),
		"more than was asked for":    bytes.Repeat(packetOf("0"), 2*windowSize/len(packetOf("0"))),
		"the slot after its end": slices.Concat(exit, stdoutEnds, appendControl(nil, 0, nameStderr, nil, true),
			packetOf("0")),
	}
}

// awaitStdout reads what a client says until it wants a command's stdout.
func awaitStdout(in io.Reader) {
	r := protocol.NewReader(in)
	for {
		p, err := r.ReadPacket()
		if err != nil || p.FileName == nameWindow && bytes.Contains(p.Content, []byte(asPackets)) {
			return
		}
	}
}

// S14: a relay that lies is lost, with everything that runs there, and that is
// all.
func TestLyingRelay(t *testing.T) {
	for name, lie := range lies() {
		t.Run(name, func(t *testing.T) {
			p, cancel := startPiped(func(ctx context.Context, in io.Reader, out io.Writer) error {
				_, _ = out.Write(hello()) // the test tells if it fails
				awaitStdout(in)
				go func() { _, _ = io.Copy(io.Discard, in) }()
				_, _ = out.Write(lie)
				<-ctx.Done()
				return nil
			})
			c, err := New(t.Context(), p, Options{Name: "desktop", Cancel: cancel})
			if err != nil {
				t.Fatal(err)
			}
			process := startOne(t, c, "x")
			written := make(chan error)
			go func() {
				var err error
				for err == nil { // until the window is full, and what comes then
					err = process.WritePacket(&protocol.Packet{Has: protocol.HasTestID, TestID: strings.Repeat("x", 100_000)})
				}
				written <- err
			}()
			if name == "more than was asked for" { // one is read, and the rest of the window stays
				if _, err := process.ReadPacket(); err != nil {
					t.Error(err)
				}
				<-c.lost
			}
			for err == nil {
				_, err = process.ReadPacket()
			}
			if !errors.Is(err, io.EOF) {
				wantLost(t, err)
			}
			if _, err := process.Wait(); err != nil {
				var lost *instance.LostError
				if !errors.As(err, &lost) && err.Error() != "no" {
					t.Errorf("got %v; want the loss, or what came before", err)
				}
			}
			if err := <-written; err == nil {
				t.Error("got no error from writing to what is lost")
			}
			err = c.Close()
			wantLost(t, err)
			if !strings.Contains(err.Error(), "read what the relay says") {
				t.Errorf("got %v; want to be told what is wrong", err)
			}
		})
	}
}

// What doesn't come up as a relay is told, with all that is known.
func TestNoRelay(t *testing.T) {
	tests := map[string]struct {
		run  func(ctx context.Context, in io.Reader, out io.Writer) error
		want []string
	}{
		"another version": {func(ctx context.Context, _ io.Reader, out io.Writer) error {
			_, _ = out.Write(message(noSlot, nameHello, map[string]any{"relay": 99, "version": "9.9", "new": true}))
			<-ctx.Done()
			return nil
		}, []string{"version 99", `testr "9.9"`, "version 1 here", "run the same testr"}},
		"nothing there": {func(context.Context, io.Reader, io.Writer) error { return errors.New("testr: not found") },
			[]string{"has ended, exit status 3", "testr: not found"}},
		"something else": {func(_ context.Context, _ io.Reader, out io.Writer) error {
			_, _ = out.Write([]byte("Welcome to desktop\n\xb3"))
			return nil
		}, []string{"no relay is there", "Welcome to desktop", "exit status 0"}},
		"endless text": {func(ctx context.Context, _ io.Reader, out io.Writer) (err error) {
			for err == nil && ctx.Err() == nil {
				_, err = out.Write(bytes.Repeat([]byte("all work and no play\n"), 1000))
			}
			return nil
		}, []string{"no relay is there", "no play"}},
		"a worker": {func(ctx context.Context, _ io.Reader, out io.Writer) error {
			_, _ = out.Write(packetOf("0"))
			<-ctx.Done()
			return nil
		}, []string{"something else than its hello"}},
		"silence": {func(ctx context.Context, _ io.Reader, _ io.Writer) error {
			<-ctx.Done()
			return nil
		}, []string{"wait for the relay there", "too slow"}},
	}
	for name, tt := range tests {
		wait := patience
		if name == "silence" {
			wait = 20 * time.Millisecond
		}
		ctx, end := context.WithTimeoutCause(t.Context(), wait, errors.New("too slow"))
		p, cancel := startPiped(tt.run)
		c, err := New(ctx, p, Options{Name: "desktop", Cancel: cancel})
		end()
		if c != nil {
			t.Errorf("%s: got a client", name)
		}
		wantLost(t, err)
		for _, want := range tt.want {
			if !strings.Contains(err.Error(), want) || len(err.Error()) > 20_000 {
				t.Errorf("%s: got %v; want %q in it", name, err, want)
			}
		}
		select {
		case <-p.done:
		default:
			t.Errorf("%s: the process has not ended", name)
		}
	}
}

// What a machine says to everybody who logs in is no harm.
func TestNoiseBeforeHello(t *testing.T) {
	p, cancel := startPiped(func(ctx context.Context, in io.Reader, out io.Writer) error {
		_, _ = io.WriteString(out, "Welcome to desktop\n")
		return (&Server{Provider: stage{"reflect": reflect}, Version: "1.2.3"}).Serve(ctx, in, out)
	})
	c := client(t, p, cancel)
	if got := c.Hello(); got.Version != "1.2.3" || got.PID == 0 || !strings.Contains(got.Platform, "/") {
		t.Errorf("got %+v", got)
	}
	process := startOne(t, c, "reflect")
	if err := process.Stdin().Close(); err != nil {
		t.Error(err)
	}
	if got, err := instancetest.FinishReading(process); err != nil || !got.Status.Success() {
		t.Errorf("got %+v, %v", got, err)
	}
}

// serve gives a relay a client's side of the channel, and returns what it said.
func serve(t testing.TB, s stage, in io.Reader) ([]*protocol.Packet, error) {
	t.Helper()
	var out bytes.Buffer
	err := (&Server{Provider: s, Version: "test"}).Serve(t.Context(), in, &out)
	packets, readErr := readAll(protocol.NewReader(&out))
	if readErr != nil {
		t.Error(readErr)
	}
	return packets, err
}

// A relay ends, and says why, when a client lies; and when somebody types.
func TestLyingClient(t *testing.T) {
	start := message(3, nameStart, startMessage{Args: [][]byte{[]byte("reflect")}})
	tests := map[string]struct {
		says []byte
		want string
	}{
		"nothing":            {nil, ""},
		"hello":              {hello(), ""},
		"somebody types":     {[]byte("ls\n"), `"ls\n" is no packet`},
		"another version":    {message(noSlot, nameHello, helloMessage{Relay: 2}), "version 2 of the relay protocol"},
		"no hello":           {start, "no client said hello"},
		"a test":             {packetOf("0"), "no client said hello"},
		"no slot":            {append(hello(), packetOf("x")...), `"x", which is no slot`},
		"two in a slot":      {slices.Concat(hello(), start, start), "slot 3, which has one"},
		"no program":         {append(hello(), message(1, nameStart, startMessage{})...), "without a slot or a program"},
		"no slot to start":   {append(hello(), message(noSlot, nameStart, startMessage{})...), "without a slot"},
		"no JSON":            {append(hello(), pieces(0, nameStart, []byte("x"))...), "message start"},
		"damage":             {append(hello(), 0xb3, 0x29, 0x01), "damaged"},
		"a slot without one": {append(hello(), packetOf("9")...), ""},
		"an unknown message": {append(hello(), pieces(0, "future", []byte("x"))...), ""},
		"a strange window": {slices.Concat(hello(), start, message(3, nameWindow,
			windowMessage{Stream: "stdout", Octets: 1, As: "poems"})), `"poems" of "stdout"`},
		"a negative window": {slices.Concat(hello(), start, message(3, nameWindow,
			windowMessage{Stream: "stderr", Octets: -1})), "makes no sense"},
		"two ways at once": {slices.Concat(hello(), start,
			message(3, nameWindow, windowMessage{Stream: "stdout", Octets: 1, As: asPackets}),
			message(3, nameWindow, windowMessage{Stream: "stdout", Octets: 1, As: asOctets})), "another way"},
		"a message without an end": {append(hello(), bytes.Repeat(
			appendControl(nil, 0, nameStart, make([]byte, maxPiece), false), 20)...), "more than 16 MiB"},
	}
	for name, tt := range tests {
		packets, err := serve(t, stage{"reflect": reflect}, bytes.NewReader(tt.says))
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v; want %q", name, err, tt.want)
		}
		if len(packets) == 0 || packets[0].FileName != nameHello {
			t.Errorf("%s: got %+v; want a hello first", name, packets)
		}
	}
}

// A worker that leaves 16 MiB of its input unread, of a client that keeps to no
// window, is ended, and its stderr says why. Others go on.
func TestInputUnread(t *testing.T) {
	in, toRelay := io.Pipe()
	release := make(chan struct{})
	defer close(release)
	go func() {
		for _, b := range [][]byte{hello(),
			message(0, nameStart, startMessage{Args: [][]byte{[]byte("deaf")}}),
			message(1, nameStart, startMessage{Args: [][]byte{[]byte("reflect")}}),
			message(0, nameWindow, windowMessage{Stream: nameStdout, Octets: 1, As: asPackets}),
			message(0, nameWindow, windowMessage{Stream: nameStderr, Octets: 1}),
			message(1, nameWindow, windowMessage{Stream: nameStdout, Octets: 1 << 20, As: asPackets}),
			message(1, nameWindow, windowMessage{Stream: nameStderr, Octets: 1}),
			bytes.Repeat(appendControl(nil, 0, nameStdin, make([]byte, 1<<20), false), 20),
			packetOf("1"),
			appendControl(nil, 1, nameStdin, nil, true),
		} {
			_, _ = toRelay.Write(b)
		}
	}()
	relayed, out := io.Pipe()
	ended := make(chan error)
	go func() {
		ended <- (&Server{Provider: stage{"reflect": reflect, "deaf": func(stdin io.Reader, _, _ io.Writer) int {
			_, _ = stdin.Read(make([]byte, 1))
			for {
				if _, err := stdin.Read(nil); err != nil {
					return 0
				}
				select {
				case <-release:
					return 0
				case <-time.After(time.Millisecond):
				}
			}
		}}}).Serve(t.Context(), in, out)
	}()
	var reason string
	var died exitMessage
	passed := false
	r := protocol.NewReader(relayed)
	for exits := 0; exits < 2 || reason == "" || !passed; {
		p, err := r.ReadPacket()
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case p.Route == "c/0" && p.FileName == nameStderr:
			reason += string(p.Content)
		case p.FileName == nameExit:
			if exits++; p.Route == "c/0" {
				if err := json.Unmarshal(p.Content, &died); err != nil {
					t.Error(err)
				}
			}
		case p.Route == "1" && p.TestID == "a":
			passed = true
		}
	}
	go func() { _, _ = io.Copy(io.Discard, relayed) }()
	if !strings.Contains(reason, "more than 16 MiB of its input unread") || died.Signal != "SIGKILL" {
		t.Errorf("got %q, %+v; want a worker that was killed, and why", reason, died)
	}
	_ = toRelay.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
