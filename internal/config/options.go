package config

import (
	"fmt"
	"slices"
	"strings"
)

// The options of [DEFAULT] that this version acts on.
var options = slices.Concat(suiteOptions, []string{
	"test_run_concurrency", "filter_tags", "profiles", "keep_runs", "keep_days",
	"instance_provision", "instance_execute", "instance_dispose", "provision_timeout", "dispose_timeout", "instance_idle",
})

// The options of [DEFAULT] that are recognised only.
var laterOptions = []string{"file_hook"}

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
	c.TestRunConcurrency = l.command("test_run_concurrency")
	c.FilterTags = strings.Fields(l.value("filter_tags").Text)
	c.KeepRuns, c.KeepDays = l.limit("keep_runs"), l.limit("keep_days")
	c.Env = l.environment(l.section.entries)
	l.profiles()
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
	kind, _ := s.header()
	switch kind {
	case "instance", "profile": // they were read already
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
