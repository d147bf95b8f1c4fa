package config

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// hookNames are the options of the commands that get instances, run commands on
// them and give them back.
var hookNames = []string{"instance_provision", "instance_execute", "instance_dispose"}

// addProvision is the remedy where there is no instance_provision.
const addProvision = "add instance_provision, a command that prints the names of instances"

// defaultHooks reads the hooks of [DEFAULT]. Where they lack a way to get
// instances they may still be what sections have in common, which were read
// before.
func (l *loader) defaultHooks() {
	taken := slices.ContainsFunc(hookNames, func(name string) bool {
		e := l.section.entry(name)
		return e != nil && l.file.used[e]
	})
	hooks := Instance{Type: InstanceHook}
	l.readHooks(&hooks, l.command)
	if !hooks.Provision.Set() && (taken || !hooks.Execute.Set() && !hooks.Dispose.Set()) {
		return
	}
	l.checkHooks(&hooks, addProvision)
	l.config.Hooks = &hooks
}

// hooks reads those of a section, which has [DEFAULT]'s only if it says
// type=hook: one that begins its own must not end up with a mixture.
func (r *instanceReader) hooks() {
	read, missing := r.command, addProvision
	if r.own("type").Text == "" {
		read = func(name string) Value {
			if r.section.entry(name) == nil {
				return Value{}
			}
			return r.command(name)
		}
		if r.file.defaults.entry(hookNames[0]) != nil {
			missing += "; with type=hook, that of [" + defaultSection + "] holds"
		}
	}
	r.readHooks(&r.to, read)
	r.checkHooks(&r.to, missing)
	if r.to.Provision.Set() && !r.hasHooks() {
		r.warn(r.to.Line, fmt.Sprintf("[%s] has the hooks of [%s], which get instances of their own as well",
			r.section.name, defaultSection))
	}
}

func (l *loader) readHooks(to *Instance, read func(name string) Value) {
	for i, v := range []*Value{&to.Provision, &to.Execute, &to.Dispose} {
		*v = read(hookNames[i])
	}
	to.ProvisionTimeout = l.duration("provision_timeout", DefaultProvisionTimeout)
	to.DisposeTimeout = l.disposeTimeout()
}

// disposeTimeout has an end: testr waits for it when it is told to stop.
func (l *loader) disposeTimeout() time.Duration {
	v := l.value("dispose_timeout")
	if d, err := ParseDuration(v.Text); err == nil && d == 0 {
		l.fail(v.Line, fmt.Sprintf("option %q: %q is no length of time that it could end after", "dispose_timeout", v.Text),
			"write a dispose_timeout such as 30, 2m or 1h")
	}
	return l.duration("dispose_timeout", DefaultDisposeTimeout)
}

// checkHooks checks that the hooks of one section fit together; missing is the
// remedy where there is no instance_provision.
func (l *loader) checkHooks(h *Instance, missing string) {
	if !h.Provision.Set() {
		line, has := h.Line, "type=hook"
		switch {
		case h.Execute.Set():
			line, has = h.Execute.Line, `"instance_execute"`
		case h.Dispose.Set():
			line, has = h.Dispose.Line, `"instance_dispose"`
		}
		l.fail(line, fmt.Sprintf(`[%s] has %s, but no "instance_provision"`, l.section.name, has), missing)
		return
	}
	lacks := []struct {
		hook       Value
		name, word string
		then       string
	}{
		{h.Execute, hookNames[1], "$COMMAND", "it runs something else than the tests"},
		{h.Execute, hookNames[1], "$INSTANCE_ID", "all instances are the same to it"},
		{h.Dispose, hookNames[2], "$INSTANCE_IDS", "it does not learn what to give back"},
	}
	for _, lack := range lacks {
		if lack.hook.Set() && !strings.Contains(lack.hook.Text, lack.word) {
			l.warn(lack.hook.Line, fmt.Sprintf("%q has no %s: %s", lack.name, lack.word, lack.then))
		}
	}
	if !h.Execute.Set() {
		l.warn(h.Provision.Line, `"instance_provision" is set, but "instance_execute" is not: the tests run on this machine`)
	}
	if !h.Dispose.Set() {
		l.warn(h.Provision.Line, `"instance_provision" is set, but "instance_dispose" is not: instances are not given back`)
	}
}
