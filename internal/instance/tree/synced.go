package tree

import (
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// ownDir is where the instance's directory has what is testr's own, and where a
// tree here may have a repository.
const ownDir = ".testr"

// parseSynced takes the record of names apart that an instance gave. What it
// says is not believed: names that are no file of a tree are left out, and so is
// one without its NUL, which is half of another. The names are in order, and
// each is there once.
func parseSynced(record []byte) []string {
	names := strings.Split(string(record), "\x00")
	names = slices.DeleteFunc(names[:len(names)-1], func(name string) bool { return !isTreeName(name) })
	slices.Sort(names)
	return slices.Compact(names)
}

// formatSynced is the record of names.
func formatSynced(names []string) []byte {
	var b []byte
	for _, name := range names {
		b = append(append(b, name...), 0)
	}
	return b
}

// isTreeName says whether a file of a tree may have this name, relative to it:
// it stays inside the tree, and is nothing of testr's or git's.
func isTreeName(name string) bool {
	if !filepath.IsLocal(name) || path.Clean(name) != name || name == "." || strings.Contains(name, "\x00") {
		return false
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".git" || part == ownDir {
			return false
		}
	}
	return true
}

// parents are the directories above the names, each once, parents first.
func parents(names []string) []string {
	seen := make(map[string]bool)
	for _, name := range names {
		for dir := path.Dir(name); dir != "." && !seen[dir]; dir = path.Dir(dir) {
			seen[dir] = true
		}
	}
	dirs := make([]string, 0, len(seen))
	for dir := range seen {
		dirs = append(dirs, dir)
	}
	slices.Sort(dirs) // which puts a/b behind a
	return dirs
}
