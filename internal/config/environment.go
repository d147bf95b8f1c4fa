package config

import (
	"fmt"
	"strings"
	"unicode"
)

// environment reads those of the entries that set variables and hold in the
// loader's section: not what [DEFAULT] sets and the section sets otherwise.
func (l *loader) environment(entries []*entry) (env []string) {
	for _, e := range entries {
		name, is := strings.CutPrefix(e.name, envPrefix)
		if !is || l.file.lookup(l.section, e.name) != e {
			continue
		}
		if v, ok := l.variable(e, name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// variable reads an option that sets the variable of that name.
func (l *loader) variable(e *entry, name string) (value string, ok bool) {
	v := l.value(e.name)
	bad := func(c rune) bool {
		return c > unicode.MaxASCII || c != '_' && !unicode.IsLetter(c) && !unicode.IsDigit(c)
	}
	switch {
	case name == "" || unicode.IsDigit(rune(name[0])) || strings.ContainsFunc(name, bad):
		l.fail(e.line, fmt.Sprintf("option %q: %q is no name of a variable", e.name, name),
			"a variable's name has letters from a to z, digits and underscores, and begins with no digit")
	case strings.ContainsRune(v.Text, 0):
		l.fail(e.line, fmt.Sprintf("option %q has a NUL character", e.name), "")
	default:
		return v.Text, v.Set()
	}
	return "", false
}
