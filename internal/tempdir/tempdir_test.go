package tempdir

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// The test binary can be a process that makes directories and is then killed.
func TestMain(m *testing.M) {
	if os.Getenv("TESTR_TEMPDIR_CHILD") == "" {
		os.Exit(m.Run())
	}
	d, err := Make()
	if err == nil {
		err = os.WriteFile(filepath.Join(d.Path(), "secret"), nil, 0o600)
	}
	if err != nil {
		os.Exit(1)
	}
	_, _ = io.WriteString(os.Stdout, "made\n")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func entries(t *testing.T, dir string) (names []string) {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		names = append(names, e.Name())
	}
	return names
}

// holding starts a process that has a directory, and returns what kills it.
func holding(t *testing.T) (kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "TESTR_TEMPDIR_CHILD=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, len("made\n"))); err != nil {
		t.Fatal(err)
	}
	return sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = in.Close()
	})
}

// S8: what killed processes left goes with the next start, what others use stays.
func TestLeftovers(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	live := holding(t)
	defer live()
	for range 3 {
		holding(t)()
	}
	if got := entries(t, temp); len(got) != 2 {
		t.Fatalf("got %v; want the directories of the live process and of the last that was killed", got)
	}
	d, err := Make()
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(d.Path())
	if err != nil || info.Mode() != os.ModeDir|0o700 {
		t.Errorf("got mode %v, %v", info.Mode(), err)
	}
	left := entries(t, temp)
	if len(left) != 2 || !slices.Contains(left, filepath.Base(d.Path())) {
		t.Errorf("got %v; want the directories of the live process and %s", left, d.Path())
	}
	for _, name := range left {
		if name != filepath.Base(d.Path()) && len(entries(t, filepath.Join(temp, name))) != 1 {
			t.Errorf("something was removed from %s, which is in use", name)
		}
	}
	live()
	if err := errors.Join(d.Remove(), d.Remove()); err != nil {
		t.Error(err)
	}
	if d, err = Make(); err == nil {
		err = d.Remove()
	}
	if left := entries(t, temp); len(left) > 0 || err != nil {
		t.Errorf("got %v, %v; want nothing left", left, err)
	}
}

// Whoever is told of a directory finds it from elsewhere, too.
func TestAbsolute(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("TMPDIR", ".")
	d, err := Make()
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir("/")
	if _, err := os.Stat(d.Path()); err != nil || !filepath.IsAbs(d.Path()) {
		t.Errorf("got %s, %v; want where it is from the root", d.Path(), err)
	}
	if err := d.Remove(); err != nil {
		t.Error(err)
	}
}

// Directories that get the group of the one they are in are cleared like all others.
func TestLeftoversOfGroup(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	if err := os.Chmod(temp, os.ModeSetgid|0o700); err != nil {
		t.Fatal(err)
	}
	holding(t)()
	d, err := Make()
	if err != nil {
		t.Fatal(err)
	}
	if left := entries(t, temp); !slices.Equal(left, []string{filepath.Base(d.Path())}) {
		t.Errorf("got %v; want %s alone", left, d.Path())
	}
	if err := d.Remove(); err != nil {
		t.Error(err)
	}
}

// What only looks like one of ours stays: links, files, what others may write to,
// and other names.
func TestForeign(t *testing.T) {
	temp, elsewhere := t.TempDir(), t.TempDir()
	t.Setenv("TMPDIR", temp)
	at := func(name string) string { return filepath.Join(temp, name) }
	mine := filepath.Join(elsewhere, "mine")
	err := errors.Join(
		os.WriteFile(mine, nil, 0o600),
		os.Symlink(elsewhere, at(prefix+"link")),
		os.WriteFile(at(prefix+"file"), nil, 0o600),
		os.Mkdir(at(prefix+"open"), 0o755),
		os.Mkdir(at("testr-other"), 0o700),
		os.Mkdir(at(prefix+"stale"), 0o700),
		os.Symlink(mine, at(prefix+"stale/link")))
	if err != nil {
		t.Fatal(err)
	}
	d, err := Make()
	if err == nil {
		err = d.Remove()
	}
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"testr-other", prefix + "file", prefix + "link", prefix + "open"}
	if got := entries(t, temp); !slices.Equal(got, want) {
		t.Errorf("got %v; want %v", got, want)
	}
	if _, err := os.Stat(mine); err != nil {
		t.Errorf("a link was followed: %v", err)
	}
}

// Many at once, each clearing as it comes: none loses its directory.
func TestAtOnce(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 40 {
				d, err := Make()
				if err != nil {
					t.Error(err)
					return
				}
				if err := os.WriteFile(filepath.Join(d.Path(), "file"), nil, 0o600); err != nil {
					t.Error(err)
				}
				if err := d.Remove(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if left := entries(t, os.TempDir()); len(left) > 0 {
		t.Errorf("got %v; want nothing left", left)
	}
}

func TestNoPlace(t *testing.T) {
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "nothing"))
	if _, err := Make(); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "temporary directory") {
		t.Errorf("got %v", err)
	}
}
