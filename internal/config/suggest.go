package config

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
)

// Suggest returns the lines of a .testr.conf for what it finds in a directory,
// or for nothing in particular. They end with a newline.
func Suggest(dir string) string {
	switch {
	case has(dir, "go.mod"):
		return header + "test_command=go test ./...\n"
	case usesPytest(dir):
		return header + "test_command=python3 -m pytest\n"
	case has(dir, "test*.py"), has(dir, "tests", "test*.py"), has(dir, "test", "test*.py"),
		has(dir, "setup.py"), has(dir, "pyproject.toml"):
		return header + unittestCommand(dir)
	default:
		return "# PROGRAM lists its tests with --list, runs those in the file after --load-list, and writes subunit:\n" +
			header + "test_command=PROGRAM $LISTOPT $IDOPTION\n" +
			"test_id_option=--load-list $IDFILE\n" +
			"test_list_option=--list\n"
	}
}

const header = "[" + defaultSection + "]\n"

// unittestCommand names the directory of the tests where discovery would not
// find it by itself: it only goes into packages.
func unittestCommand(dir string) string {
	for _, tests := range []string{"tests", "test"} {
		if has(dir, tests, "test*.py") && !has(dir, tests, "__init__.py") {
			return "test_command=python3 -m unittest discover -s " + tests + "\n"
		}
	}
	return "test_command=python3 -m unittest discover\n"
}

func usesPytest(dir string) bool {
	return has(dir, "pytest.ini") || has(dir, "conftest.py") || has(dir, "tests", "conftest.py") ||
		mentions(filepath.Join(dir, "pyproject.toml"), "[tool.pytest") ||
		mentions(filepath.Join(dir, "setup.cfg"), "[tool:pytest]") ||
		mentions(filepath.Join(dir, "tox.ini"), "[pytest]")
}

// has reports whether dir has a file like that. Only the last of names may be a
// pattern.
func has(dir string, names ...string) bool {
	last := len(names) - 1
	entries, err := os.ReadDir(filepath.Join(dir, filepath.Join(names[:last]...)))
	if err != nil {
		return false
	}
	for _, e := range entries {
		if ok, err := filepath.Match(names[last], e.Name()); ok && err == nil {
			return true
		}
	}
	return false
}

// mentions looks for text in a file's beginning. A file that can't be read
// mentions nothing.
func mentions(path, text string) bool {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxFile))
	return err == nil && bytes.Contains(data, []byte(text))
}
