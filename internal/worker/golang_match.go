package worker

import (
	"fmt"
	"regexp"
	"strings"
)

// goPattern is the value of -run or -skip as package testing reads it:
// alternatives, each with an expression for every level of subtests.
type goPattern []goAlternative

type goAlternative struct {
	top  *regexp.Regexp // for the name of the test itself
	rest string         // for its subtests, with the "/" before it; "" takes all
}

// parseGoPattern splits pattern where no bracket or parenthesis is open: at
// each | into alternatives, and those at the first /.
func parseGoPattern(pattern string) (goPattern, error) {
	if pattern == "" {
		return nil, nil
	}
	var p goPattern
	for _, alternative := range splitOutside(pattern, '|', -1) {
		levels := splitOutside(alternative, '/', 2)
		top, err := regexp.Compile(levels[0])
		if err != nil {
			return nil, fmt.Errorf("%q: %w", pattern, err)
		}
		a := goAlternative{top: top}
		if len(levels) == 2 {
			a.rest = "/" + levels[1]
		}
		p = append(p, a)
	}
	return p, nil
}

// matches reports whether the test of that name is taken, or some of its subtests.
func (p goPattern) matches(test string) bool {
	for _, a := range p {
		if a.top.MatchString(test) {
			return true
		}
	}
	return p == nil
}

// skips reports whether, as the value of -skip, p takes the test of that name as
// a whole: the first alternative that matches decides.
func (p goPattern) skips(test string) bool {
	for _, a := range p {
		if a.top.MatchString(test) {
			return a.rest == ""
		}
	}
	return false
}

// only is the value of -test.run that runs the one test of that name, and of
// its subtests those that p takes.
func (p goPattern) only(test string) string {
	exactly := "^" + regexp.QuoteMeta(test) + "$"
	var alternatives []string
	for _, a := range p {
		if a.top.MatchString(test) {
			alternatives = append(alternatives, exactly+a.rest)
		}
	}
	if len(alternatives) == 0 {
		return exactly
	}
	return strings.Join(alternatives, "|")
}

// splitOutside splits s at each sep, into at most limit parts unless limit is
// negative, but not within [] or (), nor after a backslash.
func splitOutside(s string, sep byte, limit int) []string {
	var parts []string
	brackets, parentheses, start := 0, 0, 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\':
			i++
		case c == '[':
			brackets++
		case c == ']':
			brackets = max(brackets-1, 0)
		case c == '(' && brackets == 0:
			parentheses++
		case c == ')' && brackets == 0:
			parentheses--
		case c == sep && brackets == 0 && parentheses == 0 && len(parts)+1 != limit:
			parts = append(parts, s[start:i])
			start = i + 1
		}
	}
	return append(parts, s[start:])
}
