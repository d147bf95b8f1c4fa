package report

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestWriteIDs(t *testing.T) {
	ids := []string{"a.b", "two\nlines", "c\x1b[2J\t\u202e", "漢"}
	var out bytes.Buffer
	err := WriteIDs(&out, ids, false)
	var missing *LeftOutError
	if !errors.As(err, &missing) || missing.Count != 1 {
		t.Errorf("to a file: got error %v; want one id left out", err)
	}
	if want := "a.b\nc\x1b[2J\t\u202e\n漢\n"; out.String() != want {
		t.Errorf("to a file: got %q; want %q", out.String(), want)
	}

	out.Reset()
	if err := WriteIDs(&out, ids, true); err != nil {
		t.Errorf("to a terminal: got error %v; want none", err)
	}
	if want := "a.b\ntwo\\nlines\nc\\x1b[2J\\t\\u202e\n漢\n"; out.String() != want {
		t.Errorf("to a terminal: got %q; want %q", out.String(), want)
	}

	if err := WriteIDs(brokenWriter{}, ids, true); !errors.Is(err, errBroken) {
		t.Errorf("to a broken writer: got %v; want %v", err, errBroken)
	}
	if err := WriteIDs(brokenWriter{}, nil, true); err != nil {
		t.Errorf("no ids: got %v; want no write", err)
	}
}

func TestLeftOutError(t *testing.T) {
	want := "2 lines left out, with a newline in the test id: a terminal is shown everything, and --json has it"
	if got := (&LeftOutError{Count: 2}).Error(); got != want {
		t.Errorf("got %q; want %q", got, want)
	}
}

func TestWriteTable(t *testing.T) {
	rows := [][]string{{"command", "does", "n"}, {"漢字", "é", "1"}, {"x\x1by", "long\nlines", "2"}, {"", "", "33"}}
	for _, tt := range []struct {
		name       string
		rows       [][]string
		toTerminal bool
		want       string
		missing    int
	}{
		{"to a file", rows, false, "command  does  n\n-------  ----  --\n漢字       é     1\n               33\n", 1},
		{"to a terminal", rows, true, "command  does         n\n-------  -----------  --\n漢字     é            1\n" +
			"x\\x1by   long\\nlines  2\n                      33\n", 0},
		{"nothing", nil, false, "", 0},
		{"headings", [][]string{{"a", "bb"}}, false, "a  bb\n-  --\n", 0},
		{"ragged", [][]string{{"a"}, {"b", "c"}, {}}, false, "a\n-  -\nb  c\n\n", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			err := WriteTable(&out, tt.rows, tt.toTerminal)
			var missing *LeftOutError
			if errors.As(err, &missing); tt.missing > 0 && (missing == nil || missing.Count != tt.missing) {
				t.Errorf("got error %v; want %d rows left out", err, tt.missing)
			}
			if tt.missing == 0 && err != nil {
				t.Errorf("got error %v; want none", err)
			}
			if diff := cmp.Diff(tt.want, out.String()); diff != "" {
				t.Errorf("table (-want +got):\n%s", diff)
			}
		})
	}
	if err := WriteTable(brokenWriter{}, rows, true); !errors.Is(err, errBroken) {
		t.Errorf("to a broken writer: got %v; want %v", err, errBroken)
	}
}

func TestWriteSlowest(t *testing.T) {
	for _, tt := range []struct {
		name    string
		timings []Timing
		want    string
	}{
		{"none", nil, ""},
		{"thousands", []Timing{{"a.slow", "", 1000 * time.Second}, {"a.b.quick", "", 12345678}},
			"Test id    Runtime (s)\n---------  -----------\na.slow     1000.000\na.b.quick     0.012\n"},
		{"no time at all", []Timing{{"a", "", 0}}, "Test id  Runtime (s)\n-------  -----------\na        0.000\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			if err := WriteSlowest(&out, tt.timings, false); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, out.String()); diff != "" {
				t.Errorf("table (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWriteValues(t *testing.T) {
	var out bytes.Buffer
	if err := WriteValues(&out, Value{"runs", 3}, Value{"state", "good"}); err != nil {
		t.Fatal(err)
	}
	if want := "runs=3, state=good\n"; out.String() != want {
		t.Errorf("got %q; want %q", out.String(), want)
	}
}
