package report

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"testr/internal/event"
	"testr/internal/protocol"
)

var update = flag.Bool("update", false, "write the golden files")

// TestGolden shows recorded streams (testdata/suite tells how), to a file and
// on a terminal, as if a single worker had sent them.
func TestGolden(t *testing.T) {
	streams, err := filepath.Glob("testdata/*.subunit")
	if err != nil || len(streams) == 0 {
		t.Fatalf("got streams %v, %v; want some", streams, err)
	}
	for _, stream := range streams {
		name := strings.TrimSuffix(stream, ".subunit")
		events := readStream(t, stream, "worker-0")
		t.Run(filepath.Base(name), func(t *testing.T) {
			checkGolden(t, name+".golden", showRun(t, events, TextOptions{}, Summary{}))
			onTerminal := showRun(t, events, TextOptions{Terminal: true, ErrTerminal: true, Routes: true}, Summary{})
			checkPlain(t, onTerminal)
			checkGolden(t, name+".terminal.golden", onTerminal)
		})
	}
}

// readStream returns the events of a recorded stream as they would be after
// testr had loaded it, with a route and the tags added.
func readStream(t *testing.T, path string, tags ...string) []event.Event {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r := protocol.NewReader(bytes.NewReader(data))
	var events []event.Event
	for {
		p, err := r.ReadPacket()
		if errors.Is(err, io.EOF) {
			return events
		}
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		p.Route, p.Tags = "0", append(p.Tags, tags...)
		p.Has |= protocol.HasRoute | protocol.HasTags
		events = append(events, event.Event{Seq: uint64(len(events)), Kind: event.KindPacket, Packet: p})
	}
}

// fold returns what the events come to.
func fold(t *testing.T, events []event.Event) *event.Outcomes {
	t.Helper()
	outcomes := event.NewOutcomes()
	for _, e := range events {
		if err := outcomes.Event(e); err != nil {
			t.Fatal(err)
		}
	}
	outcomes.Finish()
	return outcomes
}

// showRun returns all that is shown of a run; the summary lacks only what
// comes of the events.
func showRun(t *testing.T, events []event.Event, opts TextOptions, s Summary) string {
	t.Helper()
	var out bytes.Buffer
	opts.Err = &out
	text := NewText(&out, opts)
	show(t, text, events...)
	outcomes := fold(t, events)
	s.Counts, s.Tests, s.Duration = outcomes.Counts(), outcomes.Tests(), outcomes.Span()
	if err := text.Summary(s); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func checkGolden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}
