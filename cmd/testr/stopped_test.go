package main

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestResume goes on with what an interrupted run left, the test that was
// running included, and with nothing else.
func TestResume(t *testing.T) {
	t.Parallel()
	for _, options := range [][]string{nil, {"--parallel", "--concurrency=2"}, {"--isolated"}} {
		t.Run(strings.Join(options, " "), func(t *testing.T) {
			t.Parallel()
			p := newProject(t, map[string]string{".testr.conf": batches,
				"tests": "m.C.test_1_fail\nm.C.test_2_waits\nm.C.test_3\nm.C.test_4_fail\n"})
			p.want(0, "init")
			b := p.start("run")
			p.awaitFile("begun")
			b.signal(syscall.SIGINT)
			res := b.wait()
			if res.status != 130 {
				t.Fatalf("got exit status %d; want 130\n%s%s", res.status, res.out, res.err)
			}
			if got, want := lastLine(res.err), "testr: hint: testr run --resume runs what this run left (3)"; got != want {
				t.Errorf("got %q as the last line; want %q", got, want)
			}
			p.write("go", "")
			res = p.want(1, append([]string{"run", "--resume"}, options...)...)
			wantText(t, res.out, "Ran 3 ", "failures=1")
			if diff := cmp.Diff([]string{"m.C.test_4_fail"}, failingTests(res.out)); diff != "" {
				t.Errorf("failures (-want +got):\n%s", diff)
			}
			wantText(t, p.want(1, "failing", "--list").out, "m.C.test_1_fail\nm.C.test_4_fail\n")
			wantText(t, p.want(0, "run", "--resume").out, "Run 1 left nothing to run.\n")
		})
	}
}

// TestResumeKilled goes on after testr itself was killed, whether its run knew
// its tests by then or not.
func TestResumeKilled(t *testing.T) {
	t.Parallel()
	held := strings.Replace(streaming, "test_command=", "test_command=while [ -e hold ]; do sleep 0.01; done; ", 1)
	for _, listed := range []bool{true, false} {
		t.Run("listed "+strconv.FormatBool(listed), func(t *testing.T) {
			t.Parallel()
			p := newProject(t, map[string]string{".testr.conf": held, "go": "",
				"tests": "m.C.test_1_fail\nm.C.test_2_waits\nm.C.test_3\n"})
			p.want(0, "init")
			p.want(1, "run") // from now on the tests are remembered
			p.remove("go", "begun")
			if !listed {
				p.write("hold", "")
			}
			b := p.start("run")
			p.awaitFile("begun")
			await(t, "the failure", func() bool { return strings.Contains(b.out.String(), "FAIL: m.C.test_1_fail\n") })
			if listed {
				await(t, "the end of the listing", func() bool { return len(living(p)) == 1 })
			}
			b.signal(syscall.SIGKILL)
			b.wait()
			p.write("go", "")
			if !listed {
				p.remove("hold")
			}
			await(t, "the end of the workers", func() bool { return len(living(p)) == 0 })
			wantText(t, p.want(0, "run", "--resume").out, "Ran 2 ", "PASSED (id=2")
			wantText(t, p.want(1, "failing", "--list").out, "m.C.test_1_fail\n")
		})
	}
}

// living are the workers and listers that live.
func living(p *project) []int {
	return slices.DeleteFunc(p.workers(), func(pid int) bool { return !alive(pid) })
}

// TestInspect asks a run what it does, in the middle of a test.
func TestInspect(t *testing.T) {
	t.Parallel()
	p := newProject(t, map[string]string{".testr.conf": streaming,
		"tests": "m.C.test_1_prints\nm.C.test_2_waits\nm.C.test_3\n"})
	p.want(0, "init")
	b := p.start("run")
	p.awaitFile("begun")
	await(t, "an answer", func() bool {
		b.signal(syscall.SIGUSR1) // the first may come before testr has heard of the test
		return strings.Contains(b.err.String(), ": m.C.test_2_waits\n  | chatter on std")
	})
	wantText(t, b.err.String(), "worker 0, process ", "1 running, 1 waiting")
	b.signal(syscall.SIGUSR1) // it may ask again, and nothing comes of it
	p.write("go", "")
	if res := b.wait(); res.status != 0 {
		t.Errorf("got exit status %d; want 0\n%s%s", res.status, res.out, res.err)
	}
}

// TestPause is F18: the workers stop with testr, and go on with it.
func TestPause(t *testing.T) {
	t.Parallel()
	p := newProject(t, map[string]string{".testr.conf": streaming, "tests": "m.C.test_1_waits\nm.C.test_2\n"})
	p.want(0, "init")
	b := p.start("run")
	p.awaitFile("begun")
	await(t, "the end of the listing", func() bool { return len(living(p)) == 1 })
	all := append(living(p), b.Process.Pid)
	for range 2 {
		b.signal(syscall.SIGTSTP)
		for _, pid := range all {
			await(t, "process "+strconv.Itoa(pid)+" to stop", func() bool { return stoppedProcess(pid) })
		}
		b.signal(syscall.SIGCONT)
		for _, pid := range all {
			await(t, "process "+strconv.Itoa(pid)+" to go on", func() bool { return !stoppedProcess(pid) })
		}
	}
	p.write("go", "")
	if res := b.wait(); res.status != 0 {
		t.Errorf("got exit status %d; want 0\n%s%s", res.status, res.out, res.err)
	}
}

func stoppedProcess(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	_, state, _ := strings.Cut(string(stat), ") ")
	return err == nil && strings.HasPrefix(state, "T")
}

// TestIgnoredSignal: what ignores a signal for testr, as nohup does, is obeyed.
func TestIgnoredSignal(t *testing.T) {
	t.Parallel()
	p := newProject(t, map[string]string{".testr.conf": streaming, "tests": "m.C.test_1_waits\nm.C.test_2\n"})
	p.want(0, "init")
	b := p.startCommand(p.command("sh", "-c", "trap '' HUP; exec testr run"))
	p.awaitFile("begun")
	b.signal(syscall.SIGHUP)
	b.signal(syscall.SIGUSR1)
	await(t, "an answer to what came after it", func() bool {
		return strings.Contains(b.err.String(), "m.C.test_1_waits")
	})
	p.write("go", "")
	if res := b.wait(); res.status != 0 {
		t.Errorf("got exit status %d; want 0\n%s%s", res.status, res.out, res.err)
	}
}
