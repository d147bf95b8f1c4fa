package repo

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"testr/internal/event"
	"testr/internal/protocol"
)

// children are what the test binary can be besides itself: each gets a
// directory and returns its exit status.
var children = map[string]func(dir string) int{
	"write":  childWrite,
	"limit":  childLimit,
	"hold":   childHold,
	"query":  childQuery,
	"full":   childFull,
	"limits": childLimits,
	"open":   childOpen,
	"power":  childPower,
	"prune":  childPrune,
	"life":   childLife,
	"flood":  childFlood,

	"compact": childCompact,
}

// child is a command that runs the test binary as one of the children.
func child(ctx context.Context, t *testing.T, role, dir string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), "TESTR_REPO_CHILD="+role, "TESTR_REPO_DIR="+dir)
	cmd.Stderr = os.Stderr
	return cmd
}

// childEvents stores runs without end, or up to n events, and prints the number
// of every event that a cursor delivers.
func childEvents(r *Repository, n int) error {
	w, err := r.Begin(RunInfo{Start: time.Now()})
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(os.Stdout, "run %d\n", w.ID())
	var printing sync.WaitGroup
	printing.Go(func() {
		for c := w.Follow(); ; {
			events, err := c.Next(context.Background())
			if err != nil {
				return
			}
			for _, e := range events {
				_, _ = fmt.Fprintf(os.Stdout, "%d\n", e.Seq)
			}
		}
	})
	for i := range n {
		if err = w.Event(childEvent(i)); err != nil {
			break
		}
		if i%97 == 0 {
			_ = w.Sync()
		}
	}
	_, closing := w.Close(End{State: Finished})
	printing.Wait()
	if closing == nil {
		_, _ = fmt.Fprintln(os.Stdout, "closed")
	}
	return errors.Join(err, closing)
}

// childEvent is the event number i of every run that a child stores.
func childEvent(i int) event.Event {
	if i%50 == 7 {
		return file(fmt.Sprint("test ", i/2), "log", noise(1000+i%7*9000))
	}
	return status(fmt.Sprint("test ", i/2), []protocol.Status{protocol.StatusInProgress, protocol.StatusFail}[i%2], i)
}

func childWrite(dir string) int {
	r, err := Open(dir)
	for err == nil {
		err = childEvents(r, 700)
	}
	fmt.Fprintln(os.Stderr, err)
	return 3
}

// kills is how often the crash test kills: TESTR_KILLS, or enough for every day.
func kills(t *testing.T) int {
	t.Helper()
	n, err := strconv.Atoi(os.Getenv("TESTR_KILLS"))
	if err != nil {
		return 20
	}
	return n
}

// F1: after SIGKILL at any moment the repository opens, its check is clean, and
// every event that was printed is there, in its place and unchanged.
func TestKill(t *testing.T) {
	dir := ""
	seed := uint64(time.Now().UnixNano())
	rnd := rand.New(rand.NewPCG(seed, 0))
	for i := range kills(t) {
		if i%5 == 0 { // the check reads everything, each time
			dir = newDir(t)
		}
		ctx, kill := context.WithCancel(t.Context())
		cmd := child(ctx, t, "write", dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		run, last, lines := -1, -1, rnd.IntN(3000)
		for in := bufio.NewScanner(out); in.Scan(); lines-- {
			if lines == 0 {
				kill()
			}
			word, number, _ := strings.Cut(in.Text(), " ")
			switch {
			case word == "run":
				run, last = atoi(t, number), -1
			case word != "closed":
				last = atoi(t, word)
			}
		}
		kill()
		_ = cmd.Wait()
		if t.Failed() {
			return
		}
		checkKilled(t, dir, run, last)
		if t.Failed() {
			t.Fatalf("seed %d, kill %d", seed, i)
		}
	}
}

func atoi(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Error(err) // half a line is one too, but the pipe gives whole writes
	}
	return n
}

// checkKilled checks that the events of a run up to number last are there.
func checkKilled(t *testing.T, dir string, run, last int) {
	t.Helper()
	r, err := OpenReadOnly(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer closeRepo(t, r)
	if err := r.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if run < 0 {
		return
	}
	info, err := r.Run(run)
	if err != nil || info.State == Running {
		t.Fatalf("run %d: got %+v, %v", run, info, err)
	}
	events := replay(t, r, run)
	if len(events) <= last {
		t.Fatalf("event %d was printed, %d are stored", last, len(events))
	}
	want := make([]event.Event, len(events))
	for i := range want {
		want[i] = childEvent(i)
	}
	if string(wire(t, events)) != string(wire(t, want)) {
		t.Error("the stored events are not what was written")
	}
}

// childLimit stores runs until the limit on its files' size stops it.
func childLimit(dir string) int {
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 9 << 20, Max: 9 << 20}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	r, err := Open(dir)
	for n := 0; err == nil && n < 1000; n++ {
		err = childEvents(r, 2000)
	}
	if _, ok := errors.AsType[*SpaceError](err); !ok {
		fmt.Fprintf(os.Stderr, "got %v; want a *SpaceError\n", err)
		return 1
	}
	if _, err := r.Latest(); err != nil {
		fmt.Fprintf(os.Stderr, "a query after it: %v\n", err)
		return 1
	}
	if err := r.Close(); err != nil {
		fmt.Fprintf(os.Stderr, "close after it: %v\n", err)
		return 1
	}
	return 0
}

// F11, with a limit in the place of a full disk: a *SpaceError, everything that
// was printed is there, and with room again the repository goes on.
func TestNoSpace(t *testing.T) {
	dir := newDir(t)
	out, err := child(t.Context(), t, "limit", dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	printed := string(out)[strings.LastIndex(string(out), "run "):]
	lines := strings.Split(strings.TrimSpace(printed), "\n")
	run, last := atoi(t, lines[0][len("run "):]), -1
	if len(lines) > 1 {
		last = atoi(t, lines[len(lines)-1])
	}
	if run == 0 {
		t.Error("not even one run fits")
	}
	r := openRepo(t, dir)
	store(t, r, RunInfo{}, End{}, status("a", protocol.StatusSuccess, 0))
	closeRepo(t, r)
	checkKilled(t, dir, run, last)
}

func childHold(dir string) int {
	r, err := Open(dir)
	if err == nil {
		_, err = r.Begin(RunInfo{Start: at(5), Command: []string{"testr", "run"}})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	_, _ = fmt.Fprintln(os.Stdout, "held")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

// S23: of two that want to write one gets a *BusyError that names the other,
// and so does who only wants to read; when the other is gone both can.
func TestBusy(t *testing.T) {
	dir := newDir(t)
	cmd := child(t.Context(), t, "hold", dir)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || line != "held\n" {
		t.Fatalf("got %q, %v", line, err)
	}
	for name, open := range map[string]func(string) (*Repository, error){"Open": Open, "OpenReadOnly": OpenReadOnly} {
		_, err := open(dir)
		var busy *BusyError
		if !errors.As(err, &busy) {
			t.Errorf("%s: got %v; want a *BusyError", name, err)
			continue
		}
		if busy.PID != cmd.Process.Pid || busy.Run != 0 || !busy.Since.Equal(at(5)) || len(busy.Command) != 2 {
			t.Errorf("%s: got %+v", name, busy)
		}
	}
	if err := errors.Join(stdin.Close(), cmd.Wait()); err != nil {
		t.Error(err)
	}
	if info, err := queryRepo(t, dir).Latest(); err != nil || info.State != Interrupted {
		t.Errorf("got %+v, %v; want an interrupted run", info, err)
	}
}

// The same within one process: a second Open waits a second and gives up.
func TestBusyItself(t *testing.T) {
	dir := newDir(t)
	openRepo(t, dir)
	var busy *BusyError
	if _, err := Open(dir); !errors.As(err, &busy) || busy.PID != os.Getpid() || busy.Run != -1 {
		t.Errorf("got %v; want it busy with this process", err)
	}
}

// Who has let the repository go doesn't say any more that he has it.
func TestHolderGone(t *testing.T) {
	h := newHolder(t.TempDir())
	h.write(&BusyError{PID: os.Getpid(), Run: 3})
	if b := h.read(); b.Run != 3 {
		t.Errorf("got %+v; want run 3", b)
	}
	h.remove()
	h.write(&BusyError{PID: os.Getpid(), Run: -1})
	if b := h.read(); b.PID != 0 {
		t.Errorf("got %+v; want nobody", b)
	}
}

// Whatever has the holder's name, nobody waits for it, or reads it without end.
func TestHolderOdd(t *testing.T) {
	h := newHolder(t.TempDir())
	for name, put := range map[string]func() error{
		"a pipe":      func() error { return syscall.Mkfifo(h.path(), 0o600) },
		"a directory": func() error { return os.Mkdir(h.path(), 0o700) },
		"much of nothing": func() error {
			return errors.Join(os.WriteFile(h.path(), nil, 0o600), os.Truncate(h.path(), 1<<40))
		},
	} {
		if err := errors.Join(os.RemoveAll(h.path()), put()); err != nil {
			t.Fatal(err)
		}
		if b := h.read(); b.PID != 0 || b.Run != -1 {
			t.Errorf("%s: got %+v; want nobody", name, b)
		}
	}
}
