//go:build peers

package tree

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestRsync(t *testing.T) { testWay(t, way{by: byRsync, rsh: testRsh(t)}) }

// Busybox has all that is needed.
func TestBusybox(t *testing.T) { testWay(t, busybox(t)) }

// Nor is it dash alone that understands the scripts.
func TestBash(t *testing.T) {
	exe, err := exec.LookPath("bash")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(exe, filepath.Join(dir, "sh")); err != nil {
		t.Fatal(err)
	}
	testWay(t, way{by: byTar, env: []string{"PATH=" + dir + ":" + os.Getenv("PATH")}})
}

func busybox(t testing.TB) way {
	t.Helper()
	dir := t.TempDir()
	exe, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), exe, "--install", "-s", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return way{by: byTar, env: []string{"PATH=" + dir}}
}

func BenchmarkRsync(b *testing.B) { benchmarkWay(b, way{by: byRsync, rsh: testRsh(b)}) }

func BenchmarkBusybox(b *testing.B) { benchmarkWay(b, busybox(b)) }
