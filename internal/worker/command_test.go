package worker

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPythonCommand(t *testing.T) {
	tests := []struct{ name, command, want string }{
		{"subunit.run", "python -m subunit.run discover . $LISTOPT $IDOPTION",
			"exec python /w.py --runner subunit.run discover .  "},
		{"testtools.run", "python3 -m testtools.run a.test_suite", "exec python3 /w.py --runner testtools.run a.test_suite"},
		{"unittest", "python3.11 -m unittest", "exec python3.11 /w.py --runner unittest"},
		{"stestr's runner", `${PYTHON:-python} -m stestr.subunit_runner.run discover -t "./" "tests" $LISTOPT $IDOPTION`,
			`exec ${PYTHON:-python} /w.py --runner stestr.subunit_runner.run discover -t "./" "tests"  `},
		{"assignments", `A=${A:-1} B='x  y' python -m unittest`, `A=${A:-1} B='x  y' exec python /w.py --runner unittest`},
		{"the way of OpenStack",
			"OS_STDOUT_CAPTURE=${OS_STDOUT_CAPTURE:-1} \\\n  OS_TEST_TIMEOUT=${OS_TEST_TIMEOUT:-60} \\\n" +
				"  ${PYTHON:-python} -m subunit.run discover -t ./ ${OS_TEST_PATH:-./nova/tests} $LISTOPT $IDOPTION",
			"OS_STDOUT_CAPTURE=${OS_STDOUT_CAPTURE:-1} \\\n  OS_TEST_TIMEOUT=${OS_TEST_TIMEOUT:-60} \\\n" +
				"  exec ${PYTHON:-python} /w.py --runner subunit.run discover -t ./ ${OS_TEST_PATH:-./nova/tests}  "},
		{"paths of interpreters", ".tox/py34/bin/python -m unittest", "exec .tox/py34/bin/python /w.py --runner unittest"},
		{"from a variable's directory", "$VENV/bin/pypy3 -m unittest", "exec $VENV/bin/pypy3 /w.py --runner unittest"},
		{"a plain variable", `"$PYTHON" -m unittest`, `exec "$PYTHON" /w.py --runner unittest`},
		{"nested defaults", `"${PY:-${VENV}/bin/python}" -m unittest`,
			`exec "${PY:-${VENV}/bin/python}" /w.py --runner unittest`},
		{"quoted words", `'/a b/python' '-m' "unittest" 'x  y' \$z "a\"b"`,
			`exec '/a b/python' /w.py --runner unittest 'x  y' \$z "a\"b"`},
		{"options", "python -W ignore -X dev -Wd -Es -u -bb --check-hash-based-pycs always -m unittest -v",
			"exec python -W ignore -X dev -Wd -Es -u -bb --check-hash-based-pycs always /w.py --runner unittest -v"},
		{"options joined with -m", "python -um unittest a", "exec python -u /w.py --runner unittest a"},
		{"module joined with -m", "python -Esmunittest a", "exec python -Es /w.py --runner unittest a"},
		{"a wrapper", "env A=1 timeout 60 python -m unittest", "exec env A=1 timeout 60 python /w.py --runner unittest"},
		{"ids in the command", "python -m testtools.run $LISTOPT --load-list $IDFILE a",
			"exec python /w.py --runner testtools.run   a"},
		{"ids in one word", "python -m testtools.run --load-list=$IDFILE a $IDLIST",
			"exec python /w.py --runner testtools.run  a "},
		{"names of other runners", "python -m unittest discover tests/pytest stestr",
			"exec python /w.py --runner unittest discover tests/pytest stestr"},
		{"globs and tildes", "python -m unittest ~/x/*.py", "exec python /w.py --runner unittest ~/x/*.py"},
		{"ends with a newline", "python -m unittest \\\n", "exec python /w.py --runner unittest"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := Detect(test.command)
			if d.Kind != KindPython || d.Reason != "" {
				t.Fatalf("got %v, %q; want python", d.Kind, d.Reason)
			}
			got, err := d.Python("/w.py", false, nil)
			if err != nil || got != test.want {
				t.Errorf("got %q, %v; want %q", got, err, test.want)
			}
			got, err = d.Python("/w.py", true, []string{"-x", "a b"})
			if want := test.want + " --list -x 'a b'"; err != nil || got != want {
				t.Errorf("got %q, %v to list; want %q", got, err, want)
			}
			if _, err := d.Go("testr", "", false, nil); err == nil {
				t.Error("got a command of the go worker; want an error")
			}
		})
	}
}

func TestGoCommand(t *testing.T) {
	tests := []struct{ name, command, want, list string }{
		{"plain", "go test ./...", "exec '/a b/testr' worker go -- ./...",
			"exec '/a b/testr' worker go --list --build-dir /tmp/b -- ./... -short"},
		{"nothing after it", "go test", "exec '/a b/testr' worker go --",
			"exec '/a b/testr' worker go --list --build-dir /tmp/b -- -short"},
		{"assignments and tokens", `CGO_ENABLED=${C:-1} go test -race -tags 'a b' $LISTOPT ./... $IDOPTION -args x`,
			`CGO_ENABLED=${C:-1} exec '/a b/testr' worker go -- -race -tags 'a b'  ./...  -args x`,
			`CGO_ENABLED=${C:-1} exec '/a b/testr' worker go --list --build-dir /tmp/b -- ` +
				`-race -tags 'a b'  ./...  -args x -short`},
		{"env", "env A=1 go test", "exec env A=1 '/a b/testr' worker go --",
			"exec env A=1 '/a b/testr' worker go --list --build-dir /tmp/b -- -short"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := Detect(test.command)
			if d.Kind != KindGo || d.Runner != "go test" || d.Reason != "" {
				t.Fatalf("got %v, %q, %q; want go", d.Kind, d.Runner, d.Reason)
			}
			got, err := d.Go("/a b/testr", "", false, nil)
			if err != nil || got != test.want {
				t.Errorf("got %q, %v; want %q", got, err, test.want)
			}
			got, err = d.Go("/a b/testr", "/tmp/b", true, []string{"-short"})
			if err != nil || got != test.list {
				t.Errorf("got %q, %v to list; want %q", got, err, test.list)
			}
			if _, err := d.Python("/w.py", false, nil); err == nil {
				t.Error("got a command of the python worker; want an error")
			}
		})
	}
}

func TestBatchCommands(t *testing.T) {
	const notOne = "it is not one simple shell command"
	tests := []struct{ name, command, runner, reason string }{
		{"nothing", "", "", notOne},
		{"white space", " \n\t", "", notOne},
		{"assignments alone", "A=1", "", notOne},
		{"other program", "./run-tests $LISTOPT", "", "it has no test runner that testr knows"},
		{"other module", "python -m nose", "", "it has no test runner that testr knows"},
		{"script", "python unittest", "", "it has no test runner that testr knows"},
		{"code", "python -c 'x' -m unittest", "", "it has no test runner that testr knows"},
		{"options at run time", "python $OPTS -m unittest", "", "it has no test runner that testr knows"},
		{"module at run time", "python -m $MODULE", "", "it has no test runner that testr knows"},
		{"no module", "python -W error -m", "", "it has no test runner that testr knows"},
		{"no python", "perl -m unittest", "", "it has no test runner that testr knows"},
		{"length of a variable", "${#PYTHON} -m unittest", "", "it has no test runner that testr knows"},
		{"another go", "/usr/local/go/bin/go test ./...", "", "it has no test runner that testr knows"},
		{"go does something else", "go vet ./...", "", "it has no test runner that testr knows"},
		{"runner in a shell's string", "sh -c 'python -m unittest'", "", "it has no test runner that testr knows"},
		{"pytest as a target", "make pytest", "pytest", "testr can't tell whether pytest is what it starts"},
		{"pytest as a directory", "./run lib/pytest", "pytest", "testr can't tell whether pytest is what it starts"},
		{"a tool's pytest", "uv tool run pytest", "pytest", "testr can't tell whether pytest is what it starts"},
		{"pytest in a container", "docker run x pytest", "pytest", "testr can't tell whether pytest is what it starts"},
		{"pytest elsewhere", "env ssh host pytest", "pytest", `its test runner is started by "ssh"`},
		{"pytest and unittest", "python -m pytest python -m unittest", "", "it has more than one test runner"},
		{"a name that ends in pytest", `"$X"pytest`, "", "it has no test runner that testr knows"},
		{"stestr", "stestr run", "stestr", "this version of testr has no built-in worker for stestr"},
		{"two runners", "python -m unittest a python -m unittest b", "", "it has more than one test runner"},
		{"two kinds", "go test x python -m unittest", "", "it has more than one test runner"},
		{"pipe", "python -m subunit.run | subunit-filter", "", notOne},
		{"and", "cd x && python -m unittest", "", notOne},
		{"or", "python -m unittest || true", "", notOne},
		{"two commands", "cd x; python -m unittest", "", notOne},
		{"semicolon", "python -m unittest;", "", notOne},
		{"two lines", "A=1\npython -m unittest", "", notOne},
		{"background", "python -m unittest &", "", notOne},
		{"negated", "! python -m unittest", "", notOne},
		{"subshell", "(python -m unittest)", "", notOne},
		{"group", "{ python -m unittest; }", "", notOne},
		{"if", "if true; then python -m unittest; fi", "", notOne},
		{"function", "python() { python -m unittest; }", "", notOne},
		{"redirection", "python -m unittest 2>&1", "", "it has a redirection"},
		{"redirection first", "<x python -m unittest", "", "it has a redirection"},
		{"here document", "python -m unittest <<X\nX\n", "", "it has a redirection"},
		{"command substitution", "python -m unittest $(ls)", "", "it has a command substitution"},
		{"backquotes", "python -m unittest `ls`", "", "it has a command substitution"},
		{"substitution in quotes", `python -m unittest "a $(ls)"`, "", "it has a command substitution"},
		{"substitution in a default", `A=${A:-$(ls)} python -m unittest`, "", "it has a command substitution"},
		{"arithmetic", "python -m unittest $((1+1))", "", "it has more than words and variables"},
		{"open end", `python -m unittest a\\\`, "", "it ends with a backslash"},
		{"comment", "python -m unittest # all of it", "", "it has a comment"},
		{"comment before", "# all of it\npython -m unittest", "", "it has a comment"},
		{"comment after", "python -m unittest\n# all of it", "", "it has a comment"},
		{"on another machine", "ssh host python -m unittest", "unittest", `its test runner is started by "ssh"`},
		{"in a container", "/usr/bin/docker run -i x python -m unittest", "unittest",
			`its test runner is started by "docker"`},
		{"builtin", "command python -m unittest", "unittest", `it begins with the shell's own "command"`},
		{"exec", "exec go test", "go test", `it begins with the shell's own "exec"`},
		{"token before", "A=$IDFILE python -m unittest", "unittest", "$IDFILE stands before the test runner"},
		{"token as a program", "$LISTOPT python -m unittest", "unittest", "$LISTOPT stands before the test runner"},
		{"token in quotes", `python -m unittest "$IDLIST"`, "unittest", "$IDLIST is no word of its own in it"},
		{"token in a word", "python -m unittest -l$IDFILE", "unittest", "$IDFILE is no word of its own in it"},
		{"token with a tail", "python -m unittest $LISTOPTS", "unittest", "$LISTOPT is no word of its own in it"},
		{"unfinished", "python -m unittest 'x", "",
			"it doesn't parse as a shell command: 1:20: reached EOF without closing quote `'`"},
		{"long", "python -m unittest " + strings.Repeat("x", maxCommand), "", "it is too long"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := Detect(test.command)
			if d.Kind != KindBatch || d.Runner != test.runner || d.Reason != test.reason {
				t.Errorf("got %v, %q, %q; want batch, %q, %q", d.Kind, d.Runner, d.Reason, test.runner, test.reason)
			}
		})
	}
}

// TestRewrittenCommandRuns has the shell say what a rewritten command starts.
func TestRewrittenCommandRuns(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	program(t, filepath.Join(dir, "a b", "python3"), `printf '%s\0' "$A" "$@"`)
	t.Setenv("DIR", filepath.Join(dir, "a b"))
	args := []string{"-k", "it's $(touch x) `touch y`\n;touch z", "*", "", "\\"}
	d := Detect(`A="x  ${B:-y}" "$DIR/python3" -Wignore -um subunit.run 'p  q' \$r "${C:-s t}" $LISTOPT $IDOPTION`)
	command, err := d.Python("/tmp/it's.py", true, args)
	if err != nil {
		t.Fatal(err)
	}
	want := append([]string{"x  y", "-Wignore", "-u", "/tmp/it's.py", "--runner", "subunit.run", "p  q", "$r", "s t",
		"--list"}, args...)
	if diff := cmp.Diff(want, runShell(t, shell(command))); diff != "" {
		t.Errorf("arguments differ (-want +got):\n%s", diff)
	}
	if left := names(t, dir); len(left) != 1 {
		t.Errorf("got files %q; want only the program's directory", left)
	}
}

// FuzzDetect holds that Detect doesn't panic, and that what it rewrote is still
// one simple command, with the script in it as a word of its own.
func FuzzDetect(f *testing.F) {
	f.Add("A=${A:-1} ${PYTHON:-python} -um subunit.run discover -t ./ . $LISTOPT $IDOPTION")
	f.Add("env A='x' go test -race ./... \\\n $IDLIST")
	f.Add("python -m unittest \"a $(b)\" `c` <<X\n$((1))\nX\n")
	f.Add(`pytest \`)
	f.Add("A=1 env B=$A pytest -k 'a or b' $LISTOPT")
	f.Add("python -m unittest --load-list $IDFILE --load-list=$IDFILE ~ * \\$x 'y\" z'")
	f.Fuzz(func(t *testing.T, command string) {
		var rewritten string
		var err error
		d := Detect(command)
		switch d.Kind {
		case KindPython:
			rewritten, err = d.Python("THE SCRIPT", true, []string{"AN ARG"})
		case KindGo:
			rewritten, err = d.Go("THE SCRIPT", "", true, []string{"AN ARG"})
		case KindPytest:
			rewritten, err = d.Pytest("THE SCRIPT", true, []string{"AN ARG"})
		case KindBatch:
			if d.Reason == "" {
				t.Error("got a batch command without a reason")
			}
			return
		}
		if err != nil {
			return // too long
		}
		words, reason := simpleCommand(rewritten)
		if reason != "" {
			t.Fatalf("%q became %q: %s", command, rewritten, reason)
		}
		if words[0].value != "exec" || words[len(words)-1].value != "AN ARG" {
			t.Errorf("%q became %q; want exec first and the argument last", command, rewritten)
		}
		scripts := 0
		for _, w := range words {
			if strings.HasPrefix(w.value, "THE SCRIPT") {
				scripts++
			}
		}
		if scripts != 1 {
			t.Errorf("%q became %q; want the script in it once", command, rewritten)
		}
	})
}

func TestStreamCommands(t *testing.T) {
	suite := Template{Command: "suite $LISTOPT $IDOPTION", IDOption: "--load-list $IDFILE", ListOption: "--names"}
	tests := []struct {
		name      string
		worker    string
		template  Template
		args      []string
		run, list string
		err       string
	}{
		{"worker_command lists", "serve $LISTOPT -v", suite, []string{"a b"},
			"serve  -v 'a b'", "serve --names -v 'a b'", ""},
		{"test_command lists", "serve $IDFILE", suite, nil, "serve ", "suite --names ", ""},
		{"test_command is the worker", "", suite, nil, "suite  ", "suite --names ", ""},
		{"the worker has --list", "serve", Template{Command: "suite"}, []string{"x"}, "serve x", "serve --list x", ""},
		{"neither has $LISTOPT", "", Template{Command: "suite"}, nil, "suite", "suite --list", ""},
		{"no test_list_option", "", Template{Command: "suite $LISTOPT"}, nil, "", "",
			"a command has $LISTOPT, but the option test_list_option is not set"},
		{"no command", "", Template{}, nil, "", "", "worker=stream needs the option worker_command or test_command"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			run, list, err := StreamCommands(test.worker, test.template, test.args)
			if got := errText(err); run != test.run || list != test.list || got != test.err {
				t.Errorf("got %q, %q, %s; want %q, %q, %s", run, list, got, test.run, test.list, test.err)
			}
		})
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// program writes an executable shell script.
func program(t *testing.T, path, script string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

// runShell runs a program and returns what it printed, cut at its NULs.
func runShell(t *testing.T, argv []string) []string {
	t.Helper()
	words := strings.Split(shellOutput(t, argv), "\x00")
	return words[:len(words)-1]
}

// shellOutput runs a program and returns what it printed.
func shellOutput(t *testing.T, argv []string) string {
	t.Helper()
	out, err := exec.Command(argv[0], argv[1:]...).Output()
	if err != nil {
		t.Fatalf("run %.200q: %v", argv, err)
	}
	return string(out)
}

// mode returns a file's mode.
func mode(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode()
}

// names returns the names in a directory.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := make([]string, len(entries))
	for i, e := range entries {
		all[i] = e.Name()
	}
	return all
}
