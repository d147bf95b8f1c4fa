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

// Runners that testr knows and has no worker for.
var laterRunners = []string{"pytest", "py.test", "stestr"}

// runner is a test runner in a command: words first up to last, last excluded,
// are those that a worker takes the place of.
type runner struct {
	kind        Kind // KindBatch for those that testr has no worker for
	name        string
	first, last int
	options     string // of the interpreter, out of the same word as -m
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
	for _, w := range words {
		if name := path.Base(w.value); slices.Contains(laterRunners, name) {
			return []runner{{kind: KindBatch, name: name}}
		}
	}
	return nil
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
		if slices.Contains(laterRunners, value) {
			r.kind = KindBatch
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
