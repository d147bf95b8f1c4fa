//go:build peers

package lab_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"testr/internal/lab"
)

// creatorVariable makes the test binary a process that makes a lab in the
// directory that it names, and waits to be killed.
const creatorVariable = "TESTR_LAB_CREATOR"

func TestMain(m *testing.M) {
	dir := os.Getenv(creatorVariable)
	if dir == "" {
		os.Exit(m.Run())
	}
	time.AfterFunc(2*time.Minute, func() { os.Exit(99) }) // a test has lost it
	os.Exit(create(dir))
}

func create(dir string) int {
	l, err := lab.Start(context.Background(), dir, 2, lab.Options{Host: func(i int) lab.HostOptions {
		return lab.HostOptions{Delay: time.Duration(i) * time.Millisecond}
	}})
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for _, h := range l.Hosts {
		pids, err := h.Processes()
		if err != nil || len(pids) != 1 {
			_, _ = fmt.Fprintln(os.Stderr, pids, err)
			return 1
		}
		_, _ = fmt.Fprintln(os.Stdout, h.Gateway, pids[0])
	}
	select {}
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
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	creator := exec.CommandContext(t.Context(), exe)
	creator.Env = append(os.Environ(), creatorVariable+"="+t.TempDir())
	creator.Stderr = os.Stderr
	stdout, err := creator.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := creator.Start(); err != nil {
		t.Fatal(err)
	}
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
