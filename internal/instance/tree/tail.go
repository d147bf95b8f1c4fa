package tree

import (
	"strings"
	"unicode"

	"testr/internal/instance"
)

// explain is what a command said, on one line, to stand behind the message that
// it failed; with a remedy where one is known. It is empty if it said nothing.
func explain(t *instance.Tail) string {
	text := strings.ToValidUTF8(t.String(), "\uFFFD")
	var lines []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(strings.Map(printable, line))
		if line != "" {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return ""
	}
	said := strings.Join(lines, "; ")
	if t.Cut() {
		said = "… " + said
	}
	for _, r := range remedies {
		if strings.Contains(said, r.symptom) {
			return ": " + said + " (" + r.remedy + ")"
		}
	}
	return ": " + said
}

// printable keeps what a terminal shows, and no more.
func printable(r rune) rune {
	switch {
	case unicode.IsPrint(r):
		return r
	case unicode.IsSpace(r):
		return ' '
	default:
		return '\uFFFD'
	}
}

// remedies are what to do about that which commands say of themselves, in the
// language of LC_ALL=C.
var remedies = []struct{ symptom, remedy string }{
	{"No space left on device", "free some space there"},
	{"Wrote only", "free some space there"}, // tar, of a write that was cut short
	{"no space left", "free some space there"},
	{"Disk quota exceeded", "free some space there"},
	{"Read-only file system", "choose a directory that can be written to"},
	{"Permission denied", "who logs in there must own the directory and what is in it"},
	{"could not make way", "no sync brought what is in the way there: move it away"},
	{"dubious ownership", "do what git says"},
}
