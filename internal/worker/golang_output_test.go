package worker

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// parsed is what a goOutput makes of pieces of output, a line each: neighbouring
// text is joined.
func parsed(pieces ...string) []string {
	var got []string
	var text strings.Builder
	flush := func() {
		if text.Len() > 0 {
			got = append(got, fmt.Sprintf("%q", text.String()))
			text.Reset()
		}
	}
	o := &goOutput{
		frame: func(action goAction, test string) bool {
			if strings.HasPrefix(test, "Other") {
				return false
			}
			flush()
			got = append(got, fmt.Sprintf("%d %s", action, test))
			return true
		},
		text: func(b []byte) { text.Write(b) },
	}
	for _, piece := range pieces {
		o.Write([]byte(piece))
	}
	o.Flush()
	flush()
	return got
}

func TestGoOutput(t *testing.T) {
	line := func(action goAction, test string) string { return fmt.Sprintf("%d %s", action, test) }
	long := "\x16=== RUN   Test" + strings.Repeat("x", maxGoFrame) + "\n"
	for _, test := range []struct {
		name, output string
		want         []string
	}{
		{name: "nothing"},
		{name: "text", output: "a\nb", want: []string{`"a\nb"`}},
		{name: "a test", output: "\x16=== RUN   TestA\n\x16--- PASS: TestA (0.00s)\n\x16=== NAME  \n\x16PASS\n",
			want: []string{line(goRun, "TestA"), line(goPass, "TestA"), line(goName, ""), line(goEnd, "")}},
		{name: "no newline before a marker", output: "a\x16--- FAIL: TestA (12.30s)\nb",
			want: []string{`"a"`, line(goFail, "TestA"), `"b"`}},
		{name: "an example's name line", output: "\x16=== NAME   \n\x16=== NAME\n",
			want: []string{line(goName, ""), line(goName, "")}},
		{name: "switches", output: "\x16=== PAUSE TestA/b\n\x16=== CONT  TestA/b\n\x16=== NAME  TestA/c\n",
			want: []string{line(goName, "TestA/b"), line(goName, "TestA/b"), line(goName, "TestA/c")}},
		{name: "an indented report", output: "\x16        --- SKIP: TestA/b/c (0.00s)\n",
			want: []string{line(goSkip, "TestA/b/c")}},
		{name: "unmarked lines", output: "=== RUN   TestA\n--- PASS: TestA (0.00s)\nPASS\n",
			want: []string{`"=== RUN   TestA\n--- PASS: TestA (0.00s)\nPASS\n"`}},
		{name: "a marker of the test's own", output: "\x16\x16hello\x16", want: []string{`"\x16\x16hello\x16"`}},
		{name: "no time", output: "\x16--- PASS: TestA\n", want: []string{`"\x16--- PASS: TestA\n"`}},
		{name: "no name", output: "\x16=== RUN   \n", want: []string{`"\x16=== RUN   \n"`}},
		{name: "cut short", output: "\x16--- PASS: Te", want: []string{`"\x16--- PASS: Te"`}},
		{name: "another marker within", output: "\x16--- PASS: Te\x16=== RUN   TestA\n",
			want: []string{`"\x16--- PASS: Te"`, line(goRun, "TestA")}},
		{name: "not about these tests", output: "\x16=== RUN   Other\n", want: []string{`"\x16=== RUN   Other\n"`}},
		{name: "for people", output: "\x16testing: race detected outside of test execution\n\x16=== ATTR  TestA k v\n",
			want: []string{`"testing: race detected outside of test execution\n=== ATTR  TestA k v\n"`}},
		{name: "too long", output: long, want: []string{fmt.Sprintf("%q", long)}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, parsed(test.output)); diff != "" {
				t.Errorf("in one piece (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.want, parsed(strings.Split(test.output, "")...)); diff != "" {
				t.Errorf("in pieces of a character (-want +got):\n%s", diff)
			}
		})
	}
}

// A prompt must not wait for its newline, even after a marker byte.
func TestGoOutputHoldsNoTextBack(t *testing.T) {
	var got bytes.Buffer
	o := &goOutput{
		frame: func(goAction, string) bool { return false },
		text:  func(b []byte) { got.Write(b) },
	}
	o.Write([]byte("name? \x16(debug) "))
	if want := "name? \x16(debug) "; got.String() != want {
		t.Errorf("got %q; want %q", got.String(), want)
	}
}

// FuzzGoOutput checks that the output may be cut anywhere, and that no byte of
// it is lost but those of marked lines.
func FuzzGoOutput(f *testing.F) {
	f.Add("a\x16=== RUN   TestA\nb\x16--- PASS: TestA (0.00s)\n", uint(3))
	f.Add("\x16\x16    --- SKIP: TestA/b (0.00s)\r\n\x16=== NAME", uint(9))
	f.Add("\x16=== RUN   Other\n\x16testing: x\n", uint(1))
	f.Fuzz(func(t *testing.T, output string, at uint) {
		cut := int(at % uint(len(output)+1))
		whole := parsed(output)
		if diff := cmp.Diff(whole, parsed(output[:cut], output[cut:])); diff != "" {
			t.Errorf("cut at %d (-whole +cut):\n%s", cut, diff)
		}
		var text strings.Builder
		o := &goOutput{
			frame: func(goAction, string) bool { return false },
			text:  func(b []byte) { text.Write(b) },
		}
		o.Write([]byte(output))
		o.Flush()
		lost := len(output) - text.Len()
		if notes := strings.Count(output, "\x16"); lost < 0 || lost > notes {
			t.Errorf("got %q of %q", text.String(), output)
		}
	})
}

func BenchmarkGoOutput(b *testing.B) {
	for _, bench := range []struct{ name, output string }{
		{"text", strings.Repeat("some output of a test that says a lot\n", 1_000)},
		{"frames", strings.Repeat("\x16=== RUN   TestA/b\n    a_test.go:1: x\n\x16--- PASS: TestA/b (0.00s)\n", 500)},
	} {
		b.Run(bench.name, func(b *testing.B) {
			o := &goOutput{frame: func(goAction, string) bool { return true }, text: func([]byte) {}}
			output := []byte(bench.output)
			b.SetBytes(int64(len(output)))
			for b.Loop() {
				o.Write(output)
			}
		})
	}
}
