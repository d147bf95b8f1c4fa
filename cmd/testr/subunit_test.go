package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

// endless is a source that never ends, and has no line.
type endless struct{ read int }

func (e *endless) Read(b []byte) (int, error) {
	clear(b)
	e.read += len(b)
	return len(b), nil
}

// TestFromJSONEndless: of a line that never ends no more is held than a packet can take.
func TestFromJSONEndless(t *testing.T) {
	t.Parallel()
	src := &endless{}
	first := strings.NewReader(`{"test_id": "a"}` + "\n")
	var out bytes.Buffer
	err := fromJSON(io.MultiReader(first, src), &out, false)
	if err == nil || err.Error() != "line 2: read JSON: it has more than 32 MiB" {
		t.Errorf("got %v; want that line 2 is too long", err)
	}
	if src.read > 2*maxJSONLine || out.Len() == 0 {
		t.Errorf("got %d octets after %d were read; want the first packet, and no more read than needed", out.Len(), src.read)
	}
}

func TestAppendLine(t *testing.T) {
	t.Parallel()
	r := bufio.NewReaderSize(strings.NewReader("one\n"+strings.Repeat("x", 40)+"\nlast"), 16)
	for _, want := range []string{"one\n", strings.Repeat("x", 40) + "\n", "last"} {
		line, err := appendLine(nil, r, 64)
		if string(line) != want || (err != nil) != (want == "last") || err != nil && !errors.Is(err, io.EOF) {
			t.Errorf("got %q, %v; want %q", line, err, want)
		}
	}
}
