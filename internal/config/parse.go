package config

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// defaultSection is the section that every other one falls back on.
const defaultSection = "DEFAULT"

// envPrefix begins the options whose names keep their case.
const envPrefix = "env."

// entry is an option as it stands in the file, before interpolation.
type entry struct {
	name string // as optionName made it
	raw  string // its lines, joined by newlines
	line int    // where it begins
}

// section is a section's options in the order of the file.
type section struct {
	name    string
	line    int
	entries []*entry
	byName  map[string]*entry
}

// header splits the section's name: "instance x" is x, an instance. Either part
// may be empty.
func (s *section) header() (kind, name string) {
	text := strings.TrimFunc(s.name, isSpace)
	if end := strings.IndexFunc(text, isSpace); end >= 0 {
		return text[:end], strings.TrimLeftFunc(text[end:], isSpace)
	}
	return text, ""
}

// entry returns the option of that name, or nil.
func (s *section) entry(name string) *entry {
	return s.byName[name]
}

func (s *section) add(e *entry) {
	if s.byName == nil {
		s.byName = map[string]*entry{}
	}
	s.byName[e.name] = e
	s.entries = append(s.entries, e)
}

// file is a parsed configuration.
type file struct {
	name     string
	defaults *section
	sections []*section // without defaults, in the order of the file
	byName   map[string]*section
	used     map[*entry]bool // what was read, or referred to
}

// section returns the section of that name, or nil.
func (f *file) section(name string) *section {
	if name == defaultSection {
		return f.defaults
	}
	return f.byName[name]
}

// parser is where the reading of a file stands.
type parser struct {
	file   *file
	cur    *section // nil before the first header
	opt    *entry   // what an indented line continues; nil after a header
	parts  []string // opt's lines so far
	indent int      // of the line that began opt, in characters
	errs   Errors
}

// parse reads a file. Lines with mistakes are reported and left out.
func parse(name string, data []byte) (*file, Errors) {
	f := &file{name: name, defaults: &section{name: defaultSection},
		byName: map[string]*section{}, used: map[*entry]bool{}}
	if err := checkEncoding(name, data); err != nil {
		return f, Errors{err}
	}
	p := parser{file: f}
	text := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(data))
	number := 0
	for line := range strings.Lines(text) {
		number++
		if !p.line(number, strings.TrimSuffix(line, "\n")) {
			break
		}
	}
	p.endOption()
	return f, p.errs
}

// checkEncoding refuses what is not UTF-8, and the mark that some editors put
// before it.
func checkEncoding(name string, data []byte) *Error {
	const mark = "\ufeff"
	if bytes.HasPrefix(data, []byte(mark)) {
		return &Error{File: name, Line: 1, Msg: "the file begins with a byte order mark",
			Hint: "save it as UTF-8 without the mark"}
	}
	for i, line := range bytes.Split(data, []byte("\n")) {
		if !utf8.Valid(line) {
			return &Error{File: name, Line: i + 1, Msg: "the line is not UTF-8", Hint: "save the file as UTF-8"}
		}
	}
	return nil
}

// line reads a line. It returns false where reading on would only repeat the
// same mistake.
func (p *parser) line(number int, line string) bool {
	value := strings.TrimFunc(line, isSpace)
	switch {
	case value == "":
		if p.opt != nil {
			p.parts = append(p.parts, "")
		}
		return true
	case value[0] == '#' || value[0] == ';':
		return true
	}
	indent := utf8.RuneCountInString(line) - utf8.RuneCountInString(strings.TrimLeftFunc(line, isSpace))
	if p.opt != nil && indent > p.indent {
		p.parts = append(p.parts, value)
		return true
	}
	p.indent = indent
	// Whatever stands after the bracket that closes a header is not looked at.
	if end := strings.LastIndexByte(value, ']'); value[0] == '[' && end > 1 {
		p.header(number, value[1:end])
		return true
	}
	if p.cur == nil {
		p.fail(number, "no section header stands before this line",
			fmt.Sprintf("begin the file with [%s]", defaultSection))
		return false
	}
	p.option(number, value)
	return true
}

func (p *parser) header(number int, name string) {
	p.endOption()
	old := p.file.section(name)
	switch {
	case name == defaultSection:
		p.cur = old
	case old != nil:
		p.fail(number, fmt.Sprintf("section [%s] was already begun in line %d", name, old.line),
			"put all of its options into one place")
		p.cur = &section{name: name, line: number} // what follows is still checked
	default:
		p.cur = &section{name: name, line: number}
		p.file.byName[name] = p.cur
		p.file.sections = append(p.file.sections, p.cur)
	}
	if p.cur.line == 0 {
		p.cur.line = number
	}
}

func (p *parser) option(number int, value string) {
	end := strings.IndexAny(value, "=:")
	if end < 0 {
		p.fail(number, `the line has neither "=" nor ":"`, "indent a line that continues the value above it")
		return
	}
	p.endOption()
	name := optionName(strings.TrimRightFunc(value[:end], isSpace))
	if name == "" {
		p.fail(number, fmt.Sprintf("no option stands before %q", value[end:end+1]), "")
		return
	}
	p.opt = &entry{name: name, line: number}
	p.parts = []string{strings.TrimFunc(value[end+1:], isSpace)}
	if old := p.cur.entry(name); old != nil {
		p.fail(number, fmt.Sprintf("option %q was already set in line %d", name, old.line), "take one of them away")
		return // its continuation lines belong to it all the same
	}
	p.cur.add(p.opt)
}

// endOption gives the option that was being read its value.
func (p *parser) endOption() {
	if p.opt != nil {
		p.opt.raw = strings.TrimRightFunc(strings.Join(p.parts, "\n"), isSpace)
	}
	p.opt, p.parts = nil, nil
}

func (p *parser) fail(number int, msg, hint string) {
	p.errs = append(p.errs, &Error{File: p.file.name, Line: number, Msg: msg, Hint: hint})
}

// optionName is the form under which options are compared.
func optionName(s string) string {
	if len(s) >= len(envPrefix) && strings.EqualFold(s[:len(envPrefix)], envPrefix) {
		return envPrefix + s[len(envPrefix):]
	}
	return strings.ToLower(s)
}

// isSpace is Python's str.isspace for a character.
func isSpace(r rune) bool {
	return unicode.IsSpace(r) || '\x1c' <= r && r <= '\x1f'
}
