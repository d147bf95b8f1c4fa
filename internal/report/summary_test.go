package report

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"testr/internal/event"
	"testr/internal/protocol"
)

var totalsTests = []struct {
	name    string
	opts    TextOptions
	summary Summary
	want    string
}{
	{"nothing", TextOptions{}, Summary{}, "PASSED (id=0)\n"},
	{"passed", TextOptions{}, Summary{RunID: 3, Counts: event.Counts{Tests: 2, Passed: 2}, Duration: 1234567890},
		"Ran 2 tests in 1.235s\nPASSED (id=3)\n"},
	{"failed", TextOptions{}, Summary{Counts: event.Counts{Tests: 5, Failed: 2, Skipped: 1}, Duration: 2 * time.Second},
		"Ran 5 tests in 2.000s\nFAILED (id=0, failures=2, skips=1)\n"},
	{"without time", TextOptions{}, Summary{Counts: event.Counts{Tests: 1}}, "Ran 1 tests\nPASSED (id=0)\n"},
	{"without tests", TextOptions{}, Summary{Duration: time.Second}, "Ran tests in 1.000s\nPASSED (id=0)\n"},
	{"more and slower", TextOptions{}, Summary{
		Counts: event.Counts{Tests: 5, Failed: 2}, Duration: 2 * time.Second,
		Previous: &Previous{Counts: event.Counts{Tests: 3, Failed: 1}, Duration: time.Second},
	}, "Ran 5 (+2) tests in 2.000s (+1.000s)\nFAILED (id=0, failures=2 (+1))\n"},
	{"fewer and faster", TextOptions{}, Summary{
		Counts: event.Counts{Tests: 5, Failed: 2}, Duration: 2 * time.Second,
		Previous: &Previous{Counts: event.Counts{Tests: 8, Failed: 9}, Duration: 4500 * time.Millisecond},
	}, "Ran 5 (-3) tests in 2.000s (-2.500s)\nFAILED (id=0, failures=2 (-7))\n"},
	{"the same", TextOptions{}, Summary{
		Counts: event.Counts{Tests: 5, Failed: 2}, Duration: 2 * time.Second,
		Previous: &Previous{Counts: event.Counts{Tests: 5, Failed: 2}, Duration: 2 * time.Second},
	}, "Ran 5 tests in 2.000s\nFAILED (id=0, failures=2)\n"},
	{"a hair faster", TextOptions{}, Summary{
		Counts: event.Counts{Tests: 1}, Duration: time.Second,
		Previous: &Previous{Counts: event.Counts{Tests: 1}, Duration: time.Second + 1},
	}, "Ran 1 tests in 1.000s (-0.000s)\nPASSED (id=0)\n"},
	{"no failures any more", TextOptions{}, Summary{
		Counts: event.Counts{Tests: 1}, Previous: &Previous{Counts: event.Counts{Tests: 1, Failed: 1}},
	}, "Ran 1 tests\nPASSED (id=0)\n"},
	{"colours", TextOptions{Color: true}, Summary{}, "\x1b[32mPASSED\x1b[0m (id=0)\n"},
	{"colours of failure", TextOptions{Color: true}, Summary{Counts: event.Counts{Failed: 1}},
		"\x1b[31mFAILED\x1b[0m (id=0, failures=1)\n"},
	{"quiet", TextOptions{Quiet: true}, Summary{Counts: event.Counts{Tests: 1, Failed: 1}, Notes: []string{"n"}}, ""},
	{"what testrepository doesn't know", TextOptions{}, Summary{
		Counts: event.Counts{Asked: 9, Tests: 1, NotRun: 4, NotAsked: 2, Failed: 2, UxSuccess: 1, InProgress: 1},
		Tests: []*event.Test{
			{ID: "a", Asked: true, NotRun: "no instance left"}, {ID: "b", Asked: true, NotRun: event.ReasonInterrupted},
			{ID: "c", Asked: true, NotRun: "no instance left"},
			{ID: "d", Asked: true, NotRun: "lost", Status: protocol.StatusSuccess},
		},
		Notes: []string{"something else"},
	}, "1 test did not complete\n1 unexpected success\n2 tests not run: no instance left (a, c)\n" +
		"1 test not run: interrupted\n" +
		"1 test not run\n3 tests unaccounted for: neither an outcome nor a reason for having none\n" +
		"+2 tests not asked for\nsomething else\nRan 2 tests\nFAILED (id=0, failures=2)\n"},
	{"a fixture that kept many tests from running", TextOptions{Terminal: true}, Summary{
		Counts: event.Counts{Asked: 500, NotRun: 500, Failed: 1},
		Tests:  notRunTests(500, "m.X.test_%03d\x1b", event.SetUpFailed("setUpClass (m.X)\x1b")),
	},
		`500 tests not run: setUpClass (m.X)\x1b failed (m.X.test_000\x1b, m.X.test_001\x1b, m.X.test_002\x1b and 497 more)` +
			"\nFAILED (id=0, failures=1)\n"},
	{"flaky", TextOptions{}, Summary{
		Counts: event.Counts{Asked: 6, Tests: 6, Passed: 4, Skipped: 1, Flaky: 4},
		Tests: []*event.Test{
			{ID: "a", Asked: true, Attempts: 2, Status: protocol.StatusSuccess},
			{ID: "b", Asked: true, Attempts: 3, Status: protocol.StatusSkip},
			{ID: "not asked for", Runnable: true, Attempts: 3, Status: protocol.StatusSuccess},
			{ID: "c", Asked: true, Attempts: 3, Status: protocol.StatusFail},
			{ID: "d", Asked: true, Attempts: 2, Status: protocol.StatusSuccess},
			{ID: "e", Asked: true, Attempts: 1, Status: protocol.StatusSuccess},
			{ID: "f", Asked: true, Attempts: 2, Status: protocol.StatusXFail},
		},
	}, "4 tests flaky (a, b, d and 1 more)\nRan 6 tests\nPASSED (id=0, skips=1, flaky=4)\n"},
	{"flaky where nothing was asked for", TextOptions{}, Summary{
		Counts: event.Counts{Tests: 1, Passed: 1, Flaky: 1},
		Tests: []*event.Test{{ID: "a", Runnable: true, Attempts: 2, Status: protocol.StatusSuccess},
			{ID: "b", Attempts: 2, Status: protocol.StatusSuccess}},
	}, "1 test flaky (a)\nRan 1 tests\nPASSED (id=0, flaky=1)\n"},
	{"incomplete is not passed", TextOptions{}, Summary{Counts: event.Counts{Asked: 2, Tests: 1, NotRun: 1}},
		"1 test not run\nRan 1 tests\nFAILED (id=0)\n"},
	{"open tests fail", TextOptions{Quiet: true},
		Summary{Tests: []*event.Test{{ID: "x", Open: true, Tags: []string{"t"}}}},
		blockRule + "FAIL: x\ntags: t\n" + headerRule},
}

func notRunTests(n int, id, reason string) (tests []*event.Test) {
	for i := range n {
		tests = append(tests, &event.Test{ID: fmt.Sprintf(id, i), Asked: true, NotRun: reason})
	}
	return tests
}

func TestTextSummary(t *testing.T) {
	for _, tt := range totalsTests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			if err := NewText(&out, tt.opts).Summary(tt.summary); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, out.String()); diff != "" {
				t.Errorf("summary (-want +got):\n%s", diff)
			}
		})
	}
}

// TestTextOpenTest has a test that never ended: it is shown with what it had.
func TestTextOpenTest(t *testing.T) {
	var out bytes.Buffer
	text := NewText(&out, TextOptions{})
	outcomes := event.NewOutcomes()
	for _, e := range []event.Event{
		outcome("a.hang", protocol.StatusInProgress), attach("a.hang", "log", utf8Text, "waiting for the bus"),
		{Kind: event.KindInterrupted, Detail: "SIGINT"},
	} {
		show(t, text, e)
		if err := outcomes.Event(e); err != nil {
			t.Fatal(err)
		}
	}
	outcomes.Finish()
	if err := text.Summary(Summary{Counts: outcomes.Counts(), Tests: outcomes.Tests()}); err != nil {
		t.Fatal(err)
	}
	want := block("FAIL: a.hang", "log: {{{waiting for the bus}}}") +
		"Interrupted: SIGINT\n1 test did not complete\nRan 1 tests\nFAILED (id=0, failures=1)\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
}

// TestTextReasonsBounded has as many reasons as tests: the summary stays short
// and loses none of the tests.
func TestTextReasonsBounded(t *testing.T) {
	s := Summary{Counts: event.Counts{Asked: 100, NotRun: 100}}
	for i := range 100 {
		s.Tests = append(s.Tests, &event.Test{ID: "x", Asked: true, NotRun: fmt.Sprintf("reason %02d", i)})
	}
	var out bytes.Buffer
	if err := NewText(&out, TextOptions{}).Summary(s); err != nil {
		t.Fatal(err)
	}
	want := ""
	for i := range maxReasons {
		want += fmt.Sprintf("1 test not run: reason %02d (x)\n", i)
	}
	want += "90 tests not run\nFAILED (id=0)\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("summary (-want +got):\n%s", diff)
	}
}

// TestTextFilterTags has layers that are reported as tests and tagged as such:
// the good ones aren't counted.
func TestTextFilterTags(t *testing.T) {
	test := func(s protocol.Status, tags ...string) *event.Test {
		return &event.Test{Status: s, Runnable: true, Tags: tags}
	}
	tests := []*event.Test{
		test(protocol.StatusSuccess, "zope:layer", "worker-0"), test(protocol.StatusSkip, "zope:layer"),
		test(protocol.StatusXFail, "worker-1", "other"), test(protocol.StatusFail, "zope:layer"),
		test(protocol.StatusUxSuccess, "zope:layer"), test(protocol.StatusSuccess, "worker-0"),
		{ID: "not runnable", Status: protocol.StatusSuccess, Tags: []string{"zope:layer"}},
		{ID: "listed", Runnable: true, Tags: []string{"zope:layer"}},
	}
	var out bytes.Buffer
	text := NewText(&out, TextOptions{FilterTags: []string{"zope:layer", "other"}})
	s := Summary{Counts: event.Counts{Tests: 6, Failed: 2}, Tests: tests}
	s.Previous = &Previous{Counts: event.Counts{Tests: 5, Failed: 2}}
	if err := text.Summary(s); err != nil {
		t.Fatal(err)
	}
	if want := "Ran 3 (+1) tests\nFAILED (id=0, failures=2)\n"; out.String() != want {
		t.Errorf("got %q; want %q", out.String(), want)
	}

	tests[0].Asked = true
	if got := filtered(tests, []string{"zope:layer"}); got != 1 {
		t.Errorf("where tests were asked for: got %d filtered; want 1, which was", got)
	}
}
