package protocol

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// vector is an entry of testdata/vectors/index.json.
type vector struct {
	Name      string
	Protocol  int // 0 means 2
	Compare   string
	Canonical bool
	ExtraOK   bool `json:"extra_events_ok"`
	Files     struct{ Stream, Events, Better string }
	Parents   []*string
}

// vectorEvent is a line of a vector's events.
type vectorEvent struct {
	TestID   *string   `json:"test_id"`
	Status   string    `json:"test_status"`
	Tags     *[]string `json:"test_tags"`
	Runnable bool      `json:"runnable"`
	FileName *string   `json:"file_name"`
	Content  *blob     `json:"file_bytes"`
	EOF      bool      `json:"eof"`
	MIMEType *string   `json:"mime_type"`
	Route    *string   `json:"route_code"`
	Time     string    `json:"timestamp"`
}

// blob is the content of a file; cmp is slow on slices.
type blob string

func (b *blob) UnmarshalJSON(data []byte) error {
	var content []byte
	err := json.Unmarshal(data, &content)
	*b = blob(content)
	return err
}

// vectors returns those of version 2.
func vectors(t testing.TB) []vector {
	t.Helper()
	return slices.DeleteFunc(allVectors(t), func(v vector) bool { return v.Protocol == 1 })
}

func allVectors(t testing.TB) []vector {
	t.Helper()
	data, err := os.ReadFile("testdata/vectors/index.json")
	if err != nil {
		t.Fatal(err)
	}
	var vs []vector
	if err := json.Unmarshal(data, &vs); err != nil {
		t.Fatal(err)
	}
	return vs
}

func vectorFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "vectors", name))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(name, ".gz") {
		return data
	}
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	data, err = io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func vectorEvents(t *testing.T, name string) []vectorEvent {
	t.Helper()
	return decodeEvents(t, vectorFile(t, name))
}

func decodeEvents(t *testing.T, lines []byte) (events []vectorEvent) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(lines))
	for dec.More() {
		var e vectorEvent
		if err := dec.Decode(&e); err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	return events
}

// asVectorEvent gives p the form of the vectors: tags are a sorted set.
func asVectorEvent(p *Packet) vectorEvent {
	e := vectorEvent{Status: p.Status.String(), Runnable: p.Runnable, EOF: p.EOF}
	for _, f := range []struct {
		field Fields
		value *string
		to    **string
	}{
		{HasTestID, &p.TestID, &e.TestID}, {HasFile, &p.FileName, &e.FileName},
		{HasMIME, &p.MIMEType, &e.MIMEType}, {HasRoute, &p.Route, &e.Route},
	} {
		if p.Has&f.field != 0 {
			*f.to = f.value
		}
	}
	if p.Has&HasFile != 0 {
		content := blob(p.Content)
		e.Content = &content
	}
	if p.Has&HasTags != 0 {
		tags := slices.Clone(p.Tags)
		slices.Sort(tags)
		tags = slices.Compact(tags)
		e.Tags = &tags
	}
	if p.Has&HasTime != 0 {
		e.Time = p.Time.Format("2006-01-02T15:04:05.000000000Z07:00")
	}
	return e
}

// asPacket is the inverse of asVectorEvent.
func (e vectorEvent) asPacket(t *testing.T) *Packet {
	t.Helper()
	p := &Packet{Runnable: e.Runnable, EOF: e.EOF}
	p.Status, _ = ParseStatus(e.Status)
	set := func(field Fields, to *string, value *string) {
		if value != nil {
			p.Has |= field
			*to = *value
		}
	}
	set(HasTestID, &p.TestID, e.TestID)
	set(HasFile, &p.FileName, e.FileName)
	set(HasMIME, &p.MIMEType, e.MIMEType)
	set(HasRoute, &p.Route, e.Route)
	if e.Content != nil {
		p.Content = []byte(*e.Content)
	}
	if e.Tags != nil {
		p.Has |= HasTags
		p.Tags = *e.Tags
	}
	if e.Time != "" {
		p.Has |= HasTime
		var err error
		if p.Time, err = time.Parse(time.RFC3339Nano, e.Time); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// piece is a piece of a stream as a Reader delivered it.
type piece struct {
	packet *Packet
	damage *CorruptError
	raw    []byte // the octets of stream that it stands for
}

// readAll reads stream to its end through src, which delivers stream. It checks
// that each octet is delivered exactly once.
func readAll(t testing.TB, stream []byte, src io.Reader) (pieces []piece) {
	t.Helper()
	r := NewReader(src)
	for {
		from := r.Offset()
		p, err := r.ReadPacket()
		raw := stream[from:r.Offset()]
		var damage *CorruptError
		switch {
		case errors.As(err, &damage):
			if damage.Offset != from || !bytes.Equal(damage.Data, raw) {
				t.Fatalf("damage at %d with %d octets; want %d, %d", damage.Offset, len(damage.Data), from, len(raw))
			}
		case err != nil:
			if !errors.Is(err, io.EOF) || from != int64(len(stream)) {
				t.Fatalf("got %v at %d; want EOF at %d", err, from, len(stream))
			}
			if p, again := r.ReadPacket(); p != nil || !errors.Is(again, io.EOF) {
				t.Fatalf("after the end got %v, %v; want EOF again", p, again)
			}
			return pieces
		case p.Text:
			if len(raw) == 0 || len(raw) > maxText || !bytes.Equal(p.Content, raw) {
				t.Fatalf("text of %d octets at %d is not that of the stream", len(p.Content), from)
			}
		case len(raw) < minPacket:
			t.Fatalf("a packet of %d octets", len(raw))
		}
		pieces = append(pieces, piece{p, damage, raw})
	}
}

// joined joins adjacent text.
func joined(pieces []piece) (out []piece) {
	for _, p := range pieces {
		if p.packet == nil || !p.packet.Text {
			out = append(out, p)
			continue
		}
		if n := len(out); n == 0 || out[n-1].packet == nil || !out[n-1].packet.Text {
			text := *p.packet
			text.Content = nil
			out = append(out, piece{packet: &text})
		}
		text := out[len(out)-1].packet
		text.Content = append(text.Content, p.packet.Content...)
	}
	return out
}

// vectorForm gives the pieces the form of the vectors; the text only if asked for.
func vectorForm(pieces []piece, text bool) (events []vectorEvent, packets []*Packet) {
	for _, p := range joined(pieces) {
		if p.packet != nil && (text || !p.packet.Text) {
			events = append(events, asVectorEvent(p.packet))
			packets = append(packets, p.packet)
		}
	}
	return events, packets
}

// randomReader reads pieces of random sizes.
type randomReader struct {
	src io.Reader
	rnd *rand.Rand
	max int
}

func (r *randomReader) Read(b []byte) (int, error) {
	return r.src.Read(b[:min(len(b), 1+r.rnd.IntN(r.max))])
}

// oneByteReader reads byte by byte; from a large stream only at both ends.
func oneByteReader(stream []byte) io.Reader {
	const edge = 20_000
	if len(stream) <= 5*edge {
		return iotest.OneByteReader(bytes.NewReader(stream))
	}
	rest := len(stream) - edge
	return io.MultiReader(
		iotest.OneByteReader(bytes.NewReader(stream[:edge])),
		bytes.NewReader(stream[edge:rest]),
		iotest.OneByteReader(bytes.NewReader(stream[rest:])),
	)
}

// chunkings are the ways in which a source delivers a stream.
var chunkings = []struct {
	name string
	src  func(stream []byte) io.Reader
}{
	{"whole", func(s []byte) io.Reader { return bytes.NewReader(s) }},
	{"data with EOF", func(s []byte) io.Reader { return iotest.DataErrReader(bytes.NewReader(s)) }},
	{"one byte", oneByteReader},
	{"half", func(s []byte) io.Reader { return iotest.HalfReader(bytes.NewReader(s)) }},
	{"random, small", func(s []byte) io.Reader {
		return &randomReader{bytes.NewReader(s), rand.New(rand.NewPCG(7, 7)), 7 + len(s)/10_000}
	}},
	{"random to 5000", func(s []byte) io.Reader {
		return &randomReader{bytes.NewReader(s), rand.New(rand.NewPCG(5, 5)), 5000}
	}},
}

func TestVectors(t *testing.T) {
	vs := vectors(t)
	if len(vs) < 183 {
		t.Fatalf("got %d vectors; want 183", len(vs))
	}
	for _, v := range vs {
		t.Run(v.Name, func(t *testing.T) {
			stream := vectorFile(t, v.Files.Stream)
			file := v.Files.Better
			if v.Compare == "exact" {
				file = v.Files.Events
			}
			want := vectorEvents(t, file)
			var first []piece
			for _, c := range chunkings {
				got := readAll(t, stream, c.src(stream))
				checkVector(t, v, c.name, got, want)
				if first == nil {
					first = joined(got)
					continue
				}
				if diff := cmp.Diff(summary(first), summary(joined(got))); diff != "" {
					t.Errorf("%s: not as when read whole (-whole +got):\n%s", c.name, diff)
				}
			}
		})
	}
}

func checkVector(t *testing.T, v vector, chunking string, pieces []piece, want []vectorEvent) {
	t.Helper()
	got, packets := vectorForm(pieces, v.Compare != "intact")
	damaged := slices.ContainsFunc(pieces, func(p piece) bool { return p.damage != nil })
	if v.Compare == "exact" && damaged {
		t.Errorf("%s: damage reported; want none", chunking)
	}
	if v.ExtraOK && len(got) > len(want) {
		got = slices.DeleteFunc(got, func(e vectorEvent) bool {
			return !slices.ContainsFunc(want, func(w vectorEvent) bool { return cmp.Equal(e, w) })
		})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%.4000s", chunking, diff)
		return
	}
	for i, parent := range v.Parents {
		if has := packets[i].Has&HasParent != 0; has != (parent != nil) || has && packets[i].ParentID != *parent {
			t.Errorf("%s: event %d: got parent %q; want %v", chunking, i, packets[i].ParentID, parent)
		}
	}
}

// summary is what must not depend on how a stream is cut.
func summary(pieces []piece) (lines []string) {
	for _, p := range pieces {
		switch {
		case p.damage != nil:
			lines = append(lines, p.damage.Error()+string(p.damage.Data))
		case p.packet.Text:
			lines = append(lines, "text "+string(p.packet.Content))
		default:
			lines = append(lines, "packet "+string(p.raw))
		}
	}
	return lines
}

// What the canonical vectors hold is written with exactly their bytes.
func TestVectorsWritten(t *testing.T) {
	canonical := 0
	for _, v := range vectors(t) {
		if !v.Canonical {
			continue
		}
		canonical++
		var got bytes.Buffer
		w := NewWriter(&got)
		for _, e := range vectorEvents(t, v.Files.Events) {
			if err := w.WritePacket(e.asPacket(t)); err != nil {
				t.Fatalf("%s: %v", v.Name, err)
			}
		}
		if !bytes.Equal(got.Bytes(), vectorFile(t, v.Files.Stream)) {
			t.Errorf("%s: not written as it was", v.Name)
		}
	}
	if canonical < 40 {
		t.Errorf("got %d canonical vectors; want at least 40", canonical)
	}
}
