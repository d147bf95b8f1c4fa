package protocol

import (
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func v1Vectors(t testing.TB) []vector {
	t.Helper()
	vs := slices.DeleteFunc(allVectors(t), func(v vector) bool { return v.Protocol != 1 })
	if len(vs) < 93 {
		t.Fatalf("got %d vectors of version 1; want 93", len(vs))
	}
	return vs
}

// source is a reader of any version.
type source interface {
	ReadPacket() (*Packet, error)
}

// readV1 reads a stream of version 1 to its end.
func readV1(t testing.TB, r source) (pieces []piece) {
	t.Helper()
	for {
		p, err := r.ReadPacket()
		var damage *CorruptError
		switch {
		case errors.As(err, &damage):
		case err != nil:
			if !errors.Is(err, io.EOF) {
				t.Fatalf("got %v; want EOF", err)
			}
			if p, again := r.ReadPacket(); p != nil || !errors.Is(again, io.EOF) {
				t.Fatalf("after the end got %v, %v; want EOF again", p, again)
			}
			return pieces
		case p.Text:
			if len(p.Content) == 0 || len(p.Content) > maxText {
				t.Fatalf("text of %d octets", len(p.Content))
			}
		default:
			if _, err := AppendPacket(nil, p); err != nil {
				t.Fatalf("a packet that can't be written: %v", err)
			}
		}
		pieces = append(pieces, piece{packet: p, damage: damage})
	}
}

// v1Want returns the events of a vector's file; the time "now" is none.
func v1Want(t *testing.T, name string) []vectorEvent {
	t.Helper()
	events := vectorEvents(t, name)
	for i := range events {
		if events[i].Time == "now" {
			events[i].Time = ""
		}
	}
	return events
}

func TestV1Vectors(t *testing.T) {
	for _, v := range v1Vectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			stream := vectorFile(t, v.Files.Stream)
			var first []vectorEvent
			for _, c := range chunkings {
				pieces := readV1(t, NewV1Reader(c.src(stream)))
				checkV1Vector(t, v, c.name, pieces)
				got, _ := vectorForm(pieces, true)
				if first == nil {
					first = got
				}
				if diff := cmp.Diff(first, got); diff != "" {
					t.Errorf("%s: not as when read whole (-whole +got):\n%.4000s", c.name, diff)
				}
			}
		})
	}
}

func checkV1Vector(t *testing.T, v vector, chunking string, pieces []piece) {
	t.Helper()
	if v.Compare == "exact" || v.Compare == "exact-better" {
		checkVector(t, v, chunking, pieces, v1Want(t, map[string]string{
			"exact": v.Files.Events, "exact-better": v.Files.Better}[v.Compare]))
		return
	}
	if v.Compare == "either" {
		got, _ := vectorForm(pieces, true)
		if cmp.Equal(v1Want(t, v.Files.Events), got) {
			return
		}
		v.Compare = "intact"
	}
	checkVector(t, v, chunking, pieces, v1Want(t, v.Files.Better))
}
