package worker

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"unicode/utf8"
)

// tapScript is a script that can be asked for.
type tapScript struct {
	id   string
	path string // relative to the worker's directory, as prove shows it
}

// scripts finds the scripts that the arguments name, in prove's order: that of
// the names, and within a directory that of the octets.
func (a *tapArgs) scripts(dir string) ([]tapScript, error) {
	var all []tapScript
	seen := make(map[string]string) // paths by id
	for _, name := range a.names {
		paths, err := a.expand(dir, name)
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			id := tapText(path)
			other, known := seen[id]
			if known && other != path {
				return nil, fmt.Errorf("the scripts %q and %q would have the same id", other, path)
			}
			if !known {
				seen[id] = path
				all = append(all, tapScript{id: id, path: path})
			}
		}
	}
	return all, nil
}

// tapText returns a text of others as a packet can hold it: octets that are no
// UTF-8, and NUL, become \xNN.
func tapText(s string) string {
	if utf8.ValidString(s) && !strings.Contains(s, "\x00") {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		if r == 0 || r == utf8.RuneError && size == 1 {
			fmt.Fprintf(&b, `\x%02x`, s[0])
		} else {
			b.WriteString(s[:size])
		}
		s = s[size:]
	}
	return b.String()
}

// expand returns the scripts that one name stands for.
func (a *tapArgs) expand(dir, name string) ([]string, error) {
	info, err := os.Stat(tapJoin(dir, name))
	switch {
	case err == nil && !info.IsDir():
		return []string{name}, nil
	case err == nil && a.recurse:
		w := tapWalk{dir: dir, seen: make(map[[2]uint64]bool)}
		if err := w.walk(strings.TrimSuffix(name, "/")); err != nil {
			return nil, err
		}
		slices.Sort(w.found)
		return w.found, nil
	case err == nil:
		return tapDirectory(dir, name)
	case strings.ContainsAny(name, "*?["):
		return tapGlob(dir, name)
	}
	return nil, fmt.Errorf("find the test script %q: %w", name, err)
}

// tapDirectory returns the scripts in a directory itself, in their order.
func tapDirectory(dir, name string) ([]string, error) {
	entries, err := os.ReadDir(tapJoin(dir, name))
	if err != nil {
		return nil, fmt.Errorf("look for test scripts: %w", err)
	}
	var found []string
	for _, e := range entries {
		path := filepath.Join(name, e.Name())
		if !isTapScript(e.Name()) || e.Name()[0] == '.' {
			continue
		}
		if info, err := os.Stat(tapJoin(dir, path)); err == nil && !info.IsDir() {
			found = append(found, path)
		}
	}
	return found, nil
}

// tapGlob is for patterns that no shell has expanded.
func tapGlob(dir, pattern string) ([]string, error) {
	prefix := ""
	if !filepath.IsAbs(pattern) {
		prefix = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir) + "/"
	}
	matches, err := filepath.Glob(prefix + pattern)
	if err != nil {
		return nil, fmt.Errorf("look for %q: %w", pattern, err)
	}
	var found []string
	for _, path := range matches {
		if info, err := os.Stat(path); err != nil || info.IsDir() {
			continue
		}
		if prefix != "" {
			path, err = filepath.Rel(dir, path)
			if err != nil {
				return nil, fmt.Errorf("look for %q: %w", pattern, err)
			}
		}
		found = append(found, path)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("no test script matches %q", pattern)
	}
	return found, nil
}

// tapWalk looks for scripts in a directory and those below it. It follows
// links, and takes each file once, as prove does.
type tapWalk struct {
	dir   string
	seen  map[[2]uint64]bool // device and number
	found []string
}

func (w *tapWalk) walk(name string) error {
	entries, err := os.ReadDir(tapJoin(w.dir, name))
	if err != nil {
		return fmt.Errorf("look for test scripts: %w", err)
	}
	for _, e := range entries {
		path := name + "/" + e.Name()
		info, err := os.Stat(tapJoin(w.dir, path))
		if err != nil || !info.IsDir() && (!info.Mode().IsRegular() || !isTapScript(e.Name())) || !w.first(info) {
			continue // among them links that lead nowhere
		}
		if !info.IsDir() {
			w.found = append(w.found, path)
		} else if err := w.walk(path); err != nil {
			return err
		}
	}
	return nil
}

func (w *tapWalk) first(info os.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return true
	}
	file := [2]uint64{stat.Dev, stat.Ino}
	if w.seen[file] {
		return false
	}
	w.seen[file] = true
	return true
}

func isTapScript(name string) bool { return strings.HasSuffix(name, ".t") }

// tapJoin is where a name that is relative to dir is.
func tapJoin(dir, name string) string {
	if filepath.IsAbs(name) || name == "" {
		return name
	}
	return dir + "/" + name
}
