package config

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// How long hooks may take, and instances are kept, where the file doesn't say
// otherwise.
const (
	DefaultInstanceIdle     = 10 * time.Minute
	DefaultProvisionTimeout = 10 * time.Minute
	DefaultDisposeTimeout   = 2 * time.Minute
)

const (
	maxName  = 128    // bytes of an instance's name, which becomes part of names of files
	maxHost  = 255    // bytes of a host's name
	maxSlots = 10_000 // of an instance
)

var instanceTypes = []string{InstanceSSH, InstanceLocal, InstanceHook}

// instanceOption is an option of sections [instance NAME].
type instanceOption struct {
	name  string
	types []string // of the instances that it is for
	own   bool     // what [DEFAULT] has of that name is not for sections
	hook  string   // what to do instead where the type is hook
}

var (
	anyType  = instanceTypes
	sshOnly  = []string{InstanceSSH}
	hookOnly = []string{InstanceHook}
	noHook   = []string{InstanceSSH, InstanceLocal}
)

var instanceOptions = []instanceOption{
	{name: "type", types: anyType, own: true},
	{name: "host", types: sshOnly, own: true, hook: "say in instance_execute where $COMMAND runs"},
	{name: "slots", types: anyType},
	{name: "directory", types: noHook, hook: "put a cd into instance_execute"},
	{name: "setup", types: noHook, hook: "put these commands into instance_execute"},
	{name: "sync", types: sshOnly, hook: "bring the tree over in instance_provision"},
	{name: "sync_exclude", types: sshOnly, hook: "bring the tree over in instance_provision"},
	{name: "relay", types: sshOnly},
	{name: "profiles", types: anyType, own: true},
	{name: "instance_provision", types: hookOnly},
	{name: "instance_execute", types: hookOnly},
	{name: "instance_dispose", types: hookOnly},
	{name: "provision_timeout", types: hookOnly},
	{name: "dispose_timeout", types: hookOnly},
}

// environment stands for all options that begin with envPrefix.
var environment = instanceOption{types: noHook, hook: "set variables in instance_execute"}

// findInstanceOption returns the option of that name, or nil.
func findInstanceOption(name string) *instanceOption {
	if strings.HasPrefix(name, envPrefix) {
		return &environment
	}
	i := slices.IndexFunc(instanceOptions, func(o instanceOption) bool { return o.name == name })
	if i < 0 {
		return nil
	}
	return &instanceOptions[i]
}

// instances reads the sections [instance NAME].
func (l *loader) instances() {
	lines := map[string]int{}
	for _, s := range l.file.sections {
		kind, name := s.header()
		if kind != "instance" {
			continue
		}
		if line := lines[name]; line > 0 && name != "" {
			l.fail(s.line, fmt.Sprintf("section [%s] has the name of the one in line %d", s.name, line),
				"give each section a name of its own")
		}
		lines[name] = s.line
		r := instanceReader{loader: l.in(s), to: Instance{Name: name, Line: s.line}}
		r.read()
		l.config.Instances = append(l.config.Instances, r.to)
	}
}

// instanceReader reads a section [instance NAME].
type instanceReader struct {
	*loader // of that section
	to      Instance
}

// read takes what fits the section's type, from the section or else from
// [DEFAULT]. What stands in the section and was not taken is a mistake.
func (r *instanceReader) read() {
	r.name()
	r.kind()
	if r.to.Type != "" {
		r.to.Profiles = r.profiles()
	}
	switch r.to.Type {
	case InstanceSSH:
		r.host()
		r.to.Slots = r.slots(1)
		r.sync()
		r.place()
		r.to.Relay = r.flag("relay")
	case InstanceLocal:
		r.to.Slots = r.slots(0)
		r.place()
	case InstanceHook:
		r.to.Slots = r.slots(1)
		r.hooks()
	}
	for _, e := range r.section.entries {
		if !r.file.used[e] {
			r.misplaced(e)
		}
	}
}

// own is an option that [DEFAULT] doesn't set for the section.
func (r *instanceReader) own(name string) Value {
	if r.section.entry(name) == nil {
		return Value{}
	}
	return r.value(name)
}

// name checks the section's name: it becomes part of file names.
func (r *instanceReader) name() {
	name := r.to.Name
	bad := strings.IndexFunc(name, func(c rune) bool {
		return c > unicode.MaxASCII || !unicode.IsLetter(c) && !unicode.IsDigit(c) && !strings.ContainsRune("._-", c)
	})
	const rule = "an instance's name has letters from a to z, digits, dots, underscores and dashes"
	switch {
	case name == "":
		r.fail(r.to.Line, fmt.Sprintf("section [%s] has no name", r.section.name), "write [instance NAME]")
	case name[0] == '-' || name[0] == '.':
		r.fail(r.to.Line, fmt.Sprintf("section [%s]: its name begins with %q", r.section.name, name[:1]),
			rule+", and begins with no dot or dash")
	case bad >= 0:
		r.fail(r.to.Line, fmt.Sprintf("section [%s]: its name has %q in it", r.section.name, []rune(name[bad:])[0]),
			rule+`; the host's own can stand in "host"`)
	case len(name) > maxName:
		r.fail(r.to.Line, fmt.Sprintf("section [instance %s…]: its name is longer than %d bytes", name[:20], maxName),
			`the host's own can stand in "host"`)
	}
}

// kind settles the type. It stays empty if the section has a wrong one.
func (r *instanceReader) kind() {
	v := r.own("type")
	switch {
	case slices.Contains(instanceTypes, v.Text):
		r.to.Type = v.Text
	case v.Text != "":
		r.fail(v.Line, fmt.Sprintf("type %q is not known%s", v.Text, didYouMean(v.Text, instanceTypes...)),
			"the types are "+strings.Join(instanceTypes, ", "))
	case !v.Set() && r.section.entry("type") != nil: // its interpolation failed
	case r.hasHooks():
		r.to.Type = InstanceHook
	default:
		r.to.Type = InstanceSSH
	}
}

// hasHooks reports whether one of the hooks stands in the section itself.
func (r *instanceReader) hasHooks() bool {
	return slices.ContainsFunc(hookNames, func(name string) bool { return r.section.entry(name) != nil })
}

// profiles are those that the instance can run.
func (r *instanceReader) profiles() []string { return r.profileNames(r.own("profiles")) }

// words splits a value at white space. They are nil if there are none.
func words(v Value) []string {
	if v.Text == "" {
		return nil
	}
	return strings.Fields(v.Text)
}

// host is checked here for all that reads it: OpenSSH's own programs, to whom a
// dash is an option, and messages.
func (r *instanceReader) host() {
	v := r.own("host")
	bad := strings.IndexFunc(v.Text, func(c rune) bool { return isSpace(c) || !unicode.IsPrint(c) })
	switch {
	case v.Text == "":
		r.to.Host = r.to.Name
	case v.Text[0] == '-':
		r.fail(v.Line, fmt.Sprintf(`option "host": %q begins with a dash`, v.Text),
			"programs would take such a host for an option")
	case bad >= 0:
		r.fail(v.Line, fmt.Sprintf(`option "host": there is %q in it`, []rune(v.Text[bad:])[0]),
			"write one host; comments stand on lines of their own")
	case len(v.Text) > maxHost:
		r.fail(v.Line, fmt.Sprintf(`option "host": it is longer than %d bytes`, maxHost), "")
	default:
		r.to.Host = v.Text
	}
}

// slots is the number of workers of an instance.
func (r *instanceReader) slots(otherwise int) int {
	v := r.value("slots")
	if v.Text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(v.Text)
	if err != nil || n < 1 || n > maxSlots {
		r.fail(v.Line, fmt.Sprintf("option %q: %q is no number of workers", "slots", v.Text),
			fmt.Sprintf("write a number of slots from 1 to %d", maxSlots))
		return otherwise
	}
	return n
}

// place reads where commands run, and with what around them.
func (r *instanceReader) place() {
	var ok bool
	if r.to.Directory, ok = r.directory(); ok && r.to.Type == InstanceSSH {
		r.syncTo()
	}
	r.to.Setup = r.command("setup")
	r.to.Env = r.environment(slices.Concat(r.file.defaults.entries, r.section.entries))
}

// directory is not ok if it was refused. What [DEFAULT] has is for hosts: it is
// theirs to begin in a home directory.
func (r *instanceReader) directory() (dir string, ok bool) {
	read := r.value
	if r.to.Type == InstanceLocal {
		read = r.own
	}
	v := read("directory")
	dir = v.Text
	if r.to.Type == InstanceSSH {
		// Paths begin in the home directory there, so that this says nothing.
		if rest, home := strings.CutPrefix(dir+"/", "~/"); home {
			dir = strings.Trim(rest, "/")
		}
	}
	switch {
	case strings.ContainsFunc(dir, unicode.IsControl):
		r.fail(v.Line, `option "directory" has a control character`, "write the directory as one path, on one line")
	case strings.HasPrefix(dir, "~"):
		r.fail(v.Line, fmt.Sprintf(`option "directory": the "~" of %q stands for nothing here`, dir),
			"write the directory's whole path")
	default:
		return dir, v.Set() || r.file.lookup(r.section, "directory") == nil // else its interpolation failed
	}
	return "", false
}

func (r *instanceReader) sync() {
	r.to.Sync = r.flag("sync")
	exclude := r.command("sync_exclude")
	r.to.SyncExclude = words(exclude)
	if exclude.Set() && !r.to.Sync && r.section.entry("sync_exclude") != nil {
		r.warn(exclude.Line, `option "sync_exclude" has no effect without sync=yes`)
	}
}

// syncTo checks where the tree is brought: what is not in it may be deleted
// there.
func (r *instanceReader) syncTo() {
	dir, clean := r.value("directory"), path.Clean(r.to.Directory)
	switch {
	case !r.to.Sync:
	case dir.Text == "":
		r.fail(r.value("sync").Line, fmt.Sprintf("[%s] has sync=yes, but no directory for the tree", r.section.name),
			"add a line such as directory=src/project")
	case clean == ".", clean == "/", slices.Contains(strings.Split(dir.Text, "/"), ".."):
		r.fail(dir.Line, fmt.Sprintf("[%s] has sync=yes, but the tree can't be brought to %q", r.section.name, dir.Text),
			`write a directory of its own, without "..", such as src/project`)
	}
}

// misplaced reports an option that nothing has asked for.
func (r *instanceReader) misplaced(e *entry) {
	known := findInstanceOption(e.name)
	switch {
	case known == nil && slices.Contains(slices.Concat(options, laterOptions), e.name):
		r.fail(e.line, fmt.Sprintf("option %q is not known in [%s]", e.name, r.section.name),
			fmt.Sprintf("put %s into [%s]", e.name, defaultSection))
	case known == nil:
		var names []string
		for _, o := range instanceOptions {
			names = append(names, o.name)
		}
		r.fail(e.line, fmt.Sprintf("option %q is not known in [%s]%s",
			e.name, r.section.name, didYouMean(e.name, names...)), "")
	case r.to.Type == "":
	case !slices.Contains(known.types, r.to.Type):
		hint := fmt.Sprintf("%s is for type=%s", e.name, strings.Join(known.types, " and type="))
		if r.to.Type == InstanceHook && known.hook != "" {
			hint = known.hook
		}
		r.fail(e.line, fmt.Sprintf("option %q has no place in [%s] of type=%s", e.name, r.section.name, r.to.Type), hint)
	}
}
