package instance

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestExpand(t *testing.T) {
	id := token{name: tokenID, words: []string{"i-1"}}
	line := token{name: tokenCommand, shell: "python -m x $FILES ; true"}
	words := token{name: tokenCommand, words: []string{"printf", "%s", "a b"}}
	files := token{name: tokenFiles, words: []string{"/tmp/ids", "/tmp/it's"}}
	tests := []struct {
		template, want string
		tokens         []token
	}{
		{"", "", nil},
		{"ssh $INSTANCE_ID $COMMAND", "ssh i-1 python -m x $FILES ; true", []token{id, line}},
		{"$COMMAND", "printf %s 'a b'", []token{id, words}},
		{"cp $FILES x", `cp /tmp/ids '/tmp/it'\''s' x`, []token{files}},
		{"cp $FILES x", "cp  x", []token{{name: tokenFiles}}},
		{"$INSTANCE_IDS", "i-1S", []token{id}}, // as the regular expression of testrepository has it
		{"${INSTANCE_ID} $OTHER $", "${INSTANCE_ID} $OTHER $", []token{id}},
		{`say \$INSTANCE_ID`, `say \i-1`, []token{id}},
		{"a$INSTANCE_IDb$INSTANCE_ID", "ai-1bi-1", []token{id}},
	}
	for _, tt := range tests {
		got, err := expand(tt.template, tt.tokens...)
		if err != nil || got != tt.want {
			t.Errorf("%q: got %q, %v; want %q", tt.template, got, err, tt.want)
		}
	}
	if _, err := expand("$COMMAND", token{name: tokenCommand, shell: "a\x00b"}); err == nil {
		t.Error("a NUL was accepted")
	}
}

// hostileWords are words that stand for themselves alone.
var hostileWords = []string{
	"", " ", "a b", "'", `"`, `\`, "\n", "$(touch canary)", "`touch canary`", ";touch canary", "&& touch canary",
	"| touch canary", "> canary", "$HOME", "*", "?", "~", "#", "!", "'; touch canary; '", `"; touch canary; "`,
	`'"; touch canary; "'`, `\'; touch canary #`, "$'", "ü", "\xff", "${x:=canary}", "!!", "{a,b}", "a=b", "=",
}

// S1: whatever surrounds it, a word is that word, or it is refused.
func TestExpandHostile(t *testing.T) {
	templates := []struct {
		text    string
		accepts bool // every word
	}{
		{"printf '<%s>' $INSTANCE_ID", true},
		{"printf '<%s>' $INSTANCE_ID; true", true},
		{"printf '<%s>' ''$INSTANCE_ID''", true},
		{`printf '<%s>' ""$INSTANCE_ID # it's "$INSTANCE_ID"` + "\n", false},
		{"true # it's\nprintf '<%s>' $INSTANCE_ID", true},
		{`printf '<%s>' a#'b' $INSTANCE_ID`, true},
		{`printf '<%s>' \"$INSTANCE_ID`, true},
		{`printf '<%s>' "$INSTANCE_ID"`, false},
		{`printf '<%s>' '$INSTANCE_ID'`, false},
		{`printf '<%s>' \$INSTANCE_ID`, false},
		{`printf '<%s>' $$INSTANCE_ID`, false},
		{"printf '<%s>' `echo $INSTANCE_ID`", false},
		{`printf '<%s>' "$(echo "$INSTANCE_ID")"`, false},
		{`printf '<%s>' $(echo "x" $INSTANCE_ID)`, false},
		{`printf '<%s>' "${x:-$INSTANCE_ID}"`, false},
		{`printf '<%s>' "${x:-"$INSTANCE_ID"}"`, false},
		{"cat <<END\n$INSTANCE_ID\nEND\n", false},
		{"cat <<'E'\n'\nE\nprintf '<%s>' $INSTANCE_ID", false},
		{`printf '<%s>' "'"$INSTANCE_ID"'"`, true},
	}
	dir := t.TempDir()
	for _, tt := range templates {
		for _, word := range hostileWords {
			line, err := expand(tt.text, token{name: tokenID, words: []string{word}})
			if err != nil {
				if tt.accepts {
					t.Errorf("%q: %v", tt.text, err)
				}
				continue
			}
			cmd := exec.Command("/bin/sh", "-c", line)
			cmd.Dir = dir
			out, err := cmd.CombinedOutput()
			if tt.accepts && (err != nil || !strings.Contains(string(out), word)) {
				t.Errorf("%q with %q: got %q, %v", tt.text, word, out, err)
			}
			if left, _ := os.ReadDir(dir); len(left) > 0 {
				t.Fatalf("%q with %q ran something: %v", tt.text, word, left)
			}
		}
	}
}

// In double quotes a command is for a shell that reads it again.
func TestExpandQuotedCommand(t *testing.T) {
	command := func(words ...string) token { return token{name: tokenCommand, words: words} }
	line, err := expand(`sh -c "cd / && $COMMAND"`, command("printf", "%s.", "a b", "c;d"))
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("/bin/sh", "-c", line).CombinedOutput(); err != nil || string(out) != "a b.c;d." {
		t.Errorf("%s: got %q, %v", line, out, err)
	}
	for _, word := range []string{"$HOME", `"`, "`id`", `\`} {
		if _, err := expand(`sh -c "cd / && $COMMAND"`, command("printf", word)); err == nil {
			t.Errorf("%q was accepted", word)
		}
	}
}
