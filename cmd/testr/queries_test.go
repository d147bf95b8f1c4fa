package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// readers are the commands that only read, and what is on stderr while a run goes
// on.
var readers = map[string]string{
	"last": "goes on", "last --subunit": "goes on", "last --quiet": "", "failing": "", "failing --list": "",
	"failing --subunit": "", "slowest --all": "", "stats": "", "list-tests --failing": "", "instances list": "",
	"profiles": "", "flaky": "", "flaky m.C.test_1_fail": "",
	"history show 0": "",
}

// killed is a run that was killed while its second test ran, in a list.
var killed = regexp.MustCompile(`(?m)^1 .* failed: testr ended before the run did +2 +2 +default `)

// TestReadersDuringARun: while a run goes on, and after its supervisor was killed,
// commands that only read answer as they did before, but that there is one more
// run; and so they do where the path of the repository is too long for a socket.
func TestReadersDuringARun(t *testing.T) {
	t.Parallel()
	deep := filepath.Join(t.TempDir(), strings.Repeat("d", 100), strings.Repeat("e", 100))
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, dir := range map[string]string{"short": t.TempDir(), "long": deep} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProjectIn(t, dir, map[string]string{".testr.conf": streaming, "go": "",
				"tests": "m.C.test_1_fail\nm.C.test_2_waits\nm.C.test_3\n"})
			p.want(0, "init")
			p.want(1, "run")
			p.remove("go", "begun")
			before := map[string]result{}
			for args := range readers {
				before[args] = p.testr(strings.Fields(args)...)
			}
			b := p.start("run")
			p.awaitFile("begun")
			check := func(when string, stats string, said bool) {
				t.Helper()
				for args, note := range readers {
					res, want := p.testr(strings.Fields(args)...), before[args]
					if args == "stats" { // the second line has the size of the file
						line, _, _ := strings.Cut(res.out, "\n")
						want.out, res.out = stats, line+"\n"
					}
					if res.status != want.status || res.out != want.out {
						t.Errorf("%s, testr %s: got status %d; want %d\n%s%s", when, args, res.status, want.status,
							cmp.Diff(want.out, res.out), res.err)
					}
					if told := res.err != want.err; told != (said && note != "") || !strings.Contains(res.err, note) && said {
						t.Errorf("%s, testr %s: got %q on stderr", when, args, res.err)
					}
				}
			}
			check("during the run", "runs=2\n", true)
			if got := p.exists(".testr/socket"); got != (name == "short") {
				t.Errorf("a socket beside the repository: got %t", got)
			}
			b.signal(syscall.SIGKILL)
			b.wait()
			before["last --quiet"] = result{status: 1, out: before["last --quiet"].out}
			res := p.want(1, "last")
			wantText(t, res.out, "FAIL: m.C.test_1_fail", "(id=1, failures=")
			wantText(t, p.want(1, "failing", "--list").out, "m.C.test_1_fail\n")
			// What began is among the tests of a run, as it is in its summary.
			if out := p.want(0, "history", "list").out; !killed.MatchString(out) {
				t.Errorf("want 2 tests and 2 failures of the run that was killed; got\n%s", out)
			}
		})
	}
}

// TestFollow: whoever follows a run sees what its own terminal does, and its
// verdict is theirs; a stream has the same packets as it has later.
func TestFollow(t *testing.T) {
	t.Parallel()
	p := newProject(t, map[string]string{".testr.conf": streaming,
		"tests": "m.C.test_1_fail\nm.C.test_2_waits\nm.C.test_3_prints\n"})
	p.want(0, "init")
	wantText(t, p.want(3, "last", "--follow").err, "the repository has no runs")
	run := p.start("run")
	p.awaitFile("begun")
	text, stream := p.start("last", "--follow"), p.start("last", "-f", "--subunit")
	left := p.start("last", "--follow")
	for _, b := range []*background{text, left} {
		await(t, "the first failure", func() bool { return strings.Contains(b.out.String(), "FAIL: m.C.test_1_fail\n") })
	}
	left.signal(syscall.SIGINT)
	if res := left.wait(); res.status != 130 || strings.Count(res.err, "\n") != 1 {
		t.Errorf("interrupted: got exit status %d; want 130\n%s", res.status, res.err)
	}
	wantText(t, p.want(3, "last").err, "run 0 goes on", "the repository has no runs")
	p.write("go", "")
	res := run.wait()
	if res.status != 1 {
		t.Fatalf("run: got exit status %d; want 1: who follows it can't stop it\n%s%s", res.status, res.out, res.err)
	}
	got := text.wait()
	if diff := cmp.Diff(res.out, got.out); diff != "" || got.status != 1 {
		t.Errorf("follow: got status %d; want 1, -run +follow:\n%s%s", got.status, diff, got.err)
	}
	streamed := stream.wait()
	if want := p.want(0, "last", "--subunit").out; streamed.out != want || streamed.status != 1 {
		t.Errorf("follow --subunit: got status %d and %d bytes; want 1 and the %d bytes of the run\n%s",
			streamed.status, len(streamed.out), len(want), streamed.err)
	}
	if got, want := p.want(1, "last", "--follow"), p.want(1, "last"); got != want {
		t.Errorf("follow none: got %+v; want the last one, %+v", got, want)
	}
	p.want(1, "last", "--follow", "--subunit")
}

// TestFollowKilled is F22: when the supervisor dies, who follows its run sees all
// that was stored, and how it ended, and so do fifty others.
func TestFollowKilled(t *testing.T) {
	t.Parallel()
	p := newProject(t, map[string]string{".testr.conf": streaming,
		"tests": "m.C.test_1_fail\nm.C.test_2_waits\nm.C.test_3\n"})
	p.want(0, "init")
	run := p.start("run")
	p.awaitFile("begun")
	var following []*background
	for range 8 {
		following = append(following, p.start("last", "--follow"))
	}
	for _, b := range following {
		await(t, "the first failure", func() bool { return strings.Contains(b.out.String(), "FAIL: m.C.test_1_fail\n") })
	}
	run.signal(syscall.SIGKILL)
	run.wait()
	for _, b := range following {
		res := b.wait()
		if res.status != 1 || strings.Count(res.out, "FAIL: m.C.test_1_fail\n") != 1 {
			t.Errorf("got exit status %d; want 1, and each failure once\n%s%s", res.status, res.out, res.err)
		}
		wantText(t, res.out, "the run did not come to its end", "(id=0, failures=")
	}
}

// TestTwentyAtOnce is S23: of many supervisors that are started at once one leads,
// and the others say so.
func TestTwentyAtOnce(t *testing.T) {
	t.Parallel()
	p := newProject(t, map[string]string{".testr.conf": streaming, "tests": "m.C.test_waits\n"})
	p.want(0, "init")
	var all []*background
	for range 20 {
		all = append(all, p.start("run"))
	}
	over := func() (n int) {
		for _, b := range all {
			select {
			case <-b.exited:
				n++
			default:
			}
		}
		return n
	}
	await(t, "the end of nineteen", func() bool { return over() == 19 })
	wantText(t, p.want(3, "last").err, "run 0 goes on")
	p.write("go", "")
	led := 0
	for _, b := range all {
		switch res := b.wait(); {
		case res.status == 0:
			led++
		case res.status != 3 || !strings.Contains(res.err, "the repository is in use by "):
			t.Errorf("got exit status %d; want 3 and who has the repository\n%s%s", res.status, res.out, res.err)
		}
	}
	if led != 1 {
		t.Errorf("got %d that led; want 1", led)
	}
	wantText(t, p.want(0, "stats").out, "runs=1\n")
}

// TestFiftyReaders is F22: many may ask at once, while outcomes come, and the run
// ends while some of them read; each gets a whole answer.
func TestFiftyReaders(t *testing.T) {
	t.Parallel()
	tests := ""
	for i := range 400 {
		tests += fmt.Sprintf("m.C.test_%03d\n", i)
	}
	p := newProject(t, map[string]string{".testr.conf": streaming, "tests": "m.C.test_000_fail\n" + tests})
	p.want(0, "init")
	p.want(1, "run")
	want := p.want(1, "failing", "--list").out
	run := p.start("run")
	var all []*background
	for i := range 50 {
		args := []string{"failing", "--list"}
		if i%5 == 0 {
			args = []string{"last", "--follow", "--subunit"}
		}
		all = append(all, p.start(args...))
	}
	if res := run.wait(); res.status != 1 {
		t.Errorf("run: got exit status %d; want 1\n%s%s", res.status, res.out, res.err)
	}
	streams := map[string]bool{p.want(0, "last", "--subunit").out: true}
	for i, b := range all {
		switch res := b.wait(); {
		case res.status != 1:
			t.Errorf("testr %q: got exit status %d; want 1\n%s", b.Args[1:], res.status, res.err)
		case i%5 != 0 && res.out != want:
			t.Errorf("testr %q: got %q; want %q", b.Args[1:], res.out, want)
		case i%5 == 0:
			streams[res.out] = true
		}
	}
	if len(streams) > 2 { // that of the run before, for who came too early
		t.Errorf("got %d different streams of two runs", len(streams))
	}
}
