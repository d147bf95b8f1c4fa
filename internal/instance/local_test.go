package instance_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"testr/internal/instance"
	"testr/internal/instance/instancetest"
)

func TestLocal(t *testing.T) {
	bothWays(t, func(t *testing.T, guardian []string) {
		instancetest.Run(t, func(s instancetest.Settings) instance.Provider {
			l := &instance.Local{Dir: s.Dir, Env: s.Env, Grace: s.Grace, Guardian: guardian}
			s.T.Cleanup(func() { closeLocal(s.T, l) })
			return l
		}, instancetest.Traits{})
	})
}

// distant is a provider whose processes are known as those of another machine
// are: their numbers a moment after their start, if at all, and what can't be
// started from its end.
type distant struct {
	instance.Local
	numbers bool
}

type distantInstance struct {
	instance.Instance
	numbers bool
}

type distantProcess struct {
	instance.Process
	known time.Time // when its number is; zero for never
}

func (d *distant) Provision(ctx context.Context, count int) ([]instance.Instance, error) {
	instances, err := d.Local.Provision(ctx, count)
	for n, i := range instances {
		instances[n] = distantInstance{i, d.numbers}
	}
	return instances, err
}

func (d distantInstance) Start(ctx context.Context, cmd instance.Command) (instance.Process, error) {
	p, err := d.Instance.Start(ctx, cmd)
	if err != nil && ctx.Err() == nil && len(cmd.Args) > 0 && !errors.Is(err, instance.ErrClosed) {
		failing := instance.Command{Args: []string{"/bin/sh", "-c", `echo "$TEXT" >&2; exit 127`}}
		failing.Env = []string{"TEXT=" + err.Error()}
		return d.Instance.Start(ctx, failing)
	}
	known := time.Time{}
	if d.numbers {
		known = time.Now().Add(50 * time.Millisecond)
	}
	return distantProcess{p, known}, err
}

func (p distantProcess) PID() int {
	if p.known.IsZero() || time.Now().Before(p.known) {
		return 0
	}
	return p.Process.PID()
}

// The contract can be kept by a provider of other machines, too.
func TestDistant(t *testing.T) {
	for _, numbers := range []bool{true, false} {
		t.Run(fmt.Sprintf("numbers=%t", numbers), func(t *testing.T) {
			instancetest.Run(t, func(s instancetest.Settings) instance.Provider {
				return &distant{instance.Local{Dir: s.Dir, Env: s.Env, Grace: s.Grace}, numbers}
			}, instancetest.Traits{NoPID: !numbers})
		})
	}
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
	return slices.Concat([]string{"/usr/bin/env"}, instancetest.ProgramEnv(), []string{exe, "guardian"})
}

func closeLocal(t testing.TB, l *instance.Local) instance.Leftovers {
	t.Helper()
	left, err := l.Close()
	if err != nil {
		t.Errorf("Close: %v", err)
	}
	return left
}

// local is an instance of a Local that is closed with the test.
func local(t *testing.T, guardian []string) instance.Instance {
	t.Helper()
	l := &instance.Local{Guardian: guardian}
	t.Cleanup(func() { closeLocal(t, l) })
	return instancetest.One(t, l)
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
	other := instancetest.Start(t.Context(), t, i, instancetest.Program(t, "block"))
	instancetest.AwaitReady(t, other)
	got := instancetest.Output(t, i, instancetest.Program(t, "fds"), nil)
	if want := "0 nonblock=false\n1 nonblock=false\n2 nonblock=false\n"; got.Stdout != want {
		t.Errorf("got:\n%s; want:\n%s", got.Stdout, want)
	}
}

func TestLocalGroup(t *testing.T) {
	for _, nested := range []bool{false, true} {
		instances, err := (&instance.Local{Nested: nested}).Provision(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		p := instancetest.Start(ctx, t, instances[0], instancetest.Program(t, "polite"))
		instancetest.AwaitReady(t, p)
		want := p.PID()
		if nested {
			want = syscall.Getpgrp()
		}
		if pgid, err := syscall.Getpgid(p.PID()); err != nil || pgid != want {
			t.Errorf("nested=%t: process %d is in group %d, %v; want %d", nested, p.PID(), pgid, err, want)
		}
		cancel() // which a nested one's group survives: it is the test's own
		if got, err := instancetest.FinishReading(p); err != nil || got.Status.Code != 42 {
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
	deaf := instancetest.Start(t.Context(), t, i, instancetest.Program(t, "deaf"))
	instancetest.AwaitReady(t, deaf)
	dead := instancetest.Start(t.Context(), t, i, instancetest.Program(t, "exit", "0"))
	if _, err := dead.Wait(); err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]instance.Process{"deaf": deaf, "dead": dead} {
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
	cmd := instance.Command{Args: []string{"/bin/sh", "-c", "kill -40 $$"}}
	got := instancetest.Output(t, local(t, guardian), cmd, nil)
	if want := (instance.ExitStatus{Code: -1, Signal: "signal 40"}); got.Status != want {
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
	cmd := instance.Command{Args: []string{"tool"}, Env: []string{"PATH=.:" + plain + ":" + bin}, Dir: bin}
	if got := instancetest.Output(t, i, cmd, nil); got.Stdout != "found\n" {
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
		cmd        instance.Command
	}{
		{"nothing in PATH", `start "tool": executable file not found in $PATH; PATH is "/nowhere"`,
			instance.Command{Args: []string{"tool"}, Env: []string{"PATH=/nowhere"}}},
		{"missing directory", "enter the working directory: stat " + dir + "/missing: no such file or directory",
			instance.Command{Args: []string{"/bin/sh"}, Dir: dir + "/missing"}},
		{"file for a directory", "enter the working directory: chdir " + plain + ": not a directory",
			instance.Command{Args: []string{"/bin/sh"}, Dir: plain}},
		{"missing interpreter", "the interpreter that its #! line names",
			instance.Command{Args: []string{file("script", "#!/nowhere/python\n")}}},
		{"missing interpreter, relative", "the interpreter that its #! line names",
			instance.Command{Args: []string{"./script"}, Dir: dir}},
		{"no interpreter", "is it a script without a #! line?", instance.Command{Args: []string{plain}}},
		{"NUL in the environment", "NUL", instance.Command{Args: []string{"/bin/sh"}, Env: []string{"A=a\x00b"}}},
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
	got := instancetest.Output(t, local(t, guardian), instancetest.Program(t, "exhaust", guardian...), nil)
	if want := (instancetest.Result{Stdout: "EMFILE after some, all alive, none leaked\n"}); got != want {
		t.Errorf("got %+v; want %+v", got, want)
	}
}

// helperExhaust starts processes until no file descriptor is left.
func helperExhaust(guardian []string) int {
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 48, Max: 48}); err != nil {
		return 1
	}
	l := &instance.Local{Guardian: guardian}
	defer func() { _, _ = l.Close() }()
	instances, err := l.Provision(context.Background(), 1)
	if err != nil {
		return 2
	}
	defer func() { _ = instances[0].Close() }()
	cmd := instance.Command{Args: []string{os.Args[0], "echo"}}
	var running []instance.Process
	for {
		var p instance.Process
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
		if got, err := instancetest.Finish(p, []byte("alive")); err != nil || got.Stdout != "alive" {
			return 5
		}
	}
	if p, err := instances[0].Start(context.Background(), cmd); err != nil {
		return 6
	} else if _, err := instancetest.Finish(p, nil); err != nil {
		return 7
	}
	_, _ = io.WriteString(os.Stdout, "EMFILE after some, all alive, none leaked\n")
	return 0
}

// Nothing of a process stays after its end and the end of its output.
func TestLocalLeavesNothing(t *testing.T) { bothWays(t, testLocalLeavesNothing) }

func testLocalLeavesNothing(t *testing.T, guardian []string) {
	i := local(t, guardian)
	instancetest.Output(t, i, instancetest.Program(t, "exit", "0"), nil) // what the runtime starts once is there now
	goroutines, files := runtime.NumGoroutine(), openFiles(t)
	for n := range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		p := instancetest.Start(ctx, t, i, instancetest.Program(t, "stubborn"))
		instancetest.AwaitReady(t, p)
		if n%2 == 0 { // ended in its grace period
			cancel()
		}
		if err := syscall.Kill(p.PID(), syscall.SIGKILL); err != nil {
			t.Error(err)
		}
		if _, err := instancetest.FinishReading(p); err != nil {
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
	l := &instance.Local{Guardian: guardian}
	defer func() { _, _ = l.Close() }()
	instances, err := l.Provision(b.Context(), 1)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = instances[0].Close() }()
	for b.Loop() {
		p, err := instances[0].Start(b.Context(), instance.Command{Args: []string{"true"}})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := instancetest.Finish(p, nil); err != nil && !errors.Is(err, syscall.EPIPE) {
			b.Fatal(err)
		}
	}
}

func BenchmarkRoundTrip(b *testing.B) {
	instances, err := (&instance.Local{}).Provision(b.Context(), 1)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = instances[0].Close() }()
	p, err := instances[0].Start(b.Context(), instance.Command{Args: []string{"cat"}})
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
	instances, err := (&instance.Local{}).Provision(b.Context(), 1)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = instances[0].Close() }()
	p, err := instances[0].Start(b.Context(), instance.Command{Args: []string{"cat", "/dev/zero"}})
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
