package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// failingTests are the ids of the failure blocks in what was shown.
func failingTests(shown string) (ids []string) {
	for _, m := range regexp.MustCompile(`(?m)^FAIL: (.*)$`).FindAllStringSubmatch(shown, -1) {
		ids = append(ids, m[1])
	}
	return ids
}

// TestInterrupt is F18: the first signal lets the running test end and begins
// none, the run is stored as an interrupted one, and no process is left.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		config string
		signal syscall.Signal
		status int
		ends   bool // the running test gets its time of grace; else it has no outcome
	}{
		{"SIGINT", streaming, syscall.SIGINT, 130, true},
		{"SIGTERM", streaming, syscall.SIGTERM, 143, true},
		{"SIGHUP", streaming, syscall.SIGHUP, 129, true},
		{"SIGINT, batches", batches, syscall.SIGINT, 130, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p := newProject(t, map[string]string{".testr.conf": tc.config,
				"tests": "m.C.test_1_fail\nm.C.test_2_waits\nm.C.test_3_fail\nm.C.test_4_fail\n"})
			p.want(0, "init")
			b := p.start("run")
			p.awaitFile("begun")
			b.signal(tc.signal)
			left := "3 tests not run: interrupted"
			if tc.ends {
				p.awaitFile("no-more")
				p.write("go", "")
				left = "2 tests not run: interrupted"
			}
			res := b.wait()
			if res.status != tc.status {
				t.Errorf("got exit status %d; want %d\n%s%s", res.status, tc.status, res.out, res.err)
			}
			wantNoPanic(t, "run", res.err)
			if diff := cmp.Diff([]string{"m.C.test_1_fail"}, failingTests(res.out)); diff != "" {
				t.Errorf("failures (-want +got):\n%s", diff)
			}
			wantText(t, res.out, "Interrupted: interrupted by ", left)
			p.wantNobodyLeft(2)
			if last := p.want(1, "last"); last.out != res.out {
				t.Errorf("last shows another run than run (-run +last):\n%s", cmp.Diff(res.out, last.out))
			}
		})
	}
}

// TestSecondInterrupt is F18: the second signal ends a test that would not end
// within the time of grace, and what it has started.
func TestSecondInterrupt(t *testing.T) {
	t.Parallel()
	p := newProject(t, map[string]string{".testr.conf": streaming,
		"tests": "m.C.test_1_forks\nm.C.test_2_waits\nm.C.test_3\n"})
	p.want(0, "init")
	b := p.start("run")
	p.awaitFile("begun")
	b.signal(syscall.SIGINT)
	p.awaitFile("no-more")
	b.signal(syscall.SIGINT)
	if res := b.wait(); res.status != 130 {
		t.Errorf("got exit status %d; want 130\n%s%s", res.status, res.out, res.err)
	}
	p.wantNobodyLeft(3) // the lister, the worker, its child
	last := p.want(3, "last")
	wantText(t, last.out, "Interrupted: ", "2 tests not run: interrupted")
}

// TestKilled is F1 as far as a person sees it: after SIGKILL the next command
// opens the repository, and the run has every outcome that was printed.
func TestKilled(t *testing.T) {
	t.Parallel()
	for _, command := range [][]string{{"last"}, {"failing"}, {"run", "good"}} {
		t.Run(command[0], func(t *testing.T) {
			t.Parallel()
			tests := ""
			for i := range 100 {
				tests += fmt.Sprintf("m.C.test_%03d_fail\n", i)
			}
			p := newProject(t, map[string]string{".testr.conf": streaming,
				"tests": tests + "m.C.test_waits\nm.C.test_x_good\n"})
			p.want(0, "init")
			b := p.start("run")
			p.awaitFile("begun")
			await(t, "the failures", func() bool { return strings.Contains(b.out.String(), "FAIL: m.C.test_099_fail\n") })
			b.signal(syscall.SIGKILL)
			res := b.wait()
			if res.status != 128+9 {
				t.Fatalf("got exit status %d; want that of a kill", res.status)
			}
			p.write("go", "") // what testr could not end shall end by itself
			await(t, "the end of the workers", func() bool {
				return !slices.ContainsFunc(p.workers(), alive)
			})

			first := p.testr(command...)
			wantNoPanic(t, command[0], first.err)
			if want := map[string]int{"last": 1, "failing": 1, "run": 0}[command[0]]; first.status != want {
				t.Fatalf("got exit status %d; want %d\n%s%s", first.status, want, first.out, first.err)
			}
			shown := first
			if command[0] == "run" {
				wantText(t, first.out, "(id=1")
				shown = p.want(1, "failing")
			}
			printed, kept := failingTests(res.out), failingTests(shown.out)
			if len(printed) != 100 {
				t.Errorf("got %d failures printed before the kill; want 100", len(printed))
			}
			for _, id := range printed {
				if !slices.Contains(kept, id) {
					t.Errorf("%s was printed as failed, and is gone", id)
				}
			}
			if command[0] == "last" {
				wantText(t, first.out, "Interrupted: ", "1 test did not complete", "unaccounted for")
			}
		})
	}
}

// TestReaderGone is F18: a reader that has seen enough stops nobody's run.
func TestReaderGone(t *testing.T) {
	t.Parallel()
	tests := ""
	for i := range 300 {
		tests += fmt.Sprintf("m.C.test_%03d_fail\n", i)
	}
	for _, args := range [][]string{{"run"}, {"run", "--subunit"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			t.Parallel()
			p := newProject(t, map[string]string{".testr.conf": streaming,
				"tests": "m.C.test_0_fail\nm.C.test_0_waits\n" + tests})
			p.want(0, "init")
			cmd := p.command("testr", args...)
			reader, writer, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			cmd.Stdout = writer
			stderr := newTap()
			cmd.Stderr = stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			_ = writer.Close()
			if _, err := reader.Read(make([]byte, 1)); err != nil {
				t.Errorf("read from testr: %v", err)
			}
			p.awaitFile("begun")
			_ = reader.Close()
			p.write("go", "")
			_ = cmd.Wait()
			if got := statusOf(cmd.ProcessState); got != 1 {
				t.Errorf("got exit status %d; want 1\n%s", got, stderr)
			}
			if got := stderr.String(); strings.Contains(got, "error") || strings.Contains(got, "pipe") {
				t.Errorf("got on stderr:\n%s\nwant nothing about a reader that is gone", got)
			}
			if got := len(failingTests(p.want(1, "last").out)); got != 301 {
				t.Errorf("got %d failures stored; want 301", got)
			}
		})
	}
	p := newProject(t, map[string]string{".testr.conf": streaming, "tests": "m.C.test_0_fail\n" + tests})
	p.want(0, "init")
	p.want(1, "run")
	for _, args := range []string{"last", "last --subunit", "failing", "failing --list", "failing --subunit",
		"slowest --all", "stats", "list-tests", "help", "help run", "commands", "quickstart", "completion bash",
		"completion fish", "version", "last --subunit | testr subunit to-json"} {
		// The reader is gone before testr has written anything.
		script := "{ until [ -e gone ]; do :; done; testr " + args + "; echo ${PIPESTATUS[*]} >&2; } | " +
			"{ exec <&-; touch gone; }; rm gone"
		res := p.run(p.command("bash", "-c", script))
		status := strings.TrimSpace(lastLine(res.err))
		said := strings.Count(res.err, "\n") - strings.Count(res.err, "running=") - 1
		if said > 0 || status != "0" && status != "1" && status != "0 0" {
			t.Errorf("testr %s, without a reader: got status %s and on stderr:\n%s\nwant nothing there", args, status, res.err)
		}
	}
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return lines[len(lines)-1]
}

// TestTwoAtOnce is S23 before there is a daemon: the second one says who has the
// repository.
func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	p := newProject(t, map[string]string{".testr.conf": streaming, "tests": "m.C.test_waits\n", "go": "",
		"stream": passing(t)})
	p.want(0, "init")
	p.want(0, "run")
	p.remove("go", "begun")
	b := p.start("run")
	p.awaitFile("begun")
	t.Run("writers", func(t *testing.T) { // each waits for a second
		for _, args := range []string{"run", "run --subunit", "load stream", "run --failing", "instances dispose"} {
			t.Run(args, func(t *testing.T) {
				t.Parallel()
				res := p.testr(strings.Fields(args)...)
				if res.status != 3 || res.out != "" {
					t.Errorf("got exit status %d and %q on stdout; want 3 and nothing", res.status, res.out)
				}
				wantText(t, res.err, "run 1", "process "+strconv.Itoa(b.Process.Pid), "a run is going on")
			})
		}
	})
	for _, args := range []string{"list-tests", "help", "version"} { // these need no repository
		p.want(0, args)
	}
	p.write("go", "")
	if res := b.wait(); res.status != 0 {
		t.Errorf("got exit status %d; want 0: nobody else may harm the run\n%s%s", res.status, res.out, res.err)
	}
	wantText(t, p.want(0, "last").out, "PASSED (id=1)")
	wantText(t, p.want(0, "stats").out, "runs=2")
}

// TestForgotten runs a test that is remembered and gone: that a worker knows
// nothing of it is no failure, whenever it says so.
func TestForgotten(t *testing.T) {
	t.Parallel()
	p := newProject(t, map[string]string{".testr.conf": streaming, "tests": "m.C.test_waits\nm.C.test_z_gone\n", "go": ""})
	p.want(0, "init")
	p.want(0, "run")
	before := len(p.workers())
	p.remove("go", "begun")
	p.write("tests", "m.C.test_waits\n")
	b := p.start("run")
	p.awaitFile("begun")
	await(t, "the end of the listing", func() bool {
		all := p.workers()
		living := slices.DeleteFunc(slices.Clone(all), func(pid int) bool { return !alive(pid) })
		return len(all) == before+2 && len(living) == 1
	})
	p.write("go", "")
	if res := b.wait(); res.status != 0 {
		t.Errorf("got exit status %d; want 0\n%s%s", res.status, res.out, res.err)
	}
	wantText(t, p.want(0, "last").out, "PASSED (id=1)")
}
