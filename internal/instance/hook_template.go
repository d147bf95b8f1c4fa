package instance

import (
	"fmt"
	"slices"
	"strings"
)

// The tokens that testr replaces in the commands of hooks. They are not shell
// variables: they have no braces, and what follows them directly is not part of
// their name.
const (
	tokenCount   = "$INSTANCE_COUNT"
	tokenID      = "$INSTANCE_ID"
	tokenIDs     = "$INSTANCE_IDS"
	tokenFiles   = "$FILES"
	tokenCommand = "$COMMAND"
)

// token is one of them, and what takes its place: words, or shell text as it is.
type token struct {
	name  string
	words []string
	shell string // if not empty, instead of words
}

// expand puts the tokens' values into a hook's command, from left to right; what
// they bring is not looked through in turn. Words are quoted for the shell. Where
// quotes would not do what they are for, within others, a word that needs some is
// an error.
func expand(template string, tokens ...token) (string, error) {
	var b strings.Builder
	s := shellScanner{}
	for rest := template; rest != ""; {
		n := slices.IndexFunc(tokens, func(t token) bool { return strings.HasPrefix(rest, t.name) })
		if n < 0 {
			s.next(rest)
			b.WriteByte(rest[0])
			rest = rest[1:]
			continue
		}
		t := tokens[n]
		text := t.shell
		if text == "" {
			var err error
			if text, err = s.insert(t.words); err != nil {
				return "", fmt.Errorf("put %s into %q: %w", t.name, template, err)
			}
		}
		b.WriteString(text)
		s.last, s.escaped = 'x', false
		rest = rest[len(t.name):]
	}
	if strings.Contains(b.String(), "\x00") {
		return "", fmt.Errorf("put values into %q: one has a NUL in it", template)
	}
	return b.String(), nil
}

// shellState says where in a shell's command a place is.
type shellState uint8

const (
	unquoted shellState = iota
	singleQuoted
	doubleQuoted
	comment
	odd // anything whose end would take a parser to find; it lasts
)

// shellScanner knows the place that it has come to in a shell's command, as far
// as that takes no parser.
type shellScanner struct {
	state   shellState
	escaped bool // the next byte is taken as it is
	last    byte // the byte before
}

// next goes past the first byte of rest.
func (s *shellScanner) next(rest string) {
	c := rest[0]
	switch {
	case s.escaped:
		s.escaped = false
	case s.state == odd:
	case s.state == comment:
		if c == '\n' {
			s.state = unquoted
		}
	case s.state == singleQuoted:
		if c == '\'' {
			s.state = unquoted
		}
	case c == '\\':
		s.escaped = true
	case c == '`' || s.last == '$' && strings.IndexByte("({'\"", c) >= 0:
		s.state = odd
	case c == '"' && s.state == doubleQuoted:
		s.state = unquoted
	case s.state == doubleQuoted:
	case c == '"':
		s.state = doubleQuoted
	case c == '\'':
		s.state = singleQuoted
	case strings.HasPrefix(rest, "<<"):
		s.state = odd
	case c == '#' && (s.last == 0 || strings.IndexByte(" \t\n;&|()", s.last) >= 0):
		s.state = comment
	}
	s.last = c
}

// insert is the text for words at the place that s has come to.
func (s *shellScanner) insert(words []string) (string, error) {
	text := Quote(words...)
	plain := !slices.ContainsFunc(words, func(w string) bool { return !Bare(w) })
	switch {
	case plain, s.state == unquoted && !s.escaped && s.last != '$':
		return text, nil
	case s.state == doubleQuoted && !s.escaped && !strings.ContainsAny(text, "\"$`\\!"):
		// For a shell that reads it again, such as ssh's: it finds the words there.
		return text, nil
	}
	return "", fmt.Errorf("%.100q would need quotes within the quotes of the command", text)
}
