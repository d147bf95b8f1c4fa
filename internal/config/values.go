package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// DefaultSlow is Suite.Slow where the file doesn't say otherwise.
const DefaultSlow = time.Minute

// errDuration says what a length of time looks like.
var errDuration = errors.New(`want a length of time such as 90, 1.5s, 2m or 1h30m, or 0 for none`)

// ParseDuration reads a length of time as options have it: Go's notation, or a
// number of seconds. It is never negative.
func ParseDuration(s string) (time.Duration, error) {
	text := s
	if strings.Trim(s, "0123456789.") == "" {
		text += "s"
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, errDuration
	}
	return d, nil
}

// duration is an option that is a length of time.
func (l *loader) duration(name string, otherwise time.Duration) time.Duration {
	v := l.value(name)
	if v.Text == "" {
		return otherwise
	}
	d, err := ParseDuration(v.Text)
	if err != nil {
		l.fail(v.Line, fmt.Sprintf("option %q: %q is no length of time", name, v.Text), errDuration.Error())
	}
	return d
}

// count is an option that is a number of things.
func (l *loader) count(name string) int {
	v := l.value(name)
	if v.Text == "" {
		return 0
	}
	n, err := strconv.Atoi(v.Text)
	if err != nil || n < 0 {
		l.fail(v.Line, fmt.Sprintf("option %q: %q is no number", name, v.Text), "want 0 or more")
		return 0
	}
	return n
}

// flag is an option that is true or false, in the words that ConfigParser takes
// for it.
func (l *loader) flag(name string) bool {
	v := l.value(name)
	switch strings.ToLower(v.Text) {
	case "1", "yes", "true", "on":
		return true
	case "", "0", "no", "false", "off":
	default:
		l.fail(v.Line, fmt.Sprintf("option %q: %q is neither true nor false", name, v.Text), "write true or false")
	}
	return false
}

// limit is an option that is a number of things to keep; 0 means that there is no
// such limit.
func (l *loader) limit(name string) int {
	v := l.value(name)
	if v.Text == "" {
		return 0
	}
	n, err := strconv.Atoi(v.Text)
	if err != nil || n < 1 {
		l.fail(v.Line, fmt.Sprintf("option %q: %q is no number of things to keep", name, v.Text),
			"want 1 or more; without the option everything is kept")
		return 0
	}
	return n
}

// parallelClass reads parallel_class, which wins over group_regex: stestr has it
// so.
func (l *loader) parallelClass() bool {
	is := l.flag("parallel_class")
	if regex := l.value("group_regex"); is && regex.Text != "" {
		l.warn(regex.Line, `option "group_regex" has no effect with parallel_class=true`)
	}
	return is
}

// class is the part of an id that names what the test is a method of: what
// stands before the last dot, or in a pytest node id before the last "::". The
// parameters at an id's end, in brackets, don't count. The empty string means
// that there is none.
func class(id string) string {
	if i := strings.IndexAny(id, "(["); i >= 0 {
		id = id[:i]
	}
	if i := strings.LastIndex(id, "::"); i >= 0 {
		return id[:i]
	}
	return id[:max(strings.LastIndexByte(id, '.'), 0)]
}
