package main

import (
	"strings"
	"testing"
	"time"
)

// TestStrayOutput is F15 and F17: output beside the packets, however much and
// wherever it comes from, is kept, and holds up no test.
func TestStrayOutput(t *testing.T) {
	t.Parallel()
	flood := "yes chatter | head -c 2000000; yes complaint | head -c 2000000 >&2; "
	for name, config := range map[string]string{
		"streaming": strings.Replace(streaming, "=test-double --stream", "="+flood+"exec test-double --stream", 1),
		"batches":   strings.Replace(batches, "=test-double", "="+flood+"exec test-double", 1),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProject(t, map[string]string{".testr.conf": config,
				"tests": "m.C.test_1\nm.C.test_floods\nm.C.test_fail\nm.C.test_prints\n"})
			p.want(0, "init")
			p.want(1, "run", "--parallel", "--concurrency", "2")
			wantText(t, p.want(1, "last").out, "Ran 4 tests", "FAILED (id=0, failures=1)")
			// 4 MiB by the test; of the beginning 2 MB by each worker.
			cmd := p.command("testr", "subunit", "to-json")
			cmd.Stdin = strings.NewReader(p.want(0, "last", "--subunit").out)
			events := p.run(cmd).out
			if n := strings.Count(events, `"file_name":"stdout"`); n < 60 {
				t.Errorf("got %d pieces of stdout; want all of it, 64 KiB a piece", n)
			}
			if n := strings.Count(events, `"file_name":"stderr"`); n < 30 {
				t.Errorf("got %d pieces of stderr; want all of it, 64 KiB a piece", n)
			}
		})
	}
}

// TestGrandchild: what a test leaves behind has the worker's stdout and stderr,
// and holds up nobody; it is ended with the worker.
func TestGrandchild(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]string{
		"streaming": streaming,
		"batches":   batches,
		"plain":     "[DEFAULT]\ntest_command=test-double\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProject(t, map[string]string{".testr.conf": config, "tests": "m.C.test_forks\nm.C.test_2\n"})
			p.want(0, "init")
			if res := p.start("run").wait(); res.status != 0 { // which has a limit
				t.Errorf("got exit status %d; want 0\n%s%s", res.status, res.out, res.err)
			}
			wantText(t, p.want(0, "last").out, "Ran 2 tests")
			p.wantNobodyLeft(2)
		})
	}
}

// TestClosedStdout: a worker that closes its stdout and lives on has its time of
// grace, and fails the test that it was about, not the others.
func TestClosedStdout(t *testing.T) {
	t.Parallel()
	p := newProject(t, map[string]string{".testr.conf": strings.ReplaceAll(streaming, "=test-double", "=exec test-double"),
		"tests": "m.C.test_1\nm.C.test_closes\nm.C.test_3\n"})
	p.want(0, "init")
	begun := time.Now()
	res := p.start("run").wait()
	if res.status != 1 {
		t.Errorf("got exit status %d; want 1\n%s%s", res.status, res.out, res.err)
	}
	wantText(t, res.out, "FAIL: m.C.test_closes\n", "Ran 3 tests", "FAILED (id=0, failures=1)")
	if took := time.Since(begun); took < 5*time.Second {
		t.Errorf("it took %v; want a time of grace", took)
	}
	p.wantNobodyLeft(3)
}

// TestGarbageListing is F15: damage in a listing is told, and what can be read
// of it is run.
func TestGarbageListing(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]string{"streaming": streaming, "batches": batches} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProject(t, map[string]string{
				".testr.conf": strings.Replace(config, "\ntest_command=test-double $LISTOPT",
					"\ntest_command=cat garbage; echo chatter; test-double $LISTOPT", 1),
				"garbage": "\xb3garbage\xb3\xb3\x29\x01", "tests": "m.C.test_1\nm.C.test_2\n"})
			p.want(0, "init")
			list := p.want(0, "list-tests")
			if list.out != "m.C.test_1\nm.C.test_2\n" {
				t.Errorf("got the tests %q", list.out)
			}
			wantText(t, list.err, "subunit.parser")
			res := p.want(1, "run")
			wantText(t, res.out, "FAIL: subunit.parser\n", "Ran 2 tests")
			if got := p.want(0, "failing", "--list").out; got != "" {
				t.Errorf("got %q as failing; want nothing, since that is no test", got)
			}
		})
	}
}

// TestHugeIDs: ids of 100,000 bytes are run, stored and shown like others.
func TestHugeIDs(t *testing.T) {
	t.Parallel()
	huge := "m.C.test_" + strings.Repeat("x", 100000)
	for name, config := range map[string]string{"streaming": streaming, "batches": batches} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProject(t, map[string]string{".testr.conf": config, "tests": huge + "_a\n" + huge + "_fail\n"})
			p.want(0, "init")
			for _, args := range []string{"run", "run --failing", "run --load-list tests", "last", "failing"} {
				res := p.want(1, strings.Fields(args)...)
				if got := failingTests(res.out); len(got) != 1 || got[0] != huge+"_fail" {
					t.Errorf("testr %s: got %d failures; want the one that there is", args, len(got))
				}
			}
			if got := p.want(0, "list-tests").out; got != p.read("tests") {
				t.Errorf("got a listing of %d bytes; want the %d that there are", len(got), len(p.read("tests")))
			}
			wantText(t, p.want(0, "slowest").out, huge+"_a")
		})
	}
}
