package instancetest

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"testr/internal/instance"
)

// writeFile writes a file of this machine.
func writeFile(t testing.TB, name, content string, mode os.FileMode) string {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	return name
}

// hostileNames are names of directories and files that are only names.
var hostileNames = []string{"plain", "a b", "it's", `"$(touch canary)"`, "-rf", "new\nline", "ü"}

// Files of one directory stand in one directory, under their names, with what
// is in them and executable if they were, before the command begins.
func (c contract) testFiles(t *testing.T) {
	i := c.instance(t, Settings{})
	large := string(Pattern(3 << 20))
	for _, name := range hostileNames {
		dir := filepath.Join(t.TempDir(), name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		data := writeFile(t, filepath.Join(dir, name+".data"), large, 0o600)
		tool := writeFile(t, filepath.Join(dir, name+".sh"), "#!/bin/sh\nexec cat \"${0%.sh}.data\"\n", 0o700)
		there := i.Path(tool)
		if filepath.Dir(i.Path(data)) != filepath.Dir(there) || filepath.Base(there) != name+".sh" {
			t.Errorf("got %q and %q; want them in one directory, under their names", i.Path(data), there)
		}
		cmd := instance.Command{Args: []string{there}, Files: []string{tool, data}}
		for range 2 {
			if got := Output(t, i, cmd, nil); got.Stdout != large || got.Stderr != "" || !got.Status.Success() {
				t.Errorf("%q: got %d bytes, stderr %q, %v; want the file's %d",
					name, len(got.Stdout), got.Stderr, got.Status, len(large))
			}
		}
		if again := i.Path(tool); again != there {
			t.Errorf("got %q; want %q as before", again, there)
		}
	}
}

// Whoever needs a file that another command is having brought has it whole.
func (c contract) testFilesAtOnce(t *testing.T) {
	i := c.instance(t, Settings{})
	content := string(Pattern(2 << 20))
	file := writeFile(t, filepath.Join(t.TempDir(), "file"), content, 0o600)
	var running sync.WaitGroup
	for range 8 {
		running.Go(func() {
			p, err := i.Start(t.Context(), instance.Command{Args: []string{"cat", i.Path(file)}, Files: []string{file}})
			if err != nil {
				t.Error(err)
				return
			}
			if got, err := Finish(p, nil); err != nil || got.Stdout != content {
				t.Errorf("got %d bytes, stderr %q, %v; want the file's %d", len(got.Stdout), got.Stderr, err, len(content))
			}
		})
	}
	running.Wait()
}

// Files of one name in two directories are two files.
func (c contract) testFilesOneName(t *testing.T) {
	i := c.instance(t, Settings{})
	one := writeFile(t, filepath.Join(t.TempDir(), "file"), "one\n", 0o600)
	two := writeFile(t, filepath.Join(t.TempDir(), "file"), "two\n", 0o600)
	cmd := instance.Command{Args: []string{"cat", i.Path(one), i.Path(two)}, Files: []string{one, two}}
	if got := Output(t, i, cmd, nil); got.Stdout != "one\ntwo\n" {
		t.Errorf("got %+v; want both files", got)
	}
}

// A file that is not here is named by whoever misses it.
func (c contract) testFileMissing(t *testing.T) {
	i := c.instance(t, Settings{})
	file := filepath.Join(t.TempDir(), "testr-no-such-file")
	cmd := instance.Command{Args: []string{"cat", i.Path(file)}, Files: []string{file}}
	if got := Failure(t, i, cmd); !strings.Contains(got, "testr-no-such-file") {
		t.Errorf("got %q; want it to name the file", got)
	}
}
