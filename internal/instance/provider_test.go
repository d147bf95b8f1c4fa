package instance

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// settings are what the contract needs to choose of a provider.
type settings struct {
	dir   string
	env   []string
	grace time.Duration // zero: long enough for a test to end in it
}

// contract is what every Provider has to keep. Its instances must run the test
// binary, and share this machine's processes and files.
type contract struct {
	newProvider func(settings) Provider
}

// testProvider tests a provider against the contract.
func testProvider(t *testing.T, newProvider func(settings) Provider) {
	c := contract{newProvider}
	tests := []struct {
		name string
		test func(*testing.T)
	}{
		{"provision", c.testProvision},
		{"stdin and stdout", c.testEcho},
		{"stdin from a file", c.testStdinFile},
		{"exit status", c.testExitStatus},
		{"wait again", c.testWaitAgain},
		{"arguments", c.testArguments},
		{"environment and directory", c.testEnvironment},
		{"start errors", c.testStartErrors},
		{"more than a pipe holds", c.testFlood},
		{"read before wait", c.testReadBeforeWait},
		{"read after wait", c.testReadAfterWait},
		{"write to the dead", c.testWriteToDead},
		{"cancel before start", c.testCancelBeforeStart},
		{"cancel while blocked", c.testCancelBlocked},
		{"cancel with grace", c.testCancelPolite},
		{"cancel without effect", c.testCancelStubborn},
		{"pause and resume", c.testPause},
		{"cancel while paused", c.testCancelPaused},
		{"close while running", c.testClose},
		{"close while paused", c.testClosePaused},
		{"grandchild in the group", c.testGrandchildInGroup},
		{"grandchild in a session of its own", c.testGrandchildSetsid},
		{"grandchild that floods", c.testGrandchildFloods},
		{"fifty at once", c.testFifty},
	}
	for _, tt := range tests {
		t.Run(tt.name, tt.test)
	}
}

// instance is one instance, given back at the end of the test.
func (c contract) instance(t *testing.T, s settings) Instance {
	t.Helper()
	instances, err := c.newProvider(s).Provision(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if len(instances) != 1 {
		t.Fatalf("Provision(1) gave %d instances", len(instances))
	}
	t.Cleanup(func() {
		if err := instances[0].Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return instances[0]
}

func start(ctx context.Context, t *testing.T, i Instance, cmd Command) Process {
	t.Helper()
	p, err := i.Start(ctx, cmd)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// result is all that comes of a command.
type result struct {
	Stdout, Stderr string
	Status         ExitStatus
}

// finish writes stdin to p, reads what it writes and waits for its end.
func finish(p Process, stdin []byte) (result, error) {
	if p.Stdin() == nil {
		return finishReading(p)
	}
	written := make(chan error, 1)
	go func() {
		var err error
		if len(stdin) > 0 {
			_, err = p.Stdin().Write(stdin)
		}
		written <- errors.Join(err, p.Stdin().Close())
	}()
	r, err := finishReading(p)
	return r, errors.Join(err, <-written)
}

// finishReading is finish without the writing.
func finishReading(p Process) (result, error) {
	var reading sync.WaitGroup
	var stdout, stderr []byte
	var outErr, errErr error
	reading.Go(func() { stdout, outErr = io.ReadAll(p.Stdout()) })
	reading.Go(func() { stderr, errErr = io.ReadAll(p.Stderr()) })
	reading.Wait()
	status, err := p.Wait()
	return result{string(stdout), string(stderr), status}, errors.Join(err, outErr, errErr)
}

func run(t *testing.T, i Instance, cmd Command, stdin []byte) result {
	t.Helper()
	r, err := finish(start(t.Context(), t, i, cmd), stdin)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func awaitReady(t *testing.T, p Process) {
	t.Helper()
	line := make([]byte, len("ready\n"))
	if _, err := io.ReadFull(p.Stdout(), line); err != nil || string(line) != "ready\n" {
		t.Fatalf("got %q, %v; want the process to be ready", line, err)
	}
}

func (c contract) testProvision(t *testing.T) {
	p := c.newProvider(settings{})
	ids := make(map[string]bool)
	for range 2 {
		instances, err := p.Provision(t.Context(), 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range instances {
			ids[i.ID()] = true
			if err := i.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	if len(ids) != 4 || ids[""] {
		t.Errorf("got ids %v; want four different ones", ids)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if instances, err := p.Provision(ctx, 1); !errors.Is(err, context.Canceled) || len(instances) > 0 {
		t.Errorf("Provision after cancel: got %d instances, %v; want none, %v", len(instances), err, context.Canceled)
	}
}

// Every byte goes through, in both directions, more than pipes hold.
func (c contract) testEcho(t *testing.T) {
	i := c.instance(t, settings{})
	for _, n := range []int{0, 1, 4 << 20} {
		got := run(t, i, helper(t, "echo"), pattern(n))
		if got.Stdout != string(pattern(n)) || got.Stderr != "" || !got.Status.Success() {
			t.Errorf("%d bytes: got %d bytes back, stderr %q, %v", n, len(got.Stdout), got.Stderr, got.Status)
		}
	}
}

func (c contract) testStdinFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "stdin")
	if err := os.WriteFile(name, pattern(100_000), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	cmd := helper(t, "echo")
	cmd.Stdin = f
	p := start(t.Context(), t, c.instance(t, settings{}), cmd)
	if p.Stdin() != nil {
		t.Error("Stdin is a pipe; want nil for a command that reads a file")
	}
	got, err := finish(p, nil)
	if err != nil || got.Stdout != string(pattern(100_000)) {
		t.Errorf("got %d bytes, %v; want the file's", len(got.Stdout), err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		t.Errorf("the file was closed: %v", err)
	}
}

func (c contract) testExitStatus(t *testing.T) {
	i := c.instance(t, settings{})
	tests := []struct {
		helper, arg string
		want        ExitStatus
	}{
		{"exit", "0", ExitStatus{}},
		{"exit", "1", ExitStatus{Code: 1}},
		{"exit", "255", ExitStatus{Code: 255}},
		{"die", "SIGKILL", ExitStatus{Code: -1, Signal: "SIGKILL"}},
		{"die", "SIGTERM", ExitStatus{Code: -1, Signal: "SIGTERM"}},
	}
	for _, tt := range tests {
		got := run(t, i, helper(t, tt.helper, tt.arg), nil).Status
		if got != tt.want || got.Success() != (tt.arg == "0") {
			t.Errorf("%s %s: got %v; want %v", tt.helper, tt.arg, got, tt.want)
		}
	}
}

func (c contract) testWaitAgain(t *testing.T) {
	p := start(t.Context(), t, c.instance(t, settings{}), helper(t, "exit", "7"))
	var waiting sync.WaitGroup
	for range 8 {
		waiting.Go(func() {
			for range 2 {
				if got, err := p.Wait(); err != nil || got != (ExitStatus{Code: 7}) {
					t.Errorf("got %v, %v; want exit status 7", got, err)
				}
			}
		})
	}
	waiting.Wait()
}

// S1: an argument is no piece of a command line, whatever is in it.
func (c contract) testArguments(t *testing.T) {
	dir := t.TempDir()
	i := c.instance(t, settings{dir: dir})
	args := []string{
		"", " ", "a b", "'", `"`, `\`, "\n", "a\nb\r\n", "$(touch canary)", "`touch canary`", "; touch canary",
		"&& touch canary", "| touch canary", "> canary", "$HOME", "${HOME}", "*", "?", "[a]", "~", "-rf", "--", "#",
		"!", "%s", "\t", "\x01", "\x1b[2J", "ü", "\xff\xfe", "'; touch canary; '", `"; touch canary; "`,
		strings.Repeat("x", 64<<10),
	}
	got := run(t, i, helper(t, "args", args...), nil)
	if diff := cmp.Diff(args, strings.Split(strings.TrimSuffix(got.Stdout, "\x00"), "\x00")); diff != "" {
		t.Errorf("arguments (-want +got):\n%s", diff)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("an argument was run: %v, %v", left, err)
	}
	if _, err := i.Start(t.Context(), helper(t, "args", "a\x00b")); err == nil {
		t.Error("an argument with a NUL was accepted")
	}
}

func (c contract) testEnvironment(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	other := t.TempDir()
	i := c.instance(t, settings{dir: dir, env: []string{"A=instance", "B=instance", "ODD=$A 'x'\n"}})
	tests := []struct{ dir, want string }{
		{"", dir},
		{"sub", filepath.Join(dir, "sub")},
		{other, other},
	}
	for _, tt := range tests {
		cmd := helper(t, "where", "PWD", "A", "B", "ODD")
		cmd.Dir = tt.dir
		cmd.Env = append(cmd.Env, "B=first", "B=command")
		want := strings.Join([]string{tt.want, tt.want, "instance", "command", "$A 'x'\n", ""}, "\n")
		if diff := cmp.Diff(want, run(t, i, cmd, nil).Stdout); diff != "" {
			t.Errorf("Dir %q (-want +got):\n%s", tt.dir, diff)
		}
	}
}

// A command that can't be run fails in Start or, where only the far end finds
// out, at once; either way the message names what is missing.
func (c contract) testStartErrors(t *testing.T) {
	i := c.instance(t, settings{})
	missing := filepath.Join(t.TempDir(), "missing")
	inDir := helper(t, "exit", "0")
	inDir.Dir = missing
	tests := []struct {
		name, want string
		cmd        Command
	}{
		{"no such program in PATH", "testr-no-such-program", Command{Args: []string{"testr-no-such-program"}}},
		{"no such file", missing, Command{Args: []string{missing}}},
		{"no such directory", missing, inDir},
	}
	for _, tt := range tests {
		text := ""
		if p, err := i.Start(t.Context(), tt.cmd); err != nil {
			text = err.Error()
		} else if r, err := finish(p, nil); err != nil || r.Status.Success() {
			t.Errorf("%s: got %v, %v; want a failure", tt.name, r, err)
		} else {
			text = r.Stderr
		}
		if !strings.Contains(text, tt.want) {
			t.Errorf("%s: got %q; want it to name %s", tt.name, text, tt.want)
		}
	}
	if _, err := i.Start(t.Context(), Command{}); err == nil {
		t.Error("a command without a program was started")
	}
}

// F17: output and error are apart, and neither holds up the other.
func (c contract) testFlood(t *testing.T) {
	const stdout, stderr = 3 << 20, 8 << 20
	got := run(t, c.instance(t, settings{}), helper(t, "write", strconv.Itoa(stdout), strconv.Itoa(stderr)), nil)
	if got.Stdout != string(pattern(stdout)) || got.Stderr != string(pattern(stderr)) {
		t.Errorf("got %d and %d bytes; want %d and %d of the pattern", len(got.Stdout), len(got.Stderr), stdout, stderr)
	}
}

// The end of the output is not the end of the process.
func (c contract) testReadBeforeWait(t *testing.T) {
	p := start(t.Context(), t, c.instance(t, settings{}), helper(t, "mute"))
	for name, r := range map[string]io.Reader{"stdout": p.Stdout(), "stderr": p.Stderr()} {
		if got, err := io.ReadAll(r); err != nil || string(got) != name {
			t.Errorf("%s: got %q, %v; want its name", name, got, err)
		}
	}
	if err := p.Stdin().Close(); err != nil { // which the process waits for
		t.Error(err)
	}
	if got, err := p.Wait(); err != nil || got != (ExitStatus{Code: 3}) {
		t.Errorf("got %v, %v; want exit status 3", got, err)
	}
}

// What fits the pipe is there after the end, however late one reads.
func (c contract) testReadAfterWait(t *testing.T) {
	p := start(t.Context(), t, c.instance(t, settings{}), helper(t, "write", "60000", "50000"))
	if status, err := p.Wait(); err != nil || !status.Success() {
		t.Fatalf("got %v, %v; want success", status, err)
	}
	stdout, outErr := io.ReadAll(p.Stdout())
	stderr, errErr := io.ReadAll(p.Stderr())
	if outErr != nil || errErr != nil || !bytes.Equal(stdout, pattern(60000)) || !bytes.Equal(stderr, pattern(50000)) {
		t.Errorf("got %d bytes, %v, and %d bytes, %v; want 60000 and 50000 of the pattern",
			len(stdout), outErr, len(stderr), errErr)
	}
	if n, err := p.Stdout().Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("reading on: got %d, %v; want 0, EOF", n, err)
	}
}

func (c contract) testWriteToDead(t *testing.T) {
	p := start(t.Context(), t, c.instance(t, settings{}), helper(t, "exit", "0"))
	if _, err := p.Wait(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := p.Stdin().Write([]byte("hello")); err == nil {
			t.Error("writing to a process that is gone gave no error")
		}
	}
	for range 2 {
		if err := p.Stdin().Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
}

func (c contract) testCancelBeforeStart(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("no more")
	cancel(cause)
	if _, err := c.instance(t, settings{}).Start(ctx, helper(t, "block")); !errors.Is(err, cause) {
		t.Errorf("got %v; want %v", err, cause)
	}
}

// F8: a process that reads nothing blocks its writer; its end frees it.
func (c contract) testCancelBlocked(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p := start(ctx, t, c.instance(t, settings{}), helper(t, "block"))
	awaitReady(t, p)
	written := make(chan error)
	go func() {
		_, err := p.Stdin().Write(make([]byte, 8<<20))
		written <- err
	}()
	cancel()
	got, err := finishReading(p)
	if want := (ExitStatus{Code: -1, Signal: "SIGTERM"}); err != nil || got.Status != want {
		t.Errorf("got %v, %v; want %v", got.Status, err, want)
	}
	if err := <-written; err == nil {
		t.Error("got no error from writing what the process never read")
	}
}

func (c contract) testCancelPolite(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p := start(ctx, t, c.instance(t, settings{}), helper(t, "polite"))
	awaitReady(t, p)
	cancel()
	got, err := finishReading(p)
	if want := (result{Stdout: "last words\n", Status: ExitStatus{Code: 42}}); err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
}

// F8: after the grace period SIGTERM becomes SIGKILL.
func (c contract) testCancelStubborn(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p := start(ctx, t, c.instance(t, settings{grace: 30 * time.Millisecond}), helper(t, "stubborn"))
	awaitReady(t, p)
	cancel()
	got, err := finishReading(p)
	if want := (ExitStatus{Code: -1, Signal: "SIGKILL"}); err != nil || got.Status != want {
		t.Errorf("got %v, %v; want %v", got.Status, err, want)
	}
}

// F18: a process that is paused does nothing until it is resumed.
func (c contract) testPause(t *testing.T) {
	p := start(t.Context(), t, c.instance(t, settings{}), helper(t, "echo"))
	if err := p.Pause(); errors.Is(err, errors.ErrUnsupported) {
		return
	} else if err != nil {
		t.Fatal(err)
	}
	awaitState(t, p.PID(), 'T')
	if err := p.Resume(); err != nil {
		t.Error(err)
	}
	if got, err := finish(p, []byte("hello")); err != nil || got.Stdout != "hello" {
		t.Errorf("got %+v, %v; want it to go on", got, err)
	}
	for _, do := range []func() error{p.Pause, p.Resume} {
		if err := do(); !errors.Is(err, os.ErrProcessDone) {
			t.Errorf("after the end: got %v; want %v", err, os.ErrProcessDone)
		}
	}
}

// awaitState waits until a process is in a state, as /proc tells it.
func awaitState(t *testing.T, pid int, state byte) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		if p, _ := readStat(pid); p.state == state {
			return
		} else if time.Now().After(deadline) {
			t.Fatalf("process %d: got state %c; want %c", pid, p.state, state)
		}
	}
}

// F8: a process that is stopped, by us or by whom else, has its time of grace.
func (c contract) testCancelPaused(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	p := start(ctx, t, c.instance(t, settings{}), helper(t, "polite"))
	awaitReady(t, p)
	if err := p.Pause(); errors.Is(err, errors.ErrUnsupported) {
		return
	}
	awaitState(t, p.PID(), 'T')
	cancel()
	got, err := finishReading(p)
	if want := (result{Stdout: "last words\n", Status: ExitStatus{Code: 42}}); err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
}

// F8: and it can be killed.
func (c contract) testClosePaused(t *testing.T) {
	i := c.instance(t, settings{})
	p := start(t.Context(), t, i, helper(t, "stubborn"))
	awaitReady(t, p)
	if err := p.Pause(); errors.Is(err, errors.ErrUnsupported) {
		return
	}
	awaitState(t, p.PID(), 'T')
	if err := i.Close(); err != nil {
		t.Error(err)
	}
	got, err := finishReading(p)
	if want := (ExitStatus{Code: -1, Signal: "SIGKILL"}); err != nil || got.Status != want {
		t.Errorf("got %v, %v; want %v", got.Status, err, want)
	}
}

func (c contract) testClose(t *testing.T) {
	i := c.instance(t, settings{})
	var processes []Process
	for range 3 {
		p := start(t.Context(), t, i, helper(t, "stubborn"))
		awaitReady(t, p)
		processes = append(processes, p)
	}
	var closing sync.WaitGroup
	for range 2 {
		closing.Go(func() {
			if err := i.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	}
	closing.Wait()
	for _, p := range processes {
		got, err := finishReading(p)
		if err != nil || got.Status.Success() {
			t.Errorf("got %v, %v; want a process that was ended", got, err)
		}
	}
	if _, err := i.Start(t.Context(), helper(t, "exit", "0")); !errors.Is(err, ErrClosed) {
		t.Errorf("Start after Close: got %v; want %v", err, ErrClosed)
	}
}

// descendant is a process that a command left behind.
type descendant struct {
	t     *testing.T
	pidfd int
}

// startLeaving starts the helper leave, whose child is in session (own or
// setsid) and runs the helper named.
func startLeaving(t *testing.T, i Instance, session, child string, bytes int) (Process, descendant) {
	t.Helper()
	p := start(t.Context(), t, i, helper(t, "leave", session, child, strconv.Itoa(bytes)))
	line, err := bufio.NewReader(p.Stderr()).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
		_ = unix.Close(fd)
	})
	return p, descendant{t, fd}
}

// gone waits for the end of d, for at most wait.
func (d descendant) gone(wait time.Duration) bool {
	d.t.Helper()
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(d.pidfd), Events: unix.POLLIN}}, int(wait.Milliseconds()))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			d.t.Fatal(err)
		}
		return n > 0
	}
}

// What the command started ends with it.
func (c contract) testGrandchildInGroup(t *testing.T) {
	p, child := startLeaving(t, c.instance(t, settings{}), "own", "hold", 0)
	awaitReady(t, p)
	got, err := finish(p, []byte("end\n"))
	if err != nil || got.Stdout != "last words\n" || !got.Status.Success() {
		t.Errorf("got %+v, %v; want the last words and success", got, err)
	}
	if !child.gone(10 * time.Second) {
		t.Error("a process of the command's group lives on")
	}
}

// F9: a process that got away with all three pipes holds nobody up, and takes
// nothing of the command's own output with it.
func (c contract) testGrandchildSetsid(t *testing.T) {
	const size = 60_000
	for _, early := range []bool{true, false} {
		p, child := startLeaving(t, c.instance(t, settings{}), "setsid", "hold", size)
		awaitReady(t, p)
		if _, err := p.Stdin().Write([]byte("end\n")); err != nil {
			t.Fatal(err)
		}
		if !early {
			if _, err := p.Wait(); err != nil {
				t.Fatal(err)
			}
		}
		got, err := finishReading(p)
		if want := string(pattern(size)) + "last words\n"; err != nil || got.Stdout != want || !got.Status.Success() {
			t.Errorf("early=%t: got %d bytes, %v, %v; want %d, success",
				early, len(got.Stdout), got.Status, err, len(want))
		}
		if child.gone(0) {
			t.Error("the grandchild has ended; the test shows nothing")
		}
		if _, err := p.Stdin().Write(make([]byte, 8<<20)); err == nil {
			t.Error("writing to a pipe that only the grandchild holds gave no error")
		}
	}
}

// F9: nor does one that writes faster than we read.
func (c contract) testGrandchildFloods(t *testing.T) {
	p, child := startLeaving(t, c.instance(t, settings{}), "setsid", "spam", 0)
	if _, err := io.ReadFull(p.Stdout(), make([]byte, len("spam"))); err != nil {
		t.Fatal(err)
	}
	got, err := finish(p, []byte("end\n"))
	if err != nil || !strings.Contains(got.Stdout, "last words\n") || !got.Status.Success() {
		t.Errorf("got %d bytes, %v, %v; want the last words and success", len(got.Stdout), got.Status, err)
	}
	if child.gone(0) {
		t.Error("the grandchild has ended; the test shows nothing")
	}
}

func (c contract) testFifty(t *testing.T) {
	i := c.instance(t, settings{})
	echo := helper(t, "echo")
	var running sync.WaitGroup
	for n := range 50 {
		running.Go(func() {
			text := bytes.Repeat([]byte(fmt.Sprintln("process", n)), 20_000)
			p, err := i.Start(t.Context(), echo)
			if err != nil {
				t.Errorf("process %d: %v", n, err)
				return
			}
			got, err := finish(p, text)
			if err != nil || got.Stdout != string(text) || got.Stderr != "" || !got.Status.Success() {
				t.Errorf("process %d: got %d bytes, stderr %q, %v, %v; want %d bytes",
					n, len(got.Stdout), got.Stderr, got.Status, err, len(text))
			}
		})
	}
	running.Wait()
}
