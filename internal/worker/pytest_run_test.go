//go:build peers

package worker

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"testr/internal/protocol"
)

// TestPytestWorkerOwnTests runs the worker's tests that are written in Python.
func TestPytestWorkerOwnTests(t *testing.T) {
	cmd := pythonCommand(t, "python", "-m", "unittest", "test_testr_pytest")
	cmd.Stdout = t.Output()
	if err := cmd.Run(); err != nil {
		t.Error(err)
	}
}

// TestPytestCommandsRun holds that the worker is there however pytest is
// started, and that the tests don't see how.
func TestPytestCommandsRun(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "it's here")
	if _, err := WritePytest(dir); err != nil {
		t.Fatal(err)
	}
	const id = "test_hostile.py::test_environment"
	suite := filepath.Join("python", "testdata", "pytest", "single")
	wrapper := filepath.Join(t.TempDir(), "pytest")
	program(t, wrapper, `exec env "$TOOL" "$@"`) // as pyenv's
	t.Setenv("TOOL", "/usr/bin/pytest")
	t.Setenv("BIN", filepath.Dir(wrapper))
	t.Setenv("PYTHONPATH", "") // has it restored
	if err := os.Unsetenv("PYTHONPATH"); err != nil {
		t.Fatal(err)
	}
	for command, path := range map[string]string{
		systemPython + " -m pytest":                          "None",
		"PYTHONPATH=/nowhere " + systemPython + " -m pytest": "/nowhere",
		systemPython + " -Im pytest":                         "None",
		"/usr/bin/pytest":                                    "None",
		`"$BIN/pytest" -q $LISTOPT`:                          "None",
		`PYTHONPATH=/nowhere "$BIN/pytest"`:                  "/nowhere",
		"env PYTHONPATH=/nowhere /usr/bin/pytest $IDLIST":    "/nowhere",
	} {
		t.Run(command, func(t *testing.T) {
			d := Detect(command)
			list, err := d.Pytest(dir, true, []string{"-k", "environment or after"})
			if err != nil {
				t.Fatal(err)
			}
			_, listed := readOutcomes(t, bytes.NewReader(runPytest(t, suite, list)), false)
			if diff := cmp.Diff([]string{"test_hostile.py::test_after", id}, listed); diff != "" {
				t.Errorf("ids differ (-want +got):\n%s", diff)
			}
			run, err := d.Pytest(dir, false, nil)
			if err != nil {
				t.Fatal(err)
			}
			out := runPytest(t, suite, run, id)
			outcomes, _ := readOutcomes(t, bytes.NewReader(out), false)
			if diff := cmp.Diff(outcomeSet{id: "success"}, outcomes); diff != "" {
				t.Errorf("outcomes differ (-want +got):\n%s", diff)
			}
			if got, want := fileOf(t, out, "stdout"), path+" []\n"; got != want {
				t.Errorf("got PYTHONPATH and the worker's places %q; want %q", got, want)
			}
		})
	}
}

// runPytest runs a command of the worker with requests for tests and returns
// what it wrote.
func runPytest(t *testing.T, dir, command string, ids ...string) []byte {
	t.Helper()
	var requests bytes.Buffer
	w := protocol.NewWriter(&requests)
	for _, id := range ids {
		if err := w.WritePacket(requestPacket(id)); err != nil {
			t.Fatal(err)
		}
	}
	argv := shell(command)
	cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	cmd.Dir, cmd.Stdin, cmd.Stderr = dir, &requests, t.Output()
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1", "PYTEST_ADDOPTS=-p no:cacheprovider")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	return out
}

// fileOf returns the content of the files of this name in a stream.
func fileOf(t *testing.T, stream []byte, name string) string {
	t.Helper()
	var content strings.Builder
	r := protocol.NewReader(bytes.NewReader(stream))
	for {
		p, err := r.ReadPacket()
		if err != nil {
			return content.String()
		}
		if p.FileName == name && p.TestID != "" {
			content.Write(p.Content)
		}
	}
}

// BenchmarkPytestWorker measures whole processes that run 2,000 empty tests:
// each asked for when the one before has ended, then a few ahead, and beside
// them pytest alone.
func BenchmarkPytestWorker(b *testing.B) {
	const tests = 2000
	suite := b.TempDir()
	var source strings.Builder
	for i := range tests {
		fmt.Fprintf(&source, "def test_%05d():\n    pass\n\n\n", i)
	}
	if err := os.WriteFile(filepath.Join(suite, "test_many.py"), []byte(source.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	dir := filepath.Join(b.TempDir(), "pytest")
	if _, err := WritePytest(dir); err != nil {
		b.Fatal(err)
	}
	const option = "-pno:cacheprovider"
	measure := func(name string, run func(*testing.B)) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				run(b)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*tests), "ns/test")
		})
	}
	for _, ahead := range []int{0, 2} {
		measure(fmt.Sprintf("ahead=%d", ahead), func(b *testing.B) {
			runPytestTests(b, pythonCommand(b, suite, filepath.Join(dir, pytestScript), option), tests, ahead)
		})
	}
	measure("alone", func(b *testing.B) {
		if err := pythonCommand(b, suite, "-m", "pytest", "-q", option).Run(); err != nil {
			b.Fatal(err)
		}
	})
}

// runPytestTests has a worker run the tests of the benchmark in order, and asks
// for a few ahead.
func runPytestTests(b *testing.B, cmd *exec.Cmd, tests, ahead int) {
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
	for asked, settled := 0, 0; settled < tests; {
		if asked < tests && asked-settled <= ahead {
			if err := w.WritePacket(requestPacket(fmt.Sprintf("test_many.py::test_%05d", asked))); err != nil {
				b.Fatal(err)
			}
			asked++
			continue
		}
		p, err := r.ReadPacket()
		if err != nil {
			b.Fatal(err)
		}
		if p.Status.Final() {
			settled++
		}
	}
	if err := stdin.Close(); err != nil {
		b.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		b.Fatal(err)
	}
}
