package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"testr/internal/protocol"
)

const (
	blockRule  = "======================================================================\n"
	headerRule = "----------------------------------------------------------------------\n"
)

// The labels of a block.
const (
	labelFail      = "FAIL"
	labelUxSuccess = "UNEXPECTED SUCCESS"
	labelFlaky     = "FLAKY"
)

// flakyWords say what a test did at last that had failed before.
var flakyWords = map[protocol.Status]string{
	protocol.StatusSuccess: "passed",
	protocol.StatusSkip:    "skipped",
	protocol.StatusXFail:   "failed as expected",
}

// Colours, which only testr itself puts into its output.
const (
	colourRed    = "\x1b[31m"
	colourGreen  = "\x1b[32m"
	colourYellow = "\x1b[33m"
	colourOff    = "\x1b[0m"
)

// appendBlock appends what is shown of a test that failed; a may be nil.
func (t *Text) appendBlock(dst []byte, label string, of name, route string, tags []string, a *attachments) []byte {
	dst = append(dst, blockRule...)
	dst = t.coloured(dst, colourRed, label)
	dst = append(dst, ": "...)
	dst = t.name(dst, of)
	dst = append(dst, '\n')
	if len(tags) > 0 {
		dst = append(dst, "tags:"...)
		for _, tag := range tags {
			dst = append(dst, ' ')
			dst = t.quote.line(dst, tag)
		}
		dst = append(dst, '\n')
	}
	if host := t.places.abroad(route); host != "" {
		dst = append(dst, "host: "...)
		dst = append(t.quote.line(dst, host), '\n')
	}
	dst = append(dst, headerRule...)
	if a == nil {
		return dst
	}
	dst = appendAttachments(dst, a, t.quote)
	if a.leftOut > 0 {
		dst = fmt.Appendf(dst, "(%s left out here; testr last --subunit has everything)\n",
			count(a.leftOut, "byte", "bytes"))
	}
	return dst
}

func (t *Text) coloured(dst []byte, colour, s string) []byte {
	if !t.opts.Color {
		return append(dst, s...)
	}
	return append(append(append(dst, colour...), s...), colourOff...)
}

// appendAttachments appends files as testtools prints them: a list of those
// that are no text, a list of those that are blank, the texts by name, and the
// traceback last and without its name.
func appendAttachments(dst []byte, a *attachments, quote quoter) []byte {
	files := slices.SortedFunc(slices.Values(a.files), func(x, y *file) int { return cmp.Compare(x.name, y.name) })
	var binary, blank []*file
	var named []namedText
	special := ""
	for _, f := range files {
		if !f.mime.text() {
			binary = append(binary, f)
			continue
		}
		switch text := trimText(f.mime.decode(f.content)); {
		case text == "":
			blank = append(blank, f)
		case f.name == tracebackName:
			special = text
		default:
			named = append(named, namedText{f.name, text})
		}
	}
	dst = appendNames(dst, "Binary content:\n", binary, quote, true)
	dst = appendNames(dst, "Empty attachments:\n", blank, quote, false)
	texts := len(named) > 0 || special != ""
	if texts && len(binary)+len(blank) > 0 {
		dst = append(dst, '\n')
	}
	for i, n := range named {
		if i > 0 && named[i-1].long() {
			dst = append(dst, '\n')
		}
		dst = n.append(dst, quote)
	}
	if special == "" {
		return dst
	}
	if len(named) > 0 {
		dst = append(dst, '\n')
	}
	dst = quote.text(dst, special)
	return append(dst, '\n')
}

type namedText struct{ name, text string }

func (n namedText) long() bool { return hasNewline(n.text) }

func (n namedText) append(dst []byte, quote quoter) []byte {
	dst = quote.line(dst, n.name)
	if !n.long() {
		dst = append(dst, ": {{{"...)
		dst = quote.text(dst, n.text)
		return append(dst, "}}}\n"...)
	}
	dst = append(dst, ": {{{\n"...)
	dst = quote.text(dst, n.text)
	return append(dst, "\n}}}\n"...)
}

func appendNames(dst []byte, title string, files []*file, quote quoter, mime bool) []byte {
	if len(files) == 0 {
		return dst
	}
	dst = append(dst, title...)
	for _, f := range files {
		dst = append(dst, "  "...)
		dst = quote.line(dst, f.name)
		if mime {
			dst = append(dst, " ("...)
			dst = quote.line(dst, f.mime.String())
			dst = append(dst, ')')
		}
		dst = append(dst, '\n')
	}
	return dst
}

// trimText takes away what Python takes for blank at both ends of a text.
func trimText(s string) string {
	return strings.TrimFunc(s, func(r rune) bool {
		switch {
		case r >= 0x1c && r <= 0x1f, r == ' ', r >= '\t' && r <= '\r', r == 0x85, r == 0xa0:
			return true
		case r < 0x1680:
			return false
		}
		return r == 0x1680 || r >= 0x2000 && r <= 0x200a || r == 0x2028 || r == 0x2029 ||
			r == 0x202f || r == 0x205f || r == 0x3000
	})
}

// count returns a number with the form of the unit that goes with it.
func count[N int | int64](n N, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
