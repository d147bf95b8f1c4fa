package tree

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A link in the place of a directory or a file of the tree leads nowhere:
// neither is anything written behind it, nor removed.
func testOutside(t *testing.T, w way) {
	tree := files{"a/b": "1", "a/c/d": "2", "e": "3", "f/g": "->../e", "h/i": "4"}
	outside := files{"b": "x", "c/d": "x", "e": "x", "g": "x", "i": "x", "d": "x"}
	tests := []struct {
		name  string
		there func(outside string) files // what is put there
		here  files                      // what changes here
	}{
		{name: "a directory", there: func(out string) files { return files{"a": "->" + out} }},
		{name: "a directory below", there: func(out string) files { return files{"a/c": "->" + out + "/c"} }},
		{name: "a relative link", there: func(string) files { return files{"a/c": "->../../../outside/c"} }},
		{name: "all of them", there: func(out string) files {
			return files{"a": "->" + out, "e": "->" + out + "/e", "f": "->" + out, "h": "->" + out}
		}},
		{name: "a file", there: func(out string) files { return files{"e": "->" + out + "/e", "a/b": "->" + out} }},
		{name: "to nothing", there: func(out string) files {
			return files{"e": "->" + out + "/new", "h": "->" + out + "/newer"}
		}},
		{name: "to itself", there: func(string) files { return files{"a": "->.", "h": "->h", "e": "->e"} }},
		{name: "new files", there: func(out string) files { return files{"n": "->" + out, "o": "->" + out + "/new"} },
			here: files{"n/b": "5", "n/c/d": "6", "o": "7"}},
		{name: "the same content", there: func(out string) files { return files{"n": "->" + out} }, here: files{"n/b": "x"}},
		{name: "gone files", there: func(out string) files { return files{"h": "->" + out} },
			here: files{"h/i": "", "h/j": "8"}},
	}
	for _, tt := range tests {
		p := newPair(t, w)
		out := filepath.Join(filepath.Dir(p.away), "..", "outside")
		outside.write(t, out)
		tree.write(t, p.here)
		p.sync()
		tt.there(out).write(t, p.away)
		tt.here.write(t, p.here)
		p.sync()
		want(t, p.away, read(t, p.here))
		want(t, out, outside)
		if t.Failed() {
			t.Fatal(tt.name)
		}
	}

	// What is gone here, with its directory, stays behind a link there.
	p := newPair(t, w)
	out := filepath.Join(filepath.Dir(p.away), "..", "outside")
	outside.write(t, out)
	if err := os.Mkdir(filepath.Join(out, "empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	tree.write(t, p.here)
	files{"h/empty/k": "9"}.write(t, p.here)
	p.sync()
	files{"h": "->" + out, "a": "->" + out}.write(t, p.away)
	files{"h": "", "a": ""}.write(t, p.here)
	p.sync()
	want(t, out, outside)
	if !isDir(filepath.Join(out, "empty")) {
		t.Error("an empty directory behind a link was removed")
	}

	// Nor is testr's own directory behind one.
	p = newPair(t, w)
	tree.write(t, p.here)
	files{".testr": "->" + out}.write(t, p.away)
	_, err := Sync(t.Context(), p.inst, workDir, p.options())
	if err == nil || !strings.Contains(err.Error(), ".testr is a symbolic link") {
		t.Errorf("got %v; want .testr refused", err)
	}
	want(t, out, outside)
}

// What was made there and stands in the way of a file is not removed, and the
// error says what to do. An empty directory is no loss.
func testInTheWay(t *testing.T, w way) {
	p := newPair(t, w)
	files{"a": "1", "b/c": "2"}.write(t, p.here)
	p.sync()
	files{"b/made": "x", "d/made": "x"}.write(t, p.away)
	if err := os.Mkdir(filepath.Join(p.away, "e"), 0o755); err != nil {
		t.Fatal(err)
	}
	files{"b": "3", "d": "->a", "e": "4"}.write(t, p.here)
	_, err := Sync(t.Context(), p.inst, workDir, p.options())
	if err == nil || !strings.Contains(err.Error(), "move it away") {
		t.Errorf("got %v; want to be told what is in the way", err)
	}
	if got := read(t, p.away); got["b/made"] != "x" || got["d/made"] != "x" {
		t.Errorf("got %v; want what was made there", got)
	}
	files{"b": "", "d": ""}.write(t, p.away)
	p.sync()
	want(t, p.away, files{"a": "1", "b": "3", "d": "->a", "e": "4"})
}

// What is neither a file nor a link is not brought, nor what is testr's own or
// version control's; without git even what git would ignore is.
func testLeftOut(t *testing.T, w way) {
	p := newPair(t, w)
	files{
		"a": "1", ".gitignore": "*", ".hidden/b": "2", "c/d": "3",
		"c/.hg/x": "x", "c/.git": "x", ".testr/x": "x", ".hg/x": "x",
	}.write(t, p.here)
	for _, name := range []string{"pipe", "c/pipe\n2"} {
		if err := unix.Mkfifo(filepath.Join(p.here, name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(p.here, "empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	stats := p.sync()
	want(t, p.away, files{"a": "1", ".gitignore": "*", ".hidden/b": "2", "c/d": "3"})
	if got := strings.Join(stats.Warnings, "\n"); len(stats.Warnings) != 2 ||
		!strings.Contains(got, `"pipe" is left out`) || !strings.Contains(got, `"c/pipe\n2" is left out`) {
		t.Errorf("got warnings %q; want the two pipes", got)
	}
	entries, err := os.ReadDir(filepath.Join(p.away, ".testr"))
	if err != nil || len(entries) != 2 {
		t.Errorf("got %v, %v in .testr; want sync and synced", entries, err)
	}
}

// Directories have whatever names, here and there; the empty one is where
// commands run.
func testDirectories(t *testing.T, w way) {
	p := newPair(t, w)
	home := filepath.Dir(filepath.Dir(p.away))
	odd := `-a:b 'c' "d" $(touch e)` + "\n* \xff"
	for _, name := range []string{"here", "temp"} {
		if err := os.MkdirAll(filepath.Join(p.here, name, odd), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(p.here, "link")
	if err := os.Symlink(filepath.Join(p.here, "here", odd), link); err != nil {
		t.Fatal(err)
	}
	tree := files{"a": "1", "b/c": "2"}
	tree.write(t, link)
	o := p.options()
	o.TempDir = filepath.Join(p.here, "temp", odd)
	for _, root := range []string{link, filepath.Join(p.here, "here", odd)} {
		for _, dir := range []string{"", "-", "-x/--y", "~", odd, "n/../" + odd + "/b", filepath.Join(home, "absolute")} {
			o.Root = root
			if _, err := Sync(t.Context(), p.inst, dir, o); err != nil {
				t.Fatalf("%q: %v", dir, err)
			}
			if !filepath.IsAbs(dir) {
				dir = filepath.Join(home, dir)
			}
			if got := read(t, dir); got["a"] != "1" || got["b/c"] != "2" {
				t.Errorf("%q: got %v; want the tree", dir, got)
			}
		}
	}
}
