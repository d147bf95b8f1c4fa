package instancetest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"testr/internal/instance"
)

// patience is how long a state is waited for that comes soon.
const patience = 20 * time.Second

// glance is the time between two looks at what nobody tells of.
const glance = 2 * time.Millisecond

// One is one instance of a provider, given back at the end of the test.
func One(t testing.TB, p instance.Provider) instance.Instance {
	t.Helper()
	instances, err := p.Provision(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, i := range instances {
			if err := i.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		}
	})
	if len(instances) != 1 {
		t.Fatalf("Provision(1) gave %d instances", len(instances))
	}
	return instances[0]
}

// Start starts a command that has to start.
func Start(ctx context.Context, t testing.TB, i instance.Instance, cmd instance.Command) instance.Process {
	t.Helper()
	p, err := i.Start(ctx, cmd)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Result is all that comes of a command.
type Result struct {
	Stdout, Stderr string
	Status         instance.ExitStatus
}

// Finish writes stdin to p, reads what it writes and waits for its end.
func Finish(p instance.Process, stdin []byte) (Result, error) {
	if p.Stdin() == nil {
		return FinishReading(p)
	}
	written := make(chan error, 1)
	go func() {
		var err error
		if len(stdin) > 0 {
			_, err = p.Stdin().Write(stdin)
		}
		written <- errors.Join(err, p.Stdin().Close())
	}()
	r, err := FinishReading(p)
	return r, errors.Join(err, <-written)
}

// FinishReading is Finish without the writing.
func FinishReading(p instance.Process) (Result, error) {
	var reading sync.WaitGroup
	var stdout, stderr []byte
	var outErr, errErr error
	reading.Go(func() { stdout, outErr = io.ReadAll(p.Stdout()) })
	reading.Go(func() { stderr, errErr = io.ReadAll(p.Stderr()) })
	reading.Wait()
	status, err := p.Wait()
	return Result{string(stdout), string(stderr), status}, errors.Join(err, outErr, errErr)
}

// Output is what comes of a command that has to start, and whose end has to be
// known.
func Output(t testing.TB, i instance.Instance, cmd instance.Command, stdin []byte) Result {
	t.Helper()
	r, err := Finish(Start(t.Context(), t, i, cmd), stdin)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Failure is what is said of a command that can't be run, by whoever finds it
// out: Start, Wait, or the far end with an exit status and its stderr. It is an
// error of the test if nobody does.
func Failure(t testing.TB, i instance.Instance, cmd instance.Command) string {
	t.Helper()
	p, err := i.Start(t.Context(), cmd)
	if err != nil {
		return err.Error()
	}
	r, err := Finish(p, nil)
	if err == nil && r.Status.Success() {
		t.Errorf("%q: got success; want a failure", cmd.Args)
	}
	return fmt.Sprint(err, "\n", r.Stderr)
}

// AwaitReady waits until a program says that it is ready.
func AwaitReady(t testing.TB, p instance.Process) {
	t.Helper()
	line := make([]byte, len("ready\n"))
	if _, err := io.ReadFull(p.Stdout(), line); err != nil || string(line) != "ready\n" {
		t.Fatalf("got %q, %v; want the process to be ready", line, err)
	}
}

// await looks until done says so, or says what it waits for.
func await(t testing.TB, done func() bool, what func() string) {
	t.Helper()
	look := time.NewTicker(glance)
	defer look.Stop()
	for limit := time.After(patience); !done(); {
		select {
		case <-look.C:
		case <-limit:
			t.Fatalf("waited %v for %s", patience, what())
		}
	}
}

// PID is the number of a process, which may be known only a moment after its
// start.
func PID(t testing.TB, p instance.Process) int {
	t.Helper()
	pid := 0
	await(t, func() bool { pid = p.PID(); return pid != 0 }, func() string { return "the number of the process" })
	return pid
}

// AwaitState waits until a process is in a state, as /proc tells it.
func AwaitState(t testing.TB, pid int, state byte) {
	t.Helper()
	got := "none"
	await(t, func() bool {
		stat, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		_, after, _ := bytes.Cut(stat[max(bytes.LastIndexByte(stat, ')'), 0):], []byte(" "))
		got = string(after[:min(1, len(after))])
		return got == string(state)
	}, func() string { return fmt.Sprintf("process %d: got state %s; want %c", pid, got, state) })
}

// Descendant is a process that a command left behind. It is killed at the end
// of the test.
type Descendant struct {
	t     testing.TB
	pidfd int
}

// StartLeaving starts the program leave, which starts child, another program,
// with its own three files, in its process group ("own") or in a session of its
// own ("setsid"). When it gets a line it writes so many bytes of the Pattern and
// "last words", and ends.
func StartLeaving(t testing.TB, i instance.Instance, session, child string, size int) (instance.Process, Descendant) {
	t.Helper()
	p := Start(t.Context(), t, i, Program(t, "leave", session, child, strconv.Itoa(size)))
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
	return p, Descendant{t, fd}
}

// Gone waits for the end of d, for at most wait.
func (d Descendant) Gone(wait time.Duration) bool {
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
