package protocol

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestWire(t *testing.T) {
	for _, tc := range []struct {
		name   string
		packet Packet
		wire   string
	}{
		{
			"the example of the protocol description",
			Packet{Has: HasTestID, TestID: "foo", Status: StatusExists, Runnable: true},
			"b3 2901 0c 03 666f6f 08555f1b",
		},
		{"nothing", Packet{}, "b3 2000 08 1815f0ba"},
		{
			"every field",
			Packet{
				Has:    HasTestID | HasTime | HasTags | HasMIME | HasFile | HasRoute | HasParent,
				TestID: "a", Time: time.Unix(1, 64).UTC(), Tags: []string{"t", ""}, MIMEType: "m",
				FileName: "f", Content: []byte("c"), Route: "0", ParentID: "p",
				Status: StatusXFail, Runnable: true, EOF: true,
			},
			"b3 2fff 1e 00000001 4040 0161 02 0174 00 016d 0166 0163 0130 0170 4555364f",
		},
		{
			"present and empty",
			Packet{Has: HasTestID | HasTags | HasMIME | HasFile | HasRoute | HasParent, Tags: []string{}, Content: []byte{}},
			"b3 2ce8 0f 00 00 00 00 00 00 00 a0417b6f",
		},
		{
			"the last second, and one more",
			Packet{Has: HasTime, Time: time.Unix(1<<32, 73741823).UTC()},
			"b3 2200 10 ffffffff ffffffff 4ef33969",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			want, err := hex.DecodeString(strings.ReplaceAll(tc.wire, " ", ""))
			if err != nil {
				t.Fatal(err)
			}
			got, err := AppendPacket([]byte("x"), &tc.packet)
			if err != nil || !bytes.Equal(got[1:], want) {
				t.Errorf("got %x, %v; want %x", got[1:], err, want)
			}
			p, n, err := ParsePacket(append(slices.Clone(want), "rest"...))
			if err != nil || n != len(want) {
				t.Fatalf("parsed %d octets, %v; want %d", n, err, len(want))
			}
			if diff := cmp.Diff(&tc.packet, p); diff != "" {
				t.Errorf("read back (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAppendPacketErrors(t *testing.T) {
	for _, tc := range []struct {
		name   string
		packet Packet
		want   error
	}{
		{"NUL", Packet{Has: HasTestID, TestID: "a\x00"}, ErrText},
		{"not UTF-8", Packet{Has: HasTags, Tags: []string{"a", "\xff"}}, ErrText},
		{"before 1970", Packet{Has: HasTime, Time: time.Unix(-1, 999999999)}, ErrTime},
		{"after 2106", Packet{Has: HasTime, Time: time.Unix(1<<32, 73741824)}, ErrTime},
		{"zero time", Packet{Has: HasTime}, ErrTime},
		{"value without its bit", Packet{TestID: "a"}, ErrFields},
		{"content without its bit", Packet{Content: []byte("a")}, ErrFields},
		{"too large", Packet{Has: HasFile, Content: make([]byte, MaxPacket-12)}, ErrTooLarge},
	} {
		got, err := AppendPacket([]byte("kept"), &tc.packet)
		if !errors.Is(err, tc.want) || string(got) != "kept" {
			t.Errorf("%s: got %q, %v; want %v", tc.name, got, err, tc.want)
		}
		if errors.Is(tc.want, ErrTooLarge) {
			continue
		}
		var out bytes.Buffer
		if err := NewWriter(&out).WritePacket(&tc.packet); !errors.Is(err, tc.want) || out.Len() > 0 {
			t.Errorf("%s: writer wrote %d octets, %v; want none, %v", tc.name, out.Len(), err, tc.want)
		}
	}
}

func TestAppendPacketDoesNotAllocate(t *testing.T) {
	p := smallPackets()[1]
	p.Has, p.Tags = p.Has|HasTags, []string{"worker-0", "py34"}
	dst := make([]byte, 0, 1000)
	if n := testing.AllocsPerRun(100, func() { _, _ = AppendPacket(dst, p) }); n != 0 {
		t.Errorf("got %v allocations; want 0", n)
	}
}

func TestParsePacketErrors(t *testing.T) {
	whole, err := AppendPacket(nil, smallPackets()[0])
	if err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		if _, _, err := ParsePacket(whole[:n]); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("the first %d octets: got %v; want unexpected EOF", n, err)
		}
		damaged := slices.Clone(whole)
		damaged[n] ^= 1
		_, _, err := ParsePacket(damaged)
		var corrupt *CorruptError
		if !errors.As(err, &corrupt) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("octet %d changed: got %v; want a CorruptError", n, err)
		}
	}
}

// countingWriter counts the writes and keeps what was written.
type countingWriter struct {
	bytes.Buffer
	writes int
	short  bool
}

func (w *countingWriter) Write(b []byte) (int, error) {
	w.writes++
	if w.short {
		return len(b) / 2, nil
	}
	return w.Buffer.Write(b)
}

func TestWriterWritesOnce(t *testing.T) {
	var out countingWriter
	w := NewWriter(&out)
	rnd := rand.New(rand.NewPCG(1, 1))
	for i := range 100 {
		if err := w.WritePacket(randomPacket(rnd)); err != nil {
			t.Fatal(err)
		}
		if out.writes != i+1 {
			t.Fatalf("got %d writes for %d packets", out.writes, i+1)
		}
	}
	out.short = true
	if err := w.WritePacket(&Packet{}); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("short write: got %v; want %v", err, io.ErrShortWrite)
	}
}

func TestWriterVersion20(t *testing.T) {
	var out bytes.Buffer
	w := NewWriter(&out)
	w.Version20 = true
	p := &Packet{Has: HasTestID | HasParent, TestID: "foo", ParentID: "p", Status: StatusExists, Runnable: true}
	if err := w.WritePacket(p); err != nil {
		t.Fatal(err)
	}
	if got, want := hex.EncodeToString(out.Bytes()), "b329010c03666f6f08555f1b"; got != want {
		t.Errorf("got %s; want %s", got, want)
	}
}

func TestSplit(t *testing.T) {
	for size, count := range map[int]int{MaxPacket: 2, 3*MaxPacket + 17: 4} {
		p := &Packet{
			Has:    HasTestID | HasTags | HasTime | HasFile | HasMIME | HasRoute | HasParent,
			TestID: "t", ParentID: "p", Tags: []string{"a"}, Time: time.Unix(1, 0).UTC(), Route: "0/1",
			FileName: "log", MIMEType: "text/plain", Content: noise(size),
			Status: StatusFail, Runnable: true, EOF: true,
		}
		var out countingWriter
		if err := NewWriter(&out).WritePacket(p); err != nil {
			t.Fatal(err)
		}
		pieces := readAll(t, out.Bytes(), bytes.NewReader(out.Bytes()))
		if len(pieces) != count || out.writes != count {
			t.Errorf("%d octets: got %d packets in %d writes; want %d", size, len(pieces), out.writes, count)
		}
		var content []byte
		for i, piece := range pieces {
			got := piece.packet
			content = append(content, got.Content...)
			want := *p
			if i < len(pieces)-1 {
				want = Packet{
					Has: HasTestID | HasFile | HasMIME | HasRoute, TestID: "t", Route: "0/1",
					FileName: "log", MIMEType: "text/plain", Runnable: true,
				}
			}
			want.Content, got.Content = nil, nil
			if diff := cmp.Diff(&want, got); diff != "" {
				t.Errorf("packet %d of %d (-want +got):\n%s", i, len(pieces), diff)
			}
		}
		if !bytes.Equal(content, p.Content) {
			t.Errorf("%d octets: the content differs", size)
		}
	}
	if _, err := Split(&Packet{Has: HasTestID, TestID: strings.Repeat("x", MaxPacket)}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a test id of %d octets: got %v; want %v", MaxPacket, err, ErrTooLarge)
	}
}

// TestFits: what fits is what Split leaves whole, to the last octet.
func TestFits(t *testing.T) {
	p := &Packet{Has: HasTestID | HasFile, TestID: "t", FileName: "log"}
	p.Content = make([]byte, MaxPacket-wireLength(p, p.Has)-4) // two lengths take two octets more each
	for _, more := range []int{0, 1} {
		p.Content = append(p.Content, make([]byte, more)...)
		pieces, err := Split(p)
		if err != nil || len(pieces) != 1+more || Fits(p) != (more == 0) {
			t.Errorf("%d octets beyond what fits: %v in %d pieces, %v", more, Fits(p), len(pieces), err)
		}
	}
	if Fits(&Packet{Has: HasTestID, TestID: "\x00"}) {
		t.Error("a test id with a NUL fits")
	}
}

// Any packet is read as it was written, from a stream and by itself. The hash
// is that of all their bytes: the form on the wire never changes.
func TestAccumulated(t *testing.T) {
	const want = "62487d7c0ed87a96"
	rnd := rand.New(rand.NewPCG(2, 1))
	hash := sha256.New()
	var out bytes.Buffer
	w, r := NewWriter(&out), NewReader(&out)
	for range 10000 {
		p := randomPacket(rnd)
		if err := w.WritePacket(p); err != nil {
			t.Fatal(err)
		}
		wire := slices.Clone(out.Bytes())
		hash.Write(wire)
		got, err := r.ReadPacket()
		if err != nil {
			t.Fatalf("%x: %v", wire, err)
		}
		if !reflect.DeepEqual(p, got) {
			t.Fatalf("%x (-want +got):\n%s", wire, cmp.Diff(p, got))
		}
		parsed, n, err := ParsePacket(wire)
		if err != nil || n != len(wire) || !reflect.DeepEqual(p, parsed) {
			t.Fatalf("%x: parsed %d octets as %+v, %v", wire, n, parsed, err)
		}
		if wireLength(p, p.Has) != len(wire) {
			t.Fatalf("%x: length %d; want %d", wire, wireLength(p, p.Has), len(wire))
		}
	}
	if got := fmt.Sprintf("%x", hash.Sum(nil)[:8]); got != want {
		t.Errorf("got hash %s; want %s", got, want)
	}
}

func TestRoutes(t *testing.T) {
	for _, tc := range []struct{ first, rest, whole string }{
		{"0", "3", "0/3"},
		{"0", "", "0"},
		{"1", "0/2", "1/0/2"},
	} {
		if got := PrefixRoute(tc.first, tc.rest); got != tc.whole {
			t.Errorf("PrefixRoute(%q, %q): got %q; want %q", tc.first, tc.rest, got, tc.whole)
		}
		if first, rest := SplitRoute(tc.whole); first != tc.first || rest != tc.rest {
			t.Errorf("SplitRoute(%q): got %q, %q; want %q, %q", tc.whole, first, rest, tc.first, tc.rest)
		}
	}
}
