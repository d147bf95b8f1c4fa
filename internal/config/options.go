package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// The options of [DEFAULT] that this version acts on.
var options = []string{
	"test_command", "test_id_option", "test_id_list_default", "test_list_option", "test_run_concurrency",
	"filter_tags", "group_regex", "instance_provision", "instance_execute", "instance_dispose",
	"worker", "worker_command", "parallel_class", "timeout", "slow", "retries",
	"provision_timeout", "dispose_timeout", "instance_idle",
}

// The options of [DEFAULT] that are recognised only.
var laterOptions = []string{
	"profiles", "file_hook", "keep_runs", "keep_days",
}

// The options of sections [profile NAME], which are recognised only.
var profileOptions = slices.Concat(options, laterOptions, []string{"tags"})

const unsupported = "not supported in this version of testr; it has no effect"

// loader fills a Config from a parsed file.
type loader struct {
	file    *file
	config  *Config
	section *section // whose options value returns
	errs    *Errors
	said    map[Error]bool // errors and warnings so far
}

// in returns a loader of a section, that is for the same Config.
func (l *loader) in(s *section) *loader {
	in := *l
	in.section = s
	return &in
}

func (l *loader) load() {
	c := l.config
	c.TestCommand = l.command("test_command")
	c.TestIDOption = l.command("test_id_option")
	c.TestIDListDefault = l.command("test_id_list_default")
	c.TestListOption = l.command("test_list_option")
	c.TestRunConcurrency = l.command("test_run_concurrency")
	c.WorkerCommand = l.command("worker_command")
	c.FilterTags = strings.Fields(l.value("filter_tags").Text)
	l.groupRegex()
	l.parallelClass()
	c.Timeout = l.duration("timeout", 0)
	c.Slow = l.duration("slow", DefaultSlow)
	c.Retries = l.count("retries")
	l.worker()
	l.variables()
	c.ProvisionTimeout = l.duration("provision_timeout", DefaultProvisionTimeout)
	c.DisposeTimeout = l.disposeTimeout()
	c.InstanceIdle = l.duration("instance_idle", DefaultInstanceIdle)
	l.instances()
	l.defaultHooks()
	l.names()
}

// value is an option of the section, or else of [DEFAULT].
func (l *loader) value(name string) Value {
	if e := l.file.lookup(l.section, name); e != nil {
		l.file.used[e] = true
	}
	v, err := l.file.get(l.section, name)
	if err != nil {
		l.fail(err.Line, err.Msg, err.Hint)
	}
	return v
}

// command is an option that becomes part of a command line. One that is there
// and says nothing counts as not set.
func (l *loader) command(name string) Value {
	v := l.value(name)
	if strings.ContainsRune(v.Text, 0) {
		l.fail(v.Line, fmt.Sprintf("option %q has a NUL character", name), "")
	}
	if v.Text == "" {
		return Value{}
	}
	return v
}

func (l *loader) groupRegex() {
	v := l.value("group_regex")
	if v.Text == "" {
		return
	}
	// On its own first: "a)(b" must not become right by being put in brackets.
	_, err := regexp.Compile(v.Text)
	if err == nil {
		l.config.GroupRegex, err = regexp.Compile(`\A(?:` + v.Text + `)`)
	}
	if err != nil {
		l.fail(v.Line, fmt.Sprintf("option %q: %v", "group_regex", err),
			"the syntax is RE2: it has no look-around and no back references")
	}
}

func (l *loader) worker() {
	v := l.value("worker")
	known := []string{WorkerAuto, WorkerStream, WorkerBatch, WorkerPython, WorkerGo, WorkerPytest, WorkerTap}
	switch {
	case v.Text == "":
	case slices.Contains(known, v.Text):
		l.config.Worker, l.config.WorkerLine = v.Text, v.Line
	default:
		l.fail(v.Line, fmt.Sprintf("worker %q is not known%s", v.Text, didYouMean(v.Text, known...)),
			"the workers are "+strings.Join(known, ", "))
	}
	if command := l.config.WorkerCommand; command.Set() && l.config.Worker != WorkerStream {
		l.warn(command.Line, `option "worker_command" has no effect without worker=stream`)
	}
}

// variables checks that what the commands refer to is there.
func (l *loader) variables() {
	c := l.config
	if strings.Contains(c.TestCommand.Text, "$IDOPTION") && !c.TestIDOption.Set() {
		l.fail(c.TestCommand.Line, `"test_command" has $IDOPTION, but "test_id_option" is not set`,
			"add a line such as test_id_option=--load-list $IDFILE")
	}
	id := c.TestIDOption
	if id.Set() && !strings.Contains(id.Text, "$IDFILE") && !strings.Contains(id.Text, "$IDLIST") {
		l.warn(id.Line, `"test_id_option" has neither $IDFILE nor $IDLIST: no tests can be selected with it`)
	}
	if c.TestListOption.Set() {
		return
	}
	for name, v := range map[string]Value{"test_command": c.TestCommand, "worker_command": c.WorkerCommand} {
		if strings.Contains(v.Text, "$LISTOPT") {
			l.fail(v.Line, fmt.Sprintf(`%q has $LISTOPT, but "test_list_option" is not set`, name),
				"add a line such as test_list_option=--list")
		}
	}
}

// names checks the options and sections that nothing above has asked for. It
// comes last: by then it is known which options serve others.
func (l *loader) names() {
	for _, e := range l.file.defaults.entries {
		inSection := findInstanceOption(e.name)
		switch {
		case slices.Contains(options, e.name), l.file.used[e]:
		case slices.Contains(laterOptions, e.name):
			l.warn(e.line, fmt.Sprintf("option %q is %s", e.name, unsupported))
		case inSection != nil && inSection.own:
			l.warn(e.line, fmt.Sprintf("option %q has no effect here: it stands in [instance NAME]", e.name))
		case inSection != nil:
			l.warn(e.line, fmt.Sprintf("option %q has no effect: there is no [instance NAME] that it is for", e.name))
		default:
			near := didYouMean(e.name, slices.Concat(options, laterOptions)...)
			l.warn(e.line, fmt.Sprintf("option %q is not known%s", e.name, near))
		}
	}
	for _, s := range l.file.sections {
		l.sectionNames(s)
	}
}

func (l *loader) sectionNames(s *section) {
	kind, name := s.header()
	switch kind {
	case "instance": // instances has read it
	case "profile":
		if name == "" {
			l.fail(s.line, fmt.Sprintf("section [%s] has no name", s.name), "write [profile NAME]")
		}
		l.warn(s.line, fmt.Sprintf("section [%s] is %s", s.name, unsupported))
		for _, e := range s.entries {
			if !slices.Contains(profileOptions, e.name) && !strings.HasPrefix(e.name, envPrefix) {
				l.fail(e.line, fmt.Sprintf("option %q is not known in [%s]%s",
					e.name, s.name, didYouMean(e.name, profileOptions...)), "")
			}
		}
	default:
		near := didYouMean(kind, defaultSection, "profile", "instance")
		if strings.EqualFold(s.name, defaultSection) {
			near = didYouMean(defaultSection, defaultSection)
		}
		l.warn(s.line, fmt.Sprintf("section [%s] is not known%s", s.name, near))
	}
}

// fail reports a mistake, and warn what a person should know of, each once: what
// sections have from [DEFAULT] is met again and again.
func (l *loader) fail(line int, msg, hint string) {
	if e := (Error{File: l.file.name, Line: line, Msg: msg, Hint: hint}); !l.said[e] {
		l.said[e] = true
		*l.errs = append(*l.errs, &e)
	}
}

func (l *loader) warn(line int, msg string) {
	if e := (Error{File: l.file.name, Line: line, Msg: msg}); !l.said[e] {
		l.said[e] = true
		l.config.Warnings = append(l.config.Warnings, &e)
	}
}
