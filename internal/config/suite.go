package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// The values of Suite.Worker.
const (
	WorkerAuto   = "auto"   // what fits the command
	WorkerStream = "stream" // the command takes ids from its stdin
	WorkerBatch  = "batch"  // the command is run again and again, with some ids each time
	WorkerPython = "python" // the built-in worker for Python
	WorkerGo     = "go"     // the built-in worker for Go
	WorkerPytest = "pytest" // the built-in worker for pytest
	WorkerTap    = "tap"    // the built-in worker for scripts that write TAP
)

var workers = []string{WorkerAuto, WorkerStream, WorkerBatch, WorkerPython, WorkerGo, WorkerPytest, WorkerTap}

// Suite is how tests are listed and run. Values that the configuration doesn't set
// are zero.
type Suite struct {
	TestCommand       Value
	TestIDOption      Value
	TestIDListDefault Value
	TestListOption    Value

	GroupRegex    *regexp.Regexp // what Group uses without ParallelClass; nil if there is none
	ParallelClass bool           // the tests of a class are a group

	Timeout time.Duration // how long a test may take; 0 for as long as it likes
	Slow    time.Duration // how long a test may take before people are told; 0 for any time
	Retries int           // how often a test that failed is run again

	Worker        string // one of the Worker constants
	WorkerLine    int    // 0 if the option isn't set
	WorkerCommand Value
}

// Grouped reports whether there are tests that must stay together.
func (s *Suite) Grouped() bool { return s.ParallelClass || s.GroupRegex != nil }

// Group returns what the tests that must stay together have in common: their
// class, or the part of id that group_regex matches at its beginning. The empty
// string means that the test is on its own.
func (s *Suite) Group(id string) string {
	switch {
	case s.ParallelClass:
		return class(id)
	case s.GroupRegex != nil:
		return s.GroupRegex.FindString(id)
	}
	return ""
}

// suiteOptions are those that make a Suite. A profile may have its own.
var suiteOptions = []string{
	"test_command", "test_id_option", "test_id_list_default", "test_list_option",
	"group_regex", "worker", "worker_command", "parallel_class", "timeout", "slow", "retries",
}

// suite reads the options of the loader's section, or else of [DEFAULT].
func (l *loader) suite() (s Suite) {
	s.TestCommand = l.command("test_command")
	s.TestIDOption = l.command("test_id_option")
	s.TestIDListDefault = l.command("test_id_list_default")
	s.TestListOption = l.command("test_list_option")
	s.WorkerCommand = l.command("worker_command")
	s.GroupRegex = l.groupRegex()
	s.ParallelClass = l.parallelClass()
	s.Timeout = l.duration("timeout", 0)
	s.Slow = l.duration("slow", DefaultSlow)
	s.Retries = l.count("retries")
	l.worker(&s)
	l.variables(&s)
	return s
}

func (l *loader) groupRegex() *regexp.Regexp {
	v := l.value("group_regex")
	if v.Text == "" {
		return nil
	}
	// On its own first: "a)(b" must not become right by being put in brackets.
	re, err := regexp.Compile(v.Text)
	if err == nil {
		re, err = regexp.Compile(`\A(?:` + v.Text + `)`)
	}
	if err != nil {
		l.fail(v.Line, fmt.Sprintf("option %q: %v", "group_regex", err),
			"the syntax is RE2: it has no look-around and no back references")
		return nil
	}
	return re
}

func (l *loader) worker(s *Suite) {
	s.Worker = WorkerAuto
	v := l.value("worker")
	switch {
	case v.Text == "":
	case slices.Contains(workers, v.Text):
		s.Worker, s.WorkerLine = v.Text, v.Line
	default:
		l.fail(v.Line, fmt.Sprintf("worker %q is not known%s", v.Text, didYouMean(v.Text, workers...)),
			"the workers are "+strings.Join(workers, ", "))
	}
	if command := s.WorkerCommand; command.Set() && s.Worker != WorkerStream {
		l.warn(command.Line, `option "worker_command" has no effect without worker=stream`)
	}
}

// variables checks that what the commands refer to is there.
func (l *loader) variables(s *Suite) {
	if strings.Contains(s.TestCommand.Text, "$IDOPTION") && !s.TestIDOption.Set() {
		l.fail(s.TestCommand.Line, `"test_command" has $IDOPTION, but "test_id_option" is not set`,
			"add a line such as test_id_option=--load-list $IDFILE")
	}
	id := s.TestIDOption
	if id.Set() && !strings.Contains(id.Text, "$IDFILE") && !strings.Contains(id.Text, "$IDLIST") {
		l.warn(id.Line, `"test_id_option" has neither $IDFILE nor $IDLIST: no tests can be selected with it`)
	}
	if s.TestListOption.Set() {
		return
	}
	for name, v := range map[string]Value{"test_command": s.TestCommand, "worker_command": s.WorkerCommand} {
		if strings.Contains(v.Text, "$LISTOPT") {
			l.fail(v.Line, fmt.Sprintf(`%q has $LISTOPT, but "test_list_option" is not set`, name),
				"add a line such as test_list_option=--list")
		}
	}
}
