package report

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

var escapeTests = []struct {
	name, in, text, line string
}{
	{"plain", "a.b.test_c(x=1)", "a.b.test_c(x=1)", "a.b.test_c(x=1)"},
	{"newline and tab", "a\n\tb", "a\n\tb", `a\n\tb`},
	{"set the clipboard", "x\x1b]52;c;cm0gLXJmIH4K\x07y",
		`x\x1b]52;c;cm0gLXJmIH4K\x07y`, `x\x1b]52;c;cm0gLXJmIH4K\x07y`},
	{"set the title", "\x1b]0;owned\x1b\\", `\x1b]0;owned\x1b\`, `\x1b]0;owned\x1b\`},
	{"overwrite the line", "FAIL\rPASS", `FAIL\rPASS`, `FAIL\rPASS`},
	{"nul, bell, backspace, delete", "\x00\a\b\x7f", `\x00\x07\x08\x7f`, `\x00\x07\x08\x7f`},
	{"C1 as characters", "\u0080\u009b31m\u009f", `\u0080\u009b31m\u009f`, `\u0080\u009b31m\u009f`},
	{"C1 as bytes", "\x80\x9b31m\x9f", `\x80\x9b31m\x9f`, `\x80\x9b31m\x9f`},
	{"bidi", "\u202a\u202e\u2066\u2069\u200e\u200f\u061c", `\u202a\u202e\u2066\u2069\u200e\u200f\u061c`,
		`\u202a\u202e\u2066\u2069\u200e\u200f\u061c`},
	{"separators", "a\u2028b\u2029c", `a\u2028b\u2029c`, `a\u2028b\u2029c`},
	{"invisible", "a\u200bb\u2060c\ufeffd\u00ade", `a\u200bb\u2060c\ufeffd\u00ade`, `a\u200bb\u2060c\ufeffd\u00ade`},
	{"tag characters", "\U000e0041", `\U000e0041`, `\U000e0041`},
	{"lone surrogate", "\xed\xa0\x80", `\xed\xa0\x80`, `\xed\xa0\x80`},
	{"torn character", "\xe2\x82", `\xe2\x82`, `\xe2\x82`},
	{"overlong", "\xc0\x9b", `\xc0\x9b`, `\xc0\x9b`},
	{"letters of the world", "é ж 漢 🙂 \u0e01\u0e33 ا", "é ж 漢 🙂 \u0e01\u0e33 ا", "é ж 漢 🙂 \u0e01\u0e33 ا"},
	{"joiners are letters",
		"\u0645\u06cc\u200c\u062e 👩\u200d💻",
		"\u0645\u06cc\u200c\u062e 👩\u200d💻",
		"\u0645\u06cc\u200c\u062e 👩\u200d💻"},
	{"a mark with a shape", "\u0600", "\u0600", "\u0600"},
	{"replacement character", "\ufffd", "\ufffd", "\ufffd"},
	{"empty", "", "", ""},
}

// TestEscape proves S3 for the function that everything shown goes through.
func TestEscape(t *testing.T) {
	for _, tt := range escapeTests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Escape(tt.in); got != tt.text {
				t.Errorf("Escape(%q): got %q; want %q", tt.in, got, tt.text)
			}
			if got := EscapeLine(tt.in); got != tt.line {
				t.Errorf("EscapeLine(%q): got %q; want %q", tt.in, got, tt.line)
			}
		})
	}
}

// TestEscapeWriterPieces cuts each text at every place: what comes out may not
// depend on it (S3).
func TestEscapeWriterPieces(t *testing.T) {
	for _, tt := range escapeTests {
		for i := range len(tt.in) + 1 {
			for j := i; j <= len(tt.in); j++ {
				var out bytes.Buffer
				w := NewEscapeWriter(&out)
				for _, piece := range []string{tt.in[:i], tt.in[i:j], tt.in[j:]} {
					if n, err := w.Write([]byte(piece)); n != len(piece) || err != nil {
						t.Fatalf("Write(%q): got %d, %v; want %d, nil", piece, n, err, len(piece))
					}
				}
				if err := w.Flush(); err != nil {
					t.Fatal(err)
				}
				if out.String() != tt.text {
					t.Fatalf("%q cut at %d and %d: got %q; want %q", tt.in, i, j, out.String(), tt.text)
				}
			}
		}
	}
}

func TestEscapeWriterError(t *testing.T) {
	w := NewEscapeWriter(brokenWriter{})
	if n, err := w.Write([]byte("x")); n != 0 || !errors.Is(err, errBroken) {
		t.Errorf("Write: got %d, %v; want 0, %v", n, err, errBroken)
	}
}

// FuzzEscape proves S3: whatever comes in, nothing but plain text comes out,
// in whatever pieces it comes.
func FuzzEscape(f *testing.F) {
	for _, tt := range escapeTests {
		f.Add([]byte(tt.in), 3)
	}
	f.Fuzz(func(t *testing.T, in []byte, cut int) {
		text := Escape(string(in))
		checkPlain(t, text)
		if line := EscapeLine(string(in)); strings.ContainsAny(line, "\n\t") {
			t.Errorf("EscapeLine(%q): got %q; want one line", in, line)
		}
		cut = max(0, min(cut, len(in)))
		var esc Escaper
		pieces := esc.Append(esc.Append(nil, in[:cut]), in[cut:])
		pieces = esc.Flush(pieces)
		if diff := cmp.Diff(text, string(pieces)); diff != "" {
			t.Errorf("%q cut at %d (-whole +pieces):\n%s", in, cut, diff)
		}
	})
}

// checkPlain fails the test if text has anything that does something to a
// terminal.
func checkPlain(t *testing.T, text string) {
	t.Helper()
	if !utf8.ValidString(text) {
		t.Errorf("%q: got invalid UTF-8; want none", text)
	}
	for _, r := range text {
		switch {
		case r == '\n', r == '\t':
		case r < ' ', r >= 0x7f && r <= 0x9f, unicode.Is(unicode.Bidi_Control, r), r == 0x2028, r == 0x2029:
			t.Fatalf("%q: got %U; want it escaped", text, r)
		}
	}
}

var errBroken = errors.New("broken")

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }
