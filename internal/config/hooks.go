package config

import (
	"fmt"
	"strings"
)

var hookNames = []string{"instance_provision", "instance_execute", "instance_dispose"}

// defaultHooks reads the hooks of [DEFAULT].
func (l *loader) defaultHooks() {
	hooks := Instance{Type: InstanceHook}
	l.readHooks(&hooks, l.command)
	if !hooks.Provision.Set() && !hooks.Execute.Set() && !hooks.Dispose.Set() {
		return
	}
	hooks.Slots = l.slots(1)
	l.checkHooks(&hooks, "add instance_provision")
	l.config.Hooks = &hooks
}

// hooks reads those of a section, which has [DEFAULT]'s only if it says
// type=hook: a section that begins its own must not end up with a mixture.
func (r *instanceReader) hooks(to *Instance) {
	read, missing := r.command, "add instance_provision"
	if r.own("type").Text == "" {
		read = func(name string) Value {
			if r.section.entry(name) == nil {
				return Value{}
			}
			return r.command(name)
		}
		if r.config.Hooks != nil {
			missing += ", or type=hook, which takes what is missing from [DEFAULT]"
		}
	}
	r.readHooks(to, read)
	r.checkHooks(to, missing)
	if to.Provision.Set() && !r.hasHooks() {
		r.warn(to.Line, fmt.Sprintf("[%s] has the hooks of [%s], which get instances of their own as well",
			r.section.name, defaultSection))
	}
}

func (l *loader) readHooks(to *Instance, read func(name string) Value) {
	for i, v := range []*Value{&to.Provision, &to.Execute, &to.Dispose} {
		*v = read(hookNames[i])
	}
	to.ProvisionTimeout = l.duration("provision_timeout", DefaultProvisionTimeout)
	to.DisposeTimeout = l.duration("dispose_timeout", DefaultDisposeTimeout)
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
	warnings := []struct {
		hook Value
		lack string
		then string
	}{
		{h.Execute, "$COMMAND", "it runs something else than the tests"},
		{h.Execute, "$INSTANCE_ID", "all instances are the same to it"},
		{h.Dispose, "$INSTANCE_IDS", "it does not learn what to give back"},
	}
	for _, w := range warnings {
		if w.hook.Set() && !strings.Contains(w.hook.Text, w.lack) {
			name := hookNames[1]
			if w.lack == "$INSTANCE_IDS" {
				name = hookNames[2]
			}
			l.warn(w.hook.Line, fmt.Sprintf("%q has no %s: %s", name, w.lack, w.then))
		}
	}
	if !h.Execute.Set() {
		l.warn(h.Provision.Line, `"instance_provision" is set, but "instance_execute" is not: the tests run on this machine`)
		h.Execute = Value{Text: "$COMMAND", Line: h.Provision.Line}
	}
	if !h.Dispose.Set() {
		l.warn(h.Provision.Line, `"instance_provision" is set, but "instance_dispose" is not: instances are not given back`)
	}
}
