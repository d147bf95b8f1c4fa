package protocol

import (
	"bytes"
	"unicode/utf8"
)

// directive is what a line of version 1 begins with.
type directive uint8

const (
	noDirective directive = iota
	startDirective
	outcomeDirective
	tagsDirective
	timeDirective
	progressDirective
)

// v1Line is a line of version 1, as far as it is known without what came
// before it.
type v1Line struct {
	kind   directive
	status Status // of an outcome
	label  string // of an outcome: what it is called in the stream's own words
	colon  bool   // the directive stands with a colon
	arg    []byte // what stands behind it
}

// v1Words are the words that directives begin with.
var v1Words = map[string]v1Line{
	"test":       {kind: startDirective},
	"testing":    {kind: startDirective},
	"success":    {kind: outcomeDirective, status: StatusSuccess, label: "success"},
	"successful": {kind: outcomeDirective, status: StatusSuccess, label: "success"},
	"failure":    {kind: outcomeDirective, status: StatusFail, label: "failure"},
	"error":      {kind: outcomeDirective, status: StatusFail, label: "error"},
	"skip":       {kind: outcomeDirective, status: StatusSkip, label: "skip"},
	"xfail":      {kind: outcomeDirective, status: StatusXFail, label: "xfail"},
	"uxsuccess":  {kind: outcomeDirective, status: StatusUxSuccess, label: "uxsuccess"},
	"tags":       {kind: tagsDirective},
	"time":       {kind: timeDirective},
	"progress":   {kind: progressDirective},
}

// maxWord is longer than any of v1Words with some colons.
const maxWord = 32

// parseV1Line takes a line apart. Its newline may be missing.
func parseV1Line(line []byte) v1Line {
	i := 0
	for i < len(line) && !v1Space(line[i]) {
		i++
	}
	if i == 0 || i == len(line) || i > maxWord || line[0] < 'a' {
		return v1Line{}
	}
	l, ok := v1Words[string(bytes.TrimRight(line[:i], ":"))]
	if !ok || len(bytes.TrimFunc(line[i:], func(c rune) bool { return c < utf8.RuneSelf && v1Space(byte(c)) })) == 0 {
		return v1Line{}
	}
	l.colon = line[i-1] == ':'
	l.arg = bytes.TrimSuffix(line[i+1:], []byte("\n"))
	return l
}

// v1Space reports whether c separates words: white space of ASCII.
func v1Space(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// goodProgress reports whether arg is one that a progress directive can have.
// What it says has no place in version 2.
func goodProgress(arg []byte) bool {
	arg = bytes.TrimFunc(arg, func(c rune) bool { return c < utf8.RuneSelf && v1Space(byte(c)) })
	if string(arg) == "push" || string(arg) == "pop" {
		return true
	}
	if len(arg) > 0 && (arg[0] == '+' || arg[0] == '-') {
		arg = arg[1:]
	}
	digits, rest := leadingDigits(arg)
	return len(digits) > 0 && len(rest) == 0
}

// cleanText makes a text of version 2 of b: what is no UTF-8, and NUL, is
// replaced.
func cleanText(b []byte) string {
	if utf8.Valid(b) && bytes.IndexByte(b, 0) < 0 {
		return string(b)
	}
	b = bytes.ToValidUTF8(b, []byte(string(utf8.RuneError)))
	return string(bytes.ReplaceAll(b, []byte{0}, []byte(string(utf8.RuneError))))
}
