package tree

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"testr/internal/instance"
)

// rshVariable makes the test binary the program that Options.Rsh names.
const rshVariable = "TESTR_TREE_RSH"

func TestMain(m *testing.M) {
	if os.Getenv(rshVariable) == "" {
		os.Exit(m.Run())
	}
	// One that a test has lost ends by itself.
	time.AfterFunc(2*time.Minute, func() { os.Exit(99) })
	status, err := ServeRsh(os.Args[1:], os.Stdin, os.Stdout)
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(status)
}

// testRsh is the test binary as Options.Rsh.
func testRsh(t testing.TB) []string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return []string{"/usr/bin/env", rshVariable + "=1", "GORACE=atexit_sleep_ms=0", exe}
}

// way is one of the ways to bring a tree.
type way struct {
	by  string
	rsh []string
	env []string // of commands on the instance
}

// pair is a tree here, and a directory on an instance that is this machine too.
type pair struct {
	t    testing.TB
	way  way
	inst instance.Instance
	here string
	away string
}

// workDir is the directory on the instance, relative to where commands run.
const workDir = "src/a tree"

func newPair(t testing.TB, w way) *pair {
	t.Helper()
	home := t.TempDir()
	provider := &instance.Local{Dir: home, Env: w.env, Grace: 10 * time.Second}
	instances, err := provider.Provision(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = instances[0].Close() })
	return &pair{t: t, way: w, inst: instances[0], here: t.TempDir(), away: filepath.Join(home, workDir)}
}

// options are those of the way.
func (p *pair) options() Options {
	return Options{Root: p.here, Rsh: p.way.rsh, TempDir: p.t.TempDir()}
}

func (p *pair) sync() Stats {
	p.t.Helper()
	return p.syncWith(p.options())
}

func (p *pair) syncWith(o Options) Stats {
	p.t.Helper()
	stats, err := Sync(p.t.Context(), p.inst, workDir, o)
	if err != nil {
		p.t.Fatal(err)
	}
	if stats.By != p.way.by {
		p.t.Errorf("got it by %s, %q; want %s", stats.By, stats.Warnings, p.way.by)
	}
	return stats
}

// files are what stands in a tree: the name, and what it is.
type files map[string]string

// write puts files into a directory: "->" and a target makes a symbolic link, a
// "+" before the content an executable file, and "" takes away what is there.
func (f files) write(t testing.TB, dir string) {
	t.Helper()
	names := make([]string, 0, len(f))
	for name := range f {
		names = append(names, name)
	}
	// What goes away goes first: it may make room.
	slices.SortFunc(names, func(a, b string) int {
		return boolInt(f[a] != "") - boolInt(f[b] != "")
	})
	for _, name := range names {
		file := filepath.Join(dir, name)
		if err := os.RemoveAll(file); err != nil {
			t.Fatal(err)
		}
		if f[name] == "" {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, ok := strings.CutPrefix(f[name], "->"); ok {
			err = os.Symlink(target, file)
		} else if content, ok := strings.CutPrefix(f[name], "+"); ok {
			err = os.WriteFile(file, []byte(content), 0o755)
		} else {
			err = os.WriteFile(file, []byte(f[name]), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// read is what stands in a directory, without what is testr's own or git's.
func read(t testing.TB, dir string) files {
	t.Helper()
	f := make(files)
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if d.Name() == ownDir || d.Name() == ".git" {
				return filepath.SkipDir
			}
			return nil
		}
		name, err := filepath.Rel(dir, file)
		if err != nil {
			return err
		}
		if d.Type() == fs.ModeSymlink {
			target, err := os.Readlink(file)
			f[name] = "->" + target
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			f[name] = info.Mode().String()
			return nil
		}
		content, err := os.ReadFile(file)
		f[name] = string(content)
		if info.Mode()&0o100 != 0 {
			f[name] = "+" + f[name]
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// want compares a directory with what should be in it.
func want(t testing.TB, dir string, f files) {
	t.Helper()
	if diff := cmp.Diff(f, read(t, dir)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", dir, diff)
	}
}

// runGit runs git for a test, with an author and no configuration of people.
func runGit(t testing.TB, dir string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git %q: %v\n%s", args, err, out)
	}
}
