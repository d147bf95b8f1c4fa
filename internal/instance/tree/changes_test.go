package tree

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"testing"
)

// testWay is what holds for every way.
func testWay(t *testing.T, w way) {
	for _, test := range []struct {
		name string
		test func(*testing.T, way)
	}{
		{"changes", testChanges},
		{"random changes", testRandom},
		{"cut off anywhere", testCut},
		{"cancelled", testCancel},
		{"links that lead outside", testOutside},
		{"in the way", testInTheWay},
		{"at the same time", testTogether},
		{"a lock whose owner is dead", testStale},
		{"what is not brought", testLeftOut},
		{"directories of all names", testDirectories},
		{"progress", testProgress},
		{"errors", testErrors},
		{"noise", testNoise},
	} {
		t.Run(test.name, func(t *testing.T) { test.test(t, w) })
	}
}

// changes are trees that become one another. After each step the directory has
// what the tree has, and what was made there.
var changes = []struct {
	name  string
	steps []files // what changes here
	made  files   // what was made there, after the first step
	modes bool    // whether the last step changes modes alone
	last  Stats   // of the last step, without By and Took
}{
	{name: "nothing", steps: []files{{}}},
	{name: "first", steps: []files{{"a": "1", "b/c/d": "+22", "b/l": "->c/d"}},
		last: Stats{Files: 3, Sent: 3, Bytes: 3}},
	{name: "no change", steps: []files{{"a": "1", "b/c": "+2", "l": "->a", "m": "->/nowhere/at all"}, {}},
		last: Stats{Files: 4}},
	{name: "another content of the same size", steps: []files{{"a": "1", "b": "2"}, {"a": "3"}},
		last: Stats{Files: 2, Sent: 1, Bytes: 1}},
	{name: "executable", steps: []files{{"a": "1", "b": "+2"}, {"a": "+1", "b": "2"}},
		modes: true, last: Stats{Files: 2, Sent: 2, Bytes: 2}},
	{name: "empty file", steps: []files{{"a": "1"}, {"a": "+", "b": "+"}},
		last: Stats{Files: 2, Sent: 2}},
	{name: "gone", steps: []files{{"a": "1", "b/c/d": "2", "b/e": "3"}, {"a": "", "b/c": ""}},
		last: Stats{Files: 1, Deleted: 2}},
	{name: "all gone", steps: []files{{"a": "1", "b/c/d": "2"}, {"a": "", "b": ""}},
		last: Stats{Deleted: 2}},
	{name: "gone and back", steps: []files{{"a": "1", "b/c": "2"}, {"b": ""}, {"b/c": "2"}},
		last: Stats{Files: 2, Sent: 1, Bytes: 1}},
	{name: "made there", steps: []files{{"a": "1", "b/c": "2", "d/e": "3"}, {"b": "", "d": ""}},
		made: files{"build/out": "x", "b/out": "+y", "d/l": "->e"}, last: Stats{Files: 1, Deleted: 2}},
	{name: "changed there", steps: []files{{"a": "1", "b": "+2", "c": "3", "d": "4"}, {}},
		made: files{"a": "x", "b": "2", "c": "", "d": "->a"}, modes: true, last: Stats{Files: 4, Sent: 4, Bytes: 4}},
	{name: "brought over what was made there",
		steps: []files{{"a": "1"}, {"b": "2", "c": "->a", "d/e": "3"}, {"b": "", "c": "", "d": ""}},
		made:  files{"b": "x", "c": "x", "d": "x"}, last: Stats{Files: 1, Deleted: 3}},
	{name: "file to directory", steps: []files{{"a": "1"}, {"a": "", "a/b/c": "2"}},
		last: Stats{Files: 1, Sent: 1, Bytes: 1, Deleted: 1}},
	{name: "directory to file", steps: []files{{"a/b/c": "1", "a/d": "2"}, {"a": "", "a/": ""}, {"a": "3"}},
		last: Stats{Files: 1, Sent: 1, Bytes: 1}},
	{name: "directory to file at once", steps: []files{{"a/b/c": "1", "a/d": "2"}, {"a": "3"}},
		last: Stats{Files: 1, Sent: 1, Bytes: 1, Deleted: 2}},
	{name: "directory to link", steps: []files{{"a/b": "1", "c/b": "2"}, {"a": "->c"}},
		last: Stats{Files: 2, Sent: 1, Deleted: 1}},
	{name: "link to directory", steps: []files{{"a": "->c", "c/b": "2"}, {"a": "", "a/b": "1"}},
		last: Stats{Files: 2, Sent: 1, Bytes: 1, Deleted: 1}},
	{name: "file to link", steps: []files{{"a": "1", "b": "2"}, {"a": "->b"}}, last: Stats{Files: 2, Sent: 1}},
	{name: "link to file", steps: []files{{"a": "->b", "b": "2"}, {"a": "1"}},
		last: Stats{Files: 2, Sent: 1, Bytes: 1}},
	{name: "link to another", steps: []files{{"a": "->b", "b": "2"}, {"a": "->c"}}, last: Stats{Files: 2, Sent: 1}},
	{name: "hostile names", steps: []files{hostile(), {}}, last: Stats{Files: len(hostile())}},
	{name: "hostile names go", steps: []files{hostile(), gone(hostile())}, last: Stats{Deleted: len(hostile())}},
}

// hostile are names that a shell, a tool or a list could take for something
// else, and links to outside.
func hostile() files {
	f := make(files)
	for i, name := range []string{
		"-rf", "--help", "-", "a b", " ", "  a", "a ", "a\nb", "\n", "a\rb", "a\tb", "a\\b", "\\", "\\n", "\"", "'",
		"$(touch x)", "`touch x`", "*", "?", "[a]", "~", "#a", "!a", ":a", "a:b", "host:a", "@a", "+a", "=", ";a", "|", "&",
		"a\x01b", "\x1b[31m", "\xff\xfe", "é\xff", "日本", "CON", ".hidden", "..a", "a..", "...", "a.testr", ".testrx",
		"%s%n", "aé", "-C", "--checkpoint-action=exec=sh x", "\x7f",
	} {
		f[name] = fmt.Sprint("+", i)[1-i%2:]
		if i%5 == 0 {
			f["d/"+name] = "->../" + name
			f["e\n/"+name] = fmt.Sprint(i)
		}
	}
	f["up"] = "->../../../.."
	f["etc"] = "->/etc"
	f["long/"+long(200)+"/"+long(250)] = "->" + long(240)
	f["itself"] = "->itself"
	f["-d/-e/f"] = "1"
	return f
}

func long(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = "ab c"[i%4]
	}
	return string(b) + "."
}

func gone(f files) files {
	g := make(files)
	for name := range f {
		g[name] = ""
	}
	return g
}

// noEmptyDirs checks that a directory that lost all files is gone.
func noEmptyDirs(t *testing.T, root string) {
	t.Helper()
	err := filepath.WalkDir(root, func(dir string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() || dir == root {
			return err
		}
		if d.Name() == ownDir {
			return filepath.SkipDir
		}
		entries, err := os.ReadDir(dir)
		if len(entries) == 0 {
			t.Errorf("%s is empty", dir)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func testChanges(t *testing.T, w way) {
	for _, tt := range changes {
		t.Run(tt.name, func(t *testing.T) {
			p := newPair(t, w)
			var stats Stats
			for i, step := range tt.steps {
				step.write(t, p.here)
				stats = p.sync()
				there := read(t, p.here)
				if i > 0 {
					for name, content := range tt.made {
						if _, is := there[name]; !is && content != "" && read(t, p.away)[name] == content {
							there[name] = content
						}
					}
				}
				want(t, p.away, there)
				noEmptyDirs(t, p.away)
				if i == 0 {
					maps.Clone(tt.made).write(t, p.away)
				}
			}
			stats.By, stats.Took = "", 0
			if w.by == byRsync && tt.modes {
				stats.Bytes = tt.last.Bytes // it sends no content where the mode alone has changed
			}
			if fmt.Sprint(stats) != fmt.Sprint(tt.last) {
				t.Errorf("got %+v; want %+v", stats, tt.last)
			}
		})
	}
}
