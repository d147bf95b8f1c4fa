package worker

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// readTap gives a parser a whole output, in pieces: what its assertions are, and
// what the parser says in the end.
func readTap(output string, piece int) (points []tapTest, verdict string) {
	var p tapParser
	lines := tapLines{
		line: func(s string) {
			if kind, t := p.line(s); kind == tapPoint {
				points = append(points, t)
			}
		},
		rest: func([]byte) {},
	}
	for b := []byte(output); len(b) > 0; b = b[min(piece, len(b)):] {
		lines.write(b[:min(piece, len(b))])
	}
	lines.end()
	problems := p.end()
	if why, skipped := p.skipped(); skipped && len(problems) == 0 {
		return points, "skip: " + why
	}
	if len(problems) > 0 {
		return points, strings.Join(problems, "; ")
	}
	return points, "pass"
}

func describeTap(t tapTest) string {
	s := t.place + " " + map[bool]string{true: "good", false: "bad"}[t.good()]
	if t.description != "" {
		s += " " + fmt.Sprintf("%q", t.description)
	}
	switch t.directive {
	case tapTodo:
		s += fmt.Sprintf(" todo(%v) %q", t.ok, t.reason)
	case tapSkip:
		s += fmt.Sprintf(" skip %q", t.reason)
	default:
	}
	return s
}

// tapOutputs are outputs with what they come to. The peers' test has prove judge
// them, too.
var tapOutputs = []struct {
	name    string
	output  string
	verdict string
	points  []string
}{
	{"passes", "1..2\nok 1 - one\nok 2 two\n", "pass", []string{`1 good "one"`, `2 good "two"`}},
	{"the plan comes last", "ok\nok\n1..2\n", "pass", []string{"1 good", "2 good"}},
	{"no newline at the end", "1..1\nok 1", "pass", []string{"1 good"}},
	{"carriage returns", "1..1\r\nok 1 - one\r\n", "pass", []string{`1 good "one"`}},
	{"nothing", "", "no plan, ran 0", nil},
	{"no plan", "ok 1\n", "no plan, ran 1", []string{"1 good"}},
	{"failures", "1..5\nnot ok 1\nok 2\nnot ok 3\nnot ok 4 - x\nok 5\n", "Failed tests: 1, 3-4",
		[]string{"1 bad", "2 good", "3 bad", `4 bad "x"`, "5 good"}},
	{"too few", "1..3\nok 1\n", "planned 3, ran 1", []string{"1 good"}},
	{"too many", "1..1\nok 1\nok 2\n", "Failed test: 2; planned 1, ran 2", []string{"1 good", "2 bad"}},
	{"too many for a plan behind them", "ok 1\nok 2\n1..1\n", "planned 1, ran 2", []string{"1 good", "2 good"}},
	{"out of sequence", "1..2\nok 2\nok 1\n", "out of sequence: 2 where 1 was due; out of sequence: 1 where 2 was due",
		[]string{"1 good", "2 good"}},
	{"the same number", "1..2\nok 1\nok 1\n", "out of sequence: 1 where 2 was due", []string{"1 good", "2 good"}},
	{"a number without end", "1..1\nok 99999999999999999999\n",
		"out of sequence: 9223372036854775807 where 1 was due", []string{"1 good"}},
	{"plan twice", "1..1\nok 1\n1..1\n", "more than one plan", []string{"1 good"}},
	{"plan in the middle", "ok 1\n1..2\nok 2\n", "the plan stands in the middle", []string{"1 good", "2 good"}},
	{"plan with a comment", "1..1 # so many\nok 1\n", "no plan, ran 1", []string{"1 good"}},
	{"plan that says what is to do", "1..2 todo 2\nok 1\nnot ok 2\n", "pass",
		[]string{"1 good", `2 good todo(false) ""`}},
	{"to do", "1..2\nnot ok 1 - a # TODO later\nok 2 # todo\n", "pass",
		[]string{`1 good "a" todo(false) "later"`, `2 good todo(true) ""`}},
	{"skipped", "1..2\nok 1 - a # SKIP no disk\nnot ok 2 # skip\n", "Failed test: 2",
		[]string{`1 good "a" skip "no disk"`, `2 bad skip ""`}},
	{"no directive", "1..4\nok 1 \\# TODO a\nok 2 #1 # TODO b\nok 3 # TODOS\nnot ok 4 - a\\\\# TODO c\n", "pass",
		[]string{`1 good "# TODO a"`, `2 good "#1 # TODO b"`, `3 good "# TODOS"`, `4 good "a\\" todo(false) "c"`}},
	{"all skipped", "1..0 # SKIP no network\n", "skip: no network", nil},
	{"all skipped without a word", "1..0\n", "skip: ", nil},
	{"all skipped, oddly", "1..0 # Skipped: no network\n", "skip: no network", nil},
	{"nothing to do", "1..0 todo 1\n", "pass", nil},
	{"skipped and run", "TAP version 13\n1..1 # SKIP x\nok 1\n", "skip: x", []string{"1 good"}},
	{"skipped all and ran", "1..0 # SKIP x\nok 1\n", "Failed test: 1; planned 0, ran 1", []string{"1 bad"}},
	{"bails out", "1..3\nok 1\nBail out!  No database.\n", "planned 3, ran 1; Bail out! No database.",
		[]string{"1 good"}},
	{"text", "hello\n# ok 5\n1..1\nokay\nnot  ok 1\nok 1\n ok 2\n    ok\n\n", "pass", []string{"1 good"}},
	{"version 13", "TAP version 13\n1..1\nok 1\n  ---\n  ok: 2\n  ...\n", "pass", []string{"1 good"}},
	{"version 12", "TAP version 12\n1..1\nok 1\n", "a version is said only from 13 on, not 12", []string{"1 good"}},
	{"late version", "1..1\nTAP version 13\nok 1\n", "the version stands in the middle", []string{"1 good"}},
	{"unknown version", "TAP version 15\n1..1\nok 1\n", "TAP version 15 is not known", []string{"1 good"}},
	{"YAML that looks like TAP", "TAP version 13\n1..1\nok 1\n  ---\n  ok: ok 2\n  ...\n", "pass", []string{"1 good"}},
	{"YAML without an end", "TAP version 13\nok 1\n  ---\n  a: 1\n1..1\n", "a YAML block has no end", []string{"1 good"}},
	{"YAML up to the end", "TAP version 13\n1..1\nok 1\n  ---\n  a: 1\n", "a YAML block has no end",
		[]string{"1 good"}},
	{"pragma", "TAP version 13\npragma +strict\n1..1\nhello\nok 1\n", `a line that is no TAP: "hello"`,
		[]string{"1 good"}},
	{"pragma taken back", "TAP version 13\npragma +strict, +x\npragma -strict\n1..1\nhello\nok 1\n", "pass",
		[]string{"1 good"}},
	{"a skip with a plan", "TAP version 13\n1..2 # SKIP x\n", "planned 2, ran 0", nil},
	{"subtests", "1..2\n# Subtest: a\n        ok 1 - deep\n        1..1\n    ok 1 - in\n    not ok 2 # TODO x\n" +
		"    1..2\nok 1 - a\n    not ok 1 - in\n    1..1\nnot ok 2 - b\n", "Failed test: 2",
		[]string{`1.1.1 good "deep"`, `1.1 good "in"`, `1.2 good todo(false) "x"`, `1 good "a"`,
			`2.1 bad "in"`, `2 bad "b"`}},
	{"subtests in blocks", "ok 1 - a {\n    ok 1 - in {\n        ok 1 - deep\n    }\n    ok 2\n    1..2\n}\n" +
		"    ok 1 - in\nok 2 - b\n1..2\n", "pass",
		[]string{`1 good "a"`, `1.1 good "in"`, `1.1.1 good "deep"`, `1.2 good`, `2.1 good "in"`, `2 good "b"`}},
	{"a brace that opens nothing", "    ok 1 - in\nok 1 - f() {\n    ok 1 - in\nok 2\n1..2\n", "pass",
		[]string{`1.1 good "in"`, `1 good "f()"`, `2.1 good "in"`, "2 good"}},
	{"not UTF-8", "1..1\nok 1 - \xff\x00\n", "pass", []string{`1 good "\xff\x00"`}},
}

func TestTapParser(t *testing.T) {
	for _, test := range tapOutputs {
		t.Run(test.name, func(t *testing.T) {
			points, verdict := readTap(test.output, len(test.output))
			var got []string
			for _, p := range points {
				got = append(got, describeTap(p))
			}
			if diff := cmp.Diff(test.points, got); diff != "" {
				t.Errorf("assertions (-want +got):\n%s", diff)
			}
			if verdict != test.verdict {
				t.Errorf("got verdict %q; want %q", verdict, test.verdict)
			}
		})
	}
}

func TestTapParserBoundsItsWords(t *testing.T) {
	var b strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&b, "not ok %d\n", 3*i)
	}
	_, got := readTap(b.String(), 1000)
	want := "Failed tests: 0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 33, 36, 39, 42, 45, 48, 51, 54, 57, and 980 more; " +
		"no plan, ran 1000; out of sequence: 0 where 1 was due; out of sequence: 3 where 2 was due; " +
		"out of sequence: 6 where 3 was due; 997 more mistakes in its TAP"
	if got != want {
		t.Errorf("got verdict %q; want %q", got, want)
	}
}

// Of a line without end only its beginning is kept; what that says counts.
func TestTapLinesBoundsLines(t *testing.T) {
	var got []string
	rest := 0
	lines := tapLines{
		line: func(s string) { got = append(got, fmt.Sprint(len(s), s[:min(len(s), 4)])) },
		rest: func(b []byte) { rest += len(b) },
	}
	long := "ok 1" + strings.Repeat("x", 2*maxTapLine)
	for b := []byte(long + "\nok 2\n\n" + long); len(b) > 0; b = b[min(1000, len(b)):] {
		lines.write(b[:min(1000, len(b))])
	}
	lines.end()
	if diff := cmp.Diff([]string{"1048576ok 1", "4ok 2", "0", "1048576ok 1"}, got); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	if want := 2*(len(long)-maxTapLine) + len("\n"); rest != want {
		t.Errorf("got %d octets of the rest; want %d", rest, want)
	}
}

// However the output is cut, it means the same; places are unique; nothing
// panics.
func FuzzTapParser(f *testing.F) {
	for _, test := range tapOutputs {
		f.Add(test.output, uint8(7))
	}
	f.Fuzz(func(t *testing.T, output string, piece uint8) {
		whole, verdict := readTap(output, len(output)+1)
		pieces, inPieces := readTap(output, int(piece)+1)
		if diff := cmp.Diff(whole, pieces, cmp.AllowUnexported(tapTest{})); diff != "" || verdict != inPieces {
			t.Errorf("got verdict %q in pieces; want %q; assertions (-whole +pieces):\n%s", inPieces, verdict, diff)
		}
		seen := make(map[string]bool)
		for _, p := range whole {
			if seen[p.place] {
				t.Errorf("got the place %q twice", p.place)
			}
			seen[p.place] = true
		}
	})
}
