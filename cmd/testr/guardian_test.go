package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// escaping has every worker, before it begins, leave processes behind: one in
// its group, one in a session of its own, and one there whose parent has ended,
// which keeps nothing open.
const escaping = `sh -c "touch pids/\$\$; exec sleep 600" & ` +
	`setsid sh -c "touch pids/\$\$; exec sleep 600" & ` +
	`setsid sh -c "(touch pids/\$(exec sh -c \"echo \\\$PPID\"); exec sleep 600 </dev/null >/dev/null 2>&1) &" & ` +
	`test-double `

// TestKilledLeavesNothing is F2: nothing of a worker survives a testr that is
// killed, wherever it went.
func TestKilledLeavesNothing(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]string{
		"streaming": strings.Replace(streaming, "worker_command=test-double ", "worker_command="+escaping, 1),
		"batches":   strings.Replace(batches, "test_command=test-double ", "test_command="+escaping, 1),
		"plain":     "[DEFAULT]\ntest_command=" + escaping + "\n",
	} {
		for _, stopped := range []bool{false, true} {
			t.Run(name+", stopped="+strconv.FormatBool(stopped), func(t *testing.T) {
				t.Parallel()
				p := newProject(t, map[string]string{".testr.conf": config, "tests": "m.C.test_waits\n"})
				p.want(0, "init")
				b := p.start("run")
				p.awaitFile("begun")
				await(t, "what the worker leaves", func() bool { return len(p.workers()) >= 4 })
				guardians := guardiansOf(t, b.Process.Pid)
				if len(guardians) != 1 {
					t.Fatalf("got the guardians %v; want one", guardians)
				}
				if stopped { // F8
					for _, pid := range p.workers() {
						_ = syscall.Kill(pid, syscall.SIGSTOP) // the lister has ended
					}
				}
				b.signal(syscall.SIGKILL)
				b.wait()
				p.wantNobodyLeft(4)
				await(t, "the end of the guardian", func() bool { return !alive(guardians[0]) })
			})
		}
	}
}

// guardiansOf are the children of a testr that are guardians.
func guardiansOf(t *testing.T, pid int) (guardians []int) {
	t.Helper()
	entries, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range entries {
		line, _ := os.ReadFile(name) // it may have ended
		stat, _ := os.ReadFile(filepath.Join(filepath.Dir(name), "stat"))
		_, rest, _ := strings.Cut(string(stat), ") ")
		fields := strings.Fields(rest)
		if strings.HasSuffix(string(line), "\x00"+guardianCommand+"\x00") && len(fields) > 1 &&
			fields[1] == strconv.Itoa(pid) {
			guardian, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
			if err != nil {
				t.Fatal(err)
			}
			guardians = append(guardians, guardian)
		}
	}
	return guardians
}

// TestGuardianKilled: a run goes on whose guardian somebody has killed. The
// workers end with it, and with them what they were about.
func TestGuardianKilled(t *testing.T) {
	t.Parallel()
	p := newProject(t, map[string]string{".testr.conf": streaming, "tests": "m.C.test_waits\nm.C.test_x\nm.C.test_y\n"})
	p.want(0, "init")
	b := p.start("run")
	p.awaitFile("begun")
	for _, pid := range guardiansOf(t, b.Process.Pid) {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	res := b.wait()
	wantNoPanic(t, "run", res.err)
	if res.status != 1 {
		t.Errorf("got exit status %d; want 1\n%s%s", res.status, res.out, res.err)
	}
	wantText(t, res.out, "FAIL: m.C.test_waits\n", "the guardian of local processes has ended, killed by SIGKILL",
		"Ran 3 tests", "FAILED (id=0, failures=1)")
	p.wantNobodyLeft(3)
}
