//go:build peers

package worker

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"testr/internal/protocol"
)

// systemPython is the interpreter that Debian's packages are installed for.
const systemPython = "/usr/bin/python3"

// writePythonWorker puts the worker into a file and returns its name.
func writePythonWorker(tb testing.TB) string {
	tb.Helper()
	file := filepath.Join(tb.TempDir(), "testr_worker.py")
	if err := os.WriteFile(file, PythonSource(), 0o600); err != nil {
		tb.Fatal(err)
	}
	return file
}

// pythonCommand returns a command that writes no byte code, and whose stderr is
// in the test's output.
func pythonCommand(tb testing.TB, dir string, args ...string) *exec.Cmd {
	tb.Helper()
	cmd := exec.CommandContext(tb.Context(), systemPython, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	cmd.Stderr = tb.Output()
	return cmd
}

// TestPythonWorkerOwnTests runs the worker's tests that are written in Python.
func TestPythonWorkerOwnTests(t *testing.T) {
	cmd := pythonCommand(t, "python", "-m", "unittest", "test_testr_worker", "test_testr_worker_peers")
	cmd.Stdout = t.Output()
	if err := cmd.Run(); err != nil {
		t.Error(err)
	}
}

// TestPythonWorkerSpeaksProtocol drives the worker with this project's own
// reader and writer.
func TestPythonWorkerSpeaksProtocol(t *testing.T) {
	file := writePythonWorker(t)
	s := supervise(t, func(in io.Reader, out io.Writer) error {
		cmd := pythonCommand(t, filepath.Join("python", "testdata", "suite"), file, "--runner", "unittest", "discover")
		cmd.Stdout = out
		stdin, err := cmd.StdinPipe() // left open: the end is a packet
		if err != nil {
			return err
		}
		go func() { _, _ = io.Copy(stdin, in) }()
		return cmd.Run()
	})
	const waits, withdrawn, parts = "test_input.Input.test_line", "test_output.Output.test_print",
		"test_outcomes.Parts.test_parts"
	s.send(requestPacket(waits), requestPacket(withdrawn), requestPacket(parts))
	s.awaitOutline("inprogress " + waits)
	s.send(withdrawPacket(withdrawn))
	s.awaitOutline("exists " + withdrawn)
	s.send(stdinPacket("an answer\n", true))
	s.awaitOutline("success " + waits)
	part := s.await("a failed part", func(p *protocol.Packet) bool { return p.Status == protocol.StatusFail })
	if part.TestID != parts+" (i=1)" || part.ParentID != parts || part.Runnable {
		t.Errorf("got part %q of %q, runnable %v; want %q of %q, not runnable",
			part.TestID, part.ParentID, part.Runnable, parts+" (i=1)", parts)
	}
	s.awaitOutline("fail " + parts)
	s.send(endPacket())
	if err := <-s.done; err != nil {
		t.Errorf("the worker ended with %v; want no error", err)
	}
}

// outcomeSet is the worst outcome of each test.
type outcomeSet map[string]string

func (o outcomeSet) add(id, status string) {
	worst := map[string]int{"skip": 1, "xfail": 2, "success": 3, "uxsuccess": 4, "fail": 5}
	if worst[status] > worst[o[id]] {
		o[id] = status
	}
}

// readOutcomes reads a stream of packets, which may have text between them if
// lax is set.
func readOutcomes(t *testing.T, stream io.Reader, lax bool) (all outcomeSet, listed []string) {
	t.Helper()
	all = outcomeSet{}
	for r := protocol.NewReader(stream); ; {
		p, err := r.ReadPacket()
		if errors.Is(err, io.EOF) {
			return all, listed
		}
		switch {
		case err != nil:
			t.Fatal(err)
		case p.Text && !lax:
			t.Fatalf("got text between packets: %q", p.Content)
		case p.Status == protocol.StatusExists:
			listed = append(listed, p.TestID)
		case p.Status.Final():
			all.add(p.TestID, p.Status.String())
		}
	}
}

// pythonSuite is a suite that nobody here wrote.
type pythonSuite struct {
	runner string
	names  []string
	path   string // PYTHONPATH
	dir    string
	file   string // the worker
}

func (s *pythonSuite) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := pythonCommand(t, s.dir, append(args, s.names...)...)
	cmd.Env = append(cmd.Env, "PYTHONPATH="+s.path)
	cmd.Stderr = nil // these suites test what is written there
	return cmd
}

// list returns the runnable tests, each once, and the failures that are none.
func (s *pythonSuite) list(t *testing.T) (ids []string, failures outcomeSet) {
	t.Helper()
	out, err := s.command(t, s.file, "--runner", s.runner, "--list").Output()
	if err != nil {
		t.Fatalf("list: %v", err)
	}
	failures, listed := readOutcomes(t, bytes.NewReader(out), false)
	seen := map[string]bool{}
	for _, id := range listed {
		if !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	return ids, failures
}

// stream has the worker run tests in this order, and returns what it wrote.
func (s *pythonSuite) stream(t *testing.T, ids []string) []byte {
	t.Helper()
	var requests bytes.Buffer
	w := protocol.NewWriter(&requests)
	for _, id := range ids {
		if err := w.WritePacket(requestPacket(id)); err != nil {
			t.Fatal(err)
		}
	}
	cmd := s.command(t, s.file, "--runner", s.runner)
	cmd.Stdin = &requests
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("stream: %v", err)
	}
	return out
}

// check compares a run through the worker with one of the runner itself.
func (s *pythonSuite) check(t *testing.T, want outcomeSet, ids []string, got outcomeSet, ignored ...string) {
	t.Helper()
	for _, id := range ids {
		if got[id] == "" {
			t.Errorf("%s was asked for and has no outcome", id)
		}
	}
	for _, id := range ignored {
		got[id] = want[id]
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("outcomes of the runner (-) and the worker (+):\n%s", diff)
	}
}

// with returns the union of two sets.
func (o outcomeSet) with(other outcomeSet) outcomeSet {
	union := outcomeSet{}
	for _, set := range []outcomeSet{o, other} {
		for id, status := range set {
			union.add(id, status)
		}
	}
	return union
}

// TestPythonWorkerRunsTesttools compares with `python -m subunit.run`, in the
// listing's order and in another.
func TestPythonWorkerRunsTesttools(t *testing.T) {
	// The suite of fixtures reads a file that Debian's package lacks.
	path := t.TempDir()
	installed := os.DirFS("/usr/lib/python3/dist-packages/fixtures")
	if err := os.CopyFS(filepath.Join(path, "fixtures"), installed); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(path, "README.rst"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := &pythonSuite{
		runner: "subunit.run", names: []string{"testtools.tests.test_suite", "fixtures.tests.test_suite"},
		path: path, dir: t.TempDir(), file: writePythonWorker(t),
	}
	ids, failures := s.list(t)
	if len(ids) < 2500 {
		t.Errorf("got %d tests; want more than 2,500", len(ids))
	}
	reference, _ := s.command(t, "-m", "subunit.run").Output() // it fails: the package lacks a module, too
	want, _ := readOutcomes(t, bytes.NewReader(reference), true)

	out := s.stream(t, ids)
	got, _ := readOutcomes(t, bytes.NewReader(out), false)
	s.check(t, want, ids, got.with(failures))
	checkSubunitStats(t, out, got)

	random := rand.New(rand.NewPCG(1, 2))
	random.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	got, _ = readOutcomes(t, bytes.NewReader(s.stream(t, ids)), false)
	// That test fails under any runner once another one has left errors in unittest's default loader.
	s.check(t, want, ids, got.with(failures), "testtools.tests.test_run.TestRun.test_issue_16662")
}

// checkSubunitStats has python-subunit read what the worker wrote.
func checkSubunitStats(t *testing.T, stream []byte, outcomes outcomeSet) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "subunit-stats")
	cmd.Stdin = bytes.NewReader(stream)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("subunit-stats: %v", err)
	}
	counts := map[string]int{}
	for _, status := range outcomes {
		counts[status]++
	}
	for label, want := range map[string]int{
		"Total tests:": len(outcomes), "Skipped tests:": counts["skip"], "Failed tests:": counts["fail"],
	} {
		_, rest, _ := strings.Cut(string(out), label)
		var got int
		if _, err := fmt.Sscan(rest, &got); err != nil || got != want {
			t.Errorf("subunit-stats: %s got %d; want %d", label, got, want)
		}
	}
}

// TestPythonWorkerRunsPythonsOwnTests compares with `python -m unittest`.
func TestPythonWorkerRunsPythonsOwnTests(t *testing.T) {
	script, err := filepath.Abs(filepath.Join("python", "testdata", "reference.py"))
	if err != nil {
		t.Fatal(err)
	}
	s := &pythonSuite{
		runner: "unittest", names: []string{"test.test_json", "test.test_unittest"},
		dir: t.TempDir(), file: writePythonWorker(t),
	}
	reference, err := s.command(t, script).Output()
	if err != nil {
		t.Fatalf("run with unittest: %v", err)
	}
	want := outcomeSet{}
	for lines := bufio.NewScanner(bytes.NewReader(reference)); lines.Scan(); {
		var line [2]string
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatalf("line of the reference %q: %v", lines.Text(), err)
		}
		want.add(line[0], line[1])
	}
	ids, failures := s.list(t)
	got, _ := readOutcomes(t, bytes.NewReader(s.stream(t, ids)), false)
	s.check(t, want, ids, got.with(failures))
}

// BenchmarkPythonWorker measures empty tests, asked for one by one, each when the
// one before has ended, and a few ahead.
func BenchmarkPythonWorker(b *testing.B) {
	const tests = 10000
	dir := b.TempDir()
	source := "import unittest\n\n\nclass T(unittest.TestCase):\n    def runTest(self):\n        pass\n"
	var suite strings.Builder
	suite.WriteString(source)
	for i := range tests {
		fmt.Fprintf(&suite, "\n    def test_%05d(self):\n        pass\n", i)
	}
	if err := os.WriteFile(filepath.Join(dir, "test_many.py"), []byte(suite.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	for _, ahead := range []int{0, 2} {
		b.Run(fmt.Sprintf("ahead=%d", ahead), func(b *testing.B) {
			benchmarkPython(b, dir, tests, ahead)
		})
	}
}

func benchmarkPython(b *testing.B, dir string, tests, ahead int) {
	cmd := pythonCommand(b, dir, writePythonWorker(b), "--runner", "unittest")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	w, r := protocol.NewWriter(stdin), protocol.NewReader(stdout)
	asked := 0
	ask := func() {
		if err := w.WritePacket(requestPacket(fmt.Sprintf("test_many.T.test_%05d", asked%tests))); err != nil {
			b.Fatal(err)
		}
		asked++
	}
	settle := func() {
		for {
			p, err := r.ReadPacket()
			if err != nil {
				b.Fatal(err)
			}
			if p.Status.Final() {
				return
			}
		}
	}
	ask()
	settle() // everything is imported
	for range ahead {
		ask()
	}
	for b.Loop() {
		ask()
		settle()
	}
	for range ahead {
		settle()
	}
	if err := stdin.Close(); err != nil {
		b.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		b.Fatal(err)
	}
}
