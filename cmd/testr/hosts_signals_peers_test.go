//go:build peers

package main

import (
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"testr/internal/lab"
)

// wantGone wants that directories of keepers are there no more. There have to be
// some, or it shows nothing.
func wantGone(t *testing.T, dirs []string) {
	t.Helper()
	if len(dirs) == 0 {
		t.Error("got no directories of keepers, or this shows nothing")
	}
	for _, dir := range dirs {
		if !within(func() bool { _, err := os.Stat(dir); return err != nil }) {
			t.Errorf("%s is still there", dir)
		}
	}
}

// runOnHosts starts a run on two hosts, with relays or without, and waits until a
// test has begun on each. It gives the directories of the keepers.
func runOnHosts(t *testing.T, more string, args ...string) (p *project, b *background, dirs []string) {
	t.Helper()
	l, p := newLab(t, 2, lab.Options{}, map[string]string{"tests": holders(4)})
	p.write(".testr.conf", streaming+p.sections(l, more))
	p.want(0, "init")
	b = p.start(append([]string{"run", "--parallel"}, args...)...)
	p.awaitHolding(1, names(l)...)
	for _, h := range l.Hosts {
		dirs = append(dirs, keepers(t, h)...)
	}
	return p, b, dirs
}

// TestInterruptOnHosts is F18 over SSH: what runs gets the time to end, nothing
// new begins, and nothing is left on the hosts.
func TestInterruptOnHosts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		more   string
		first  syscall.Signal
		second bool // and then it has to be over
		status int
		left   string
	}{
		{"SIGINT", "", syscall.SIGINT, false, 130, "2 tests not run: interrupted\n"},
		{"SIGTERM", "", syscall.SIGTERM, false, 143, "2 tests not run: interrupted\n"},
		{"SIGINT twice", "", syscall.SIGINT, true, 130, "4 tests not run: interrupted\n"},
		{"SIGINT with relays", "relay=yes", syscall.SIGINT, false, 130, "2 tests not run: interrupted\n"},
		{"SIGINT twice with relays", "relay=yes", syscall.SIGINT, true, 130, "4 tests not run: interrupted\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, b, dirs := runOnHosts(t, tt.more)
			b.signal(tt.first)
			p.awaitFile("no-more")
			if tt.second {
				b.signal(syscall.SIGINT)
			} else {
				p.write("go", "")
			}
			res := b.wait()
			if res.status != tt.status {
				t.Errorf("got exit status %d; want %d\n%s%s", res.status, tt.status, res.out, res.err)
			}
			wantText(t, res.out, "Interrupted: interrupted by ", tt.left)
			if strings.Contains(res.err, "warning") {
				t.Errorf("got\n%s\nwant no warning", res.err)
			}
			wantGone(t, dirs)
			p.wantNobodyLeft(3)
			if last := p.testr("last"); last.out != res.out {
				t.Errorf("last shows another run than run:\n%s\nrun:\n%s", last.out, res.out)
			}
		})
	}
}

// TestHungOnHosts: a test that hangs on a host costs itself: at its time limit it
// fails, what it has started is ended there, and the others run.
func TestHungOnHosts(t *testing.T) {
	t.Parallel()
	for _, more := range []string{"", "relay=yes"} {
		t.Run(more, func(t *testing.T) {
			t.Parallel()
			l, p := newLab(t, 1, lab.Options{}, map[string]string{
				"tests": "m.C.test_1_forks\nm.C.test_2_sleeps\nm.C.test_3\nm.C.test_4\n"})
			p.write(".testr.conf", streaming+p.sections(l, more))
			p.want(0, "init")
			res := p.want(1, "run", "--parallel", "--timeout", "1")
			wantText(t, res.out, "FAIL: m.C.test_2_sleeps\n", "The test was still running after 1s, its time limit",
				"Ran 4 tests", "failures=1")
			p.wantNobodyLeft(4) // the lister, the worker with its child, the one after it
		})
	}
}

// TestKilledOnHosts: nothing is left on the hosts of a testr that was killed.
func TestKilledOnHosts(t *testing.T) {
	t.Parallel()
	for _, more := range []string{"", "relay=yes"} {
		t.Run(more, func(t *testing.T) {
			t.Parallel()
			p, b, dirs := runOnHosts(t, more)
			b.signal(syscall.SIGKILL)
			b.wait()
			wantGone(t, dirs)
			p.wantNobodyLeft(3)
			p.write("go", "")
			wantText(t, p.want(0, "run", "--parallel", "--resume").out, "Ran 4 ", "PASSED (id=1)")
		})
	}
}

// TestPauseOnHosts is F18: workers on hosts stop with testr, and go on with it.
func TestPauseOnHosts(t *testing.T) {
	t.Parallel()
	for _, more := range []string{"", "relay=yes"} {
		t.Run(more, func(t *testing.T) {
			t.Parallel()
			p, b, _ := runOnHosts(t, more)
			var workers []int
			await(t, "the end of the listing", func() bool { workers = living(p); return len(workers) == 2 })
			all := append(slices.Clone(workers), b.Process.Pid)
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
			res := b.wait()
			if res.status != 0 || strings.Contains(res.err, "warning") {
				t.Errorf("got exit status %d; want 0 and no warning\n%s%s", res.status, res.out, res.err)
			}
		})
	}
}

// TestNoReaderOnHosts: a run on hosts goes on when nobody reads its output any
// more.
func TestNoReaderOnHosts(t *testing.T) {
	t.Parallel()
	l, p := newLab(t, 2, lab.Options{}, map[string]string{"tests": suite(50)})
	p.write(".testr.conf", streaming+p.sections(l))
	p.want(0, "init")
	r, w, err := os.Pipe()
	check(t, err)
	cmd := p.command("testr", "run", "--parallel", "--subunit")
	cmd.Stdout = w
	var errOut strings.Builder
	cmd.Stderr = &errOut
	check(t, cmd.Start())
	check(t, w.Close())
	_, err = io.ReadFull(r, make([]byte, 1))
	check(t, err)
	check(t, r.Close())
	_ = cmd.Wait()
	if got := statusOf(cmd.ProcessState); got != 1 {
		t.Errorf("got exit status %d; want 1, of the tests\n%s", got, errOut.String())
	}
	wantText(t, p.want(1, "last").out, "Ran 54 tests", "failures=2, skips=1")
}

// TestInterruptUnreached: nobody waits for a host that doesn't answer when the
// run is to end, or has nothing left to run.
func TestInterruptUnreached(t *testing.T) {
	t.Parallel()
	l, p := newLab(t, 2, lab.Options{}, map[string]string{"tests": "m.A.test_1\n"})
	p.write(".testr.conf", streaming+p.sections(l))
	p.want(0, "init")
	blackhole(t, l.Hosts[1])
	begun := time.Now()
	p.want(0, "run", "--parallel") // it runs on the other one
	p.write(".testr.conf", streaming+p.section("host2"))
	for _, tt := range []struct {
		args   string
		signal syscall.Signal
		status int
	}{
		{"run --parallel", syscall.SIGINT, 130}, {"run --parallel --load-list tests", syscall.SIGTERM, 143},
		{"list-tests", syscall.SIGINT, 130},
	} {
		b := p.start(strings.Fields(tt.args)...)
		await(t, "an attempt to connect", func() bool { return connecting(t, l.Hosts[1]) })
		b.signal(tt.signal)
		if res := b.wait(); res.status != tt.status {
			t.Errorf("testr %s: got exit status %d; want %d\n%s%s", tt.args, res.status, tt.status, res.out, res.err)
		}
	}
	if took := time.Since(begun); took > 25*time.Second {
		t.Errorf("got %v; want less than what a host has to answer, 30 s", took)
	}
}

// connecting reports whether somebody waits for an answer of a host.
func connecting(t *testing.T, h *lab.Host) bool {
	t.Helper()
	out, err := exec.Command("ss", "-Htn", "state", "syn-sent", "dst", h.Address.String()).Output()
	check(t, err)
	return len(out) > 0
}
