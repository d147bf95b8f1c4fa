//go:build peers

package protocol

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os/exec"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// python runs testdata/packets.py with Debian's Python, which has python-subunit.
func python(t *testing.T, mode string, input []byte) []byte {
	t.Helper()
	cmd := exec.Command("/usr/bin/python3", "testdata/packets.py", mode)
	cmd.Stdin = bytes.NewReader(input)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("packets.py %s: %v\n%s", mode, err, &stderr)
	}
	return out
}

// peerPackets are packets that python-subunit can hold: its times have microseconds.
func peerPackets(n int) []*Packet {
	rnd := rand.New(rand.NewPCG(8, 1))
	packets := make([]*Packet, n)
	for i := range packets {
		p := randomPacket(rnd)
		if p.Has&HasTime != 0 {
			p.Time = time.Unix(int64(rnd.Uint32()), 1000*rnd.Int64N(1e6)).UTC()
		}
		packets[i] = p
	}
	return packets
}

func TestPythonReadsWhatIsWritten(t *testing.T) {
	packets := peerPackets(5000)
	for _, version20 := range []bool{false, true} {
		var stream bytes.Buffer
		w := NewWriter(&stream)
		w.Version20 = version20
		var want []vectorEvent
		for _, p := range packets {
			if err := w.WritePacket(p); err != nil {
				t.Fatal(err)
			}
			want = append(want, asVectorEvent(p))
		}
		got := decodeEvents(t, python(t, "read", stream.Bytes()))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("version 2.0 %v (-want +got):\n%.3000s", version20, diff)
		}
	}
}

func TestReadsWhatPythonWrites(t *testing.T) {
	var events bytes.Buffer
	var want []vectorEvent
	for _, p := range peerPackets(5000) {
		if p.MIMEType == "" {
			p.Has &^= HasMIME // python-subunit leaves these out
		}
		if len(p.Tags) == 0 {
			p.Has &^= HasTags
		}
		e := asVectorEvent(p)
		want = append(want, e)
		if err := json.NewEncoder(&events).Encode(withoutNull(t, e)); err != nil {
			t.Fatal(err)
		}
	}
	stream := python(t, "write", events.Bytes())
	pieces := readAll(t, stream, bytes.NewReader(stream))
	got, packets := vectorForm(pieces, true)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%.3000s", diff)
	}
	for i, p := range packets {
		wire, err := AppendPacket(nil, p)
		if err != nil || !bytes.Equal(wire, pieces[i].raw) {
			t.Fatalf("packet %d: written as %x, %v; python wrote %x", i, wire, err, pieces[i].raw)
		}
	}
}

// withoutNull is e as packets.py wants it.
func withoutNull(t *testing.T, e vectorEvent) map[string]any {
	t.Helper()
	data, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	for k, v := range m {
		if v == nil || v == "" && (k == "timestamp" || k == "test_status") {
			delete(m, k)
		}
	}
	if e.Content != nil {
		m["file_bytes"] = []byte(*e.Content)
	}
	return m
}
