//go:build peers

package main

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// importSuite has a test of each outcome; switch decides about some of them.
const importSuite = `import os, time, unittest

class Case(unittest.TestCase):
    def test_passes(self):
        time.sleep(0.02)

    def test_slow(self):
        time.sleep(0.05)

    def test_fails(self):
        self.assertEqual(1, 2, "é" * 100)

    def test_error(self):
        raise RuntimeError("x\n]\ny")

    @unittest.skip("because")
    def test_skipped(self):
        pass

    @unittest.expectedFailure
    def test_expected(self):
        self.fail()

    @unittest.expectedFailure
    def test_unexpected(self):
        pass

    def test_switched(self):
        self.assertFalse(os.path.exists("broken"))

    def test_param(self):
        for i in range(2):
            with self.subTest(i=i):
                self.assertTrue(True)
`

const testrepositoryConf = `[DEFAULT]
test_command=/usr/bin/python3 -m subunit.run $LISTOPT $IDOPTION test_suite
test_id_option=--load-list $IDFILE
test_list_option=--list
`

// peer runs another tool, whatever it ends with, and returns what it writes to stdout.
func (p *project) peer(words ...string) string {
	p.t.Helper()
	cmd := p.command(words[0], words[1:]...)
	cmd.Env = append(cmd.Env, "PYTHONDONTWRITEBYTECODE=1")
	res := p.run(cmd)
	if strings.Contains(res.err, "Traceback") {
		p.t.Fatalf("%q: got\n%s%s", words, res.out, res.err)
	}
	return res.out
}

// table returns the lines of a table of times, in a form in which those of different tools
// are alike.
func table(text string) []string {
	var rows []string
	for line := range strings.Lines(text) {
		if words := strings.Fields(line); len(words) == 2 && strings.Contains(words[1], ".") {
			rows = append(rows, words[0]+" "+words[1])
		}
	}
	slices.Sort(rows)
	return rows
}

func sortedLines(text string) []string {
	lines := strings.Fields(text)
	slices.Sort(lines)
	return lines
}

// wantAgreement imports a directory and holds what testr says of it against what
// its own tool says.
func wantAgreement(p *project, dir string, tool ...string) {
	p.t.Helper()
	if err := os.RemoveAll(p.path(".testr")); err != nil {
		p.t.Fatal(err)
	}
	p.want(0, "init")
	p.want(0, "import", dir)
	theirs := sortedLines(p.peer(append(slices.Clone(tool), "failing", "--list")...))
	status := 0
	if len(theirs) > 0 {
		status = 1
	}
	if ours := sortedLines(p.want(status, "failing", "--list").out); !slices.Equal(ours, theirs) {
		p.t.Errorf("failing: got %q; want %q, as %s says", ours, theirs, tool[0])
	}
	theirs = table(p.peer(append(slices.Clone(tool), "slowest", "--all")...))
	if ours := table(p.want(0, "slowest", "--all").out); !slices.Equal(ours, theirs) || len(ours) == 0 {
		p.t.Errorf("slowest: got %q; want %q, as %s says", ours, theirs, tool[0])
	}
}

// TestImportTestrepository: after an import, failing and slowest say what Debian's
// testrepository says, through whole and partial runs.
func TestImportTestrepository(t *testing.T) {
	t.Parallel()
	p := newProject(t, map[string]string{".testr.conf": testrepositoryConf, "test_suite.py": importSuite, "broken": ""})
	const tool = "/usr/bin/testr"
	p.peer(tool, "init")
	p.peer(tool, "run")
	wantAgreement(p, ".", tool)
	p.remove("broken")
	p.peer(tool, "run", "--parallel", "--concurrency=2")
	p.write("broken", "")
	p.peer(tool, "run", "--failing")
	wantAgreement(p, ".testrepository", tool)
	p.peer(tool, "run", "--partial", "test_switched")
	wantAgreement(p, ".testrepository", tool)
	if got := p.want(0, "stats").out; !strings.Contains(got, "runs=4\n") {
		t.Errorf("got %q; want 4 runs", got)
	}
	// What is imported is what testrepository would give of its last run.
	last := p.peer(tool, "last", "--subunit")
	p.write("theirs", last)
	ours := p.want(0, "last", "--subunit").out
	p.write("ours", ours)
	if got, want := p.ids("ours"), p.ids("theirs"); got != want {
		t.Errorf("last --subunit: got the events\n%s\nwant\n%s", got, want)
	}
}

// ids returns what subunit's own tools say of a stream.
func (p *project) ids(file string) string {
	cmd := p.command("subunit-ls", "--no-passthrough", "--times")
	cmd.Stdin = strings.NewReader(p.read(file))
	return p.run(cmd).out
}

// TestImportStestr is the same for stestr.
func TestImportStestr(t *testing.T) {
	t.Parallel()
	p := newProject(t, map[string]string{".testr.conf": testrepositoryConf, "test_suite.py": importSuite, "broken": "",
		".stestr.conf": "[DEFAULT]\ntest_path=.\n"})
	p.peer("stestr", "init")
	p.peer("stestr", "run")
	wantAgreement(p, ".", "stestr")
	p.remove("broken")
	p.peer("stestr", "run", "--serial", "test_switched|test_passes")
	wantAgreement(p, ".stestr", "stestr")
	p.write("broken", "")
	p.peer("stestr", "run", "--concurrency", "2")
	p.peer("stestr", "run", "--combine", "test_fails")
	wantAgreement(p, ".stestr", "stestr")
	p.peer("stestr", "history", "remove", "0")
	wantAgreement(p, ".stestr", "stestr")
}
