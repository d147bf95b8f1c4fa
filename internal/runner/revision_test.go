package runner

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestRevision(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	git := func(args ...string) string {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-c", "user.name=a", "-c", "user.email=a@example.com"}, args...)...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
			"GIT_CEILING_DIRECTORIES="+filepath.Dir(dir))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %q: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := func(what string, want revision) {
		t.Helper()
		if got := askRevision(context.Background(), dir)(); got != want {
			t.Errorf("%s: got %+v; want %+v", what, got, want)
		}
	}

	want("no repository", revision{})
	git("init", "-q")
	want("no commit", revision{})
	write("tracked", "one")
	git("add", "tracked")
	git("commit", "-q", "-m", "one")
	id := git("rev-parse", "HEAD")
	write("untracked", "two")
	want("an untracked file", revision{id: id})
	write("tracked", "three")
	want("a changed file", revision{id: id, dirty: true})

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if got := findRevision(ctx, dir); got != (revision{}) {
		t.Errorf("cancelled: got %+v; want nothing", got)
	}
}
