//go:build peers

package worker

import (
	"fmt"
	"path/filepath"
	"testing"
)

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

// The worker for pytest keeps all rules.
func TestCheckPytest(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{"test_check.py": `import sys

import pytest


def test_passes():
    print("text")


@pytest.mark.parametrize("n", [1, 2])
def test_fails(n):
    assert n == 3


@pytest.fixture(scope="module")
def broken():
    raise ValueError("as it should")


def test_never_runs(broken):
    pass
`})
	plugin := filepath.Join(t.TempDir(), "plugin")
	if _, err := WritePytest(plugin); err != nil {
		t.Fatal(err)
	}
	d := Detect(systemPython + " -m pytest -p no:cacheprovider")
	serve, err := d.Pytest(plugin, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	list, err := d.Pytest(plugin, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	both := fmt.Sprintf(`case $1 in --list) %s ;; *) %s ;; esac`, list, serve)
	wantAllKept(t, CheckConfig{
		Args: []string{"sh", "-c", both, "sh"}, Dir: dir, Env: []string{"PYTHONDONTWRITEBYTECODE=1"},
	}, 4)
}
