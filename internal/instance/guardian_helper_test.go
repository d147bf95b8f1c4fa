package instance_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"testr/internal/instance"
	"testr/internal/instance/instancetest"
)

func helperGuardian([]string) int {
	if err := instance.RunGuardian(); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// helperSession runs a shell script in a session of its own.
func helperSession(args []string) int {
	cmd := exec.Command("/bin/sh", append([]string{"-c"}, args...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return 1
	}
	return 0
}

// helperTestr runs a shell script as testr runs a worker, with the guardian
// args[1:], and waits to be killed.
func helperTestr(args []string) int {
	instances, err := (&instance.Local{Guardian: args[1:]}).Provision(context.Background(), 1)
	if err != nil {
		return 2
	}
	p, err := instances[0].Start(context.Background(), instance.Command{Args: []string{"/bin/sh", "-c", args[0]}})
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		return 3
	}
	_, _ = instancetest.Finish(p, nil)
	return instancetest.Block()
}

// roll is a pipe with a name that processes hold which a test wants to see the
// end of. Each of them writes a byte into it first.
type roll struct {
	t    *testing.T
	f    *os.File // the reading end
	hold *os.File // a writing end, so that there is no end of the file before there is a process
}

// newRoll makes a roll, and a script that begins with the words with which a
// shell enlists itself, "enlist", and another program, "sleeper".
func newRoll(t *testing.T) (r *roll, preamble string) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "roll")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	hold, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := syscall.Open(name, syscall.O_RDONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	r = &roll{t, os.NewFile(uintptr(fd), name), hold}
	t.Cleanup(func() {
		_ = r.f.Close() // whoever writes once more ends by that
		_ = r.hold.Close()
	})
	return r, "exec 9>'" + name + "'\n" +
		"enlist() { printf x >&9; }\n" +
		"sleeper() { ( enlist; exec sleep 100 ) & }\n"
}

// await waits until so many have enlisted.
func (r *roll) await(n int) {
	r.t.Helper()
	_ = r.f.SetReadDeadline(time.Now().Add(time.Minute))
	if got, err := io.ReadFull(r.f, make([]byte, n)); err != nil {
		r.t.Fatalf("got %d processes, %v; want %d", got, err, n)
	}
}

// gone wants everybody to have ended, which takes a moment (F2, S19: a second)
// and on a busy machine some more.
func (r *roll) gone() {
	r.t.Helper()
	_ = r.hold.Close()
	begun := time.Now()
	_ = r.f.SetReadDeadline(begun.Add(10 * time.Second))
	if _, err := io.Copy(io.Discard, r.f); err != nil {
		r.t.Errorf("waited in vain for the end of all processes: %v", err)
	}
	r.t.Logf("all gone after %v", time.Since(begun))
}

// helperCrowd starts processes until its user may have no more of them.
func helperCrowd(guardian []string) int {
	l := &instance.Local{Guardian: guardian}
	defer func() { _, _ = l.Close() }()
	if err := crowd(l); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		return 1
	}
	_, _ = fmt.Fprintln(os.Stdout, "EAGAIN after some, all alive, and again")
	return 0
}

func crowd(l *instance.Local) error {
	instances, err := l.Provision(context.Background(), 1)
	if err != nil {
		return err
	}
	defer func() { _ = instances[0].Close() }()
	cat := instance.Command{Args: []string{"cat"}}
	first, err := instances[0].Start(context.Background(), cat)
	if err != nil {
		return err
	}
	// The limit holds for the guardian, and counts the threads of its user.
	limit := &unix.Rlimit{Cur: 60, Max: 60}
	if err := unix.Prlimit(l.GuardianProcess().Pid, unix.RLIMIT_NPROC, limit, nil); err != nil {
		return err
	}
	running := []instance.Process{first}
	for refused := 0; refused < 200; {
		p, err := instances[0].Start(context.Background(), cat)
		switch {
		case err == nil && refused == 0:
			running = append(running, p)
		case errors.Is(err, syscall.EAGAIN):
			refused++
		default:
			return fmt.Errorf("after %d processes, and %d times without: got %w", len(running), refused, err)
		}
	}
	for _, p := range running {
		if got, err := instancetest.Finish(p, []byte("alive")); err != nil || got.Stdout != "alive" {
			return fmt.Errorf("of a process that was running: got %+v, %w", got, err)
		}
	}
	p, err := instances[0].Start(context.Background(), cat)
	if err != nil {
		return fmt.Errorf("start again: %w", err)
	}
	_, err = instancetest.Finish(p, nil)
	return err
}
