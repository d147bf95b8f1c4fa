package worker

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// Kind is a way to run the tests of a command.
type Kind uint8

// The kinds.
const (
	KindInvalid Kind = iota
	// KindBatch is to run the command again and again, see Batch.
	KindBatch
	// KindPython is the built-in worker for Python.
	KindPython
	// KindGo is the built-in worker for Go.
	KindGo
	// KindPytest is the built-in worker for pytest.
	KindPytest
)

var kindNames = [...]string{"invalid", "batch", "python", "go", "pytest"}

// String returns the kind's name, which is the value of the option worker.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return kindNames[0]
}

// Detected is what a command turned out to be.
type Detected struct {
	Kind   Kind
	Runner string // what was found in it, such as "subunit.run", "go test" or "pytest"; may be empty
	Reason string // for a person: why it is no more than KindBatch; empty otherwise

	bare    bool   // see On
	assigns string // the source up to the command's first word, which sets variables
	head    string // from there up to the runner
	program string // the source of the runner if it is a program on its own, and Kind is KindPytest
	tail    string // what follows the runner, without testr's tokens
}

// Detect says which built-in worker can run the tests of a command: that of the
// runner in it, if the command is one simple shell command with one such runner.
// Everything else is run in batches.
func Detect(command string) Detected {
	words, reason := simpleCommand(command)
	if reason != "" {
		return Detected{Kind: KindBatch, Reason: reason}
	}
	runners := findRunners(words)
	switch {
	case len(runners) == 0:
		return Detected{Kind: KindBatch, Reason: "it has no test runner that testr knows"}
	case len(runners) > 1:
		return Detected{Kind: KindBatch, Reason: "it has more than one test runner"}
	}
	r := runners[0]
	d := Detected{Kind: r.kind, Runner: r.name, assigns: command[:words[0].start]}
	if d.Reason = r.reason; d.Reason != "" {
		return d
	}
	before := words[:r.first]
	if d.Reason = unfit(before); d.Reason == "" {
		d.head = command[words[0].start:words[r.first].start] + r.options
		d.tail, d.Reason = cutTokenWords(command, words[r.last-1:])
	}
	if r.program {
		d.program = command[words[r.first].start:words[r.first].end]
	}
	if token := firstToken(d.assigns + d.head); d.Reason == "" && token != "" {
		d.Reason = token + " stands before the test runner"
	}
	if d.Reason != "" {
		d.Kind = KindBatch
	}
	return d
}

// Python returns the command that runs, or lists, the tests of a KindPython
// command with the worker's script in the place of its runner. Everything else
// in it is left as it was, byte for byte; args come at its end. It is for
// /bin/sh -c, and the process of the shell becomes that of the worker.
func (d Detected) Python(script string, list bool, args []string) (string, error) {
	if d.Kind != KindPython {
		return "", fmt.Errorf("make a command for the python worker of a %s command", d.Kind)
	}
	words, err := quoteWords(script, "--runner", d.Runner)
	if err != nil {
		return "", err
	}
	command := d.start() + words + d.tail
	if list {
		command += " --list"
	}
	return appendArgs(command, args)
}

// Go is for a KindGo command what Python is for the other: "go test" becomes
// "testr worker go", where testr is the program to start. buildDir is where test
// binaries are built; empty leaves it to the worker.
func (d Detected) Go(testr, buildDir string, list bool, args []string) (string, error) {
	if d.Kind != KindGo {
		return "", fmt.Errorf("make a command for the go worker of a %s command", d.Kind)
	}
	words := []string{testr, "worker", "go"}
	if list {
		words = append(words, "--list")
	}
	if buildDir != "" {
		words = append(words, "--build-dir", buildDir)
	}
	quoted, err := quoteWords(append(words, "--")...)
	if err != nil {
		return "", err
	}
	return appendArgs(d.start()+quoted+d.tail, args)
}

// On returns d for another place. Where bare is true the commands are not for
// /bin/sh -c alone: they become words of another command, which may start them
// without a shell.
func (d Detected) On(bare bool) Detected {
	d.bare = bare
	return d
}

// start is the command up to its runner. The shell is replaced, so that signals
// reach the worker and not a shell that waits for it.
func (d Detected) start() string {
	if d.bare {
		return d.assigns + d.head
	}
	return d.assigns + "exec " + d.head
}

func quoteWords(words ...string) (string, error) {
	joined, err := appendArgs("", words)
	return strings.TrimPrefix(joined, " "), err
}

// word is a word of a simple command.
type word struct {
	node       *syntax.Word
	start, end int    // its place in the source
	value      string // what it means, if the shell changes nothing in it; else empty
}

// simpleCommand returns the words of a command without the assignments before
// them, or the reason why the command isn't simple enough.
func simpleCommand(command string) ([]word, string) {
	if len(command) > maxCommand {
		return nil, "it is too long"
	}
	file, err := parseShell(command)
	if err != nil {
		return nil, fmt.Sprintf("it doesn't parse as a shell command: %v", err)
	}
	if len(file.Stmts) != 1 {
		return nil, "it is not one simple shell command"
	}
	stmt := file.Stmts[0]
	call, ok := stmt.Cmd.(*syntax.CallExpr)
	if !ok || len(call.Args) == 0 || stmt.Negated || stmt.Background || stmt.Semicolon.IsValid() {
		return nil, "it is not one simple shell command"
	}
	if reason := notSimple(file); reason != "" {
		return nil, reason
	}
	// What is put behind such a command would be a part of its last word.
	if end := command[:call.Args[len(call.Args)-1].End().Offset()]; strings.HasSuffix(end, `\`) &&
		(len(end)-len(strings.TrimRight(end, `\`)))%2 == 1 {
		return nil, "it ends with a backslash"
	}
	words := make([]word, len(call.Args))
	for i, arg := range call.Args {
		words[i] = word{arg, int(arg.Pos().Offset()), int(arg.End().Offset()), staticValue(arg.Parts)}
	}
	return words, ""
}

// notSimple names what in a command goes beyond words and parameters.
func notSimple(file *syntax.File) (reason string) {
	syntax.Walk(file, func(node syntax.Node) bool {
		switch node.(type) {
		case nil, *syntax.File, *syntax.Stmt, *syntax.CallExpr, *syntax.Assign, *syntax.Word, *syntax.Lit,
			*syntax.SglQuoted, *syntax.DblQuoted, *syntax.ParamExp:
		case *syntax.Redirect:
			reason = "it has a redirection"
		case *syntax.CmdSubst:
			reason = "it has a command substitution"
		case *syntax.Comment:
			reason = "it has a comment"
		default:
			reason = "it has more than words and variables"
		}
		return reason == ""
	})
	return reason
}

// staticValue is what the parts of a word mean if that doesn't depend on
// anything; else it is empty.
func staticValue(parts []syntax.WordPart) string {
	var b strings.Builder
	for _, part := range parts {
		switch part := part.(type) {
		case *syntax.Lit:
			if strings.Contains(part.Value, `\`) {
				return ""
			}
			b.WriteString(part.Value)
		case *syntax.SglQuoted:
			b.WriteString(part.Value)
		case *syntax.DblQuoted:
			value := staticValue(part.Parts)
			if value == "" && len(part.Parts) > 0 {
				return ""
			}
			b.WriteString(value)
		default:
			return ""
		}
	}
	return b.String()
}

// Programs that run their arguments, but where this machine's files and testr's
// pipes don't reach.
var elsewhere = []string{"ssh", "docker", "podman", "kubectl", "lxc", "chroot", "vagrant", "xargs"}

// Words that only the shell itself knows: exec can't start them.
var shellWords = []string{".", ":", "alias", "break", "builtin", "cd", "command", "continue", "eval", "exec", "exit",
	"export", "read", "readonly", "return", "set", "shift", "source", "time", "times", "trap", "ulimit", "umask",
	"unset", "wait"}

// unfit says why the words before a runner keep a worker from taking its place.
func unfit(before []word) string {
	for i, w := range before {
		switch name := path.Base(w.value); {
		case w.value == "":
		case i == 0 && slices.Contains(shellWords, w.value):
			return fmt.Sprintf("it begins with the shell's own %q", w.value)
		case slices.Contains(elsewhere, name):
			return fmt.Sprintf("its test runner is started by %q", name)
		}
	}
	return ""
}
