package worker

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
)

//go:embed python/testr_pytest.py
var pytestSource string

// WritePytest makes a directory, which must not exist yet, with the streaming
// worker for pytest in it, and returns its files: a plugin for pytest 6.2 and
// later, and the worker for Python, parts of which it uses. Detected.Pytest makes
// the commands that load it.
func WritePytest(dir string) (files []string, err error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, fmt.Errorf("bring the worker for pytest: %w", err)
	}
	for _, f := range []struct{ name, source string }{
		{pytestScript, pytestSource}, {"testr_worker.py", pythonSource}} {
		file := filepath.Join(dir, f.name)
		if err := os.WriteFile(file, []byte(f.source), 0o600); err != nil {
			return nil, fmt.Errorf("bring the worker for pytest: %w", err)
		}
		files = append(files, file)
	}
	return files, nil
}

const (
	pytestScript = "testr_pytest.py"
	pytestPlugin = "testr_pytest"
	pytestList   = "--testr-list"
)

// pytestPath starts a program with a directory, $0, before all others that
// Python looks for modules in.
const pytestPath = `PYTHONPATH="$0${PYTHONPATH:+:$PYTHONPATH}" exec "$@"`

// Pytest is for a KindPytest command what Python is for the other. dir is an
// absolute path to what WritePytest wrote.
//
// Where the command has "python -m pytest", the worker is a script in its place.
// Any other way to start pytest may go through scripts that choose an
// interpreter (pyenv, poetry run, an installer's own): it is left as it is, and
// the worker is a plugin, found by a PYTHONPATH that is set right before pytest
// starts and taken back once the plugin is there.
func (d Detected) Pytest(dir string, list bool, args []string) (string, error) {
	if d.Kind != KindPytest {
		return "", fmt.Errorf("make a command for the pytest worker of a %s command", d.Kind)
	}
	words := []string{filepath.Join(dir, pytestScript)}
	if d.program != "" {
		words = []string{"sh", "-c", pytestPath, dir}
	}
	command, err := quoteWords(words...)
	if err != nil {
		return "", err
	}
	if d.program != "" {
		command += " " + d.program + " -p " + pytestPlugin
	}
	if list {
		command += " " + pytestList
	}
	return appendArgs(d.start()+command+d.tail, args)
}
