package worker

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"testr/internal/instance"
	"testr/internal/protocol"
)

// transcript is what packets say, a line each, with ids less their prefix. All
// of a file is in one line, where the file begins; "$" is its end.
func transcript(packets []*protocol.Packet, prefix string) []string {
	var lines []string
	open := make(map[string]int) // the lines of files that have not ended
	for _, p := range packets {
		id := strings.TrimPrefix(p.TestID, prefix)
		if p.Has&protocol.HasParent != 0 {
			id += " of " + strings.TrimPrefix(p.ParentID, prefix)
		}
		if p.Has&protocol.HasFile != 0 {
			begin := fmt.Sprintf("%s %s: ", id, p.FileName)
			at, ok := open[begin]
			if !ok {
				at = len(lines)
				open[begin] = at
				lines = append(lines, begin)
			}
			lines[at] += string(p.Content)
			if p.EOF {
				lines[at] += "$"
				delete(open, begin)
			}
		}
		if p.Status != protocol.StatusNone {
			line := p.Status.String() + " " + id
			if !p.Runnable && p.Status.Final() {
				line += " (not runnable)"
			}
			lines = append(lines, line)
		}
	}
	return lines
}

func TestGoReport(t *testing.T) {
	passed := instance.ExitStatus{}
	failed := instance.ExitStatus{Code: 1}
	const pass = "\x16=== RUN   TestA\n\x16--- PASS: TestA (0.00s)\n\x16=== NAME  \n\x16PASS\n"
	for _, test := range []struct {
		name   string
		output string
		end    instance.ExitStatus
		want   []string // after the beginning
	}{
		{"success", pass, passed, []string{"success TestA"}},
		{"failure", "\x16=== RUN   TestA\n    a_test.go:1: x\n\x16--- FAIL: TestA (0.00s)\n\x16FAIL\n", failed,
			[]string{"TestA stdout:     a_test.go:1: x\n$", "fail TestA"}},
		{"skip", "\x16=== RUN   TestA\n    a_test.go:1: not\n    a_test.go:2: why\n        not\n" +
			"\x16--- SKIP: TestA (0.00s)\n\x16PASS\n", passed,
			[]string{"TestA stdout:     a_test.go:1: not\n    a_test.go:2: why\n        not\n$",
				"TestA reason: why\nnot$", "skip TestA"}},
		{"output around it", "set-up\n" + pass + "coverage: 1%\n", passed,
			[]string{"TestA stdout: set-up\ncoverage: 1%\n$", "success TestA"}},
		{"no such test", "testing: warning: no tests to run\n\x16PASS\n", passed,
			[]string{"TestA stdout: testing: warning: no tests to run\n$",
				"TestA unknown-test: its package has no such test\n$", "fail TestA (not runnable)"}},
		{"not run", "", passed,
			[]string{"TestA traceback: the test binary did not run the test: exit status 0\n$", "fail TestA"}},
		{"exits within", "\x16=== RUN   TestA\nbye", instance.ExitStatus{Code: 3},
			[]string{"TestA stdout: bye$", "TestA traceback: bye\nthe test binary ended within the test: exit status 3\n$",
				"fail TestA"}},
		{"exits with 0 within", "\x16=== RUN   TestA\n", passed,
			[]string{"TestA traceback: the test binary ended within the test: exit status 0\n$", "fail TestA"}},
		{"signal", "\x16=== RUN   TestA\n", instance.ExitStatus{Code: -1, Signal: "SIGSEGV"},
			[]string{"TestA traceback: the test binary ended within the test: killed by SIGSEGV\n$", "fail TestA"}},
		{"panic", "before\n\x16=== RUN   TestA\n\x16--- FAIL: TestA (0.00s)\npanic: boom\n\ngoroutine 1\n",
			instance.ExitStatus{Code: 2},
			[]string{"TestA stdout: before\npanic: boom\n\ngoroutine 1\n$",
				"TestA traceback: panic: boom\n\ngoroutine 1\nexit status 2\n$", "fail TestA"}},
		// F24: a process that fails must not look like a test that passed.
		{"failure after success", pass, failed,
			[]string{"TestA traceback: the test binary failed after the test: exit status 1\n$", "fail TestA"}},
		{"rounds of -cpu", pass + "\x16=== RUN   TestA\n\x16--- FAIL: TestA (0.00s)\n" + pass, failed,
			[]string{"fail TestA"}},
		{"subtests", "\x16=== RUN   TestA\n\x16=== RUN   TestA/b\n1\x16=== RUN   TestA/b/c/d\n2" +
			"\x16--- SKIP: TestA/b/c/d (0.00s)\n3\x16=== NAME  TestA/b\n4\x16--- PASS: TestA/b (0.00s)\n" +
			"\x16=== NAME  TestA\n5\x16--- PASS: TestA (0.00s)\n\x16PASS\n", passed,
			[]string{"inprogress TestA/b of TestA", "TestA/b of TestA stdout: 14$",
				"inprogress TestA/b/c/d of TestA/b", "TestA/b/c/d of TestA/b stdout: 23$",
				"skip TestA/b/c/d of TestA/b (not runnable)", "success TestA/b of TestA (not runnable)",
				"TestA stdout: 5$", "success TestA"}},
		{"open subtests", "\x16=== RUN   TestA\n\x16=== RUN   TestA/b\n\x16=== RUN   TestA/b/c\n",
			instance.ExitStatus{Code: 9},
			[]string{"inprogress TestA/b of TestA", "inprogress TestA/b/c of TestA/b",
				"fail TestA/b/c of TestA/b (not runnable)", "fail TestA/b of TestA (not runnable)",
				"TestA traceback: the test binary ended within the test: exit status 9\n$", "fail TestA"}},
		// S5: what a test prints can't settle another one, nor turn its own failure into success.
		{"forged", "\x16=== RUN   TestA\n\x16--- PASS: TestB (0.00s)\n\x16--- PASS: TestA (0.00s)\n" +
			"\x16--- FAIL: TestA (0.00s)\n\x16FAIL\n", failed,
			[]string{"TestA stdout: \x16--- PASS: TestB (0.00s)\n$", "fail TestA"}},
		{"bytes that no id can have", "\x16=== RUN   TestA/\x00\n\x16=== RUN   TestA/\xff\n" + pass, passed,
			[]string{"TestA stdout: \x16=== RUN   TestA/\x00\n\x16=== RUN   TestA/\xff\n$", "success TestA"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out bytes.Buffer
			report := newGoReport(protocol.NewWriter(&out), "pkg.TestA", "TestA")
			output := report.output()
			output.Write([]byte(test.output))
			output.Flush()
			if err := report.finish(test.end); err != nil {
				t.Fatal(err)
			}
			want := append([]string{"inprogress TestA"}, test.want...)
			if diff := cmp.Diff(want, transcript(decode(t, out.Bytes()), "pkg.")); diff != "" {
				t.Errorf("packets (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAppendTail(t *testing.T) {
	const limit = 10
	var tail []byte
	var all strings.Builder
	for i := range 100 {
		piece := strings.Repeat(string(rune('a'+i%26)), i%15)
		tail = appendTail(tail, []byte(piece), limit)
		all.WriteString(piece)
		want := all.String()[max(0, all.Len()-limit):]
		if !strings.HasSuffix(string(tail), want) || len(tail) > 2*limit {
			t.Fatalf("after %d pieces: got %q; want it to end with %q", i, tail, want)
		}
	}
}

func TestSplitGoID(t *testing.T) {
	for id, want := range map[string][2]string{
		"example.com/a/b.TestC":      {"example.com/a/b", "TestC"},
		"gopkg.in/yaml.v3.TestX":     {"gopkg.in/yaml.v3", "TestX"},
		"strings.TestX":              {"strings", "TestX"},
		"a.b/c.[build failed]":       {"a.b/c", "[build failed]"},
		"example.com/a.TestX/sub":    {"", "example.com/a.TestX/sub"},
		"example.com/a.TestX/sub.go": {"example.com/a.TestX/sub", "go"},
		"TestX":                      {"", "TestX"},
		"":                           {"", ""},
	} {
		if path, test := splitGoID(id); path != want[0] || test != want[1] {
			t.Errorf("%q: got %q and %q; want %q and %q", id, path, test, want[0], want[1])
		}
	}
}

func TestIsGoTest(t *testing.T) {
	for name, want := range map[string]bool{
		"Test": true, "TestA": true, "Test_a": true, "Test1": true, "TestÄ": true, "Testing": false, "Testä": false,
		"Example": true, "Example_suffix": true, "FuzzA": true, "BenchmarkA": false, "TestA|B": false, "": false,
		"TestA/b": false, "ok": false,
	} {
		if got := isGoTest(name); got != want {
			t.Errorf("%q: got %v; want %v", name, got, want)
		}
	}
}

func TestGoGroups(t *testing.T) {
	var packages []*goPackage
	for _, path := range []string{"m", "m/a", "m/b/a", "m/c/v2", "m/c", "m/d", "m/e", "m/f", "m/g", "m/h", "m/i", "m/j"} {
		packages = append(packages, &goPackage{ImportPath: path})
	}
	var got []string
	for _, group := range goGroups(packages) {
		var paths []string
		for _, p := range group {
			paths = append(paths, p.ImportPath)
		}
		got = append(got, strings.Join(paths, " "))
	}
	want := []string{"m m/a", "m/b/a m/c/v2", "m/c m/d m/e m/f m/g m/h m/i m/j"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
}
