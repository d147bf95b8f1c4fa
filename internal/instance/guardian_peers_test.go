//go:build peers

package instance_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"testr/internal/instance/instancetest"
)

// nobody is a user that owns nothing, and whom limits apply to.
const nobody = 65534

// F19: when there may be no more processes, a start says so, what runs goes on,
// and the guardian is there to end it.
func TestGuardianCrowded(t *testing.T) {
	dir, err := os.MkdirTemp("", "testr-open-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(guardianArgs(t)[3])
	if err != nil {
		t.Fatal(err)
	}
	exe := filepath.Join(dir, "test")
	if err := os.WriteFile(exe, program, 0o755); err != nil {
		t.Fatal(err)
	}
	guardian := guardianArgs(t)
	guardian[3] = exe
	cmd := exec.Command(exe, append([]string{"crowd"}, guardian...)...)
	cmd.Env = append(os.Environ(), instancetest.ProgramEnv()...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	if want := "EAGAIN after some, all alive, and again\n"; err != nil || string(out) != want {
		t.Errorf("got %v, %q; want %q", err, out, want)
	}
}
