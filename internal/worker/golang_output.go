package worker

import (
	"bytes"
	"strings"
)

// goMarker begins each line that package testing writes about its own doings
// under -test.v=test2json. It may follow output that lacks a newline.
const goMarker = 0x16

// maxGoFrame is how long a marked line may be; a longer one is output.
const maxGoFrame = 32 << 10

// goAction is what a marked line says.
type goAction uint8

const (
	goInvalid goAction = iota
	goRun              // a test begins
	goName             // what follows is this test's output, or nobody's if the name is empty
	goPass             // a test has ended
	goFail
	goSkip
	goEnd  // all tests have ended
	goNote // meant for people
)

// goFrameWords are how marked lines begin.
var goFrameWords = []struct {
	prefix string
	action goAction
}{
	{"=== RUN   ", goRun},
	{"=== PAUSE ", goName},
	{"=== CONT  ", goName},
	{"=== NAME  ", goName},
	{"=== NAME\n", goName},
	{"--- PASS: ", goPass},
	{"--- FAIL: ", goFail},
	{"--- SKIP: ", goSkip},
	{"PASS\n", goEnd},
	{"FAIL\n", goEnd},
	{"=== ATTR  ", goNote},
	{"testing: ", goNote},
	{"FAIL: ", goNote},
}

// goOutput tells what a test binary says about its tests from what the tests
// print. It takes the binary's output, cut anywhere, and keeps no more
// than the beginning of a marked line between calls. The calls it makes are in
// the order of the output; nothing given to text is used after it returns.
type goOutput struct {
	// frame gets each marked line; it reports whether the line is about the
	// tests at hand, else the line is text.
	frame func(action goAction, test string) bool
	text  func(b []byte)

	held []byte // a marked line that has not ended yet, with its marker
}

// Write takes the next piece of output.
func (o *goOutput) Write(b []byte) {
	for len(b) > 0 {
		if len(o.held) > 0 {
			b = o.hold(b)
			continue
		}
		i := bytes.IndexByte(b, goMarker)
		if i < 0 {
			o.text(b)
			return
		}
		if i > 0 {
			o.text(b[:i])
		}
		o.held = append(o.held, goMarker)
		b = b[i+1:]
	}
}

// hold adds to the marked line what b has of it, and returns the rest of b.
func (o *goOutput) hold(b []byte) []byte {
	part := b[:min(len(b), maxGoFrame+1-len(o.held))]
	end := bytes.IndexAny(part, "\n\x16")
	switch {
	case end >= 0 && part[end] == '\n':
		o.held = append(o.held, part[:end+1]...)
		o.line()
		return b[end+1:]
	case end >= 0:
		o.held = append(o.held, part[:end]...)
		o.release()
		return b[end:]
	}
	o.held = append(o.held, part...)
	if len(o.held) > maxGoFrame || !mayBeGoFrame(o.held) {
		o.release()
	}
	return b[len(part):]
}

// line takes the marked line that is whole now.
func (o *goOutput) line() {
	action, test := parseGoFrame(o.held)
	switch {
	case action == goNote:
		o.text(o.held[1:])
	case action == goInvalid || !o.frame(action, test):
		o.text(o.held) // the marker is a byte of the test's own output
	}
	o.held = o.held[:0]
}

// Flush gives as text what was held back: the output has ended.
func (o *goOutput) Flush() {
	if len(o.held) > 0 {
		o.release()
	}
}

func (o *goOutput) release() {
	o.text(o.held)
	o.held = o.held[:0]
}

// parseGoFrame reads a whole marked line. The marker may stand before the
// indentation of a subtest's report.
func parseGoFrame(line []byte) (action goAction, test string) {
	s := string(line[1:])
	if report := strings.TrimLeft(s, " "); strings.HasPrefix(report, "--- ") {
		s = report
	}
	for _, word := range goFrameWords {
		rest, ok := strings.CutPrefix(s, word.prefix)
		if !ok {
			continue
		}
		name := strings.TrimSpace(rest)
		switch word.action {
		case goNote, goEnd:
			return word.action, ""
		case goPass, goFail, goSkip:
			name = cutElapsed(name)
		}
		if name == "" && word.action != goName {
			return goInvalid, ""
		}
		return word.action, name
	}
	return goInvalid, ""
}

// cutElapsed takes " (0.00s)" off the end of a report; without it there is none.
func cutElapsed(s string) (name string) {
	i := strings.LastIndex(s, " (")
	if i < 0 || !strings.HasSuffix(s, "s)") {
		return ""
	}
	return s[:i]
}

// mayBeGoFrame reports whether held, a marker and what follows it, can be the
// beginning of a marked line. Anything else is not worth waiting for its end.
func mayBeGoFrame(held []byte) bool {
	s := string(held[1:min(len(held), 128)])
	if report := strings.TrimLeft(s, " "); report == "" || report[0] == '-' {
		s = report
	}
	for _, word := range goFrameWords {
		if strings.HasPrefix(s, word.prefix) || strings.HasPrefix(word.prefix, s) {
			return true
		}
	}
	return false
}
