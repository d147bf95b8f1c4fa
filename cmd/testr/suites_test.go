//go:build peers

package main

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"testr/internal/event"
	"testr/internal/protocol"
)

// The Python that has Debian's packages.
const python = "/usr/bin/python3"

// testtoolsConf is an old configuration as it is.
const testtoolsConf = `[DEFAULT]
test_command=/usr/bin/python3 -m subunit.run testtools.tests.test_suite fixtures.tests.test_suite $LISTOPT $IDOPTION
test_id_option=--load-list $IDFILE
test_list_option=--list
`

// atHome is the environment with a copy of Debian's fixtures that has what its
// tests want and the package leaves out: a README.rst beside it, and the
// package mock, whose place the standard library's takes. Without these,
// fixtures.tests.test_suite can't even be listed as a whole.
func atHome(t *testing.T) string {
	t.Helper()
	lib := t.TempDir()
	if err := os.CopyFS(filepath.Join(lib, "fixtures"), os.DirFS("/usr/lib/python3/dist-packages/fixtures")); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"README.rst": "fixtures\n========\n",
		"mock.py":    "import sys\nimport unittest.mock\n\nsys.modules[__name__] = unittest.mock\n",
	} {
		if err := os.WriteFile(filepath.Join(lib, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return "PYTHONPATH=" + lib
}

func linesOf(text string) []string { return strings.Split(strings.TrimSuffix(text, "\n"), "\n") }

// outcomesOf are the outcomes in a stream by test id. Of several, the worst holds.
func outcomesOf(t *testing.T, stream string) map[string]string {
	t.Helper()
	r := protocol.NewReader(strings.NewReader(stream))
	fold := event.NewOutcomes()
	for {
		p, err := r.ReadPacket()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if p.Text {
			t.Errorf("got text in the stream: %.200q", p.Content)
		}
		_ = fold.Event(event.Event{Kind: event.KindPacket, Packet: p})
	}
	all := map[string]string{}
	for _, test := range fold.Tests() {
		if test.Status != protocol.StatusNone {
			all[test.ID] = test.Status.String()
		}
	}
	return all
}

// numbers are those in a text after these words, 0 for those that it hasn't got.
func numbers(text string, before ...string) (all []int) {
	for _, word := range before {
		m := regexp.MustCompile(regexp.QuoteMeta(word) + `\s*(\d+)`).FindStringSubmatch(text)
		n := 0
		if m != nil {
			n, _ = strconv.Atoi(m[1])
		}
		all = append(all, n)
	}
	return all
}

// filter runs a program with a stream as its input.
func filter(t *testing.T, stream, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(stream)
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) { // tests failed, for some
		t.Fatal(err)
	}
	if errOut.Len() > 0 {
		t.Errorf("%s: got on stderr:\n%s", name, errOut.String())
	}
	return string(out)
}

// wantSameRun wants that a run's stream, loaded elsewhere, is the same run.
func wantSameRun(t *testing.T, p *project, stream string) {
	t.Helper()
	other := newProject(t, map[string]string{"run.subunit": stream})
	other.want(0, "init")
	last := p.testr("last")
	loaded := other.want(last.status, "load", "run.subunit")
	if again := other.want(0, "last", "--subunit").out; again != stream {
		t.Errorf("got another stream of %d bytes; want the %d that were loaded", len(again), len(stream))
	}
	json := func(p *project, stream string) string {
		cmd := p.command("testr", "subunit", "to-json")
		cmd.Stdin = strings.NewReader(stream)
		return p.run(cmd).out
	}
	if a, b := json(p, stream), json(other, other.want(0, "last", "--subunit").out); a != b || a == "" {
		t.Errorf("the events differ (-run +loaded):\n%s", cmp.Diff(a, b))
	}
	totals := func(out string) string { return out[strings.LastIndex(out, "Ran "):] }
	drop := regexp.MustCompile(` \([+-][^)]*\)|id=\d+`) // what compares with the run before
	if a, b := drop.ReplaceAllString(totals(last.out), ""), drop.ReplaceAllString(totals(loaded.out), ""); a != b {
		t.Errorf("got %q of the loaded run; want %q", b, a)
	}
	if a, b := p.testr("failing", "--list").out, other.testr("failing", "--list").out; a != b {
		t.Errorf("failing differs (-run +loaded):\n%s", cmp.Diff(a, b))
	}
}

// wantStats wants subunit-stats to have counted what testr has.
func wantStats(t *testing.T, stream, last string) {
	t.Helper()
	stats := filter(t, stream, "/usr/bin/subunit-stats")
	got := numbers(last, "Ran", "failures=", "skips=")
	want := numbers(stats, "Total tests:", "Failed tests:", "Skipped tests:")
	if diff := cmp.Diff(want, got); diff != "" || want[0] == 0 {
		t.Errorf("tests, failures, skips (-subunit-stats +testr):\n%s", diff)
	}
}

// dependent are tests of testtools and fixtures that fail, in their own
// runner too, unless others ran before them in the same process, or did not: the
// first one relies on a level that another test left in the root logger, the others on
// unittest.defaultTestLoader.errors, where one of them leaves one, which testr's
// own worker clears.
var (
	dependentOnLevel = regexp.MustCompile(`^fixtures\.tests\._fixtures\.test_logger\.` +
		`LogHandlerTest\.test_captures_logging$`)
	dependent = regexp.MustCompile(dependentOnLevel.String() + `|^testtools\.tests\.test_run\.TestRun\.`)
)

// TestTesttools runs the suites of testtools and fixtures from an unchanged
// configuration, streaming and in batches, alone and in parallel, as listed and at
// random: every listed test gets its result, others count the same, and the outcomes
// are the same.
func TestTesttools(t *testing.T) {
	t.Parallel()
	home := atHome(t)
	var alone map[string]string
	for _, tc := range []struct{ name, more, args string }{
		{"streaming", "", "run"},
		{"batches", "worker=batch\n", "run"},
		{"streaming, parallel", "", "run --parallel --concurrency 2"},
		{"streaming, 8 workers", "", "run --parallel --concurrency 8"},
		{"streaming, at random", "", "run --random --seed 20261122"},
		{"streaming, at random, parallel", "", "run --parallel --concurrency 8 --random --seed 7"},
		{"batches, parallel", "worker=batch\n", "run --parallel --concurrency 2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newProject(t, map[string]string{".testr.conf": testtoolsConf + tc.more})
			p.env = append(p.env, home)
			p.want(0, "init")
			listed := linesOf(p.want(0, "list-tests").out)
			if len(listed) < 2000 {
				t.Fatalf("got %d tests; want more than 2000", len(listed))
			}
			res := p.testr(strings.Fields(tc.args)...)
			last := p.want(res.status, "last")
			stream := p.want(0, "last", "--subunit").out
			got := outcomesOf(t, stream)
			if diff := cmp.Diff(slices.Sorted(slices.Values(listed)), slices.Sorted(maps.Keys(got))); diff != "" {
				t.Errorf("tests with a result (-listed +got):\n%s", diff)
			}
			wantStats(t, stream, last.out)
			wantSameRun(t, p, stream)
			t.Logf("%d tests: %s", len(got), lastLine(last.out))

			if tc.args == "run" && res.status != 0 {
				t.Errorf("got exit status %d; want 0\n%s%s", res.status, res.out, res.err)
			}
			leaveOut := dependentOnLevel
			if tc.more != "" {
				leaveOut = dependent
			}
			if tc.args != "run" {
				maps.DeleteFunc(got, func(id, _ string) bool { return leaveOut.MatchString(id) })
			}
			if alone == nil {
				alone = got
			}
			want := maps.Clone(alone)
			maps.DeleteFunc(want, func(id, _ string) bool { return got[id] == "" && dependent.MatchString(id) })
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("outcomes (-streaming +%s):\n%s", tc.name, diff)
			}
		})
	}
}

// TestUnimportable runs the same suites without what fixtures wants of its
// surroundings: one module can't be imported. That fails the run, is no test
// that was asked for, and everything else runs.
func TestUnimportable(t *testing.T) {
	t.Parallel()
	p := newProject(t, map[string]string{".testr.conf": testtoolsConf})
	home := atHome(t)
	lib := strings.TrimPrefix(home, "PYTHONPATH=")
	if err := os.WriteFile(filepath.Join(lib, "mock.py"), []byte("raise ImportError('no mock')\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	p.env = append(p.env, home)
	p.want(0, "init")
	const broken = "unittest.loader._FailedTest.test_mockpatch"
	listed := linesOf(p.want(0, "list-tests").out)
	if slices.Contains(listed, broken) {
		t.Errorf("%s is listed, and can't be run", broken)
	}
	res := p.want(1, "run")
	if diff := cmp.Diff([]string{broken}, failingTests(res.out)); diff != "" {
		t.Errorf("failures (-want +got):\n%s", diff)
	}
	wantText(t, res.out, "ImportError: no mock")
	stream := p.want(0, "last", "--subunit").out
	if got := len(outcomesOf(t, stream)); got != len(listed)+1 {
		t.Errorf("got %d results; want %d tests and what failed to import", got, len(listed))
	}
	wantSameRun(t, p, stream)
}

// TestPythonsOwn runs tests of Python itself through the streaming worker, and
// compares with unittest's own runner. (subunit.run is no measure here: its
// result knows no subtests, which seven of these tests are about.)
func TestPythonsOwn(t *testing.T) {
	t.Parallel()
	want := map[string]string{}
	const reference = python + " testdata/peers/outcomes.py test.test_json test.test_unittest 2>/dev/null"
	lines := filter(t, "", "/bin/sh", "-c", reference)
	for line := range strings.Lines(lines) {
		status, id, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if !ok {
			t.Fatalf("got the line %q; want a status and an id", line)
		}
		// Four doctests are there twice, by the same id; testr runs an id once.
		if before := want[id]; before != "" && before != status {
			t.Fatalf("%s: got both %s and %s", id, before, status)
		}
		want[id] = status
	}
	if len(want) < 1000 {
		t.Fatalf("got %d tests; want more than 1000", len(want))
	}
	for _, args := range []string{"run", "run --parallel --concurrency 2", "run --parallel --concurrency 8",
		"run --random --seed 7"} {
		t.Run(args, func(t *testing.T) {
			p := newProject(t, map[string]string{
				".testr.conf": "[DEFAULT]\ntest_command=/usr/bin/python3 -m unittest test.test_json test.test_unittest\n"})
			p.want(0, "init")
			res := p.want(0, strings.Fields(args)...)
			wantText(t, res.err, "testr_worker.py", "listed more than once")
			stream := p.want(0, "last", "--subunit").out
			if diff := cmp.Diff(want, outcomesOf(t, stream)); diff != "" {
				t.Errorf("outcomes (-unittest +testr):\n%s", diff)
			}
			wantStats(t, stream, res.out)
			wantSameRun(t, p, stream)
			t.Logf("%d tests: %s", len(want), lastLine(res.out))
		})
	}
}
