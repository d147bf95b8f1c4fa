package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// namespaces is where iproute2 keeps the names of network namespaces.
const namespaces = "/run/netns"

// run runs a program, and gives what it wrote to its stdout. An error has its
// stderr, or the end of it.
func run(ctx context.Context, name string, args ...string) (string, error) {
	return output(exec.CommandContext(ctx, name, args...), (*exec.Cmd).Start)
}

// output is run for a command that start starts.
func output(cmd *exec.Cmd, start func(*exec.Cmd) error) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = 5 * time.Second
	err := start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err == nil {
		return stdout.String(), nil
	}
	said := strings.TrimSpace(stderr.String())
	if len(said) > 1000 {
		said = "…" + said[len(said)-1000:]
	}
	return stdout.String(), fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, said)
}

// inNamespace calls f on a thread that is in a network namespace. What f
// starts is there, too, unless goroutines of its own do it.
func inNamespace(name string, f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		done <- enter(name, f)
	}()
	return <-done
}

func enter(name string, f func() error) error {
	fd, err := unix.Open(filepath.Join(namespaces, name), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open the network namespace %s: %w", name, err)
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter the network namespace %s: %w", name, err)
	}
	return f()
}

// processesIn are the processes in a network namespace; none if it isn't there.
func processesIn(name string) ([]int, error) {
	info, err := os.Stat(filepath.Join(namespaces, name))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find the processes in a network namespace: %w", err)
	}
	link := fmt.Sprintf("net:[%d]", info.Sys().(*syscall.Stat_t).Ino)
	return processes(func(dir string) bool {
		got, err := os.Readlink(filepath.Join(dir, "ns", "net"))
		return err == nil && got == link
	})
}

// removeNamespace ends what is in a namespace, and takes it away.
func removeNamespace(ctx context.Context, name string) error {
	if err := killAll(func() ([]int, error) { return processesIn(name) }); err != nil {
		return fmt.Errorf("empty the network namespace %s: %w", name, err)
	}
	if _, err := os.Lstat(filepath.Join(namespaces, name)); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	_, err := run(ctx, "ip", "netns", "del", name)
	return err
}

// lock waits for the only lock of all labs on the machine. It guards the choice
// of addresses, and what Sweep takes away.
func lock(ctx context.Context) (io.Closer, error) {
	f, err := os.OpenFile("/run/testr-lab.lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the labs of this machine: %w", err)
	}
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			_ = f.Close()
			return nil, fmt.Errorf("lock the labs of this machine: %w", err)
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			_ = f.Close()
			return nil, fmt.Errorf("lock the labs of this machine: %w", context.Cause(ctx))
		}
	}
}
