package instance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestLocal(t *testing.T) {
	bothWays(t, func(t *testing.T, guardian []string) {
		testProvider(t, func(s settings) Provider {
			l := &Local{Dir: s.dir, Env: s.env, Grace: s.grace, Guardian: guardian}
			t.Cleanup(func() { closeLocal(t, l) })
			return l
		})
	})
}

// bothWays runs a test of commands that are started directly, and by a guardian.
func bothWays(t *testing.T, test func(t *testing.T, guardian []string)) {
	t.Run("direct", func(t *testing.T) { test(t, nil) })
	t.Run("guarded", func(t *testing.T) { test(t, guardianArgs(t)) })
}

// guardianArgs make the test binary a guardian.
func guardianArgs(t testing.TB) []string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return []string{"/usr/bin/env", helperVariable + "=1", "GORACE=atexit_sleep_ms=0", exe, "guardian"}
}

func closeLocal(t *testing.T, l *Local) Leftovers {
	t.Helper()
	left, err := l.Close()
	if err != nil {
		t.Errorf("Close: %v", err)
	}
	return left
}

// local is an instance of a Local that is closed with the test.
func local(t *testing.T, guardian []string) Instance {
	t.Helper()
	l := &Local{Guardian: guardian}
	t.Cleanup(func() { closeLocal(t, l) })
	return contract{func(settings) Provider { return l }}.instance(t, settings{})
}

// S19: a command has its three standard files and nothing of anybody else's,
// neither of testr nor of testr's parent.
func TestLocalFileDescriptors(t *testing.T) { bothWays(t, testLocalFileDescriptors) }

func testLocalFileDescriptors(t *testing.T, guardian []string) {
	null, err := unix.Open(os.DevNull, unix.O_RDONLY, 0) // without CLOEXEC, as if inherited
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(null) })
	i := local(t, guardian)
	other := start(t.Context(), t, i, helper(t, "block"))
	awaitReady(t, other)
	got := run(t, i, helper(t, "fds"), nil)
	if want := "0 nonblock=false\n1 nonblock=false\n2 nonblock=false\n"; got.Stdout != want {
		t.Errorf("got:\n%s; want:\n%s", got.Stdout, want)
	}
}

func TestLocalGroup(t *testing.T) {
	for _, nested := range []bool{false, true} {
		instances, err := (&Local{Nested: nested}).Provision(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		p := start(ctx, t, instances[0], helper(t, "polite"))
		awaitReady(t, p)
		want := p.PID()
		if nested {
			want = syscall.Getpgrp()
		}
		if pgid, err := syscall.Getpgid(p.PID()); err != nil || pgid != want {
			t.Errorf("nested=%t: process %d is in group %d, %v; want %d", nested, p.PID(), pgid, err, want)
		}
		cancel() // which a nested one's group survives: it is the test's own
		if got, err := finishReading(p); err != nil || got.Status.Code != 42 {
			t.Errorf("nested=%t: got %v, %v; want exit status 42", nested, got.Status, err)
		}
		if err := instances[0].Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestLocalBrokenPipe(t *testing.T) { bothWays(t, testLocalBrokenPipe) }

func testLocalBrokenPipe(t *testing.T, guardian []string) {
	i := local(t, guardian)
	deaf := start(t.Context(), t, i, helper(t, "deaf"))
	awaitReady(t, deaf)
	dead := start(t.Context(), t, i, helper(t, "exit", "0"))
	if _, err := dead.Wait(); err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]Process{"deaf": deaf, "dead": dead} {
		if _, err := p.Stdin().Write([]byte("hello")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("%s: got %v; want %v", name, err, syscall.EPIPE)
		}
	}
	if err := deaf.Stdin().Close(); err != nil {
		t.Error(err)
	}
	if _, err := deaf.Stdin().Write([]byte("hello")); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close: got %v; want %v", err, os.ErrClosed)
	}
}

func TestLocalSignalWithoutName(t *testing.T) { bothWays(t, testLocalSignalWithoutName) }

func testLocalSignalWithoutName(t *testing.T, guardian []string) {
	got := run(t, local(t, guardian), Command{Args: []string{"/bin/sh", "-c", "kill -40 $$"}}, nil)
	if want := (ExitStatus{Code: -1, Signal: "signal 40"}); got.Status != want {
		t.Errorf("got %v; want %v", got.Status, want)
	}
}

// PATH is the command's own, as for a shell that was started with it.
func TestLocalPath(t *testing.T) { bothWays(t, testLocalPath) }

func testLocalPath(t *testing.T, guardian []string) {
	bin, plain := t.TempDir(), t.TempDir()
	script := []byte("#!/bin/sh\necho found\n")
	for name, mode := range map[string]os.FileMode{
		filepath.Join(bin, "tool"): 0o700, filepath.Join(plain, "tool"): 0o600, filepath.Join(plain, "data"): 0o600,
	} {
		if err := os.WriteFile(name, script, mode); err != nil {
			t.Fatal(err)
		}
	}
	i := local(t, guardian)
	cmd := Command{Args: []string{"tool"}, Env: []string{"PATH=.:" + plain + ":" + bin}, Dir: bin}
	if got := run(t, i, cmd, nil); got.Stdout != "found\n" {
		t.Errorf("got %+v; want it found", got)
	}
	cmd.Args = []string{"data"}
	_, err := i.Start(t.Context(), cmd)
	if err == nil || !strings.Contains(err.Error(), filepath.Join(plain, "data")) {
		t.Errorf("got %v; want the file that is not executable named", err)
	}
}

func TestLocalStartErrors(t *testing.T) { bothWays(t, testLocalStartErrors) }

func testLocalStartErrors(t *testing.T, guardian []string) {
	dir := t.TempDir()
	file := func(name, content string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(content), 0o700); err != nil {
			t.Fatal(err)
		}
		return name
	}
	plain := file("plain", "echo hello\n")
	tests := []struct {
		name, want string
		cmd        Command
	}{
		{"nothing in PATH", `start "tool": executable file not found in $PATH; PATH is "/nowhere"`,
			Command{Args: []string{"tool"}, Env: []string{"PATH=/nowhere"}}},
		{"missing directory", "enter the working directory: stat " + dir + "/missing: no such file or directory",
			Command{Args: []string{"/bin/sh"}, Dir: dir + "/missing"}},
		{"file for a directory", "enter the working directory: chdir " + plain + ": not a directory",
			Command{Args: []string{"/bin/sh"}, Dir: plain}},
		{"missing interpreter", "the interpreter that its #! line names",
			Command{Args: []string{file("script", "#!/nowhere/python\n")}}},
		{"missing interpreter, relative", "the interpreter that its #! line names",
			Command{Args: []string{"./script"}, Dir: dir}},
		{"no interpreter", "is it a script without a #! line?", Command{Args: []string{plain}}},
		{"NUL in the environment", "NUL", Command{Args: []string{"/bin/sh"}, Env: []string{"A=a\x00b"}}},
	}
	i := local(t, guardian)
	for _, tt := range tests {
		if _, err := i.Start(t.Context(), tt.cmd); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v; want %q in it", tt.name, err, tt.want)
		}
	}
}

// F19: without file descriptors left, Start says so, leaves none behind, and
// what runs already goes on.
func TestLocalExhausted(t *testing.T) { bothWays(t, testLocalExhausted) }

func testLocalExhausted(t *testing.T, guardian []string) {
	got := run(t, local(t, guardian), helper(t, "exhaust", guardian...), nil)
	if want := (result{Stdout: "EMFILE after some, all alive, none leaked\n"}); got != want {
		t.Errorf("got %+v; want %+v", got, want)
	}
}

// helperExhaust starts processes until no file descriptor is left.
func helperExhaust(guardian []string) int {
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 48, Max: 48}); err != nil {
		return 1
	}
	l := &Local{Guardian: guardian}
	defer func() { _, _ = l.Close() }()
	instances, err := l.Provision(context.Background(), 1)
	if err != nil {
		return 2
	}
	defer func() { _ = instances[0].Close() }()
	cmd := Command{Args: []string{os.Args[0], "echo"}}
	var running []Process
	for {
		var p Process
		if p, err = instances[0].Start(context.Background(), cmd); err != nil {
			break
		}
		running = append(running, p)
	}
	for range 100 {
		if _, again := instances[0].Start(context.Background(), cmd); !errors.Is(again, syscall.EMFILE) {
			return 3
		}
	}
	if !errors.Is(err, syscall.EMFILE) || len(running) == 0 {
		return 4
	}
	for _, p := range running {
		if got, err := finish(p, []byte("alive")); err != nil || got.Stdout != "alive" {
			return 5
		}
	}
	if p, err := instances[0].Start(context.Background(), cmd); err != nil {
		return 6
	} else if _, err := finish(p, nil); err != nil {
		return 7
	}
	_, _ = io.WriteString(os.Stdout, "EMFILE after some, all alive, none leaked\n")
	return 0
}

// Nothing of a process stays after its end and the end of its output.
func TestLocalLeavesNothing(t *testing.T) { bothWays(t, testLocalLeavesNothing) }

func testLocalLeavesNothing(t *testing.T, guardian []string) {
	i := local(t, guardian)
	run(t, i, helper(t, "exit", "0"), nil) // what the runtime starts once is there now
	goroutines, files := runtime.NumGoroutine(), openFiles(t)
	for n := range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		p := start(ctx, t, i, helper(t, "stubborn"))
		awaitReady(t, p)
		if n%2 == 0 { // ended in its grace period
			cancel()
		}
		if err := syscall.Kill(p.PID(), syscall.SIGKILL); err != nil {
			t.Error(err)
		}
		if _, err := finishReading(p); err != nil {
			t.Error(err)
		}
		cancel()
	}
	if got := openFiles(t); got > files { // the garbage collector may have closed what other tests left
		t.Errorf("got %d open files; want %d as before", got, files)
	}
	// A goroutine's last statement comes before its end.
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > goroutines; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("got %d goroutines; want %d as before", runtime.NumGoroutine(), goroutines)
		}
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func BenchmarkStart(b *testing.B) {
	b.Run("direct", func(b *testing.B) { benchmarkStart(b, nil) })
	b.Run("guarded", func(b *testing.B) { benchmarkStart(b, guardianArgs(b)) })
}

func benchmarkStart(b *testing.B, guardian []string) {
	l := &Local{Guardian: guardian}
	defer func() { _, _ = l.Close() }()
	instances, err := l.Provision(b.Context(), 1)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = instances[0].Close() }()
	for b.Loop() {
		p, err := instances[0].Start(b.Context(), Command{Args: []string{"true"}})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := finish(p, nil); err != nil && !errors.Is(err, syscall.EPIPE) {
			b.Fatal(err)
		}
	}
}

func BenchmarkRoundTrip(b *testing.B) {
	instances, err := (&Local{}).Provision(b.Context(), 1)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = instances[0].Close() }()
	p, err := instances[0].Start(b.Context(), Command{Args: []string{"cat"}})
	if err != nil {
		b.Fatal(err)
	}
	line := []byte(fmt.Sprintf("%63s\n", "packet"))
	for b.Loop() {
		if _, err := p.Stdin().Write(line); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(p.Stdout(), line); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOutput(b *testing.B) {
	instances, err := (&Local{}).Provision(b.Context(), 1)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = instances[0].Close() }()
	p, err := instances[0].Start(b.Context(), Command{Args: []string{"cat", "/dev/zero"}})
	if err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 64<<10)
	b.SetBytes(int64(len(buf)))
	for b.Loop() {
		if _, err := io.ReadFull(p.Stdout(), buf); err != nil {
			b.Fatal(err)
		}
	}
}
