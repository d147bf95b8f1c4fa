package tree

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// listNames are the names that list gives.
func listNames(t *testing.T, root string, patterns ...string) []string {
	t.Helper()
	warn := func(text string) { t.Errorf("got a warning: %s", text) }
	entries, err := list(t.Context(), root, patterns, t.TempDir(), warn)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.name)
	}
	return names
}

// repository is a work tree with a commit of tracked.
func repository(t *testing.T, dir string, tracked files) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	runGit(t, dir, "init", "-q")
	tracked.write(t, dir)
	runGit(t, dir, "add", "-A", "-f")
	runGit(t, dir, "commit", "-q", "--allow-empty", "-m", "first")
	return dir
}

func TestListGit(t *testing.T) {
	tests := []struct {
		name    string
		tracked files
		change  func(t *testing.T, dir string)
		want    []string
	}{
		{name: "nothing"},
		{name: "tracked, untracked and ignored",
			tracked: files{".gitignore": "*.o\n/build/\n", "a": "1", "b/c": "2", "b/kept.o": "3"},
			change: func(t *testing.T, dir string) {
				files{"d": "1", "b/e": "2", "b/build/f": "3"}.write(t, dir)
				files{"x.o": "x", "b/x.o": "x", "build/x": "x", ".testr/x": "x"}.write(t, dir)
				files{".git/info/exclude": "private\n", "private": "x"}.write(t, dir)
			},
			want: []string{".gitignore", "a", "b/build/f", "b/c", "b/e", "b/kept.o", "d"}},
		{name: "deleted in the work tree", tracked: files{"a": "1", "b/c": "2"},
			change: func(t *testing.T, dir string) { files{"a": "", "b": ""}.write(t, dir) }},
		{name: "deleted in the index", tracked: files{"a": "1", "b": "2"},
			change: func(t *testing.T, dir string) { runGit(t, dir, "rm", "-q", "--cached", "a") },
			want:   []string{"a", "b"}},
		{name: "of another kind", tracked: files{"a": "1", "b/c": "2", "d/c": "3", "f": "->a"},
			change: func(t *testing.T, dir string) {
				files{"a": "", "b": "->d", "f": ""}.write(t, dir)
				files{"a/g": "4", "f/h": "5"}.write(t, dir)
			},
			want: []string{"a/g", "b", "d/c", "f/h"}},
		{name: "in conflict", tracked: files{"a": "1"},
			change: func(t *testing.T, dir string) {
				for _, branch := range []string{"one", "two"} {
					runGit(t, dir, "checkout", "-q", "--orphan", branch)
					files{"a": branch}.write(t, dir)
					runGit(t, dir, "commit", "-q", "-am", branch)
				}
				runGit(t, dir, "read-tree", "-m", "one^{tree}", "two", "two") // stages of one file
				runGit(t, dir, "read-tree", "--empty")
				runGit(t, dir, "add", "a")
			},
			want: []string{"a"}},
		{name: "repositories inside", tracked: files{"a": "1"},
			change: func(t *testing.T, dir string) {
				for _, sub := range []string{"sub", "sub/deep", "untracked"} {
					repository(t, filepath.Join(dir, sub), files{".gitignore": "*.o\n", "b": "2", "c\nd": "3"})
					files{"x.o": "x", "e": "4"}.write(t, filepath.Join(dir, sub))
				}
				runGit(t, filepath.Join(dir, "sub"), "add", "deep")
				runGit(t, dir, "add", "sub")
				const commit = "1111111111111111111111111111111111111111"
				runGit(t, dir, "update-index", "--add", "--cacheinfo", "160000,"+commit+",missing")
				if err := os.Mkdir(filepath.Join(dir, "missing"), 0o755); err != nil {
					t.Fatal(err)
				}
			},
			want: []string{"a", "sub/.gitignore", "sub/b", "sub/c\nd", "sub/deep/.gitignore", "sub/deep/b", "sub/deep/c\nd",
				"sub/deep/e", "sub/e", "untracked/.gitignore", "untracked/b", "untracked/c\nd", "untracked/e"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := repository(t, t.TempDir(), tt.tracked)
			if tt.change != nil {
				tt.change(t, dir)
			}
			if diff := cmp.Diff(tt.want, listNames(t, dir)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// A tree may be a part of a work tree.
func TestListGitBelow(t *testing.T) {
	dir := repository(t, t.TempDir(), files{".gitignore": "*.o\n/part/x\n", "a": "1", "part/b": "2"})
	files{"part/x": "x", "part/c/x.o": "x", "part/c/x": "3"}.write(t, dir)
	if diff := cmp.Diff([]string{"b", "c/x"}, listNames(t, filepath.Join(dir, "part"))); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// The variables that a hook of git has are for another repository.
func TestListGitInHook(t *testing.T) {
	other := repository(t, t.TempDir(), files{"x": "x"})
	dir := repository(t, t.TempDir(), files{"a": "1", ".gitignore": "o"})
	files{"o": "x"}.write(t, dir)
	t.Setenv("GIT_DIR", filepath.Join(other, ".git"))
	t.Setenv("GIT_WORK_TREE", other)
	t.Setenv("GIT_INDEX_FILE", filepath.Join(other, ".git/index"))
	if diff := cmp.Diff([]string{".gitignore", "a"}, listNames(t, dir)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// Where git can't say what it ignores, nothing is brought.
func TestListGitErrors(t *testing.T) {
	tests := []struct {
		name, want string
		tree       func(t *testing.T) string
	}{
		{"damaged", "git rev-parse", func(t *testing.T) string {
			dir := repository(t, t.TempDir(), files{"a": "1", "b/c": "2"})
			files{".git/HEAD": "damage"}.write(t, dir)
			return filepath.Join(dir, "b")
		}},
		{"somebody else's", "dubious ownership", func(t *testing.T) string {
			dir := repository(t, t.TempDir(), files{"a": "1"})
			t.Setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
			return dir
		}},
		{"all ignored", "git ignores all of", func(t *testing.T) string {
			dir := repository(t, t.TempDir(), files{".gitignore": "*\n"})
			files{"a": "1"}.write(t, filepath.Join(dir, "project"))
			return filepath.Join(dir, "project")
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := list(t.Context(), tt.tree(t), nil, t.TempDir(), func(string) {})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v; want %q in it", err, tt.want)
			}
		})
	}
}

// Patterns mean what they mean in a .gitignore, for all files of all trees.
func TestExclude(t *testing.T) {
	tree := files{
		"a.o": "1", "b/a.o": "1", "build/x/y": "1", "b/build/z": "1", "b/c\nd.o": "1", "e\\f": "1", "g\xff.o": "1",
		"h/i/j/k": "1", "l": "->a.o", "keep.o": "1", "#x": "1", "!y": "1",
	}
	all := slices.Sorted(maps.Keys(tree))
	tests := []struct {
		name     string
		patterns []string
		out      []string
	}{
		{name: "none"},
		{name: "a name anywhere", patterns: []string{"*.o"}, out: []string{"a.o", "b/a.o", "b/c\nd.o", "g\xff.o", "keep.o"}},
		{name: "not one", patterns: []string{"*.o", "!keep.o"}, out: []string{"a.o", "b/a.o", "b/c\nd.o", "g\xff.o"}},
		{name: "at the root", patterns: []string{"/a.o"}, out: []string{"a.o"}},
		{name: "a directory", patterns: []string{"build/"}, out: []string{"b/build/z", "build/x/y"}},
		{name: "a directory at the root", patterns: []string{"/build"}, out: []string{"build/x/y"}},
		{name: "a path", patterns: []string{"b/build"}, out: []string{"b/build/z"}},
		{name: "below", patterns: []string{"h/**/k"}, out: []string{"h/i/j/k"}},
		{name: "any directory", patterns: []string{"**/i/"}, out: []string{"h/i/j/k"}},
		{name: "escaped", patterns: []string{`e\\f`, `\!y`, `#x`}, out: []string{"!y", "#x", "e\\f"}},
		{name: "nothing is a file only", patterns: []string{"l/", "a.o/"}},
		{name: "a class", patterns: []string{"[al]*"}, out: []string{"a.o", "b/a.o", "l"}},
		{name: "everything", patterns: []string{"*"}, out: all},
		{name: "like an option", patterns: []string{"--help", "-x"}},
	}
	repo, plain := repository(t, t.TempDir(), tree), t.TempDir()
	tree.write(t, plain)
	outer := repository(t, t.TempDir(), nil)
	tree.write(t, repository(t, filepath.Join(outer, "sub"), nil))
	for _, tt := range tests {
		var want, below []string
		for _, name := range all {
			if !slices.Contains(tt.out, name) {
				want = append(want, name)
				below = append(below, "sub/"+name)
			}
		}
		for _, root := range []string{repo, plain} {
			if diff := cmp.Diff(want, listNames(t, root, tt.patterns...)); diff != "" {
				t.Errorf("%s: -want +got:\n%s", tt.name, diff)
			}
		}
		if len(tt.patterns) == 1 && strings.HasPrefix(tt.patterns[0], "**") {
			if diff := cmp.Diff(below, listNames(t, outer, tt.patterns...)); diff != "" {
				t.Errorf("%s: -want +got:\n%s", tt.name, diff)
			}
		}
	}
	if diff := cmp.Diff([]string{"sub/a.o"}, listNames(t, outer, "*", "!sub", "/sub/*", "!/sub/a.o")); diff != "" {
		t.Errorf("in a repository inside: -want +got:\n%s", diff)
	}
}

// Names that git itself would not track are no trouble, and can be left out.
func TestExcludeUntrackable(t *testing.T) {
	tree := files{"git~1": "1", ".GIT/a": "2", "a/.git::$INDEX_ALLOCATION/b": "3", "x": "4"}
	dir := t.TempDir()
	tree.write(t, dir)
	if diff := cmp.Diff([]string{".GIT/a", "x"}, listNames(t, dir, "git~1", "a/")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// A file that git comes to ignore, or a pattern comes to leave out, leaves.
func TestIgnoredLeaves(t *testing.T) {
	p := newPair(t, way{by: byTar})
	repository(t, p.here, files{"a": "1"})
	files{"b": "2", "c/d": "3"}.write(t, p.here)
	p.sync()
	want(t, p.away, files{"a": "1", "b": "2", "c/d": "3"})
	files{".gitignore": "b\n"}.write(t, p.here)
	o := p.options()
	o.Exclude = []string{"c/"}
	if stats := p.syncWith(o); stats.Deleted != 2 {
		t.Errorf("got %+v; want 2 deleted", stats)
	}
	want(t, p.away, files{"a": "1", ".gitignore": "b\n"})
}

// Without git everything comes, and patterns can't be had.
func TestNoGit(t *testing.T) {
	dir := repository(t, t.TempDir(), files{"a": "1", ".gitignore": "x\n"})
	files{"x": "2"}.write(t, dir)
	t.Setenv("PATH", t.TempDir())
	if diff := cmp.Diff([]string{".gitignore", "a", "x"}, listNames(t, dir)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	_, err := list(t.Context(), dir, []string{"x"}, t.TempDir(), func(string) {})
	if err == nil || !strings.Contains(err.Error(), "need git here") {
		t.Errorf("got %v; want to be told that git is missing", err)
	}
}
