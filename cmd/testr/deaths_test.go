//go:build peers

package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// deadlyPython has a test that kills its process, one that leaves it, one that
// hangs, and 200 others.
func deadlyPython() string {
	var b strings.Builder
	b.WriteString(`import os
import signal
import time
import unittest


class TestDeadly(unittest.TestCase):
    def test_killed(self):
        os.kill(os.getpid(), signal.SIGKILL)

    def test_left(self):
        os._exit(7)

    def test_hung(self):
        time.sleep(600)
`)
	for class := range 10 {
		fmt.Fprintf(&b, "\n\nclass Test%02d(unittest.TestCase):\n", class)
		for test := range 20 {
			fmt.Fprintf(&b, "    def test_%02d(self):\n        pass\n\n", test)
		}
	}
	return b.String()
}

// deadlyGo is the same in Go.
func deadlyGo() string {
	var b strings.Builder
	b.WriteString(`package deadly

import (
	"os"
	"syscall"
	"testing"
	"time"
)

func TestKilled(*testing.T) { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL) }

func TestLeft(*testing.T) { os.Exit(7) }

func TestHung(*testing.T) { time.Sleep(10 * time.Minute) }
`)
	for i := range 200 {
		fmt.Fprintf(&b, "\nfunc Test%03d(*testing.T) {}\n", i)
	}
	return b.String()
}

// TestWhateverDies: tests that take their worker with them or hang fail, with
// the reason, and no other one does (F4, F8).
func TestWhateverDies(t *testing.T) {
	inPython := map[string]string{"test_deadly.py": deadlyPython()}
	inGo := map[string]string{"go.mod": "module deadly\n\ngo 1.26\n", "deadly_test.go": deadlyGo()}
	pythonDeaths := []death{
		{"test_deadly.TestDeadly.test_killed", "killed by SIGKILL"},
		{"test_deadly.TestDeadly.test_left", "exit status 7"},
		{"test_deadly.TestDeadly.test_hung", "time limit"},
	}
	for _, tc := range []struct {
		name, conf string
		files      map[string]string
		deaths     []death
	}{
		{"python", "test_command=" + python + " -m unittest discover\n", inPython, pythonDeaths},
		{"batch", "worker=batch\ntest_command=" + python + " -m subunit.run discover . $LISTOPT $IDOPTION\n" +
			"test_list_option=--list\ntest_id_option=--load-list $IDFILE\n", inPython, pythonDeaths},
		{"pytest", "test_command=" + python + " -m pytest\n", inPython, []death{
			{"test_deadly.py::TestDeadly::test_killed", "killed by SIGKILL"},
			{"test_deadly.py::TestDeadly::test_left", "exit status 7"},
			{"test_deadly.py::TestDeadly::test_hung", "time limit"},
		}},
		{"go", "test_command=go test ./...\n", inGo, []death{
			{"deadly.TestKilled", "killed"}, {"deadly.TestLeft", "exit status 7"}, {"deadly.TestHung", "time limit"},
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newProject(t, tc.files)
			p.write(".testr.conf", "[DEFAULT]\n"+tc.conf)
			p.want(0, "init")
			for _, seeded := range []bool{false, true} { // and again, in another order
				wantDeaths(t, p, seeded, tc.deaths)
			}
		})
	}
}

// death is a test that fails, and what is to be said of why.
type death struct{ test, why string }

func wantDeaths(t *testing.T, p *project, seeded bool, deaths []death) {
	t.Helper()
	began := time.Now()
	res := p.want(1, "run", "--parallel", "--concurrency", "3", "--timeout", "3s")
	t.Logf("seeded %v: %v", seeded, time.Since(began))
	var want []string
	for _, d := range deaths {
		want = append(want, d.test)
	}
	failing := linesOf(p.testr("failing", "--list").out)
	if diff := cmp.Diff(slices.Sorted(slices.Values(want)), slices.Sorted(slices.Values(failing))); diff != "" {
		t.Errorf("failing tests (-want +got):\n%s\n%s", diff, res.out)
	}
	counts := map[string]int{}
	for _, status := range outcomesOf(t, p.want(0, "last", "--subunit").out) {
		counts[status]++
	}
	if diff := cmp.Diff(map[string]int{"success": 200, "fail": 3}, counts); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s\n%s", diff, res.out)
	}
	for _, d := range deaths {
		_, text, _ := strings.Cut(res.out, "FAIL: "+d.test+"\n")
		text, _, _ = strings.Cut(text, "\nFAIL: ")
		wantText(t, text, d.why)
	}
}
