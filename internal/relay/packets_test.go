package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"testr/internal/instance"
	"testr/internal/instance/instancetest"
	"testr/internal/protocol"
)

// reflect writes the packets that it reads.
func reflect(stdin io.Reader, stdout, _ io.Writer) int {
	r, w := protocol.NewReader(stdin), protocol.NewWriter(stdout)
	for {
		p, err := r.ReadPacket()
		if err != nil {
			return 0
		}
		if w.WritePacket(p) != nil {
			return 1
		}
	}
}

// startOne starts a command on an instance of its own.
func startOne(t testing.TB, c *Client, args ...string) *Process {
	t.Helper()
	return instancetest.Start(context.Background(), t, instancetest.One(t, c), instance.Command{Args: args}).(*Process)
}

// readAll are all packets of a process, with those in the place of text and
// damage that ReadPacket gives.
func readAll(p interface {
	ReadPacket() (*protocol.Packet, error)
}) (packets []*protocol.Packet, err error) {
	for {
		packet, err := p.ReadPacket()
		var corrupt *protocol.CorruptError
		switch {
		case errors.As(err, &corrupt):
			packet = &protocol.Packet{TestID: "damage", Content: corrupt.Data,
				FileName: fmt.Sprint(corrupt.Offset, " ", corrupt.Reason)}
		case errors.Is(err, io.EOF):
			return packets, nil
		case err != nil:
			return packets, err
		}
		if last := len(packets) - 1; packet.Text && last >= 0 && packets[last].Text {
			packets[last].Content = append(packets[last].Content, packet.Content...)
			continue
		}
		packets = append(packets, packet)
	}
}

// same is cmp.Equal, which takes its time with large contents.
func same(a, b *protocol.Packet) bool {
	x, y := *a, *b
	x.Content, y.Content = nil, nil
	return bytes.Equal(a.Content, b.Content) && cmp.Equal(x, y)
}

// samePackets wants packets to be the ones that were written, those without a
// time with one.
func samePackets(t testing.TB, what string, got, want []*protocol.Packet) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: got %d packets; want %d", what, len(got), len(want))
		return
	}
	for n := range want {
		w := *want[n]
		if w.Has&protocol.HasTime == 0 && w.TestID != "damage" && !w.Text {
			w.Has |= protocol.HasTime
			w.Time = got[n].Time
			if age := time.Since(w.Time); age < 0 || age > time.Hour {
				t.Errorf("%s: packet %d: got the time %v; want now", what, n, w.Time)
			}
		}
		if !same(&w, got[n]) {
			t.Fatalf("%s: packet %d (-want +got):\n%.2000s", what, n, cmp.Diff(&w, got[n]))
		}
	}
}

// Packets of many workers, in both directions at once, arrive whole and in
// order: nothing of them has changed but a time where there was none, and
// nothing is anybody else's. On the channel their route begins with the slot.
func TestPacketsArriveWhole(t *testing.T) {
	for _, workers := range []int{1, 2, 7, 50} {
		seed := rand.Uint64()
		t.Run(fmt.Sprint(workers), func(t *testing.T) {
			t.Logf("seed %d", seed)
			relayed, cancel := startPiped((&Server{Provider: stage{"reflect": reflect}}).Serve)
			var up bytes.Buffer
			c := client(t, &recorded{relayed, io.TeeReader(relayed.stdout, &up)}, cancel)
			var running sync.WaitGroup
			want := make([][]*protocol.Packet, workers)
			var started []*Process
			for n := range workers {
				want[n] = randomPackets(seed+uint64(n), 1000/workers+20)
				started = append(started, startOne(t, c, "reflect"))
			}
			for n, p := range started {
				running.Go(func() {
					for _, packet := range want[n] {
						if err := p.WritePacket(packet); err != nil {
							t.Errorf("worker %d: %v", n, err)
						}
					}
					_ = p.Stdin().Close()
				})
				running.Go(func() {
					got, err := readAll(p)
					if err != nil {
						t.Errorf("worker %d: %v", n, err)
					}
					samePackets(t, fmt.Sprint("worker ", n), got, want[n])
				})
				running.Go(func() {
					if _, err := io.ReadAll(p.Stderr()); err != nil {
						t.Errorf("worker %d: %v", n, err)
					}
				})
			}
			running.Wait()
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			samePacketsOnTheWire(t, up.Bytes(), want)
		})
	}
}

// recorded is a relay whose output goes elsewhere, too.
type recorded struct {
	instance.Process
	stdout io.Reader
}

func (r *recorded) Stdout() io.Reader { return r.stdout }

// samePacketsOnTheWire looks at the channel itself.
func samePacketsOnTheWire(t *testing.T, up []byte, want [][]*protocol.Packet) {
	t.Helper()
	on, err := readAll(protocol.NewReader(bytes.NewReader(up)))
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string][]*protocol.Packet)
	for _, p := range on {
		slot := leave(p)
		if slot != controlRoute {
			got[slot] = append(got[slot], p)
		}
	}
	for n := range want {
		samePackets(t, fmt.Sprint("slot ", n, " on the wire"), got[strconv.Itoa(n)], want[n])
	}
}

// A route that is there and empty is not one that is absent.
func TestRoutes(t *testing.T) {
	for _, has := range []protocol.Fields{0, protocol.HasRoute} {
		for _, route := range []string{"", "/", "3", "3/", "/3", "c/1", "0/1/2"} {
			if has == 0 && route != "" {
				continue
			}
			p := protocol.Packet{Has: has, Route: route}
			enter(&p, "7")
			if p.Has&protocol.HasRoute == 0 {
				t.Errorf("%q, %v: got no route", route, has)
			}
			if first := leave(&p); first != "7" || p.Has != has || p.Route != route {
				t.Errorf("%q, %v: got %q, %q, %v", route, has, first, p.Route, p.Has)
			}
		}
	}
	for _, name := range []string{"", "c", "00", "01", "-1", "+1", " 1", "1 ", "1.0", "65536",
		"99999999999999999999", "٣"} {
		if slot, ok := parseSlot(name); ok {
			t.Errorf("%q: got slot %d; want none", name, slot)
		}
	}
}

// A packet that is as long as one can be goes through, too: there is no room on
// it for the slot, or for the time.
func TestPacketsAtTheLimit(t *testing.T) {
	c := staged(t, stage{"reflect": reflect})
	p := startOne(t, c, "reflect")
	var want []*protocol.Packet
	for length := protocol.MaxPacket - 20; length <= protocol.MaxPacket; length += 4 {
		packet := &protocol.Packet{Has: protocol.HasTestID | protocol.HasTime, TestID: "x", Time: time.Unix(1, 0).UTC()}
		b, err := protocol.AppendPacket(nil, packet)
		if err != nil {
			t.Fatal(err)
		}
		// A test id of that length has a number of four octets and not one, and so
		// has the packet's of three.
		packet.TestID = string(bytes.Repeat([]byte("x"), length-len(b)-3))
		if b, err = protocol.AppendPacket(nil, packet); err != nil || len(b) != length {
			t.Fatalf("got a packet of %d octets, %v; want %d", len(b), err, length)
		}
		want = append(want, packet)
	}
	go func() {
		for _, packet := range want {
			if err := p.WritePacket(packet); err != nil {
				t.Error(err)
			}
		}
		_ = p.Stdin().Close()
	}()
	got, err := readAll(p)
	if err != nil {
		t.Error(err)
	}
	samePackets(t, "long", got, want)
	if err := p.WritePacket(&protocol.Packet{TestID: "x"}); err == nil {
		t.Error("a packet without a form was written")
	}
}

// oddStream is packets, text, octets of any kind, and halves of packets.
func oddStream(rnd *rand.Rand) []byte {
	var b []byte
	for range rnd.IntN(60) {
		packet, err := protocol.AppendPacket(nil, randomPacket(rnd))
		if err != nil {
			panic(err)
		}
		switch rnd.IntN(8) {
		case 0:
			b = append(b, randomText(rnd)...)
		case 1:
			for range rnd.IntN(40) {
				b = append(b, byte(rnd.Uint32()))
			}
		case 2:
			b = append(b, packet[:rnd.IntN(len(packet))]...)
		case 3:
			packet[rnd.IntN(len(packet))] ^= 1 << rnd.IntN(8)
			b = append(b, packet...)
		case 4:
			b = append(b, 0xb3)
		default:
			b = append(b, packet...)
		}
	}
	return b
}

// What a command writes that is no packet comes through as protocol.Reader tells
// it; and whoever reads octets gets exactly those that were written, packets
// that nobody writes so and those without a time included.
func TestOddStreams(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	for range 60 {
		stream := oddStream(rnd)
		c := staged(t, stage{"write": func(_ io.Reader, stdout, stderr io.Writer) int {
			for rest := stream; len(rest) > 0; {
				n := min(len(rest), 5000)
				_, _ = stdout.Write(rest[:n])
				rest = rest[n:]
			}
			_, _ = stderr.Write(stream)
			return 5
		}})
		want, err := readAll(protocol.NewReader(bytes.NewReader(stream)))
		if err != nil {
			t.Fatal(err)
		}
		p := startOne(t, c, "write")
		errors := make(chan string)
		go func() {
			b, _ := io.ReadAll(p.Stderr())
			errors <- string(b)
		}()
		got, err := readAll(p)
		if err != nil {
			t.Error(err)
		}
		samePackets(t, "packets", got, want)
		if got := <-errors; got != string(stream) {
			t.Errorf("stderr: got %d octets; want the %d that were written", len(got), len(stream))
		}

		r, err := instancetest.FinishReading(startOne(t, c, "write"))
		if err != nil || r.Stdout != string(stream) || r.Stderr != string(stream) || r.Status.Code != 5 {
			t.Errorf("got %d octets and %d, %v, %v; want the %d that were written", len(r.Stdout), len(r.Stderr), r.Status,
				err, len(stream))
		}
	}
}

// Text comes as soon as it is there, and so does what only looked like the
// beginning of a packet.
func TestTextAtOnce(t *testing.T) {
	whole, err := protocol.AppendPacket(nil, &protocol.Packet{Has: protocol.HasTestID, TestID: "a"})
	if err != nil {
		t.Fatal(err)
	}
	c := staged(t, stage{"prompt": func(stdin io.Reader, stdout, _ io.Writer) int {
		_, _ = io.WriteString(stdout, "(Pdb) ")
		_, _ = io.ReadFull(stdin, make([]byte, 1))
		// A stray signature with a length of more than will come.
		_, _ = stdout.Write(append([]byte{0xb3, 0x28, 0x00, 0xbf, 0xff, 0xff}, whole...))
		_, _ = io.ReadFull(stdin, make([]byte, 1))
		return 0
	}})
	p := startOne(t, c, "prompt")
	if got, err := p.ReadPacket(); err != nil || !got.Text || string(got.Content) != "(Pdb) " {
		t.Fatalf("got %+v, %v; want the prompt", got, err)
	}
	if _, err := p.Stdin().Write([]byte("n")); err != nil {
		t.Error(err)
	}
	_, err = p.ReadPacket()
	if _, ok := errors.AsType[*protocol.CorruptError](err); !ok {
		t.Fatalf("got %v; want damage", err)
	}
	if got, err := p.ReadPacket(); err != nil || got.TestID != "a" {
		t.Errorf("got %+v, %v; want the packet behind the damage", got, err)
	}
	if err := p.Stdin().Close(); err != nil {
		t.Error(err)
	}
	if _, err := p.ReadPacket(); !errors.Is(err, io.EOF) {
		t.Errorf("got %v; want the end", err)
	}
	if _, err := p.Stdout().Read(make([]byte, 1)); !errors.Is(err, errOrder) {
		t.Errorf("reading octets after packets: got %v; want %v", err, errOrder)
	}
}
