package report

import (
	"fmt"
	"strings"
)

// Level is how a Check came out.
type Level uint8

// The levels.
const (
	LevelInvalid Level = iota
	LevelOK
	LevelWarning
	LevelFailure
)

// Check is one thing that was looked at.
type Check struct {
	Level  Level
	About  string // what was looked at
	Detail string // what was found, in lines
	Place  string // where it is configured; may be empty
	Fix    string // what to do, in lines; may be empty
}

// aboutWidth is how wide the column with what was looked at is, at least.
const aboutWidth = 26

// AppendCheck appends a check for people to dst. What others wrote is escaped in
// it, whatever it is written to.
func AppendCheck(dst []byte, c Check, color bool) []byte {
	word, colour := "ok  ", colourGreen
	switch c.Level {
	case LevelWarning:
		word, colour = "warn", colourYellow
	case LevelFailure:
		word, colour = "FAIL", colourRed
	default:
	}
	if color {
		word = colour + word + colourOff
	}
	dst = fmt.Appendf(dst, "%s  %-*s", word, aboutWidth, EscapeLine(c.About))
	dst = appendLines(dst, " ", c.Detail)
	if c.Place != "" {
		dst = appendLines(dst, "      at ", c.Place)
	}
	if c.Fix != "" {
		dst = appendLines(dst, "      fix: ", c.Fix)
	}
	return dst
}

// appendLines appends lines, the first behind a prefix, the others indented.
func appendLines(dst []byte, prefix, text string) []byte {
	for n, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		if n > 0 {
			prefix = "        "
		}
		dst = append(dst, prefix...)
		dst = append(dst, EscapeLine(line)...)
		dst = append(dst, '\n')
	}
	return dst
}
