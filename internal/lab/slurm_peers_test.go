//go:build peers

package lab_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"testr/internal/lab"
)

func startSlurm(t testing.TB, nodes int) *lab.Slurm {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	s, err := lab.StartSlurm(ctx, t.TempDir(), nodes)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// srun is a job of s.
func srun(ctx context.Context, s *lab.Slurm, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "srun", args...)
	cmd.Env = append(os.Environ(), s.Env()...)
	return cmd
}

func TestSlurm(t *testing.T) {
	s, other := startSlurm(t, 2), startSlurm(t, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	out, err := srun(ctx, s, "-N2", "-n2", "sh", "-c", "echo $SLURMD_NODENAME").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "n1\n") || !strings.Contains(string(out), "n2\n") {
		t.Errorf("got %v: %s; want a line from either node", err, out)
	}
	if out, err := srun(ctx, other, "-N1", "echo", "other").CombinedOutput(); err != nil || string(out) != "other\n" {
		t.Errorf("another slurm: got %q, %v; want what the job wrote", out, err)
	}
	// A job that streams both ways, unbuffered.
	cat := srun(ctx, s, "-n1", "-u", "cat")
	sent := []byte("\x00\x03\x04\x1b\r\n\xff no newline")
	cat.Stdin = bytes.NewReader(sent)
	if out, err := cat.Output(); err != nil || !bytes.Equal(out, sent) {
		t.Errorf("got %q, %v; want %q", out, err, sent)
	}
	var exit *exec.ExitError
	if err := srun(ctx, s, "-n1", "sh", "-c", "exit 7").Run(); !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Errorf("got %v; want exit status 7", err)
	}
}

// Close ends jobs, even those that hide from it.
func TestSlurmCloseEndsJobs(t *testing.T) {
	s := startSlurm(t, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var jobs []*exec.Cmd
	var pids []int
	for _, command := range []string{"trap '' TERM; echo $$; sleep 600", "echo $$; exec env -i sleep 600"} {
		cmd := srun(ctx, s, "-n1", "-u", "sh", "-c", command)
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		jobs, pids = append(jobs, cmd), append(pids, pidOf(t, readLine(t, stdout)))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for i, pid := range pids {
		eventually(t, "the job ends", func() bool { return !alive(pid) })
		_ = jobs[i].Wait()
	}
	if out, err := exec.CommandContext(t.Context(), "pgrep", "-f", s.Conf).Output(); err == nil {
		t.Errorf("Close has left processes %s", out)
	}
	if _, err := lab.StartSlurm(t.Context(), "/tmp/no such", 1); err == nil {
		t.Error("a directory that slurm.conf can't have was accepted")
	}
}
