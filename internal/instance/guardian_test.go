package instance_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"testr/internal/instance"
	"testr/internal/instance/instancetest"
)

// guarded is a Local with a guardian, and an instance of it.
func guarded(t *testing.T) (*instance.Local, instance.Instance) {
	t.Helper()
	l := &instance.Local{Guardian: guardianArgs(t)}
	t.Cleanup(func() { _, _ = l.Close() })
	return l, instancetest.One(t, l)
}

// escapes are scripts that leave processes behind, and how many enlist. A
// process that lives only to start another one enlists as well.
func escapes(t *testing.T) map[string]struct {
	script string
	count  int
} {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	session := strings.Join(instancetest.ProgramEnv(), " ") + " '" + exe + "' session "
	return map[string]struct {
		script string
		count  int
	}{
		"in the group":               {"sleeper; enlist; exec sleep 100", 2},
		"stopped":                    {"sleeper; enlist; kill -STOP $$", 2},
		"in a session of its own":    {session + "'printf x >&9; sleep 100'; enlist; exec sleep 100", 2},
		"of a worker that has ended": {session + "'printf x >&9; sleep 100'; enlist", 2},
		"that closed everything":     {session + "'printf x >&9; exec sleep 100 </dev/null >/dev/null 2>&1'", 1},
		"a daemon, forked twice":     {session + "'(printf x >&9; cd /; exec sleep 100) & exit'", 1},
		"deaf to signals":            {session + "'trap \"\" HUP INT TERM; printf x >&9; sleep 100'", 1},
		"three hundred that keep stdout open": {
			"i=0; while [ $i -lt 150 ]; do sleeper; i=$((i+1)); done; " +
				session + "'for i in $(seq 150); do (printf x >&9; exec sleep 100) & done; exec sleep 100'; " +
				"exec sleep 100", 300},
		"that start each other and end": {"hop() { enlist; ( hop ) & exit; }; for i in 1 2 3; do (hop) & done; " +
			session + "'hop() { printf x >&9; ( hop ) & exit; }; for i in 1 2 3; do (hop) & done'; exec sleep 100",
			1000},
	}
}

// F2: whatever a worker has started is gone when testr is killed.
func TestGuardianParentKilled(t *testing.T) {
	for name, tt := range escapes(t) {
		t.Run(name, func(t *testing.T) {
			roll, preamble := newRoll(t)
			cmd := instancetest.Program(t, "testr", append([]string{preamble + tt.script}, guardianArgs(t)...)...)
			testr := exec.Command(cmd.Args[0], cmd.Args[1:]...)
			testr.Env = append(os.Environ(), cmd.Env...)
			testr.Stderr = os.Stderr
			if err := testr.Start(); err != nil {
				t.Fatal(err)
			}
			roll.await(tt.count)
			if err := testr.Process.Kill(); err != nil {
				t.Error(err)
			}
			roll.gone()
			_ = testr.Wait() // it was killed
		})
	}
}

// S19: and when it is closed.
func TestGuardianClose(t *testing.T) {
	for name, tt := range escapes(t) {
		t.Run(name, func(t *testing.T) {
			roll, preamble := newRoll(t)
			l, i := guarded(t)
			p := instancetest.Start(t.Context(), t, i, instance.Command{Args: []string{"/bin/sh", "-c", preamble + tt.script}})
			var reading sync.WaitGroup
			reading.Go(func() { _, _ = instancetest.FinishReading(p) })
			roll.await(tt.count)
			if err := i.Close(); err != nil {
				t.Error(err)
			}
			reading.Wait()
			closeLocal(t, l)
			roll.gone()
		})
	}
}

// S19: what was left over is told, and nothing else is.
func TestGuardianLeftovers(t *testing.T) {
	l, i := guarded(t)
	// In its group, killed with it and perhaps not gone yet.
	script := "for i in $(seq 30); do sleep 100 & done; "
	group := instance.Command{Args: []string{"/bin/sh", "-c", script + "echo ready; exec sleep 100"}}
	instancetest.AwaitReady(t, instancetest.Start(t.Context(), t, i, group))
	instancetest.Output(t, i, instance.Command{Args: []string{"/bin/sh", "-c", script}}, nil)
	p, child := instancetest.StartLeaving(t, i, "setsid", "hold", 0)
	instancetest.AwaitReady(t, p)
	if _, err := instancetest.Finish(p, []byte("end\n")); err != nil {
		t.Error(err)
	}
	if child.Gone(0) {
		t.Error("the grandchild has ended; the test shows nothing")
	}
	if err := i.Close(); err != nil {
		t.Error(err)
	}
	got := closeLocal(t, l)
	if got.Count != 1 || len(got.First) != 1 || !strings.HasSuffix(got.First[0].Command, " hold") {
		t.Errorf("got %+v; want the helper hold", got)
	}
	if !child.Gone(0) {
		t.Error("the grandchild lives")
	}
	if got := closeLocal(t, l); got.Count != 0 {
		t.Errorf("Close again: got %+v; want nothing", got)
	}
	if _, err := i.Start(t.Context(), instancetest.Program(t, "exit", "0")); !errors.Is(err, instance.ErrClosed) {
		t.Errorf("Start after Close: got %v; want %v", err, instance.ErrClosed)
	}
}

func TestGuardianManyLeftovers(t *testing.T) {
	roll, preamble := newRoll(t)
	l, i := guarded(t)
	exe := instancetest.Program(t, "session").Args[0]
	cmd := instance.Command{Args: []string{"/bin/sh", "-c", preamble + "exec '" + exe +
		"' session 'for i in $(seq 50); do (printf x >&9; exec sleep 100) & done; wait'"}, Env: instancetest.ProgramEnv()}
	instancetest.Output(t, i, cmd, nil)
	roll.await(50)
	if got := closeLocal(t, l); got.Count != 51 || len(got.First) != instance.MaxLeftovers {
		t.Errorf("got %d, %d of them described; want 51, %d", got.Count, len(got.First), instance.MaxLeftovers)
	}
	roll.gone()
}

// A Local that is closed without its instances ends their processes.
func TestGuardianCloseFirst(t *testing.T) {
	l, i := guarded(t)
	p := instancetest.Start(t.Context(), t, i, instancetest.Program(t, "stubborn"))
	instancetest.AwaitReady(t, p)
	if got := closeLocal(t, l); got.Count != 0 {
		t.Errorf("got %+v as left over; want none: it was running", got)
	}
	got, err := instancetest.FinishReading(p)
	if want := (instance.ExitStatus{Code: -1, Signal: "SIGKILL"}); err != nil || got.Status != want {
		t.Errorf("got %v, %v; want %v", got.Status, err, want)
	}
}

// killGuardian kills the guardian of l.
func killGuardian(t *testing.T, l *instance.Local) {
	t.Helper()
	if err := l.GuardianProcess().Kill(); err != nil {
		t.Fatal(err)
	}
}

// F2: without its guardian a command is ended and says why, and the next one
// gets another.
func TestGuardianKilled(t *testing.T) {
	l, i := guarded(t)
	p, child := instancetest.StartLeaving(t, i, "own", "hold", 0)
	instancetest.AwaitReady(t, p)
	killGuardian(t, l)
	for range 2 {
		_, err := instancetest.FinishReading(p)
		if err == nil || !strings.Contains(err.Error(), "the guardian of local processes has ended, killed by SIGKILL") {
			t.Errorf("got %v; want the reason", err)
		}
	}
	if !child.Gone(10 * time.Second) {
		t.Error("a process of the command's group lives on")
	}
	<-l.GuardianDone()
	if got := instancetest.Output(t, i, instancetest.Program(t, "echo"), []byte("hello")); got.Stdout != "hello" {
		t.Errorf("got %+v; want the next command to run", got)
	}
	killGuardian(t, l)
	if _, err := l.Close(); err == nil || !strings.Contains(err.Error(), "killed by SIGKILL") {
		t.Errorf("Close: got %v; want the reason", err)
	}
}

// A guardian that can't be started, or is none, is an error of the start.
func TestGuardianNone(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"/nowhere/testr", "guardian"}, "/nowhere/testr: no such file"},
		{[]string{"/bin/false"}, "the guardian of local processes"},
	} {
		l := &instance.Local{Guardian: tt.args}
		i := instancetest.One(t, l)
		for range 2 {
			_, err := i.Start(t.Context(), instancetest.Program(t, "exit", "0"))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%q: got %v; want %q", tt.args, err, tt.want)
			}
		}
		_, _ = l.Close() // which says it again
	}
}

// Who runs the guardian by hand is told.
func TestGuardianByHand(t *testing.T) {
	args := guardianArgs(t)
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "which starts this program by itself") {
		t.Errorf("got %v, %q; want an error", err, out)
	}
}

// F18: signals are testr's affair. A guardian has a group of its own, and none
// ends it or, if a command inherited that, changes a command.
func TestGuardianSignals(t *testing.T) {
	l, i := guarded(t)
	instancetest.Output(t, i, instancetest.Program(t, "exit", "0"), nil)
	guardian := l.GuardianProcess()
	if group, err := syscall.Getpgid(guardian.Pid); err != nil || group != guardian.Pid {
		t.Errorf("got group %d, %v; want one of its own", group, err)
	}
	for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGTSTP,
		syscall.SIGUSR1, syscall.SIGPIPE} {
		if err := guardian.Signal(sig); err != nil {
			t.Fatal(err)
		}
		if got := instancetest.Output(t, i, instancetest.Program(t, "echo"), []byte("hello")); got.Stdout != "hello" {
			t.Errorf("after %v: got %+v", sig, got)
		}
	}
}

// What tests see of the system is the same with a guardian, but for the number
// of their parent.
func TestGuardianUnseen(t *testing.T) {
	var seen [2]string
	for n, guardian := range [][]string{nil, guardianArgs(t)} {
		i := local(t, guardian)
		script := "cut -d' ' -f6-8 /proc/self/stat; " + // session, terminal, its group
			"grep -E '^(Sig(Blk|Ign|Cgt)|Cap|NoNewPrivs|Seccomp|Uid|Gid|Groups|Umask|Cpus_allowed|Kthread|TracerPid|NSpid)' " +
			"/proc/self/status | grep -v NSpid; cat /proc/self/limits /proc/self/cgroup; " +
			"readlink /proc/self/ns/*; pwd; env | sort; ls -l /proc/self/fd | wc -l; cat /proc/self/oom_score_adj; nice"
		seen[n] = instancetest.Output(t, i, instance.Command{Args: []string{"/bin/sh", "-c", script}}, nil).Stdout
	}
	if diff := cmp.Diff(seen[0], seen[1]); diff != "" || !strings.Contains(seen[0], "SigIgn") {
		t.Errorf("(-direct +guarded):\n%s", diff)
	}
}

// F19 and S19: for five hundred commands at once testr has three descriptors
// each, the guardian has none, and nobody holds testr's own files.
func TestGuardianFiveHundred(t *testing.T) {
	const count = 500
	l, i := guarded(t)
	cat := instance.Command{Args: []string{"cat"}}
	instancetest.Output(t, i, cat, nil)
	before, guardianBefore := len(openFilesOf(t, "self")), openFilesOf(t, fmt.Sprint(l.GuardianProcess().Pid))
	for _, file := range guardianBefore[:3] {
		if file != os.DevNull {
			t.Errorf("the guardian has %q; want it to hold nothing of testr's", guardianBefore)
		}
	}
	var starting sync.WaitGroup
	processes := make([]instance.Process, count)
	for n := range processes {
		starting.Go(func() {
			var err error
			if processes[n], err = i.Start(t.Context(), cat); err != nil {
				t.Errorf("process %d: %v", n, err)
			}
		})
	}
	starting.Wait()
	if t.Failed() {
		return
	}
	runtime.GC()
	if got := len(openFilesOf(t, "self")) - before; got > 3*count {
		t.Errorf("got %d more descriptors for %d commands; want 3 each", got, count)
	}
	if got := openFilesOf(t, fmt.Sprint(l.GuardianProcess().Pid)); len(got) > len(guardianBefore) {
		t.Errorf("the guardian has %q; want no more than %q", got, guardianBefore)
	}
	var ending sync.WaitGroup
	for n, p := range processes {
		ending.Go(func() {
			text := fmt.Sprintln("process", n)
			if got, err := instancetest.Finish(p, []byte(text)); err != nil || got.Stdout != text || !got.Status.Success() {
				t.Errorf("process %d: got %+v, %v", n, got, err)
			}
		})
	}
	ending.Wait()
}

// openFilesOf are the files that a process has open, by descriptor.
func openFilesOf(t *testing.T, pid string) (files []string) {
	t.Helper()
	dir := filepath.Join("/proc", pid, "fd")
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		file, _ := os.Readlink(filepath.Join(dir, e.Name())) // the one that lists is closed
		files = append(files, file)
	}
	return files
}

// F4: the death of a process is seen at once, in the end of its output.
func TestGuardianDeathSeen(t *testing.T) {
	_, i := guarded(t)
	var took []time.Duration
	for range 20 {
		p := instancetest.Start(t.Context(), t, i, instancetest.Program(t, "block"))
		instancetest.AwaitReady(t, p)
		begun := time.Now()
		if err := syscall.Kill(p.PID(), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		got, err := instancetest.FinishReading(p)
		took = append(took, time.Since(begun))
		if err != nil || got.Status.Signal != "SIGKILL" {
			t.Errorf("got %v, %v; want SIGKILL", got.Status, err)
		}
	}
	slices.Sort(took)
	if median := took[len(took)/2]; median > 50*time.Millisecond {
		t.Errorf("got a median of %v until the end was seen; want at most 50 ms", median)
	}
	t.Logf("median %v, worst %v", took[len(took)/2], took[len(took)-1])
}

// A command that ends while it is being started is told like any other.
func TestGuardianShortLives(t *testing.T) {
	_, i := guarded(t)
	var running sync.WaitGroup
	for range 8 {
		running.Go(func() {
			for range 25 {
				ctx, cancel := context.WithCancel(t.Context())
				p, err := i.Start(ctx, instance.Command{Args: []string{"/bin/sh", "-c", "exit 7"}})
				if err != nil {
					t.Error(err)
				} else if status, err := p.Wait(); err != nil || status != (instance.ExitStatus{Code: 7}) {
					t.Errorf("got %v, %v; want exit status 7", status, err)
				} else if _, err := instancetest.FinishReading(p); err != nil {
					t.Error(err)
				}
				cancel()
			}
		})
	}
	running.Wait()
}
