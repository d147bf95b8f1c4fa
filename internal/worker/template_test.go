package worker

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTemplateExpansion(t *testing.T) {
	ids := []string{"a.b", "it's"}
	full := Template{Command: "x $LISTOPT $IDOPTION", IDOption: "--load $IDFILE", ListOption: "--list"}
	tests := []struct {
		name            string
		template        Template
		all, some, list string
	}{
		{"the usual", full, "x  ", "x  --load /f", "x --list "},
		{"ids", Template{Command: "x $IDLIST", IDListDefault: "all of it"}, "x ", `x a.b 'it'\''s'`, "x all of it"},
		{"file", Template{Command: "x -f $IDFILE -"}, "x -f  -", "x -f /f -", "x -f  -"},
		{"both in the option", Template{Command: "x $IDOPTION.", IDOption: "$IDFILE,$IDFILE $IDLIST"},
			"x .", `x /f,/f a.b 'it'\''s'.`, "x ."},
		{"a token's name may go on", Template{Command: "x $IDFILENAME $IDLISTS"},
			"x NAME S", `x /fNAME a.b 'it'\''s'S`, "x NAME S"},
		{"braces are the shell's", Template{Command: "x ${IDFILE} $IDLIST $HOME"}, "x ${IDFILE}  $HOME",
			`x ${IDFILE} a.b 'it'\''s' $HOME`, "x ${IDFILE}  $HOME"},
		{"no token in what was put in", Template{Command: "x $IDFILE $LISTOPT $IDOPTION", IDOption: "$LISTOPT $IDOPTION.",
			ListOption: "$IDFILE $IDLIST"}, "x   ", "x /f   .", "x  $IDFILE $IDLIST "},
		{"no token made of two", Template{Command: "x $IDFILE $ID$LISTOPTLIST"}, "x  $IDLIST", "x /f $IDLIST", "x  $IDLIST"},
		{"dollars", Template{Command: "x $$IDFILE $ $"}, "x $ $ $", "x $/f $ $", "x $ $ $"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			all, err := test.template.Run(nil, "", nil)
			if err != nil || all != test.all {
				t.Errorf("got %q, %v for all; want %q", all, err, test.all)
			}
			some, err := test.template.Run(ids, "/f", []string{"-v", "a b"})
			if want := test.some + " -v 'a b'"; err != nil || some != want {
				t.Errorf("got %q, %v for some; want %q", some, err, want)
			}
			list, err := test.template.List([]string{"$x"})
			if want := test.list + " '$x'"; err != nil || list != want {
				t.Errorf("got %q, %v to list; want %q", list, err, want)
			}
		})
	}
}

func TestSelectableAndListable(t *testing.T) {
	tests := []struct {
		template                    Template
		selectable, listable, lists bool
	}{
		{Template{Command: "x"}, false, false, false},
		{Template{Command: "x $IDFILE"}, true, false, false},
		{Template{Command: "x $IDLIST", IDListDefault: "a"}, true, true, false},
		{Template{Command: "x $IDOPTION", IDOption: "-f $IDFILE"}, true, false, false},
		{Template{Command: "x $IDOPTION", IDOption: "-f"}, false, false, false},
		{Template{Command: "x", IDOption: "$IDFILE"}, false, false, false},
		{Template{Command: "x $LISTOPT", ListOption: "-l"}, false, true, true},
	}
	for _, test := range tests {
		if got := test.template.Selectable(); got != test.selectable {
			t.Errorf("%q: got selectable %v; want %v", test.template.Command, got, test.selectable)
		}
		if got := test.template.Listable(); got != test.listable {
			t.Errorf("%q: got listable %v; want %v", test.template.Command, got, test.listable)
		}
		if got := test.template.Lists(); got != test.lists {
			t.Errorf("%q: got lists %v; want %v", test.template.Command, got, test.lists)
		}
	}
}

func TestTemplateErrors(t *testing.T) {
	list := Template{Command: "x $IDLIST"}
	if _, err := list.Run([]string{}, "", nil); err == nil {
		t.Error("got nil for an empty list of ids; want an error")
	}
	if _, err := (Template{Command: "x"}).Run([]string{"a"}, "", nil); !errors.Is(err, ErrNotSelectable) {
		t.Errorf("got %v; want ErrNotSelectable", err)
	}
	if _, err := list.Run([]string{strings.Repeat("a", maxCommand)}, "", nil); !errors.Is(err, ErrTooLong) {
		t.Errorf("got %v; want ErrTooLong", err)
	}
	if _, err := list.Run(nil, "", []string{"a\x00b"}); err == nil {
		t.Error("got nil for an argument with a NUL; want an error")
	}
	if _, err := list.Run([]string{"a", "-b"}, "", nil); err == nil {
		t.Error("got nil for an id like an option; want an error")
	}
	if _, err := (Template{Command: `x "$IDFILE"`}).Run([]string{"a"}, "/a b", nil); err == nil {
		t.Error("got nil for a file's name that needs quotes in quotes; want an error")
	}
}

// TestSplit is S1 and S2: ids that could become an option, a piece of shell or
// two ids are told apart beforehand.
func TestSplit(t *testing.T) {
	const (
		option  = "it would be taken for an option"
		inQuote = "it would need quotes within the quotes of the command"
		command = "ids would stand where the shell expects a command, a value or a file"
		nul     = "it has a NUL byte"
		space   = "white space at an end"
	)
	tests := []struct{ command, id, want string }{
		{"x $IDFILE", "a.b", ""},
		{"x $IDFILE", "a\nb", "newline"},
		{"x $IDFILE", "a\rb", "newline"},
		{"x $IDFILE", "a\x00b", nul},
		{"x $IDFILE", "", "empty id"},
		{"x $IDFILE", " a", space},
		{"x $IDFILE", "a\t", space},
		{"x $IDFILE", "-rf", ""},
		{"x $IDFILE", "$(b)", ""},
		{"x '$IDFILE'", "$(b)", ""},
		{"x <$IDFILE", "$(b)", ""},
		{"x $IDLIST", "a.b", ""},
		{"x $IDLIST", "$(b)", ""},
		{"x $IDLIST", " a", ""},
		{"x $IDLIST", "a\nb", "newline"},
		{"x $IDLIST", "a\x00b", nul},
		{"x $IDLIST", "-rf", option},
		{"x $IDLIST $IDFILE", " a", space},
		{`x "$IDLIST"`, "a.b", ""},
		{`x "$IDLIST"`, "a b", inQuote},
		{"x '$IDLIST'", "$(b)", inQuote},
		{"sh -c 'x $IDLIST'", "$(b)", inQuote},
		{"sh -c 'x $IDLIST'", "b", ""},
		{"x `y $IDLIST`", "$(b)", inQuote},
		{"x `y $IDLIST`", "b", ""},
		{"x \"$(y $IDLIST)\"", "$(b)", ""},
		{"x ${A:-$IDLIST}", "}b", inQuote},
		{"x <<X\n$IDLIST\nX\n", "$(b)", inQuote},
		{"x # $IDLIST", "a;b", inQuote},
		{`x \$IDLIST`, "a b", inQuote},
		{"x $$IDLIST", "a b", inQuote},
		{"x $((IDLIST)) $(($IDLIST))", "a[$(b)]", inQuote},
		{"eval x $IDLIST", "$(b)", inQuote},
		{"ssh host x $IDLIST", "$(b)", inQuote},
		{"x 'unfinished $IDLIST", "a b", inQuote},
		{"for i in $IDLIST; do x \"$i\"; done", "$(b)", ""},
		{"case $IDLIST in *) x;; esac", "a) b;; c", inQuote},
		{"$IDLIST", "b", command},
		{"A=$IDLIST x", "b", command},
		{"x >$IDLIST", "b", command},
		{"y | x $IDLIST && z", "$(b)", ""},
	}
	for _, test := range tests {
		usable, refused := Template{Command: test.command}.Split([]string{test.id})
		var want []Refusal
		if test.want != "" {
			want = []Refusal{{test.id, test.want}}
		}
		if diff := cmp.Diff(want, refused); diff != "" || len(usable)+len(refused) != 1 {
			t.Errorf("%q in %q (-want +got):\n%s", test.id, test.command, diff)
		}
	}
}

// hostileIDs are 200 ids that mean something to a shell, to programs or to
// readers of lists. None has a NUL.
func hostileIDs() []string {
	ids := []string{
		"", " ", "  a", "a  ", "\t", "-rf", "--help", "-", "--", "-rf /", "~", "~root", "*", "?", "[a-z]", "{a,b}",
		"a{1..3}", ";touch p", "a;touch p", "a&touch p", "a&&touch p", "a|touch p", "a||touch p", "$(touch p)",
		"`touch p`", "a$(touch p)b", "\"$(touch p)\"", "'$(touch p)'", "'", "''", "'''", "\"", "\"\"", `\`, `\\`,
		`\'`, `'\''`, `'\''$(touch p)'\''`, `\"`, "'; touch p; '", "\"; touch p; \"", "'$(touch p)", "\\'$(touch p)",
		"')$(touch p)('", "a\nb", "\n", "a\n", "\ntouch p\n", "a\\\nb", "a\rb", "\r\n", ">p", ">>p", "a>p", "2>p",
		"<p", "<<p", "<<<p", ">&2", "&>p", "$HOME", "${HOME}", "$IFS", "${IFS}", "$$", "$?", "$!", "$@", "$*", "$1",
		"$0", "${a:=b}", "${a?b}", "$((1+1))", "$[1+1]", "#", "a#b", " # a", "!", "!!", "!a", "^a^b", "%1", "a=b",
		"=a", "PATH=p", "a\\", "(a)", "((a))", "{", "}", "{ touch p;}", "[", "]", "[[ a ]]", "if", "then", "fi",
		"do", "done", "case", "esac", "function", "in", "time", ".", "..", "/", "//", "../../p", "./p", "a/b/c", ":",
		":(){ :|:& };:", "@p", "@", "a@b", "%s", "%n%n", "%%", "\x01", "\x02", "\x03", "\x04", "\x07", "\b", "\x0b",
		"\x0c", "\x1a", "\x1b[2J", "\x1b]0;p\x07", "\x7f", "\x80", "\x81", "\x82", "\x88", "\xff", "\xfe\xff",
		"a\xc3", "\xc3\xa9", "é", "日本語", "\u202eb", "\u2028", "\u0085", "\ufeff", "\u00a0", "a\u00a0b", "👍",
		"\xed\xa0\x80", "\xf4\x90\x80\x80", "a b", "a  b", "a\tb", "a.b.c(d)", "a.b.c (d)", "a.b.C.test_x(py34)",
		"test[a-b]", "test['a']", "test[\"a\"]", "TestX/sub test", "a::b[1 > 0]", "a,b", "a+b", "a^b", "a!b",
		"$IDLIST", "$IDFILE", "$IDOPTION", "$LISTOPT", "$COMMAND", "\\$IDLIST", "\\0", "\\n", "\\x41", "\\c", "$'a'",
		"$\"a\"", "$'\\''$(touch p)", strings.Repeat("x", 64<<10), strings.Repeat("'", 20<<10),
		strings.Repeat("$(touch p)", 6<<10),
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	const special = "'\"\\$`;&|<>(){}[]*?!#~=%\n\r\t -azé\x81\xff"
	for len(ids) < 200 {
		b := make([]byte, 1+rnd.IntN(12))
		for i := range b {
			b[i] = special[rnd.IntN(len(special))]
		}
		if id := string(b); !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// TestHostileIDs is S1: whatever an id looks like, the shell hands it on as it
// is, and does nothing else.
func TestHostileIDs(t *testing.T) {
	tools, canary := t.TempDir(), t.TempDir()
	show := filepath.Join(tools, "show")
	program(t, show, `for arg; do printf '%s\0' "$arg"; done`)
	t.Chdir(canary)
	ids := hostileIDs()
	if len(ids) != 200 {
		t.Fatalf("got %d ids; want 200", len(ids))
	}
	template := Template{Command: show + " $IDLIST", IDOption: "--load-list $IDFILE"}

	t.Run("as ids", func(t *testing.T) {
		usable, refused := template.Split(ids)
		if len(refused) > 30 {
			t.Errorf("got %d ids refused; want only those with newlines, empty or like an option", len(refused))
		}
		for _, batch := range chunks(usable, 16<<10) {
			argv, _, cleanup, err := Batch{Template: template}.Command(batch, nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(batch, runShell(t, argv)); diff != "" {
				t.Errorf("arguments differ (-ids +got):\n%s", diff)
			}
			if err := cleanup(); err != nil {
				t.Error(err)
			}
		}
		for _, r := range refused {
			if _, _, _, err := (Batch{Template: template}).Command([]string{"a", r.ID}, nil); err == nil {
				t.Errorf("got a command with the refused id %q; want an error", r.ID)
			}
		}
	})

	// What the user gave after "--" may be anything.
	t.Run("as arguments", func(t *testing.T) {
		python := Detected{Kind: KindPython, Runner: "unittest", head: show + " "}
		for _, args := range chunks(ids, 16<<10) {
			for name, command := range map[string]func([]string) (string, error){
				"run":    func(args []string) (string, error) { return template.Run(nil, "", args) },
				"list":   template.List,
				"python": func(args []string) (string, error) { return python.Python("script", true, args) },
			} {
				line, err := command(args)
				if err != nil {
					t.Fatal(err)
				}
				got := runShell(t, shell(line))
				if diff := cmp.Diff(args, got[len(got)-len(args):]); diff != "" {
					t.Errorf("%s: arguments differ (-want +got):\n%s", name, diff)
				}
			}
		}
	})

	// The places that Split lets ids into: no matter what stands around them.
	t.Run("within other shell", func(t *testing.T) {
		for _, command := range []string{
			"%s $IDLIST", "A=1 %s $IDLIST </dev/null", "if :; then %s $IDLIST; fi", "(%s $IDLIST)", "{ %s $IDLIST; } | cat",
			"for i in $IDLIST; do %s \"$i\"; done", "%s \"$IDLIST\"", "%s '$IDLIST'", "%s \\$IDLIST", "%s `printf %%s $IDLIST`",
			"%s \"$(printf %%s $IDLIST)\"", "cat <<X\n$IDLIST\nX\n%s", "sh -c '%s $IDLIST'", "sh -c \"%s \\\"$IDLIST\\\"\"",
			"eval %s $IDLIST", "%s ${A:-$IDLIST}", "%s \"${A:-$IDLIST}\"", "%s # $IDLIST", "%s $$IDLIST", "%s $IDLISTp",
		} {
			within := Template{Command: fmt.Sprintf(command, show)}
			usable, _ := within.Split(ids)
			for _, batch := range chunks(usable, 16<<10) {
				line, err := within.Run(batch, "", nil)
				if err != nil {
					t.Fatal(err)
				}
				// What it prints depends on the command; what it does must not.
				if out, err := exec.Command("/bin/sh", "-c", line).CombinedOutput(); err != nil {
					t.Errorf("%q: %v\n%.200s", command, err, out)
				}
			}
		}
	})
	if left := names(t, canary); len(left) > 0 {
		t.Errorf("got files %q; want none: an id was run", left)
	}
}

// chunks cuts ids into pieces that a command has room for.
func chunks(ids []string, size int) [][]string {
	var all [][]string
	length := 0
	for _, id := range ids {
		if len(all) == 0 || length+len(id) > size {
			all, length = append(all, nil), 0
		}
		all[len(all)-1] = append(all[len(all)-1], id)
		length += len(id)
	}
	return all
}

// FuzzQuote is S1: what Quote makes of a text is one word, which the shell takes
// for that text.
func FuzzQuote(f *testing.F) {
	for _, id := range hostileIDs() {
		if len(id) < 100 {
			f.Add(id)
		}
	}
	f.Fuzz(func(t *testing.T, s string) {
		quoted, err := Quote(s)
		if strings.Contains(s, "\x00") {
			if err == nil {
				t.Fatalf("quoted %q; want an error for its NUL", s)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(quoted) > maxCommand-100 {
			return
		}
		t.Chdir(t.TempDir())
		if got := runShell(t, shell(`printf '%s\0' `+quoted)); len(got) != 1 || got[0] != s {
			t.Errorf("got %q of %s; want %q", got, quoted, s)
		}
		if left := names(t, "."); len(left) > 0 {
			t.Errorf("got files %q of %s; want none", left, quoted)
		}
	})
}

// TestNested is S1 for commands that a hook gives to one more shell: what needs
// quotes is not given to them at all.
func TestNested(t *testing.T) {
	for _, tt := range []struct {
		command string
		refused []string
	}{
		{"run $IDLIST", []string{"a b", "m.test[1]", "x;touch pwned", "$(touch pwned)"}},
		{"run --load-list $IDFILE", nil},
	} {
		template := Template{Command: tt.command, Nested: true}
		ids := []string{"m.C.test_a", "a b", "m.test[1]", "x;touch pwned", "$(touch pwned)"}
		usable, refused := template.Split(ids)
		var got []string
		for _, r := range refused {
			got = append(got, r.ID)
		}
		if !slices.Equal(got, tt.refused) || len(usable)+len(refused) != len(ids) {
			t.Errorf("%s: got %q refused; want %q", tt.command, got, tt.refused)
		}
		if _, err := template.Run(ids, "/tmp/it's here/ids", nil); err == nil {
			t.Errorf("%s: a command was made that needs quotes", tt.command)
		}
	}
}
