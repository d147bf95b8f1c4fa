//go:build peers

package worker

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"testr/internal/event"
	"testr/internal/protocol"
)

// proveCommand runs prove without whatever the user has set for it.
func proveCommand(t *testing.T, dir string, args ...string) (output string, passed bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/usr/bin/prove", append([]string{"--norc"}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "PERL5LIB=", "PERL5OPT=")
	out, err := cmd.CombinedOutput()
	if _, failed := errors.AsType[*exec.ExitError](err); err != nil && !failed {
		t.Fatal(err)
	}
	return string(out), err == nil
}

// What prove says of a script, at once and in its summary.
var (
	proveLine    = regexp.MustCompile(`(?m)^(\S+) \.+ \n?(\S+)`)
	proveSummary = regexp.MustCompile(`(?m)^(\S+) +\(Wstat: .*\n(?:  TODO passed: .*\n)?  (?:Failed|Non-zero|Parse)`)
)

// proveVerdicts has prove judge scripts. One that bails out ends all of it, so
// that it gets a prove of its own.
func proveVerdicts(t *testing.T, dir string, options, ids, forTests []string) map[string]string {
	t.Helper()
	verdicts := make(map[string]string)
	judge := func(ids ...string) (passed bool) {
		out, passed := proveCommand(t, dir, slices.Concat(options, ids, forTests)...)
		for _, m := range proveLine.FindAllStringSubmatch(out, -1) {
			switch m[2] {
			case "ok":
				verdicts[m[1]] = "success"
			case "skipped:":
				verdicts[m[1]] = "skip"
			default:
				verdicts[m[1]] = "fail"
			}
		}
		for _, m := range proveSummary.FindAllStringSubmatch(out, -1) {
			verdicts[m[1]] = "fail"
		}
		return passed
	}
	var together []string
	for _, id := range ids {
		content, err := os.ReadFile(filepath.Join(dir, id))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(bytes.ToLower(content), []byte("bail")) {
			together = append(together, id)
			continue
		}
		if !judge(id) {
			verdicts[id] = "fail"
		}
	}
	judge(together...)
	return verdicts
}

// tapVerdicts returns the outcomes of scripts as the worker has them, and those
// of the whole run.
func tapVerdicts(t *testing.T, cfg TapConfig, ids ...string) map[string]string {
	t.Helper()
	got := make(map[string]string)
	fold := event.NewOutcomes()
	for _, p := range tapWorker(t, cfg, ids...) {
		if err := fold.Event(event.Event{Kind: event.KindPacket, Packet: p}); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range fold.Tests() {
		if test.ParentID == "" {
			got[test.ID] = test.Status.String()
		}
	}
	// What an assertion comes to must not contradict its script.
	for _, test := range fold.Tests() {
		if test.ParentID != "" && test.Failed() && got[test.ParentID] != protocol.StatusFail.String() {
			t.Errorf("got %q failed; want it not to: %s has passed", test.ID, test.ParentID)
		}
	}
	return got
}

// compareWithProve wants both to judge outputs alike.
func compareWithProve(t *testing.T, outputs []string) {
	t.Helper()
	dir := t.TempDir()
	var ids []string
	for i, output := range outputs {
		id := fmt.Sprintf("t/%03d.tap", i)
		writeFiles(t, dir, map[string]string{id: output})
		ids = append(ids, id)
	}
	want := proveVerdicts(t, dir, []string{"-e", "cat"}, ids, nil)
	args := append([]string{"-e", "cat"}, ids...)
	got := tapVerdicts(t, TapConfig{Dir: dir, Args: args}, ids...)
	for i, id := range ids {
		if got[id] != want[id] {
			_, verdict := readTap(outputs[i], len(outputs[i])+1)
			t.Errorf("got %s (%s); prove says %s of\n%q", got[id], verdict, want[id], outputs[i])
		}
	}
}

func TestTapJudgesAsProve(t *testing.T) {
	var outputs []string
	for _, test := range tapOutputs {
		outputs = append(outputs, test.output)
	}
	compareWithProve(t, outputs)
}

// TestTapJudgesAsProveAtRandom makes outputs of lines that mean something.
func TestTapJudgesAsProveAtRandom(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(from ...string) string { return from[random.IntN(len(from))] }
	var outputs []string
	for range 300 {
		var b strings.Builder
		if random.IntN(4) == 0 {
			b.WriteString(pick("TAP version 13\n", "TAP version 13\n", "tap  Version 13 \n", "TAP version 12\n"))
		}
		tests := random.IntN(5)
		plan := fmt.Sprintf("1..%d%s\n", tests+random.IntN(12)/10,
			pick("", "", "", "", "", " ", " # SKIP x", " todo 1 3"))
		first := random.IntN(2) == 0
		if first {
			b.WriteString(plan)
		}
		for i := range tests {
			number := fmt.Sprint(i + 1)
			b.WriteString(pick("", "", "", "", "# text\n", "junk\n", "\n", "    ok 1 - in\n", "    not ok 1 - in\n", "okay\n",
				"    1..1\n", "ok-ish: 1\n"))
			b.WriteString(pick("ok", "ok", "ok", "ok", "ok", "ok", "ok", "ok", "not ok"))
			b.WriteString(pick(" ", " ", " ", "  ", "\t", ""))
			b.WriteString(pick(number, number, number, number, number, number, "", fmt.Sprint(i+random.IntN(2)+1)))
			b.WriteString(pick("", " - words", " words", " - f() {", " a # b", " \\", " a \\# b"))
			b.WriteString(pick("", "", "", "", " # TODO", " # todo later", " # SKIP disk", "# Skip", " # TODOS", " \\# TODO",
				" #TODO: x", " #1 # TODO", " # SKIPPED"))
			b.WriteString(pick("\n", "\n", "\n", "\n", "\r\n", " \n"))
			if random.IntN(8) == 0 {
				b.WriteString(pick("  ---\n  a: 1\n  ...\n", "  ---\n  - ok 1\n  ...\n"))
			}
		}
		if !first && random.IntN(10) > 0 {
			b.WriteString(plan)
		}
		if random.IntN(30) == 0 {
			b.WriteString(pick("Bail out!\n", "  Bail out!  why \n", plan, "TAP version 13\n", "ok\n"))
		}
		outputs = append(outputs, b.String())
	}
	passed := 0
	for _, output := range outputs {
		if _, verdict := readTap(output, len(output)+1); verdict == "pass" {
			passed++
		}
	}
	if passed < 40 || passed > 260 {
		t.Errorf("got %d of %d outputs that pass; want both sorts", passed, len(outputs))
	}
	compareWithProve(t, outputs)
}

// Scripts that use Test::More, with its subtests and whatever it does at the end.
var perlScripts = map[string]string{
	"t/all.t": "use Test::More tests => 2; ok 1, 'a # b'; is 1, 1;\n",
	"t/inner.t": "use Test::More; subtest a => sub { plan tests => 2; ok 1; subtest b => sub { ok 1; done_testing } };\n" +
		"done_testing;\n",
	"t/inner_fails.t": "use Test::More; subtest a => sub { ok 1; ok 0, 'in' ; done_testing }; done_testing;\n",
	"t/inner_todo.t": "use Test::More; TODO: { local $TODO = 'x'; subtest a => sub { ok 0; done_testing } }\n" +
		"done_testing;\n",
	"t/inner_skips.t":  "use Test::More; subtest a => sub { plan skip_all => 'no' }; done_testing;\n",
	"t/todo.t":         "use Test::More; TODO: { local $TODO = 'x'; ok 0; ok 1 } todo_skip 'y', 1 if 0; done_testing;\n",
	"t/skips.t":        "use Test::More; SKIP: { skip 'no', 2; ok 0; ok 0 } done_testing;\n",
	"t/skip_all.t":     "use Test::More skip_all => 'no';\n",
	"t/none.t":         "use Test::More; done_testing;\n",
	"t/dies.t":         "use Test::More; ok 1; die 'here';\n",
	"t/dies_late.t":    "use Test::More tests => 1; ok 1; END { $? = 3 }\n",
	"t/too_few.t":      "use Test::More tests => 3; ok 1;\n",
	"t/too_many.t":     "use Test::More tests => 1; ok 1; ok 1;\n",
	"t/bails.t":        "use Test::More tests => 1; BAIL_OUT('no');\n",
	"t/killed.t":       "use Test::More tests => 1; ok 1; kill 9, $$;\n",
	"t/no_compile.t":   "use Test::More tests => 1; ok (;\n",
	"t/no_module.t":    "use No::Such::Module; print qq{1..1\\nok 1\\n};\n",
	"t/lib.t":          "use Test::More tests => 1; use Mine; ok 1;\n",
	"t/taint.t":        "#!/no/such/perl -wT\nuse Mine; print qq{1..1\\n}, ${^TAINT} ? qq{ok 1\\n} : qq{not ok 1\\n};\n",
	"t/warn.t":         "#!perl -w\nprint qq{1..1\\n}, $^W ? qq{ok 1\\n} : qq{not ok 1\\n};\n",
	"t/shell.t":        "#!/bin/sh -e\necho 1..1; echo ok $#; false; echo not reached\n",
	"t/shell_x.t":      "#!/bin/sh\necho 1..1; echo ok\n",
	"t/bare_x.t":       "print qq{1..1\\nok\\n};\n",
	"t/active.t":       "print qq{1..1\\n}, $ENV{HARNESS_ACTIVE} ? qq{ok\\n} : qq{not ok\\n};\n",
	"t/deep/below.t":   "print qq{1..1\\nok\\n};\n",
	"t/plain.pl":       "print qq{1..1\\nok\\n};\n",
	"lib/Mine.pm":      "package Mine; 1;\n",
	"more/t/Mine2.pm":  "package Mine2; 1;\n",
	"more/t/include.t": "use Mine2; print qq{1..1\\nok\\n};\n",
}

// The worker finds, starts and judges scripts as prove does.
func TestTapRunsAsProve(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, perlScripts)
	for _, name := range []string{"t/shell_x.t", "t/bare_x.t"} {
		if err := os.Chmod(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PERL5LIB", "")
	t.Setenv("PERL5OPT", "")
	for _, test := range []struct{ options, names, forTests []string }{
		{[]string{"-l", "-Imore/t", "-r"}, []string{"t", "more", "t/plain.pl"}, nil},
		{nil, []string{"t/"}, nil},
		{[]string{"-r"}, nil, nil},
		{[]string{"-l", "-e", "perl -w"}, []string{"t/active.t", "t/lib.t", "t/warn.t"}, nil},
		{[]string{"-b"}, []string{"t/lib.t", "./t/lib.t", "t/plain.pl"}, []string{"::", "x"}},
		{[]string{"--lib"}, []string{"t/shell.t", "t/shell_x.t"}, []string{"::", "x", "y"}},
	} {
		args := slices.Concat(test.options, test.names, test.forTests)
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			listed, _ := proveCommand(t, dir, append([]string{"-D"}, args...)...)
			ids := strings.Fields(listed)
			var got []string
			for _, p := range listTapPackets(t, dir, args) {
				got = append(got, p.TestID)
			}
			if diff := cmp.Diff(ids, got); diff != "" {
				t.Errorf("scripts (-prove +testr):\n%s", diff)
			}
			want := proveVerdicts(t, dir, test.options, ids, test.forTests)
			if diff := cmp.Diff(want, tapVerdicts(t, TapConfig{Dir: dir, Args: args}, ids...)); diff != "" {
				t.Errorf("verdicts (-prove +testr):\n%s", diff)
			}
		})
	}
}

func listTapPackets(t *testing.T, dir string, args []string) []*protocol.Packet {
	t.Helper()
	var out strings.Builder
	if err := RunTap(t.Context(), TapConfig{Dir: dir, Args: args, List: true, Stdout: &out}); err != nil {
		t.Fatal(err)
	}
	return decode(t, []byte(out.String()))
}
