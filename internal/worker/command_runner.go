package worker

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// The modules that run tests and that the Python worker can take the place of.
var pythonRunners = []string{"subunit.run", "testtools.run", "unittest", "stestr.subunit_runner.run"}

// The names of pytest, as a module and as a program.
var (
	pytestModules  = []string{"pytest", "py.test"}
	pytestPrograms = []string{"pytest", "py.test", "pytest-3", "py.test-3"}
)

// Programs that run their arguments, after options of their own, and those that
// do so after the word run. They are those of which pytest is commonly an
// argument.
var (
	launchers    = []string{"env", "nice", "ionice", "timeout", "stdbuf", "setsid", "xvfb-run", "dbus-run-session"}
	runLaunchers = []string{"poetry", "pipenv", "pdm", "uv"}
)

// runner is a test runner in a command: words first up to last, last excluded,
// are those that a worker takes the place of.
type runner struct {
	kind        Kind
	name        string
	reason      string // why there is no worker for it; then kind is KindBatch
	first, last int
	options     string // of the interpreter, out of the same word as -m
	program     bool   // it is started by its own name
}

// findRunners returns the runners in a command. Those that are a program on
// their own count only if there is no other: their names are also those of
// directories.
func findRunners(words []word) []runner {
	var found []runner
	for i := range words {
		if r, ok := pythonRunner(words, i); ok {
			found = append(found, r)
		}
		if i+1 < len(words) && words[i].value == "go" && words[i+1].value == "test" {
			found = append(found, runner{kind: KindGo, name: "go test", first: i, last: i + 2})
		}
	}
	if len(found) > 0 {
		return found
	}
	for i, w := range words {
		if r, ok := programRunner(words[:i], programName(w.node.Parts)); ok {
			r.first, r.last = i, i+1
			return []runner{r}
		}
	}
	return nil
}

// programRunner recognises a runner that is a program on its own, behind the
// words before it.
func programRunner(before []word, name string) (runner, bool) {
	r := runner{kind: KindBatch, name: name}
	switch {
	case name == "stestr":
		r.reason = "this version of testr has no built-in worker for stestr"
	case !slices.Contains(pytestPrograms, name):
		return r, false
	case launched(before):
		r.kind, r.program = KindPytest, true
	default:
		r.reason = fmt.Sprintf("testr can't tell whether %s is what it starts", name)
	}
	return r, true
}

// launched reports whether the word after these is a program that is started.
func launched(before []word) bool {
	if len(before) == 0 || slices.Contains(launchers, path.Base(before[0].value)) {
		return true
	}
	return len(before) > 1 && before[1].value == "run" && slices.Contains(runLaunchers, path.Base(before[0].value))
}

// programName returns the name that a word would start a program by, without its
// directory, or nothing if that may turn out to be another.
func programName(parts []syntax.WordPart) string {
	if len(parts) == 0 {
		return ""
	}
	last := parts[len(parts)-1]
	if quoted, ok := last.(*syntax.DblQuoted); ok && len(parts) == 1 {
		return programName(quoted.Parts)
	}
	end := staticValue([]syntax.WordPart{last})
	if len(parts) > 1 && !strings.Contains(end, "/") {
		return ""
	}
	return path.Base(end)
}

// pythonRunner recognises an interpreter at words[i], its options, and -m with a
// module that runs tests.
func pythonRunner(words []word, i int) (runner, bool) {
	if !interpreter(words[i].node.Parts) {
		return runner{}, false
	}
	for i++; i < len(words); i++ {
		opt := parseOption(words[i].value)
		switch opt.kind {
		case noOption:
			return runner{}, false
		case flags:
			continue
		}
		first, value := i, opt.value
		if value == "" {
			if i++; i == len(words) {
				return runner{}, false
			}
			value = words[i].value
		}
		if opt.kind == takesValue {
			continue
		}
		r := runner{kind: KindPython, name: value, first: first, last: i + 1, options: opt.before}
		if slices.Contains(pytestModules, value) {
			r.kind = KindPytest
		} else if !slices.Contains(pythonRunners, value) {
			return runner{}, false
		}
		return r, true
	}
	return runner{}, false
}

// interpreter reports whether a word names a Python: "python", a path to
// "python3.11", "$PYTHON", "${PYTHON:-python}" or "$VENV/bin/pypy3".
func interpreter(parts []syntax.WordPart) bool {
	if len(parts) == 0 {
		return false
	}
	switch last := parts[len(parts)-1].(type) {
	case *syntax.Lit:
		return namesPython(last.Value)
	case *syntax.SglQuoted:
		return namesPython(last.Value)
	case *syntax.DblQuoted:
		return interpreter(last.Parts)
	case *syntax.ParamExp:
		if last.Param != nil && last.Exp == nil && !last.Length {
			return strings.HasPrefix(last.Param.Value, "PYTHON")
		}
		if last.Exp == nil || last.Exp.Word == nil {
			return false
		}
		switch last.Exp.Op {
		case syntax.DefaultUnset, syntax.DefaultUnsetOrNull, syntax.AssignUnset, syntax.AssignUnsetOrNull:
			return interpreter(last.Exp.Word.Parts)
		}
	}
	return false
}

// namesPython reports whether a name or a path ends in "python" or "pypy" and a
// version.
func namesPython(name string) bool {
	name = strings.TrimRight(name, "0123456789.")
	return strings.HasSuffix(name, "python") || strings.HasSuffix(name, "pypy")
}

type optionKind uint8

const (
	noOption   optionKind = iota
	flags                 // has no value
	takesValue            // such as -W; the value is in the next word if it isn't in this one
	module                // -m; likewise
)

// option is a word with options of the Python interpreter.
type option struct {
	kind   optionKind
	value  string
	before string // the flags before -m in the same word, as a word of their own with a space after it
}

// parseOption reads a word as the interpreter would.
func parseOption(word string) option {
	if word == "--check-hash-based-pycs" {
		return option{kind: takesValue}
	}
	if len(word) < 2 || word[0] != '-' || word[1] == '-' {
		return option{}
	}
	for i := 1; i < len(word); i++ {
		switch {
		case strings.IndexByte("BbdEIOPqRsSuvx", word[i]) >= 0:
		case word[i] == 'W' || word[i] == 'X':
			return option{kind: takesValue, value: word[i+1:]}
		case word[i] == 'm':
			opt := option{kind: module, value: word[i+1:]}
			if i > 1 {
				opt.before = word[:i] + " "
			}
			return opt
		default:
			return option{}
		}
	}
	return option{kind: flags}
}

// cutTokenWords returns the source from the end of a runner's last word,
// words[0], to the end of the last word, without testr's tokens: a built-in
// worker is told in another way what to run. The reason says why that isn't
// possible.
func cutTokenWords(command string, words []word) (tail, reason string) {
	var b strings.Builder
	from := words[0].end
	for i, w := range words[1:] {
		source := command[w.start:w.end]
		token := firstToken(source)
		if token == "" {
			continue
		}
		start := w.start
		switch {
		case source == tokenIDFile && words[i].value == loadList:
			start = words[i].start
		case source != token && source != loadList+"="+tokenIDFile:
			return "", fmt.Sprintf("%s is no word of its own in it", token)
		}
		b.WriteString(command[from:start])
		from = w.end
	}
	b.WriteString(command[from:words[len(words)-1].end])
	return b.String(), ""
}

// loadList is the option that takes $IDFILE in all runners of pythonRunners.
const loadList = "--load-list"

// firstToken returns the first of testr's tokens in text, if any.
func firstToken(text string) string {
	for _, p := range cutTokens(text) {
		if p.token != "" {
			return p.token
		}
	}
	return ""
}
