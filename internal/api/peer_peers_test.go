//go:build peers

package api

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"testr/internal/repo"
)

// nobody is a user who is not us, nor root.
const nobody = 65534

// asNobody starts a Python program as that user.
func asNobody(t *testing.T, program string, args ...string) (stdout *bufio.Reader) {
	t.Helper()
	cmd := exec.Command("/usr/bin/python3", append([]string{"-c", program}, args...)...)
	cmd.Dir, cmd.Stderr = "/", os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return bufio.NewReader(out)
}

// openDir is a directory in which everybody may do anything.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "api")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}

const askProgram = `
import socket, sys
s = socket.socket(socket.AF_UNIX)
try:
    s.connect(sys.argv[1])
    s.sendall(b"GET /v1/stats HTTP/1.0\r\n\r\n")
    print("answered", s.makefile("rb").read())
except OSError as e:
    print(type(e).__name__)
`

// TestOtherUserAsks is S9: another user can't connect and, where the modes let it,
// has no answer.
func TestOtherUserAsks(t *testing.T) {
	dir := openDir(t)
	s := serve(t, dir, newRepo(t, dir))
	ask := func() string {
		t.Helper()
		line, err := asNobody(t, askProgram, s.Path()).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(line)
	}
	if got := ask(); got != "PermissionError" {
		t.Errorf("got %q; want that it may not connect", got)
	}
	home := filepath.Join(dir, repo.DirName)
	if err := os.Chmod(home, 0o777); err != nil {
		t.Fatal(err)
	}
	if got := ask(); got != "PermissionError" {
		t.Errorf("with an open directory: got %q; want that it may not connect", got)
	}
	if err := os.Chmod(s.Path(), 0o777); err != nil {
		t.Fatal(err)
	}
	switch got := ask(); got {
	case "answered b''", "ConnectionResetError", "BrokenPipeError":
	default:
		t.Errorf("with an open socket: got %q; want no answer", got)
	}
	wantAnswer(t, dir)
}

const serveProgram = `
import os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
os.chmod(sys.argv[1], 0o777)
s.listen()
print("serving", flush=True)
while True:
    c, _ = s.accept()
    print("asked", c.recv(1), flush=True)
`

// TestOtherUserAnswers is S9: what another user answers is not asked for, whoever
// the socket seems to belong to.
func TestOtherUserAnswers(t *testing.T) {
	dir := openDir(t)
	r := newRepo(t, dir)
	home := filepath.Join(dir, repo.DirName)
	if err := os.Chmod(home, 0o777); err != nil {
		t.Fatal(err)
	}
	heard := asNobody(t, serveProgram, socketOf(dir))
	if line, err := heard.ReadString('\n'); err != nil || line != "serving\n" {
		t.Fatalf("got %q, %v", line, err)
	}
	for _, owner := range []int{nobody, os.Geteuid()} {
		if err := os.Chown(socketOf(dir), owner, -1); err != nil {
			t.Fatal(err)
		}
		_, err := Dial(t.Context(), dir)
		if _, ok := errors.AsType[*ForeignError](err); !ok {
			t.Errorf("a socket of user %d: got %v; want that it isn't ours", owner, err)
		}
	}
	serve(t, dir, r)
	wantAnswer(t, dir)
	if line, err := heard.ReadString('\n'); err != nil || line != "asked b''\n" {
		t.Errorf("got %q, %v; want that it was connected to, and sent nothing", line, err)
	}
}

// TestOtherUsersDirectory is S9: a directory that another user has made in the
// temporary directory is used by neither side.
func TestOtherUsersDirectory(t *testing.T) {
	temp := openDir(t)
	t.Setenv("XDG_RUNTIME_DIR", temp)
	mine := filepath.Join(temp, "testr")
	if err := errors.Join(os.Mkdir(mine, 0o700), os.Chown(mine, nobody, nobody)); err != nil {
		t.Fatal(err)
	}
	dir := longDir(t)
	s := serve(t, dir, newRepo(t, dir))
	if strings.HasPrefix(s.Path(), temp) {
		t.Errorf("got the socket %s; want it elsewhere", s.Path())
	}
	wantAnswer(t, dir)
}
