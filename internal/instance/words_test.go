package instance_test

import (
	"io"
	"os/exec"
	"strings"
	"testing"

	"testr/internal/instance"
)

// TestQuote is S1: to a shell, a word that was quoted is that word.
func TestQuote(t *testing.T) {
	words := []string{"", "w1.example:22", "a b", "it's", "$(id)", "~root", "*", "a\nb", "-n", `\`, "#", "!", "\x01", "ü"}
	for word, want := range map[string]string{
		"": "''", "w1.example:22": "w1.example:22", "it's": `'it'\''s'`, "~root": "'~root'"} {
		if got := instance.Quote(word); got != want {
			t.Errorf("%q: got %s; want %s", word, got, want)
		}
	}
	out, err := exec.Command("/bin/sh", "-c", `printf '%s\0' `+instance.Quote(words...)).Output()
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Join(words, "\x00") + "\x00"; string(out) != want {
		t.Errorf("got %q of a shell; want %q", out, want)
	}
}

func TestTail(t *testing.T) {
	for _, tt := range []struct {
		name   string
		limit  int
		writes []string
		want   string
		cut    bool
	}{
		{"nothing", 10, nil, "", false},
		{"all", 10, []string{"01234", "56789"}, "0123456789", false},
		{"one more", 10, []string{"01234", "56789", "x"}, "123456789x", true},
		{"at once", 10, []string{strings.Repeat("x", 1000) + "0123456789"}, "0123456789", true},
		{"in many pieces", 3, strings.Split(strings.Repeat("abc", 100), ""), "abc", true},
		{"in the middle of a character", 4, []string{"xüüü"}, "üü", true},
		{"the limit that there is", 0, []string{strings.Repeat("x", 5000)}, strings.Repeat("x", 4096), true},
	} {
		tail := instance.Tail{Limit: tt.limit}
		for _, w := range tt.writes {
			if n, err := io.WriteString(&tail, w); n != len(w) || err != nil {
				t.Errorf("%s: got %d, %v", tt.name, n, err)
			}
		}
		if got := tail.String(); got != tt.want || tail.Cut() != tt.cut {
			t.Errorf("%s: got %q, cut %t; want %q, %t", tt.name, got, tail.Cut(), tt.want, tt.cut)
		}
	}
}
