package protocol

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// stream is so many packets of all kinds on the wire, and where each ends.
func stream(t testing.TB, count int) (wire []byte, ends []int) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(3, 1))
	for range count {
		p := randomPacket(rnd)
		for wireLength(p, p.Has) > 300 {
			p = randomPacket(rnd)
		}
		var err error
		if wire, err = AppendPacket(wire, p); err != nil {
			t.Fatal(err)
		}
		ends = append(ends, len(wire))
	}
	return wire, ends
}

// count tells how many packets, reports of damage and octets of text there are.
func count(pieces []piece) (packets, damages, text int) {
	for _, p := range pieces {
		switch {
		case p.damage != nil:
			damages++
		case p.packet.Text:
			text += len(p.raw)
		default:
			packets++
		}
	}
	return packets, damages, text
}

// S4, F15: a stream of 1,000 packets, cut at every octet, keeps all packets
// before the cut and reports the one that was cut, once.
func TestTruncated(t *testing.T) {
	wire, ends := stream(t, 1000)
	start := 0 // of the packet that the cut is in
	for i, end := range ends {
		for cut := start; cut < end; cut++ {
			// What comes before the last few packets was read for an earlier cut.
			first := ends[max(0, i-3)]
			if i < 3 || cut == start {
				first = 0
			}
			kept := i
			if first > 0 {
				kept = 2
			}
			packets, damages, text := count(readAll(t, wire[first:cut], bytes.NewReader(wire[first:cut])))
			if packets != kept || damages != min(1, cut-start) || text != 0 {
				t.Fatalf("cut %d octets into packet %d: got %d packets, %d reports, %d octets of text; want %d, at most 1, 0",
					cut-start, i, packets, damages, text, kept)
			}
		}
		start = end
	}
}

// F15: a bit that is wrong costs one packet, whichever it is, and is reported
// once.
func TestBitFlips(t *testing.T) {
	wire, ends := stream(t, 60)
	start := 0
	reports := 0
	for i, end := range ends {
		for bit := range 8 * (end - start) {
			damaged := slices.Clone(wire)
			damaged[start+bit/8] ^= 1 << (bit % 8)
			from, to := ends[max(0, i-3)], ends[min(len(ends)-1, i+3)]
			if i < 3 {
				from = 0
			}
			damaged = damaged[from:to]
			pieces := readAll(t, damaged, bytes.NewReader(damaged))
			packets, damages, _ := count(pieces)
			want := min(i, 2) + min(3, len(ends)-1-i)
			if packets < want {
				t.Fatalf("packet %d, octet %d, bit %d: got %d packets; want the other %d",
					i, bit/8, bit%8, packets, want)
			}
			if damages > 2 {
				t.Fatalf("packet %d, octet %d, bit %d: got %d reports", i, bit/8, bit%8, damages)
			}
			reports += damages
		}
		start = end
	}
	if mean := float64(reports) / float64(8*len(wire)); mean > 1.01 {
		t.Errorf("got %.3f reports for a wrong bit; want about 1", mean)
	}
}

// S4: what is no packet is read in constant memory, and no octet is hashed
// again and again.
func TestNoiseInConstantMemory(t *testing.T) {
	const size = 8 << 20
	for _, tc := range []struct {
		name   string
		source []byte
	}{
		{"signatures", bytes.Repeat([]byte{signature}, 1<<16)},
		{"noise", noise(1<<20 - 3)},
		{"headers of large packets", bytes.Repeat([]byte{signature, 0x20, 0x40, 0xBF, 0xFF, 0xFF, 0, 0xA0, 0, 1}, 5000)},
		{"headers of small packets", bytes.Repeat([]byte{signature, 0x20, 0x00, 0x08, 0, 0, 0, 0}, 5000)},
		{"characters that look like headers", bytes.Repeat([]byte("acabó de ó ó "), 5000)},
		{"latin-1 that looks like headers", bytes.Repeat([]byte("12 m\xb3 de 4 m\xb3/h\n"), 5000)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := NewReader(&endless{stream: tc.source, left: size})
			most := uint64(0)
			var before, now runtime.MemStats
			runtime.ReadMemStats(&before)
			for n := 0; ; n++ {
				_, err := r.ReadPacket()
				if errors.Is(err, io.EOF) {
					break
				}
				if len(r.win.buf)+len(r.win.base) > maxBuffer+bufferSize || len(r.win.held()) > maxHeld+bufferSize {
					t.Fatalf("holds %d octets in a buffer of %d", len(r.win.held()), len(r.win.buf))
				}
				if n%200 == 0 {
					runtime.ReadMemStats(&now)
					most = max(most, now.HeapAlloc)
				}
			}
			if r.Offset() != size {
				t.Errorf("read %d octets; want %d", r.Offset(), size)
			}
			if most > before.HeapAlloc+48<<20 {
				t.Errorf("heap grew from %d to %d octets", before.HeapAlloc, most)
			}
			if now.TotalAlloc-before.TotalAlloc > 8*size+maxBuffer {
				t.Errorf("allocated %d octets for %d", now.TotalAlloc-before.TotalAlloc, size)
			}
			t.Logf("hashed %.2f octets for each", float64(r.sums.hashed)/size)
		})
	}
}

// S4: candidates that claim to hold each other cost no more than others: twice
// the stream, and a constant for each candidate.
func TestLinearWork(t *testing.T) {
	for _, large := range []int{1 << 14, 1 << 17, 1 << 19} {
		var wire []byte
		candidates := 0
		for len(wire) < large {
			// A file as long as a packet may be, of which the header alone is there.
			wire = append(wire, signature, 0x20, 0x40, 0xBF, 0xFF, 0xFF, 0, 0xBF, 0xFF, 0x00)
			wire, _ = AppendPacket(wire, &Packet{Has: HasTestID, TestID: "a"})
			candidates += 2
		}
		padded := slices.Concat(wire, make([]byte, MaxPacket))
		r := NewReader(bytes.NewReader(padded))
		packets := 0
		for {
			p, err := r.ReadPacket()
			if errors.Is(err, io.EOF) {
				break
			}
			if p != nil && !p.Text {
				packets++
			}
		}
		if want := candidates / 2; packets != want {
			t.Errorf("got %d packets; want %d", packets, want)
		}
		if most := int64(2*len(padded) + 8*stride*candidates); r.sums.hashed > most {
			t.Errorf("%d octets, %d candidates: hashed %d octets; want at most %d",
				len(padded), candidates, r.sums.hashed, most)
		}
	}
}

// steps is a source that gives its strings and errors one by one. It fails the
// test when it is read before all that was given was delivered.
type steps struct {
	t     *testing.T
	given []any
	ready func() // called before each read
}

func (s *steps) Read(b []byte) (int, error) {
	s.ready()
	if len(s.given) == 0 {
		return 0, io.EOF
	}
	next := s.given[0]
	s.given = s.given[1:]
	switch next := next.(type) {
	case string:
		if len(next) > len(b) {
			s.t.Fatalf("asked for %d octets", len(b))
		}
		return copy(b, next), nil
	case error:
		return 0, next
	}
	return 0, nil
}

func wireOf(t *testing.T, id string) string {
	t.Helper()
	wire, err := AppendPacket(nil, &Packet{Has: HasTestID, TestID: id})
	if err != nil {
		t.Fatal(err)
	}
	return string(wire)
}

// Everything that can be decided is delivered before the source is read again,
// and a source that stalls gets what looked like a packet given up.
func TestDeliveredBeforeReadingOn(t *testing.T) {
	packet := wireOf(t, "a")
	large, err := AppendPacket(nil, &Packet{Has: HasFile, FileName: "f", Content: []byte(strings.Repeat("x", 500))})
	if err != nil {
		t.Fatal(err)
	}
	torn := string(large[:100])
	for _, tc := range []struct {
		name  string
		given []any
		want  []string // what is delivered, and when the source is read again
	}{
		{"a prompt", []any{"(Pdb) ", "x"}, []string{"text (Pdb) ", "read", "text x", "read"}},
		{"half a character", []any{"a\xc3", "\xa9b"}, []string{"text a", "read", "text éb", "read"}},
		{
			"text before half a packet",
			[]any{"a" + packet[:3], packet[3:]},
			[]string{"text a", "read", "packet a", "read"},
		},
		{
			"a packet, and half of one",
			[]any{packet + packet[:5], packet[5:]},
			[]string{"packet a", "read", "packet a", "read"},
		},
		{"ó at the end, then text", []any{"s\xc3\xb3", "x"}, []string{"text s", "read", "text óx", "read"}},
		{"ó at the end, then nothing", []any{"s\xc3\xb3", ErrStalled}, []string{"text s", "read", "text ó", "read"}},
		{
			"ó and a space, then a packet",
			[]any{"acab\xc3\xb3 de", packet},
			[]string{"text acab", "read", "text ó de", "packet a", "read"},
		},
		{
			"half a character and a packet",
			[]any{"s\xc3" + packet[:4], packet[4:]},
			[]string{"text s", "read", "text \xc3", "packet a", "read"},
		},
		{
			"a torn packet, a good one, and silence",
			[]any{torn, packet, ErrStalled, packet},
			[]string{"read", "read", "damage 100", "packet a", "read", "packet a", "read"},
		},
		{
			"half a packet and silence",
			[]any{packet[:7], ErrStalled, ErrStalled, packet[7:]},
			[]string{"read", "read", "read", "packet a", "read"},
		},
		{
			"latin-1 with a superscript three, silence, and a packet",
			[]any{"4 m\xb3 de\n", ErrStalled, packet},
			[]string{"text 4 m", "read", "read", "damage 1", "text  de\n", "packet a", "read"},
		},
		{
			"no version 2",
			[]any{"4 m\xb3\n5 m\xb3\n" + packet + "6 m\xb3\n"},
			[]string{"text 4 m", "damage 1", "text \n5 m\xb3\n", "packet a", "text 6 m", "damage 1", "text \n", "read"},
		},
		{
			"a wrong checksum, with nothing inside",
			[]any{"\xb3\x29\x00\x0a\x01a....", ErrStalled},
			[]string{"damage 10", "read", "read"},
		},
		{
			"an empty read",
			[]any{"a", nil, "b"},
			[]string{"text a", "read", "read", "text b", "read"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got []string
			src := &steps{t: t, given: tc.given, ready: func() { got = append(got, "read") }}
			r := NewReader(src)
			for {
				p, err := r.ReadPacket()
				if damage, ok := errors.AsType[*CorruptError](err); ok {
					got = append(got, fmt.Sprintf("damage %d", len(damage.Data)))
					continue
				}
				if err != nil {
					break
				}
				if p.Text {
					got = append(got, "text "+string(p.Content))
				} else {
					got = append(got, "packet "+p.TestID)
				}
			}
			want := append([]string{"read"}, tc.want...)
			if !slices.Equal(got, want) {
				t.Errorf("got  %q\nwant %q", got, want)
			}
		})
	}
}

func TestSourceErrors(t *testing.T) {
	broken := errors.New("connection reset")
	packet := wireOf(t, "a")
	src := io.MultiReader(strings.NewReader(packet+packet[:6]), iotest.ErrReader(broken))
	r := NewReader(src)
	if p, err := r.ReadPacket(); err != nil || p.TestID != "a" {
		t.Fatalf("got %v, %v; want the packet", p, err)
	}
	var damage *CorruptError
	if _, err := r.ReadPacket(); !errors.As(err, &damage) || string(damage.Data) != packet[:6] {
		t.Errorf("got %v; want the half packet as damage", err)
	}
	for range 2 {
		if _, err := r.ReadPacket(); !errors.Is(err, broken) {
			t.Errorf("got %v; want %v", err, broken)
		}
	}
	idle := &steps{t: t, ready: func() {}, given: make([]any, 200)}
	if _, err := NewReader(idle).ReadPacket(); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("a source that gives nothing: got %v; want %v", err, io.ErrNoProgress)
	}
}

// A packet owns its memory: reading on changes nothing in it, recycled ones
// excepted.
func TestPacketOwnsItsMemory(t *testing.T) {
	rnd := rand.New(rand.NewPCG(4, 1))
	var wire []byte
	var sizes []int
	for range 40 {
		size := rnd.IntN(10)
		if rnd.IntN(2) == 0 {
			size = bufferSize/2 + rnd.IntN(20*bufferSize)
		}
		sizes = append(sizes, size)
		content := bytes.Repeat([]byte{byte(len(sizes))}, size)
		wire, _ = AppendPacket(wire, &Packet{Has: HasFile | HasRoute, FileName: "f", Content: content, Route: "r"})
	}
	for _, recycle := range []bool{false, true} {
		r := NewReader(&randomReader{bytes.NewReader(wire), rnd, 300_000})
		var kept []*Packet
		for i, size := range sizes {
			p, err := r.ReadPacket()
			if err != nil {
				t.Fatal(err)
			}
			if want := bytes.Repeat([]byte{byte(i + 1)}, size); !bytes.Equal(p.Content, want) {
				t.Fatalf("packet %d is not as written", i)
			}
			if recycle && i%3 != 0 {
				r.Recycle(p)
			} else {
				kept = append(kept, p)
			}
		}
		for _, p := range kept {
			if len(p.Content) > 0 && bytes.Count(p.Content, p.Content[:1]) != len(p.Content) || p.Route != "r" {
				t.Fatal("a packet was changed later")
			}
		}
	}
}

// The checksums of stretches are those of hash/crc32, wherever they begin.
func TestSums(t *testing.T) {
	data := noise(10_000)
	rnd := rand.New(rand.NewPCG(5, 1))
	s := sums{}
	base := int64(1000)
	s.begin(base, base+int64(len(data)))
	held := data
	for range 2000 {
		if rnd.IntN(50) == 0 {
			n := rnd.IntN(1 + len(held)/10)
			s.advance(held, s.origin+int64(n))
			held = held[n:]
		}
		from := rnd.IntN(len(held))
		to := from + rnd.IntN(len(held)-from)
		if got, want := s.checksum(held, from, to), crc32.ChecksumIEEE(held[from:to]); got != want {
			t.Fatalf("[%d, %d) of %d: got %08x; want %08x", from, to, len(held), got, want)
		}
	}
}

// F15: streams of packets, torn packets, wrong bits and text of all kinds, one
// after another: nothing that is whole is lost, however
// the stream is cut.
func TestMixed(t *testing.T) {
	texts := []string{
		"checking\n", "acab\xc3\xb3 de", "\xc3", "4 m\xb3 (", "\xe4\xb8\xb3", "\xb3", "\xb3\xb3", "\xb3 \x40",
		"\xb3\x29\x01", "\xe4\xb8", "\xf0\x9f\xa5\xb3", " ", "\xb3\x2f\xff\xbf",
	}
	for seed := range uint64(2000) {
		rnd := rand.New(rand.NewPCG(seed, 6))
		var wire []byte
		var whole []string
		for range 1 + rnd.IntN(12) {
			p := randomPacket(rnd)
			if rnd.IntN(4) == 0 && p.Has&HasFile != 0 {
				p.Content, _ = AppendPacket(p.Content, randomPacket(rnd))
			}
			packet, err := AppendPacket(nil, p)
			if err != nil {
				t.Fatal(err)
			}
			switch rnd.IntN(6) {
			case 0:
				wire = append(wire, packet[:1+rnd.IntN(len(packet)-1)]...)
			case 1:
				packet[rnd.IntN(len(packet))] ^= 1 << rnd.IntN(8)
				wire = append(wire, packet...)
			case 2:
				wire = append(wire, texts[rnd.IntN(len(texts))]...)
			default:
				wire = append(wire, packet...)
				whole = append(whole, string(packet))
			}
		}
		for _, src := range []io.Reader{
			bytes.NewReader(wire),
			&randomReader{bytes.NewReader(wire), rnd, 1 + rnd.IntN(100)},
		} {
			delivered := map[string]int{}
			for _, p := range readAll(t, wire, src) {
				delivered[string(p.raw)]++
			}
			for _, w := range whole {
				if delivered[w]--; delivered[w] < 0 {
					t.Errorf("seed %d: %x is lost in %x", seed, w, wire)
				}
			}
		}
	}
}
