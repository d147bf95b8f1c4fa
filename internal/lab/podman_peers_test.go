//go:build peers

package lab_test

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"

	"testr/internal/lab"
)

func TestPodman(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	p, err := lab.StartPodman(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	podman := func(args ...string) *exec.Cmd { return exec.CommandContext(ctx, p.Command, args...) }
	cat := podman("run", "--rm", "-i", p.Busybox, "cat")
	sent := []byte("\x00\x03\x04\x1b\r\n\xff it's no newline")
	cat.Stdin = bytes.NewReader(sent)
	if out, err := cat.Output(); err != nil || !bytes.Equal(out, sent) {
		t.Errorf("got %q, %v; want %q", out, err, sent)
	}
	var exit *exec.ExitError
	err = podman("run", "--rm", p.Busybox, "sh", "-c", "exit 7").Run()
	if !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Errorf("got %v; want exit status 7", err)
	}
	program := "import asyncio, ctypes, hashlib, json, lzma, sqlite3, ssl, sys, unittest; print(sys.version_info[0])"
	out, err := podman("run", "--rm", p.Python, "python3", "-c", program).CombinedOutput()
	if err != nil || string(out) != "3\n" {
		t.Errorf("got %q, %v; want Python with its library", out, err)
	}
	// A container outlives the command that runs it; Close ends it.
	outlives := podman("run", "-i", "--name", "it", p.Busybox, "sh", "-c", "echo ready; exec sleep 600")
	stdin, err := outlives.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stdin.Close() }()
	stdout, err := outlives.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := outlives.Start(); err != nil {
		t.Fatal(err)
	}
	readLine(t, stdout)
	_ = outlives.Process.Kill()
	_ = outlives.Wait()
	if out, err := podman("exec", "it", "echo", "lives").CombinedOutput(); err != nil || string(out) != "lives\n" {
		t.Errorf("got %q, %v; want the container to live", out, err)
	}
	pid, err := podman("inspect", "--format", "{{.State.Pid}}", "it").Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the container ends", func() bool { return !alive(pidOf(t, strings.TrimSpace(string(pid)))) })
	if _, err := lab.StartPodman(ctx, "/tmp/it's"); err == nil {
		t.Error("a directory that the command can't have was accepted")
	}
}
