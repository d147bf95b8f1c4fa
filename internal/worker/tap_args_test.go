package worker

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTapCommands(t *testing.T) {
	for _, test := range []struct {
		command, run, list, err string
		args                    []string
	}{
		{command: "prove -r t/", run: "exec testr worker tap -- -r t/", list: "exec testr worker tap --list -- -r t/"},
		{command: "prove", run: "exec testr worker tap --", list: "exec testr worker tap --list --"},
		{command: "A=1 nice -n 5 prove -e 'perl -w' $MORE t/*.t", args: []string{"x y"},
			run:  "A=1 exec nice -n 5 testr worker tap -- -e 'perl -w' $MORE t/*.t 'x y'",
			list: "A=1 exec nice -n 5 testr worker tap --list -- -e 'perl -w' $MORE t/*.t 'x y'"},
		{command: "t/*.t 'xt/a b.t'", run: "exec testr worker tap -- t/*.t 'xt/a b.t'",
			list: "exec testr worker tap --list -- t/*.t 'xt/a b.t'"},
		{command: "/opt/bin/prove t $IDLIST", run: "exec testr worker tap -- t ",
			list: "exec testr worker tap --list -- t "},
		{command: "prove t | tee log", err: "not one simple shell command"},
		{command: "perl -S prove t", err: `its prove is started by "perl"`},
		{command: "ssh host prove t", err: `"ssh"`},
		{command: "cd x && prove t", err: "not one simple shell command"},
		{command: "env A=$IDFILE prove t", err: "$IDFILE stands before prove"},
		{command: "prove t", args: []string{"\x00"}, err: "NUL"},
	} {
		t.Run(test.command, func(t *testing.T) {
			run, list, err := TapCommands("testr", test.command, test.args)
			if run != test.run || list != test.list {
				t.Errorf("got %q and %q; want %q and %q", run, list, test.run, test.list)
			}
			if (err != nil) != (test.err != "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("got error %v; want one with %q", err, test.err)
			}
		})
	}
}

func TestParseTapArgs(t *testing.T) {
	for _, test := range []struct {
		name string
		args []string
		want tapArgs
		err  string
	}{
		{name: "none", want: tapArgs{names: []string{"t"}}},
		{name: "none, below", args: []string{"-r"}, want: tapArgs{recurse: true, names: []string{"."}}},
		{name: "as usual", args: []string{"-r", "-l", "-Ilib", "-I", "x y", "-e", "perl  -w", "t/", "xt/a.t"},
			want: tapArgs{recurse: true, lib: true, include: []string{"lib", "x y"}, exec: []string{"perl", "-w"},
				names: []string{"t/", "xt/a.t"}}},
		{name: "in one word", args: []string{"-vlbrIx", "a", "-leperl -T"},
			want: tapArgs{recurse: true, lib: true, blib: true, include: []string{"x"}, exec: []string{"perl", "-T"},
				names: []string{"a"}}},
		{name: "long", args: []string{"--lib", "--blib", "a", "--recurse", "--verbose", "--exec=sh -e", "b"},
			want: tapArgs{recurse: true, lib: true, blib: true, exec: []string{"sh", "-e"}, names: []string{"a", "b"}}},
		{name: "no program", args: []string{"--exec", "", "a"}, want: tapArgs{exec: []string{}, names: []string{"a"}}},
		{name: "for the scripts", args: []string{"a", "::", "-x", "::"},
			want: tapArgs{names: []string{"a"}, forTests: []string{"-x", "::"}}},
		{name: "names that look like options", args: []string{"-l", "--", "-x.t", "::", "y"},
			want: tapArgs{lib: true, names: []string{"-x.t"}, forTests: []string{"y"}}},
		{name: "unknown", args: []string{"-ls"}, err: "does not know: -s"},
		{name: "unknown long", args: []string{"--ext=.tt"}, err: "does not know: --ext"},
		{name: "jobs", args: []string{"-j9"}, err: "does not know: -j; how many scripts run at a time"},
		{name: "a value for none", args: []string{"--lib=x"}, err: "does not know: --lib"},
		{name: "no value", args: []string{"a", "-I"}, err: "option -I wants a value"},
		{name: "no long value", args: []string{"--exec"}, err: "option --exec wants a value"},
		{name: "stdin", args: []string{"-"}, err: "standard input"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := parseTapArgs(test.args)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("got error %v; want one with %q", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, *got, cmp.AllowUnexported(tapArgs{})); diff != "" {
				t.Errorf("arguments (-want +got):\n%s", diff)
			}
		})
	}
}

// writeFiles writes files below a directory.
func writeFiles(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTapScripts(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "[odd] *dir")
	files := make(map[string]string)
	for _, name := range []string{
		"t/b.t", "t/a.t", "t/B.t", "t/.hidden.t", "t/lib.pm", "t/sub/c.t", "t/dir.t/d.t", "-x.t", "t/a b.t",
		"odd/\xff.t", "odd/\\xff.t", "odd/new\nline.t", "[odd]/1.t",
	} {
		files[name] = ""
	}
	writeFiles(t, dir, files)
	for link, to := range map[string]string{"t/sub/up": "..", "t/gone.t": "missing", "linked": "t"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name string
		args []string
		want []string
		err  string
	}{
		{"directory", []string{"t/"}, []string{"t/B.t", "t/a b.t", "t/a.t", "t/b.t"}, ""},
		{"directory by default", nil, []string{"t/B.t", "t/a b.t", "t/a.t", "t/b.t"}, ""},
		{"below", []string{"-r", "t"},
			[]string{"t/.hidden.t", "t/B.t", "t/a b.t", "t/a.t", "t/b.t", "t/dir.t/d.t", "t/sub/c.t"}, ""},
		{"names in their order, once", []string{"t/b.t", "./t/a.t", "t/b.t", "t/lib.pm"},
			[]string{"t/b.t", "./t/a.t", "t/lib.pm"}, ""},
		{"pattern", []string{"t/[ab]*.t"}, []string{"t/a b.t", "t/a.t", "t/b.t"}, ""},
		{"a name that looks like a pattern", []string{"[odd]"}, []string{"[odd]/1.t"}, ""},
		{"a link", []string{"linked"}, []string{"linked/B.t", "linked/a b.t", "linked/a.t", "linked/b.t"}, ""},
		{"like an option", []string{"--", "-x.t"}, []string{"-x.t"}, ""},
		{"a newline", []string{"odd/new\nline.t"}, []string{"odd/new\nline.t"}, ""},
		{"no UTF-8", []string{"odd/\xff.t"}, []string{`odd/\xff.t`}, ""},
		{"one id for two", []string{"odd"}, nil, "would have the same id"},
		{"missing", []string{"t/c.t"}, nil, `"t/c.t"`},
		{"no match", []string{"x/*.t"}, nil, `no test script matches "x/*.t"`},
		{"empty", []string{""}, nil, `""`},
	} {
		t.Run(test.name, func(t *testing.T) {
			args, err := parseTapArgs(test.args)
			if err != nil {
				t.Fatal(err)
			}
			scripts, err := args.scripts(dir)
			if (err != nil) != (test.err != "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("got error %v; want one with %q", err, test.err)
			}
			var got []string
			for _, s := range scripts {
				got = append(got, s.id)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("ids (-want +got):\n%s", diff)
			}
		})
	}
}
