//go:build peers

package worker

import "testing"

// The worker for Python keeps all rules.
func TestCheckPython(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{"test_check.py": `import sys
import unittest


class TestCheck(unittest.TestCase):
    def test_passes(self):
        print("text")

    def test_fails(self):
        self.fail("as it should")

    def test_reads(self):
        self.assertEqual("", sys.stdin.read())


class TestFixture(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        raise ValueError("as it should")

    def test_never_runs(self):
        pass
`})
	wantAllKept(t, CheckConfig{
		Args: []string{systemPython, writePythonWorker(t), "--runner", "unittest", "discover"},
		Dir:  dir, Env: []string{"PYTHONDONTWRITEBYTECODE=1"},
	}, 4)
}
