package report

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// mimeType is a file's MIME type, taken apart no further than text needs.
type mimeType struct {
	main, sub string
	params    []mimeParam
}

type mimeParam struct{ name, value string }

// binaryType is what a file is whose packets don't say.
const binaryType = "application/octet-stream"

// parseMIME never fails: what is no MIME type is shown as it is, and holds no
// text.
func parseMIME(s string) mimeType {
	if s == "" {
		s = binaryType
	}
	head, rest := cutParam(s)
	m := mimeType{main: head}
	if main, sub, ok := strings.Cut(head, "/"); ok {
		m.main, m.sub = strings.TrimSpace(main), strings.TrimSpace(sub)
	}
	for rest != "" {
		var param string
		param, rest = cutParam(rest)
		name, value, ok := strings.Cut(param, "=")
		if !ok {
			continue
		}
		name = strings.ToLower(strings.TrimSpace(name))
		value = unquote(strings.TrimSpace(value))
		if name == "charset" {
			// testtools once joined the parameters with commas.
			value, _, _ = strings.Cut(value, ",")
		}
		m.params = slices.DeleteFunc(m.params, func(p mimeParam) bool { return p.name == name })
		m.params = append(m.params, mimeParam{name, value})
	}
	return m
}

// cutParam splits s at its first semicolon outside of quotes.
func cutParam(s string) (param, rest string) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case c == ';' && !quoted:
			return strings.TrimSpace(s[:i]), s[i+1:]
		}
	}
	return strings.TrimSpace(s), ""
}

func unquote(s string) string {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return s
	}
	return strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(s[1 : len(s)-1])
}

func (m mimeType) text() bool { return strings.EqualFold(m.main, "text") }

// String returns the type as testtools prints it.
func (m mimeType) String() string {
	s := m.main
	if m.sub != "" {
		s += "/" + m.sub
	}
	params := make([]string, len(m.params))
	for i, p := range m.params {
		params[i] = p.name + `="` + p.value + `"`
	}
	slices.Sort(params)
	return strings.Join(append([]string{s}, params...), "; ")
}

// decode returns the text of a file. UTF-8 needs no decoding, whatever else the
// type claims to be is left as it is, and text of no known encoding that isn't
// UTF-8 is Latin-1, as in testtools.
func (m mimeType) decode(content []byte) string {
	charset := ""
	for _, p := range m.params {
		if p.name == "charset" {
			charset = strings.ReplaceAll(strings.ReplaceAll(strings.ToLower(p.value), "-", ""), "_", "")
		}
	}
	switch {
	case charset == "latin1" || charset == "iso88591":
	case charset == "" && !utf8.Valid(content):
	default:
		return string(content)
	}
	runes := make([]byte, 0, len(content)+len(content)/8)
	for _, c := range content {
		runes = utf8.AppendRune(runes, rune(c))
	}
	return string(runes)
}
