package instance

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
)

// How much of a hook's output is kept for messages: the end of it.
const (
	stderrKept = 4 << 10
	stdoutKept = 256
)

// HookError says how a hook failed.
type HookError struct {
	Section string // of the configuration; empty for [DEFAULT]
	Option  string // the hook, such as "instance_provision"
	Err     error  // what happened
	Stdout  string // the end of what it printed, fit to be shown
	Stderr  string // the end of what it wrote to standard error, fit to be shown
	Hint    string // what may help, or empty
}

// Error says all of it: what happened in a line, then what the hook wrote.
func (e *HookError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %v", optionName(e.Section, e.Option), e.Err)
	if e.Stdout != "" {
		fmt.Fprintf(&b, "; it printed %q", e.Stdout)
	}
	if e.Hint != "" {
		fmt.Fprintf(&b, " (%s)", e.Hint)
	}
	if e.Stderr != "" {
		b.WriteString("\n" + e.Stderr)
	}
	return b.String()
}

// Unwrap returns what happened.
func (e *HookError) Unwrap() error { return e.Err }

// optionName is an option of a section as a person finds it.
func optionName(section, option string) string {
	if section == "" {
		return option
	}
	return fmt.Sprintf("[instance %s] %s", section, option)
}

// shown is the end of a hook's output, fit to be shown and to be stored: without
// the secrets of an environment.
func shown(t *Tail, env []string) string {
	kept, cut := t.String(), t.Cut()
	for _, end := range []string{"\n", " "} {
		if _, after, ok := strings.Cut(kept, end); cut && ok {
			kept = after // what was cut may begin with the half of a secret
			break
		}
	}
	text := printable(strings.TrimSpace(redact(kept, env)))
	if cut {
		text = "[...] " + text
	}
	return text
}

// secretWords are in the names of variables that are nobody else's business.
var secretWords = []string{"TOKEN", "SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "CREDENTIAL", "API_KEY", "ACCESS_KEY"}

// shortestSecret is how long a value has to be to be taken for a secret wherever
// it stands.
const shortestSecret = 6

// redact puts the names of variables in the place of their values where those
// look like secrets: a hook's stderr goes into messages, and into the repository.
func redact(text string, env []string) string {
	secrets := make(map[string]string)
	for _, variable := range env {
		name, value, _ := strings.Cut(variable, "=")
		secret := func(word string) bool { return strings.Contains(strings.ToUpper(name), word) }
		if len(value) >= shortestSecret && slices.ContainsFunc(secretWords, secret) {
			secrets[value] = name
		}
	}
	longestFirst := func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) }
	for _, value := range slices.SortedFunc(maps.Keys(secrets), longestFirst) {
		text = strings.ReplaceAll(text, value, "["+secrets[value]+"]")
	}
	return text
}

// printable is s without what a terminal would obey.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}
