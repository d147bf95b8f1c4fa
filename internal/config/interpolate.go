package config

import (
	"fmt"
	"strings"
)

const (
	// maxDepth is how many options may refer to each other in a row; it is
	// ConfigParser's own limit.
	maxDepth = 10
	// maxValue and maxReferences bound a value and the work that it makes: ten
	// options that each name the one before a thousand times would otherwise
	// never end.
	maxValue      = 1 << 20
	maxReferences = 10_000
)

// Value is what an option has, and where.
type Value struct {
	Text string // after interpolation
	Line int    // where the option begins; 0 if it isn't set
}

// Set reports whether the configuration has the option, be it empty.
func (v Value) Set() bool { return v.Line > 0 }

// get returns an option of a section, or of [DEFAULT] if the section hasn't got
// it. A missing option is the zero Value.
func (f *file) get(s *section, name string) (Value, *Error) {
	e := f.lookup(s, name)
	if e == nil {
		return Value{}, nil
	}
	x := expansion{file: f, section: s}
	if problem := x.expand(e.raw, 1); problem != nil {
		problem.File, problem.Line = f.name, e.line
		problem.Msg = fmt.Sprintf("option %q: %s", name, problem.Msg)
		return Value{}, problem
	}
	return Value{Text: x.out.String(), Line: e.line}, nil
}

func (f *file) lookup(s *section, name string) *entry {
	if e := s.entry(name); e != nil {
		return e
	}
	return f.defaults.entry(name)
}

// expansion is a value on its way through interpolation.
type expansion struct {
	file    *file
	section *section
	out     strings.Builder
	refs    int
}

// expand appends text with its references resolved. The error lacks its place.
func (x *expansion) expand(text string, depth int) *Error {
	if depth > maxDepth {
		return &Error{Msg: fmt.Sprintf("its references are more than %d deep, or go round in a circle", maxDepth)}
	}
	for text != "" {
		plain, rest, found := strings.Cut(text, "%")
		x.out.WriteString(plain)
		if x.out.Len() > maxValue {
			return &Error{Msg: fmt.Sprintf("its value is longer than %d bytes", maxValue)}
		}
		switch {
		case !found:
			return nil
		case strings.HasPrefix(rest, "%"):
			x.out.WriteByte('%')
			text = rest[1:]
		case strings.HasPrefix(rest, "("):
			name, after, ok := cutReference(rest)
			if !ok {
				return &Error{Msg: fmt.Sprintf("%q is no reference", "%"+firstLine(rest)),
					Hint: "write %(option)s to refer to an option, and %% for a percent sign"}
			}
			if err := x.reference(name, depth); err != nil {
				return err
			}
			text = after
		default:
			return &Error{Msg: `"%" stands alone`, Hint: "write %% for a percent sign"}
		}
	}
	return nil
}

// reference appends the value of the option that was referred to.
func (x *expansion) reference(name string, depth int) *Error {
	name = optionName(name)
	e := x.file.lookup(x.section, name)
	if e == nil {
		return &Error{Msg: fmt.Sprintf("%q refers to an option that is not set", "%("+name+")s"),
			Hint: fmt.Sprintf("set %q in [%s], or write %%%%(%s)s for the text itself", name, defaultSection, name)}
	}
	if x.refs++; x.refs > maxReferences {
		return &Error{Msg: fmt.Sprintf("it has more than %d references", maxReferences)}
	}
	x.file.used[e] = true
	if !strings.Contains(e.raw, "%") {
		x.out.WriteString(e.raw)
		return nil
	}
	return x.expand(e.raw, depth+1)
}

// cutReference splits "(name)srest".
func cutReference(s string) (name, rest string, ok bool) {
	name, rest, ok = strings.Cut(s[1:], ")")
	if !ok || name == "" || !strings.HasPrefix(rest, "s") {
		return "", "", false
	}
	return name, rest[1:], true
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
