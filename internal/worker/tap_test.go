package worker

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"testr/internal/instance"
	"testr/internal/protocol"
)

// tapWorker asks a TAP worker for scripts and returns what it answers.
func tapWorker(t *testing.T, cfg TapConfig, ids ...string) []*protocol.Packet {
	t.Helper()
	var requests []*protocol.Packet
	for _, id := range ids {
		requests = append(requests, requestPacket(id))
	}
	var out bytes.Buffer
	cfg.Stdin, cfg.Stdout = bytes.NewReader(encode(t, requests...)), &out
	if err := RunTap(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	return decode(t, out.Bytes())
}

// The scripts of these tests are the shell's, so that nothing is needed for them.
const tapShell = "#!/bin/sh\n"

func TestTapRuns(t *testing.T) {
	for _, test := range []struct {
		name   string
		script string
		want   []string
	}{
		{"passes", "echo 1..2; echo ok 1 - one; echo '# text'; echo ok 2", []string{
			"inprogress t/a.t", "success t/a.t:1 one of t/a.t (not runnable)", "t/a.t stdout: # text\n$",
			"success t/a.t:2 of t/a.t (not runnable)", "success t/a.t"}},
		{"fails, with stderr", "echo 1..7; echo ok 1; echo not ok 2 - two; echo '# why'; echo oops >&2; exit 3", []string{
			"inprogress t/a.t", "success t/a.t:1 of t/a.t (not runnable)", "t/a.t stdout: not ok 2 - two\n# why\n$",
			"fail t/a.t:2 two of t/a.t (not runnable)",
			"t/a.t traceback: Failed test: 2; planned 7, ran 2; exit status 3\n$", "fail t/a.t", "t/a.t stderr: oops\n$"}},
		{"fails at its end", "echo 1..1; echo ok 1; exit 1", []string{
			"inprogress t/a.t", "success t/a.t:1 of t/a.t (not runnable)",
			"t/a.t traceback: exit status 1\n$", "fail t/a.t"}},
		{"is killed", "echo 1..1; echo ok 1; kill -9 $$", []string{
			"inprogress t/a.t", "success t/a.t:1 of t/a.t (not runnable)",
			"t/a.t traceback: killed by SIGKILL\n$", "fail t/a.t"}},
		{"is skipped", "echo '1..0 # SKIP no network'", []string{
			"inprogress t/a.t", "t/a.t reason: no network$", "skip t/a.t"}},
		{"is skipped and fails", "echo '1..0 # SKIP no network'; exit 1", []string{
			"inprogress t/a.t", "t/a.t traceback: exit status 1\n$", "fail t/a.t"}},
		{"has directives", "echo 'not ok 1 # TODO later'; echo 'ok 2 - x # TODO soon'; echo 'ok 3 # SKIP no disk'; echo 1..3",
			[]string{"inprogress t/a.t", "t/a.t stdout: not ok 1 # TODO later\n$",
				"t/a.t:1 of t/a.t reason: later$", "xfail t/a.t:1 of t/a.t (not runnable)",
				"t/a.t:2 x of t/a.t note: TODO passed: soon$", "success t/a.t:2 x of t/a.t (not runnable)",
				"t/a.t:3 of t/a.t reason: no disk$", "skip t/a.t:3 of t/a.t (not runnable)", "success t/a.t"}},
		{"bails out", "echo 1..1; echo ok 1; echo 'Bail out! no'", []string{
			"inprogress t/a.t", "success t/a.t:1 of t/a.t (not runnable)",
			"t/a.t traceback: Bail out! no\n$", "fail t/a.t"}},
		{"has more than planned", "echo 1..1; echo ok 1; echo ok 2", []string{
			"inprogress t/a.t", "success t/a.t:1 of t/a.t (not runnable)",
			"t/a.t:2 of t/a.t traceback: more assertions than were planned$", "fail t/a.t:2 of t/a.t (not runnable)",
			"t/a.t traceback: Failed test: 2; planned 1, ran 2\n$", "fail t/a.t"}},
		{"has a subtest that fails", "echo '    not ok 1 - in'; echo '    ok 2'; echo 'not ok 1 - out'; echo 1..1", []string{
			"inprogress t/a.t", "t/a.t stdout:     not ok 1 - in\nnot ok 1 - out\n$",
			"success t/a.t:1.2 of t/a.t (not runnable)", "fail t/a.t:1.1 in of t/a.t (not runnable)",
			"fail t/a.t:1 out of t/a.t (not runnable)", "t/a.t traceback: Failed test: 1\n$", "fail t/a.t"}},
		{"has a subtest that passes all the same", "echo '    not ok 1 - in'; echo 'ok 1 - out'; echo 1..1", []string{
			"inprogress t/a.t", "t/a.t stdout:     not ok 1 - in\n$",
			"t/a.t:1.1 in of t/a.t reason: its subtest passed as a whole$", "xfail t/a.t:1.1 in of t/a.t (not runnable)",
			"success t/a.t:1 out of t/a.t (not runnable)", "success t/a.t"}},
		{"has a block that passes all the same", "echo 'ok 1 - out {'; echo '    not ok 1 - in'; echo }; echo 1..1", []string{
			"inprogress t/a.t", "success t/a.t:1 out of t/a.t (not runnable)", "t/a.t stdout:     not ok 1 - in\n$",
			"t/a.t:1.1 in of t/a.t reason: its subtest passed as a whole$", "xfail t/a.t:1.1 in of t/a.t (not runnable)",
			"success t/a.t"}},
		{"ends within a subtest", "echo 1..1; echo '    not ok 1 - in'", []string{
			"inprogress t/a.t", "t/a.t stdout:     not ok 1 - in\n$", "fail t/a.t:1.1 in of t/a.t (not runnable)",
			"t/a.t traceback: planned 1, ran 0\n$", "fail t/a.t"}},
		{"prints something like a subtest", "echo 1..1; echo ok 1; echo '    not ok 1 - in'", []string{
			"inprogress t/a.t", "success t/a.t:1 of t/a.t (not runnable)", "t/a.t stdout:     not ok 1 - in\n$",
			"t/a.t:2.1 in of t/a.t reason: its subtest passed as a whole$", "xfail t/a.t:2.1 in of t/a.t (not runnable)",
			"success t/a.t"}},
		{"is hostile", `printf '1..2\nok 1 - \377\0\033[m\342\202\nok 2 - # SKIP \377\n'`, []string{
			"inprogress t/a.t", "success t/a.t:1 \\xff\\x00\x1b[m\\xe2\\x82 of t/a.t (not runnable)",
			`t/a.t:2 of t/a.t reason: \xff$`, "skip t/a.t:2 of t/a.t (not runnable)", "success t/a.t"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			writeFiles(t, dir, map[string]string{"t/a.t": tapShell + test.script + "\n"})
			got := transcript(tapWorker(t, TapConfig{Dir: dir}, "t/a.t"), "")
			// It comes by a pipe of its own, at any time.
			slices.SortStableFunc(got, func(a, b string) int {
				return strings.Count(a, "t/a.t stderr: ") - strings.Count(b, "t/a.t stderr: ")
			})
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("packets (-want +got):\n%s", diff)
			}
		})
	}
}

// Descriptions are cut in ids, between characters.
func TestTapCutsDescriptions(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{"t/a.t": tapShell + "echo 1..1; echo ok 1 " + strings.Repeat("x€", 100) + "\n"})
	for _, p := range tapWorker(t, TapConfig{Dir: dir}, "t/a.t") {
		if want := "t/a.t:1 " + strings.Repeat("x€", 50) + "…"; p.ParentID != "" && p.TestID != want {
			t.Errorf("got id %q; want %q", p.TestID, want)
		}
	}
}

func TestTapAnswersWhatItCannotRun(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{
		"t/no-interpreter.t": "#!/no/such/program -x\n", "t/other.t": tapShell, "t/z.t": tapShell + "echo 1..0",
	})
	if err := os.Symlink("/no/such", filepath.Join(dir, "t/dangling.t")); err != nil {
		t.Fatal(err)
	}
	cfg := TapConfig{Dir: dir, Args: []string{"t/no-interpreter.t", "t/z.t"}}
	got := transcript(tapWorker(t, cfg, "t/no-interpreter.t", "t/other.t", "", "t/dangling.t", "t/z.t"), "")
	want := []string{
		"inprogress t/no-interpreter.t", "t/no-interpreter.t traceback: start \"/no/such/program\": " +
			"fork/exec /no/such/program: no such file or directory\n$", "fail t/no-interpreter.t",
		"inprogress t/other.t", "t/other.t unknown-test: it is no script that is tested here\n$",
		"fail t/other.t (not runnable)",
		"inprogress t/dangling.t", "t/dangling.t unknown-test: it is no script that is tested here\n$",
		"fail t/dangling.t (not runnable)",
		"inprogress t/z.t", "skip t/z.t",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("packets (-want +got):\n%s", diff)
	}
}

// Which program runs a script.
func TestTapStarts(t *testing.T) {
	const says = "echo 1..1; echo ok 1 - $0 $- $*\n"
	for _, test := range []struct {
		name   string
		script string
		mode   os.FileMode
		args   []string
		want   string
	}{
		{"its interpreter", "#!/bin/sh\n" + says, 0o600, nil, "t/a.t"},
		{"with an option", "#! /bin/sh -e \n" + says, 0o600, nil, "t/a.t e"},
		{"itself", "#!/bin/sh -f\n" + says, 0o700, nil, "t/a.t f"},
		{"what --exec says", says, 0o600, []string{"-e", "/bin/sh -C"}, "t/a.t C"},
		{"itself, by what the system makes of its first line", "#!shell -f\n" + says, 0o700, nil, "t/a.t f"},
		{"itself by --exec", "#!/bin/sh\n" + says, 0o700, []string{"-e", ""}, "t/a.t"},
		{"with arguments", "#!/bin/sh\n" + says, 0o600, []string{"t/a.t", "::", "-x", "y z"}, "t/a.t -x y z"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			writeFiles(t, dir, map[string]string{"t/a.t": test.script})
			if err := os.Symlink("/bin/sh", filepath.Join(dir, "shell")); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(filepath.Join(dir, "t/a.t"), test.mode); err != nil {
				t.Fatal(err)
			}
			got := ""
			for _, p := range tapWorker(t, TapConfig{Dir: dir, Args: test.args}, "t/a.t") {
				if p.ParentID != "" {
					got = strings.TrimPrefix(p.TestID, "t/a.t:1 ")
				}
			}
			if got != test.want {
				t.Errorf("got %q; want %q", got, test.want)
			}
		})
	}
}

// A script in the directory itself is neither looked for in PATH nor taken for
// an option.
func TestTapStartsHere(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{"-c": tapShell + "echo 1..1; echo ok", "true": tapShell + "echo 1..1; echo ok"})
	if err := os.Chmod(filepath.Join(dir, "true"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, p := range tapWorker(t, TapConfig{Dir: dir, Args: []string{"--", "-c", "true"}}, "-c", "true") {
		if p.Status == protocol.StatusFail {
			t.Errorf("got %s failed; want it to pass", p.TestID)
		}
	}
}

func TestTapLists(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{"t/b.t": "", "t/a.t": ""})
	var out bytes.Buffer
	if err := RunTap(t.Context(), TapConfig{Dir: dir, List: true, Stdout: &out}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"exists t/a.t", "exists t/b.t"}, transcript(decode(t, out.Bytes()), "")); diff != "" {
		t.Errorf("packets (-want +got):\n%s", diff)
	}
	for _, args := range [][]string{{"missing.t"}, {"--shuffle"}} {
		err := RunTap(t.Context(), TapConfig{Dir: dir, Args: args, List: true, Stdout: io.Discard})
		if err == nil || !strings.Contains(err.Error(), args[0]) {
			t.Errorf("got error %v; want one with %q", err, args[0])
		}
	}
}

// superviseTap runs a worker on scripts.
func superviseTap(ctx context.Context, t *testing.T, scripts map[string]string) *supervised {
	t.Helper()
	dir := t.TempDir()
	writeFiles(t, dir, scripts)
	return supervise(t, func(in io.Reader, out io.Writer) error {
		return RunTap(ctx, TapConfig{Dir: dir, Args: []string{"."}, Stdin: in, Stdout: out})
	})
}

// Assertions and text come while the script runs; others can be withdrawn meanwhile; what
// the channel sends as input gets there.
func TestTapStreams(t *testing.T) {
	s := superviseTap(t.Context(), t, map[string]string{
		"a.t": tapShell + "echo 1..2; echo ok 1; echo '# asks'; read line; echo ok 2 - $line",
		"b.t": tapShell + "echo 1..0",
		"c.t": tapShell + "echo 1..0",
	})
	s.send(requestPacket("a.t"), requestPacket("b.t"), requestPacket("c.t"))
	s.awaitOutline("success a.t:1")
	s.await("the text", func(p *protocol.Packet) bool { return p.FileName == "stdout" && string(p.Content) == "# asks\n" })
	s.send(withdrawPacket("b.t"))
	s.awaitOutline("exists b.t")
	s.send(stdinPacket("an answer\n", true))
	s.awaitOutline("success a.t:2 an answer")
	s.awaitOutline("success a.t")
	s.send(endPacket())
	var got []string
	for p := range s.packets {
		got = append(got, outline(p))
	}
	if diff := cmp.Diff([]string{"inprogress c.t", "skip c.t"}, got); diff != "" {
		t.Errorf("packets (-want +got):\n%s", diff)
	}
	if err := <-s.done; err != nil {
		t.Error(err)
	}
}

// F1: a worker that is told to stop ends its script, and whoever ignores the
// request.
func TestTapStops(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	s := superviseTap(ctx, t, map[string]string{"a.t": tapShell + "trap '' TERM; echo ok 1; while :; do read line; done"})
	s.send(requestPacket("a.t"))
	s.awaitOutline("success a.t:1")
	why := errors.New("enough")
	cancel(why)
	if err := <-s.done; !errors.Is(err, why) {
		t.Errorf("got error %v; want %v", err, why)
	}
}

// S1: whoever kills the worker's group kills its script.
func TestTapDiesWhole(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{"a.t": tapShell + "echo ok 1 $$; read line; read line\n"})
	machines, err := (&instance.Local{Dir: dir}).Provision(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	cfg := checkCommand(t, "tap", "a.t")
	process, err := machines[0].Start(t.Context(), instance.Command{Args: cfg.Args, Env: cfg.Env})
	if err != nil {
		t.Fatal(err)
	}
	w := supervise(t, func(in io.Reader, out io.Writer) error {
		go func() { _, _ = io.Copy(process.Stdin(), in) }() // ends with the process
		_, err := io.Copy(out, process.Stdout())
		_, _ = io.Copy(t.Output(), process.Stderr())
		return err
	})
	w.send(requestPacket("a.t"))
	p := w.await("the assertion", func(p *protocol.Packet) bool { return p.ParentID != "" })
	pid, err := strconv.Atoi(strings.TrimPrefix(p.TestID, "a.t:1 "))
	if err != nil {
		t.Fatal(err)
	}
	group, err := syscall.Getpgid(pid)
	if err != nil || group != process.PID() {
		t.Errorf("got the script in group %d, error %v; want the worker's, %d", group, err, process.PID())
	}
	if err := machines[0].Close(); err != nil {
		t.Error(err)
	}
	awaitGone(t, pid)
}

// A script ends when nobody hears of it any more.
func TestTapStopsUnheard(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{"a.t": tapShell + "while :; do echo ok; done"})
	read, write := io.Pipe()
	done := make(chan error, 1)
	go func() {
		in := bytes.NewReader(encode(t, requestPacket("a.t")))
		done <- RunTap(t.Context(), TapConfig{Dir: dir, Args: []string{"a.t"}, Stdin: in, Stdout: write})
	}()
	buffer := make([]byte, 1000)
	_, _ = read.Read(buffer)
	gone := errors.New("gone")
	_ = read.CloseWithError(gone)
	if err := <-done; !errors.Is(err, gone) {
		t.Errorf("got error %v; want %v", err, gone)
	}
}
