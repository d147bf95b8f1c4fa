//go:build peers

package lab_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"testr/internal/lab"
)

// creatorVariable makes the test binary a process that makes what the variable
// says in the directory that is its argument, and waits to be killed.
const creatorVariable = "TESTR_LAB_CREATOR"

func TestMain(m *testing.M) {
	what := os.Getenv(creatorVariable)
	if what == "" {
		os.Exit(m.Run())
	}
	time.AfterFunc(2*time.Minute, func() { os.Exit(99) }) // a test has lost it
	err := creators[what](context.Background(), os.Args[1])
	_, _ = fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// creators make something, say what it is, and don't return but with an error.
var creators = map[string]func(ctx context.Context, dir string) error{
	"hosts":  createHosts,
	"slurm":  createSlurm,
	"podman": createPodman,
}

func createHosts(ctx context.Context, dir string) error {
	l, err := lab.Start(ctx, dir, 2, lab.Options{Host: func(i int) lab.HostOptions {
		return lab.HostOptions{Delay: time.Duration(i) * time.Millisecond}
	}})
	if err != nil {
		return err
	}
	for _, h := range l.Hosts {
		pids, err := h.Processes()
		if err != nil || len(pids) != 1 {
			return fmt.Errorf("got %v, %w; want sshd alone", pids, err)
		}
		_, _ = fmt.Fprintln(os.Stdout, h.Gateway, pids[0])
	}
	select {}
}

func createSlurm(ctx context.Context, dir string) error {
	s, err := lab.StartSlurm(ctx, dir, 1)
	if err != nil {
		return err
	}
	// The job's number, and those of the daemons and of srun.
	cmd := srun(ctx, s, "-n1", "-u", "sh", "-c", "echo $$ $(pgrep -f "+s.Conf+"); exec sleep 600")
	cmd.Stdout = os.Stdout
	return cmd.Run()
}

func createPodman(ctx context.Context, dir string) error {
	p, err := lab.StartPodman(ctx, dir)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, p.Command, "run", "-d", "--name", "it", p.Busybox, "sleep", "600")
	if err := cmd.Run(); err != nil {
		return err
	}
	cmd = exec.CommandContext(ctx, p.Command, "inspect", "--format", "{{.State.Pid}} {{.State.ConmonPid}}", "it")
	cmd.Stdout = os.Stdout
	if err := cmd.Run(); err != nil {
		return err
	}
	select {}
}

// startCreator starts a process that makes something, and gives its stdout.
func startCreator(t *testing.T, what string) (*exec.Cmd, io.Reader) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	creator := exec.CommandContext(t.Context(), exe, t.TempDir())
	creator.Env = append(os.Environ(), creatorVariable+"="+what)
	creator.Stderr = os.Stderr
	stdout, err := creator.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := creator.Start(); err != nil {
		t.Fatal(err)
	}
	return creator, stdout
}

// isOurs tells whether this machine has an address.
func isOurs(t *testing.T, address string) bool {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		if strings.HasPrefix(a.String(), address+"/") {
			return true
		}
	}
	return false
}

// namespacesOf are the namespaces of labs that a process has made.
func namespacesOf(t *testing.T, pid int) []string {
	t.Helper()
	names, err := filepath.Glob(fmt.Sprintf("/run/netns/testr-lab-%d-*", pid))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestSweep(t *testing.T) {
	living := startLab(t, 1, lab.Options{})
	creator, stdout := startCreator(t, "hosts")
	var gateways [2]string
	var pids [2]int
	for i := range gateways {
		if _, err := fmt.Sscan(readLine(t, stdout), &gateways[i], &pids[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := lab.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, pid := range pids {
		if !alive(pid) {
			t.Fatal("Sweep took away the lab of a process that lives")
		}
	}
	_ = creator.Process.Kill()
	_ = creator.Wait()
	if !alive(pids[0]) || len(namespacesOf(t, creator.Process.Pid)) != 2 {
		t.Fatal("the dead process has left nothing to sweep")
	}
	if err := lab.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, pid := range pids {
		eventually(t, "sshd ends", func() bool { return !alive(pid) })
		eventually(t, "the link is taken away", func() bool { return !isOurs(t, gateways[i]) })
	}
	if left := namespacesOf(t, creator.Process.Pid); len(left) > 0 {
		t.Errorf("Sweep has left %v", left)
	}
	ask(t, living, living.Hosts[0], "true")
}

// Daemons, jobs and containers are not in a network namespace of their own.
func TestSweepOfOthers(t *testing.T) {
	for _, what := range []string{"slurm", "podman"} {
		t.Run(what, func(t *testing.T) {
			creator, stdout := startCreator(t, what)
			var pids []int
			for field := range strings.FieldsSeq(readLine(t, stdout)) {
				pids = append(pids, pidOf(t, field))
			}
			if err := lab.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			_ = creator.Process.Kill()
			_ = creator.Wait()
			if len(pids) < 2 || !alive(pids[0]) || !alive(pids[1]) {
				t.Fatalf("processes %v: the dead process has left nothing to sweep", pids)
			}
			if err := lab.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, pid := range pids {
				eventually(t, fmt.Sprintf("process %d ends", pid), func() bool { return !alive(pid) })
			}
		})
	}
}

// A Start that fails half-way leaves nothing.
func TestStartFails(t *testing.T) {
	before := len(namespacesOf(t, os.Getpid()))
	opts := lab.Options{Host: func(i int) lab.HostOptions {
		if i == 1 {
			return lab.HostOptions{Config: []string{"NoSuchOption yes"}}
		}
		return lab.HostOptions{}
	}}
	_, err := lab.Start(t.Context(), t.TempDir(), 3, opts)
	said := fmt.Sprint(err)
	if !strings.Contains(said, "start sshd on host2") || !strings.Contains(said, "NoSuchOption") {
		t.Errorf("got %v; want what sshd said of its configuration", err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := lab.Start(cancelled, t.TempDir(), 1, lab.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v; want the context's error", err)
	}
	if after := len(namespacesOf(t, os.Getpid())); after != before {
		t.Errorf("got %d network namespaces; want the %d from before", after, before)
	}
}
