package worker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// brokenRules are the names of the rules that a worker broke, and what was seen.
func brokenRules(report *CheckReport) (names []string, seen string) {
	for _, r := range report.Rules {
		if r.Verdict == CheckBroken {
			names = append(names, r.Name)
			seen += r.Name + ": " + r.Seen + "\n"
		}
	}
	return names, seen
}

func untriedRules(report *CheckReport) (names []string) {
	for _, r := range report.Rules {
		if r.Verdict == CheckUntried {
			names = append(names, r.Name)
		}
	}
	return names
}

// brokenDoubles are doubles with what is seen of them. Each is called by the rule
// that it breaks, up to the colon.
var brokenDoubles = []struct {
	breaks string
	seen   string   // what the report says
	also   []string // rules that can't but break with it
	waits  bool     // what breaks it is that nothing comes
}{
	{breaks: "nothing"},
	{breaks: "list-exit", seen: "exit status 4"},
	{breaks: "list-exit: never", seen: "waited for the end of the listing", waits: true},
	{breaks: "list-ids: not runnable", seen: `"b" is listed and not runnable`, also: []string{"unknown-test"}},
	{breaks: "list-ids: unknown", seen: `"z" is listed, and then not known`},
	{breaks: "list-ids: no id", seen: "without an id"},
	{breaks: "list-once", seen: `"b" is listed twice`},
	{breaks: "clean-stream", seen: `at octet`},
	{breaks: "clean-stream: listing", seen: `the listing: at octet`},
	{breaks: "in-time", seen: `waited for the outcome of "a"`, waits: true},
	{breaks: "in-time: dies", seen: `it ended (exit status 6); waited for the outcome of "a"`},
	{breaks: "begin", seen: "fail of \"a\", which had not begun"},
	{breaks: "begin: no time", seen: `"a" began without a timestamp`},
	{breaks: "outcome", seen: `had an outcome already`,
		also: []string{"begin", "only-asked"}}, // where it is asked again, the second looks like the next
	{breaks: "outcome: no time", seen: "has no timestamp"},
	{breaks: "runnable", seen: `fail of "a" is not runnable`},
	{breaks: "only-asked: early", seen: `inprogress of "b", which was not asked for`,
		also: []string{"order", "one-at-a-time", "outcome", "begin", "give-back", "nothing-to-give",
			"pass-over"}},
	{breaks: "only-asked: more", seen: `inprogress of "c", which was not asked for`,
		also: []string{"order", "one-at-a-time", "outcome"}},
	{breaks: "order", seen: "was asked for before that"},
	{breaks: "one-at-a-time", seen: "had no outcome"},
	{breaks: "again", seen: "waited for the outcome of", waits: true},
	{breaks: "one-write", seen: "it ended (exit status 7)", also: []string{"give-back", "end-packet", "end-of-stdin"}},
	{breaks: "half-packets", seen: "waited for the outcome of", waits: true},
	{breaks: "route-code", seen: "waited for the outcome of", waits: true},
	{breaks: "unknown-test: runnable", seen: "runnable: true"},
	{breaks: "unknown-test: no file", seen: "file unknown-test: false"},
	{breaks: "unknown-test: passes", seen: "ended with success"},
	{breaks: "unknown-test: silent", seen: `waited for the outcome of "testr.worker.check.no-such-test"`, waits: true},
	{breaks: "give-back: keeps", seen: "was given back with exists, and then: inprogress"},
	{breaks: "give-back: silent", seen: "waited for the outcome of", waits: true},
	{breaks: "give-back: runs", seen: "was given back with exists, and then: inprogress"},
	{breaks: "nothing-to-give", seen: "was not there to give"},
	{breaks: "pass-over", seen: "it ended (exit status 5)"},
	{breaks: "pass-over: runs", seen: "which was not asked for"},
	{breaks: "stdin-file", seen: "it ended (exit status 0)"},
	{breaks: "stdin-file: content", seen: "it ended (exit status 0)"},
	{breaks: "end-packet", seen: "waited for it to exit after the end-of-file packet", waits: true},
	{breaks: "end-packet: at once", seen: "it ended (exit status 0)"},
	{breaks: "end-of-stdin", seen: "waited for it to exit after the end of stdin", waits: true},
	{breaks: "exit-status", seen: "exit status 1"},
}

func TestCheckCatches(t *testing.T) {
	for _, test := range brokenDoubles {
		t.Run(test.breaks, func(t *testing.T) {
			t.Parallel()
			cfg := checkCommand(t, test.breaks)
			if test.waits {
				cfg.Timeout = 3 * time.Second
			}
			report, err := Check(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			names, seen := brokenRules(report)
			rule, _, _ := strings.Cut(test.breaks, ":")
			want := map[string]bool{rule: rule != "nothing"}
			for _, name := range test.also {
				want[name] = true
			}
			for _, name := range names {
				if !want[name] && !test.waits { // it waits no longer than it must: others may be late
					t.Errorf("got the rule %s broken; want it kept", name)
				}
				delete(want, name)
			}
			if want[rule] {
				t.Errorf("got the rule %s kept; want it broken", rule)
			}
			if !strings.Contains(seen, test.seen) || report.Broken() != (seen != "") {
				t.Errorf("got broken %v; want what was seen to have %q", report.Broken(), test.seen)
			}
			if untried := untriedRules(report); rule == "nothing" && untried != nil {
				t.Errorf("got %v untried; want all tried", untried)
			}
			if t.Failed() {
				t.Logf("broken:\n%s", seen)
			}
		})
	}
}

// Every rule has a double that breaks it, and is in the document.
func TestCheckedRules(t *testing.T) {
	page, err := os.ReadFile("../../docs/writing-a-worker.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for line := range strings.Lines(string(page)) {
		if strings.HasPrefix(line, "| `") {
			documented = append(documented, strings.TrimSpace(line))
		}
	}
	doubles := make(map[string]bool)
	for _, d := range brokenDoubles {
		rule, _, _ := strings.Cut(d.breaks, ":")
		doubles[rule] = true
	}
	var rules []string
	for _, r := range checkRules {
		rules = append(rules, fmt.Sprintf("| `%s` | %s |", r.Name, r.Says))
		if !doubles[r.Name] {
			t.Errorf("got no double that breaks %s; want one", r.Name)
		}
	}
	if diff := cmp.Diff(rules, documented); diff != "" {
		t.Errorf("rules (-checked +documented):\n%s", diff)
	}
}

// The workers that are built in keep all rules.
func TestCheckBuiltInWorkers(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{
		"go.mod": "module example.com/check\n\ngo 1.24\n",
		"a_test.go": "package a\n\nimport \"testing\"\n\n" +
			"func TestA(*testing.T) {}\n\nfunc TestB(t *testing.T) { t.Error() }\n",
		"b/b_test.go": "package b\n\nimport \"testing\"\n\nfunc TestC(t *testing.T) { t.Run(\"x\", func(*testing.T) {}) }\n",
		"t/a.t":       tapShell + "cat; echo 1..1; echo ok 1\n",
		"t/b.t":       tapShell + "echo 1..2; echo not ok 1; exit 3\n",
		"t/c.t":       tapShell + "cat; echo 1..0\n",
	})
	for _, args := range [][]string{{"go", t.TempDir(), "./..."}, {"tap", "t/"}} {
		t.Run(args[0], func(t *testing.T) {
			t.Parallel()
			cfg := checkCommand(t, args...)
			cfg.Dir = dir
			cfg.Env = append(cfg.Env, "GOFLAGS=", "GOWORK=off", "GOPROXY=off", "GOTOOLCHAIN=local")
			wantAllKept(t, cfg, 3)
		})
	}
}

// wantAllKept wants a worker to keep all rules, and so many of its tests to run.
func wantAllKept(t *testing.T, cfg CheckConfig, tests int) {
	t.Helper()
	report, err := Check(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, seen := brokenRules(report); seen != "" {
		t.Errorf("got broken rules:\n%s", seen)
	}
	if untried := untriedRules(report); untried != nil {
		t.Errorf("got %v untried; want all tried", untried)
	}
	if len(report.Tests) != tests {
		t.Errorf("got the tests %q run; want %d", report.Tests, tests)
	}
}

func TestCheckPlacesList(t *testing.T) {
	for _, test := range []struct{ args, serve, list []string }{
		{[]string{"a", "b"}, []string{"a", "b"}, []string{"a", "b", "--list"}},
		{[]string{"a", "$LISTOPT", "b"}, []string{"a", "b"}, []string{"a", "--list", "b"}},
		{[]string{"a$LISTOPT"}, []string{"a$LISTOPT"}, []string{"a$LISTOPT", "--list"}},
	} {
		c := &checker{cfg: CheckConfig{Args: test.args}}
		if diff := cmp.Diff(test.serve, c.args(false)); diff != "" {
			t.Errorf("command (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(test.list, c.args(true)); diff != "" {
			t.Errorf("command that lists (-want +got):\n%s", diff)
		}
	}
}

func TestCheckCannotStart(t *testing.T) {
	_, err := Check(t.Context(), CheckConfig{Args: []string{"/no/such/worker"}})
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got error %v; want %v", err, os.ErrNotExist)
	}
}

// S1: a check that is told to stop ends what it started.
func TestCheckStops(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	timer := time.AfterFunc(100*time.Millisecond, func() { cancel(why) })
	defer timer.Stop()
	if _, err := Check(ctx, checkCommand(t, "in-time")); !errors.Is(err, why) {
		t.Errorf("got error %v; want %v", err, why)
	}
}

// With one test, what takes two is not tried.
func TestCheckWithOneTest(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{"a.t": tapShell + "echo 1..0\n"})
	cfg := checkCommand(t, "tap", "a.t")
	cfg.Dir = dir
	report, err := Check(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"order", "one-at-a-time", "give-back"}, untriedRules(report)); diff != "" {
		t.Errorf("untried (-want +got):\n%s", diff)
	}
	if _, seen := brokenRules(report); seen != "" {
		t.Errorf("got broken rules:\n%s", seen)
	}
}
