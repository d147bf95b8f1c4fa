package sshdial

import (
	"errors"
	"io"
	"strings"
)

// splitKeyword cuts the keyword, which becomes lower case, off a line. It is
// empty for lines without a meaning.
func splitKeyword(line string) (keyword, rest string) {
	line = strings.TrimLeft(strings.TrimRight(line, " \t\r\f"), " \t\r")
	if line == "" || line[0] == '#' {
		return "", ""
	}
	end := strings.IndexAny(line, " \t=")
	if end < 0 {
		return strings.ToLower(line), ""
	}
	keyword, rest = line[:end], strings.TrimLeft(line[end:], " \t")
	rest = strings.TrimLeft(strings.TrimPrefix(rest, "="), " \t")
	return strings.ToLower(keyword), rest
}

var errQuotes = errors.New("a quotation mark has no other end")

// splitArguments splits what follows a keyword as ssh does: at blanks outside
// quotation marks, up to a word that begins with #.
func splitArguments(s string) ([]string, error) {
	var args []string
	for i := 0; i < len(s); {
		switch s[i] {
		case ' ', '\t':
			i++
			continue
		case '#':
			return args, nil
		}
		word, n, err := firstWord(s[i:])
		if err != nil {
			return nil, err
		}
		args = append(args, word)
		i += n
	}
	return args, nil
}

// firstWord is the word that s begins with, without its quotation marks, and
// how many bytes of s it takes.
func firstWord(s string) (word string, n int, err error) {
	var b strings.Builder
	var quotation byte
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\' && i+1 < len(s) && (strings.IndexByte(`'"\`, s[i+1]) >= 0 || quotation == 0 && s[i+1] == ' '):
			i++
			b.WriteByte(s[i])
		case quotation == 0 && (c == ' ' || c == '\t'):
			return b.String(), i, nil
		case quotation == 0 && (c == '"' || c == '\''):
			quotation = c
		case quotation != 0 && c == quotation:
			quotation = 0
		default:
			b.WriteByte(c)
		}
	}
	if quotation != 0 {
		return "", 0, errQuotes
	}
	return b.String(), len(s), nil
}

// matchHost reports whether a Host line with these patterns is about host.
func matchHost(patterns []string, host string) bool {
	found := false
	for _, pattern := range patterns {
		pattern, negated := strings.CutPrefix(pattern, "!")
		if !matchPattern(pattern, host) {
			continue
		}
		if negated {
			return false
		}
		found = true
	}
	return found
}

// matchPattern reports whether s is what pattern describes: ? is any character,
// * any number of them. It takes no more than len(pattern)*len(s) steps.
func matchPattern(pattern, s string) bool {
	star, from := -1, 0 // where the last * was, and what of s it was last tried on
	p := 0
	for i := 0; i < len(s); {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, from = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			from++
			p, i = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// readFull reads as much of r as fits b. A file that is shorter than it was is
// no error.
func readFull(r io.Reader, b []byte) (int, error) {
	n, err := io.ReadFull(r, b)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}
