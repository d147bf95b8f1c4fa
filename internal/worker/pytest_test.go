package worker

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPytestCommand(t *testing.T) {
	const shell = `sh -c 'PYTHONPATH="$0${PYTHONPATH:+:$PYTHONPATH}" exec "$@"' '/a b' `
	const plugin = " -p testr_pytest"
	tests := []struct{ name, command, before, after string }{
		{"module", "python -m pytest -k 'a or b' tests", "exec python '/a b/testr_pytest.py'", " -k 'a or b' tests"},
		{"old name of the module", "python3 -Wd -m py.test", "exec python3 -Wd '/a b/testr_pytest.py'", ""},
		{"assignments", `A=${A:-1} "$PYTHON" -um pytest x`, `A=${A:-1} exec "$PYTHON" -u '/a b/testr_pytest.py'`, " x"},
		{"tokens", "python -m pytest $LISTOPT -x --load-list $IDFILE a $IDOPTION",
			"exec python '/a b/testr_pytest.py'", "  -x  a "},
		{"module behind a launcher", "poetry run python -m pytest", "exec poetry run python '/a b/testr_pytest.py'", ""},
		{"program", "pytest -q $LISTOPT tests", "exec " + shell + "pytest" + plugin, " -q  tests"},
		{"program with assignments", "A=1 PYTHONPATH=src pytest", "A=1 PYTHONPATH=src exec " + shell + "pytest" + plugin, ""},
		{"path", "./.venv/bin/pytest", "exec " + shell + "./.venv/bin/pytest" + plugin, ""},
		{"variable", `"${VENV:-.venv}/bin/py.test" x`, "exec " + shell + `"${VENV:-.venv}/bin/py.test"` + plugin, " x"},
		{"Debian's name", "/usr/bin/pytest-3", "exec " + shell + "/usr/bin/pytest-3" + plugin, ""},
		{"program with a directory of its name", "pytest tests/pytest", "exec " + shell + "pytest" + plugin, " tests/pytest"},
		{"env", "env -i A=1 pytest", "exec env -i A=1 " + shell + "pytest" + plugin, ""},
		{"limit", "timeout 60 pytest", "exec timeout 60 " + shell + "pytest" + plugin, ""},
		{"uv", "uv run --with x pytest -q", "exec uv run --with x " + shell + "pytest" + plugin, " -q"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := Detect(test.command)
			if d.Kind != KindPytest || d.Reason != "" {
				t.Fatalf("got %v, %q; want pytest", d.Kind, d.Reason)
			}
			got, err := d.Pytest("/a b", false, nil)
			if want := test.before + test.after; err != nil || got != want {
				t.Errorf("got %q, %v; want %q", got, err, want)
			}
			got, err = d.Pytest("/a b", true, []string{"-m", "a b"})
			if want := test.before + " --testr-list" + test.after + " -m 'a b'"; err != nil || got != want {
				t.Errorf("got %q, %v to list; want %q", got, err, want)
			}
		})
	}
	if _, err := Detect("go test").Pytest("/a b", false, nil); err == nil {
		t.Error("got a command of the pytest worker for go test; want an error")
	}
}

func TestWritePytest(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pytest")
	if _, err := WritePytest(dir); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"testr_pytest.py", "testr_worker.py"}, names(t, dir)); diff != "" {
		t.Errorf("files differ (-want +got):\n%s", diff)
	}
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("got %v, %v; want a directory that nobody else can use", info.Mode(), err)
	}
	if _, err := WritePytest(dir); err == nil {
		t.Error("got no error for a directory that exists")
	}
}
