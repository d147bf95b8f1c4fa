package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/creack/pty"

	"testr/internal/protocol"
	"testr/internal/repo"
)

// hostile does all that could do something to a terminal: a title, the
// clipboard, colours, a line that takes the place of another, C1 in UTF-8, the
// direction of text, DEL.
const hostile = "\x1b]0;owned\x07\x1b]52;c;aGFja2Vk\x07\x1b[35m\rOK\u009b2J\u202egnp\u2066x\x7f\b\v\f"

// hostileBytes is hostile with what is no UTF-8.
const hostileBytes = hostile + "\x9b2J\xff\xc3"

// ours are the sequences that testr itself writes to a terminal: the status
// line's and colours; and the line ends that the terminal makes of newlines.
var ours = regexp.MustCompile("\r\x1b\\[K|\x1b\\[(0|31|32|33)m|\r\n")

// wantHarmless wants that text does nothing to a terminal.
func wantHarmless(t *testing.T, what, shown string) {
	t.Helper()
	rest := ours.ReplaceAllString(shown, "")
	for i, r := range rest {
		bad := r < ' ' && r != '\t' && r != '\n' || r >= 0x7f && r < 0xa0 ||
			r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
		if r == utf8.RuneError {
			_, size := utf8.DecodeRuneInString(rest[i:])
			bad = size == 1
		}
		if bad {
			t.Errorf("%s: got %U on the terminal, in %q", what, r, rest[max(0, i-40):min(len(rest), i+40)])
			return
		}
	}
}

// onTerminal runs a command whose streams are a terminal, and returns what
// that is given.
func onTerminal(t *testing.T, cmd *exec.Cmd, input string) (shown string, status int) {
	t.Helper()
	if input != "" {
		cmd.Stdin = strings.NewReader(input)
	}
	f, err := pty.StartWithAttrs(cmd, &pty.Winsize{Rows: 30, Cols: 100},
		&syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	give := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer give.Stop()
	var b bytes.Buffer
	_, _ = io.Copy(&b, f) // the terminal's end is an error
	_ = cmd.Wait()
	return b.String(), statusOf(cmd.ProcessState)
}

// hostileStream has hostile text wherever a packet can have text.
func hostileStream(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	w := protocol.NewWriter(&b)
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i, s := range []protocol.Status{protocol.StatusInProgress, protocol.StatusFail, protocol.StatusUxSuccess,
		protocol.StatusSkip, protocol.StatusSuccess, protocol.StatusInProgress} {
		const all = protocol.HasTestID | protocol.HasRoute | protocol.HasTags | protocol.HasFile | protocol.HasMIME |
			protocol.HasTime | protocol.HasParent
		p := protocol.Packet{Has: all, Time: at.Add(time.Duration(i) * time.Second), Status: s, Runnable: i != 2,
			TestID: strings.Repeat("t", i/2) + hostile, ParentID: "parent" + hostile, Route: "0" + hostile,
			Tags: []string{"tag" + hostile}, FileName: "file" + hostile, MIMEType: "text/plain; charset=" + hostile,
			Content: []byte(hostileBytes), EOF: true}
		if err := w.WritePacket(&p); err != nil {
			t.Fatal(err)
		}
		p.Has &^= protocol.HasTestID | protocol.HasParent
		p.Status, p.TestID, p.ParentID = protocol.StatusNone, "", ""
		if err := w.WritePacket(&p); err != nil {
			t.Fatal(err)
		}
	}
	return b.String() + hostileBytes + "\n"
}

// TestTerminal is S3: whatever others wrote, and wherever it comes up, it does
// nothing to the terminal of whoever runs a command.
func TestTerminal(t *testing.T) {
	t.Parallel()
	const printer = `cat "$HOSTILE"; cat "$HOSTILE" >&2`
	const lists = "$LISTOPT $IDOPTION\ntest_list_option=--list\ntest_id_option=--load-list $IDFILE\n"
	tests := ""
	for _, does := range []string{"a_fail", "b_skip", "c_escape", "d_prints", "e_parent", "f_killed"} {
		tests += does + hostile + "\n"
	}
	p := newProject(t, map[string]string{
		".testr.conf": "[DEFAULT]\nworker=stream\nfilter_tags=x\n" +
			"worker_command=" + printer + "; exec test-double --stream\ntest_command=test-double " + lists,
		"tests":              tests,
		"text":               hostileBytes + "\n",
		"stream":             hostileStream(t),
		"broken/.testr.conf": "[DEFAULT]\ntest_command=x\n" + hostile + "\n",
		"key/.testr.conf":    "[DEFAULT]\ntest_command=true\ntest_comm" + hostile + "=x\n",
		"value/.testr.conf":  "[DEFAULT]\ntest_command=x\nworker=" + hostile + "\n",
		"list/.testr.conf":   "[DEFAULT]\ntest_command=" + printer + "; exit 3; " + lists,
		"empty/.testr.conf":  "[DEFAULT]\ntest_command=" + printer + "; : " + lists,
		"dies/.testr.conf": "[DEFAULT]\nworker=stream\n" +
			"worker_command=" + printer + "; exit 1\ntest_command=test-double " + lists,
		"dies/tests":                       "a" + hostile + "\n",
		"plain/.testr.conf":                "[DEFAULT]\ntest_command=" + printer + "; exit 1\n",
		"list-of-tests":                    "nothing" + hostile + "\n",
		"d" + hostile + "/own/.testr.conf": "",
		"e" + hostile + "/a":               "",
	})
	p.env = append(p.env, "HOSTILE="+p.path("text"), "TERM=xterm")
	for _, dir := range []string{".", "list", "empty", "dies", "plain"} {
		p.want(0, "-d", dir, "init")
	}
	bad := strings.ToValidUTF8(hostile, "")
	p.lease(repo.Lease{Section: bad, ID: bad, Dispose: bad + "\n$INSTANCE_IDS", Dir: bad, Failure: bad + "\nx"})
	p.lease(repo.Lease{ID: "-rf" + bad})
	type call struct {
		args   string
		status int
		input  string
	}
	calls := []call{
		{"run --parallel --concurrency 2", 1, ""},
		{"last", 1, ""},
		{"run --failing", 1, ""},
		{"failing", 1, ""},
		{"failing --list", 1, ""},
		{"slowest --all", 0, ""},
		{"history list", 0, ""},
		{"history list --json", 0, ""},
		{"history list " + hostile, 2, ""},
		{"history list --profile " + hostile, 2, ""},
		{"history show 0", 1, ""},
		{"history show 0 --json", 0, ""},
		{"history show " + hostile, 2, ""},
		{"history remove " + hostile, 2, ""},
		{"history prune --keep-runs " + hostile, 2, ""},
		{"last --json", 0, ""},
		{"failing --json", 0, ""},
		{"slowest --json", 0, ""},
		{"flaky", 0, ""},
		{"flaky " + hostile, 3, ""},
		{"flaky --profile " + hostile, 2, ""},
		{"profiles", 0, ""},
		{"profiles --json", 0, ""},
		{"stats --json", 0, ""},
		{"list-tests", 0, ""},
		{"list-tests " + hostile, 2, ""},
		{"list-tests nothing" + hostile[:10], 3, ""},
		{"run --load-list list-of-tests", 1, ""},
		{"run --load-list " + hostile, 3, ""},
		{"run --concurrency " + hostile, 2, ""},
		{"run -- " + hostile, 0, ""},
		{"last", 0, ""},
		{"load stream", 1, ""},
		{"last", 1, ""},
		{"failing", 1, ""},
		{"failing --list", 1, ""},
		{"slowest --all", 0, ""},
		{"load " + hostile, 3, ""},
		{"load list-of-tests", 3, ""},
		{"instances list", 0, ""},
		{"instances list --json", 0, ""},
		{"instances dispose", 3, ""},
		{"instances dispose " + hostile, 3, ""},
		{"instances forget " + hostile, 0, ""},
		{"instances forget " + hostile, 3, ""},
		{"instances " + hostile, 2, ""},
		{"stats", 0, ""},
		{"stats " + hostile, 2, ""},
		{"-d " + hostile + " last", 3, ""},
		{"-d d" + hostile + " last", 1, ""},
		{"-d e" + hostile + "/a last", 3, ""},
		{"-d d" + hostile + "/own run", 3, ""},
		{"-d broken run", 2, ""},
		{"-d broken last", 2, ""},
		{"-d key run", 2, ""},
		{"-d value run", 2, ""},
		{"-d list run", 3, ""},
		{"-d empty run", 3, ""},
		{"-d dies run", 3, ""},
		{"-d dies last", 3, ""},
		{"-d plain run", 1, ""},
		{"-d plain last", 1, ""},
		{"init", 3, ""},
		{"-d d" + hostile + " init", 3, ""},
		{"-d d" + hostile + "/own init", 0, ""},
		{"help", 0, ""},
		{"help " + hostile, 2, ""},
		{"help run", 0, ""},
		{hostile, 2, ""},
		{"run --" + hostile, 2, ""},
		{"run --" + hostile + "=x", 2, ""},
		{"--" + hostile, 2, ""},
		{"commands", 0, ""},
		{"commands " + hostile, 2, ""},
		{"version", 0, ""},
		{"quickstart", 0, ""},
		{"completion bash", 0, ""},
		{"completion zsh", 0, ""},
		{"completion fish", 0, ""},
		{"completion " + hostile, 2, ""},
		{hostile + " --generate-bash-completion", 0, ""},
		{"subunit " + hostile, 2, ""},
		{"subunit from-json --protocol " + hostile, 2, ""},
		{"subunit from-json", 2, "{\"test_id\":\"x\u202e\u009b\"}\n"}, // no stream goes to a terminal
		{"run --subunit", 2, ""},
		{"load --subunit stream", 2, ""},
		{"last --subunit", 2, ""},
		{"failing --subunit", 2, ""},
		{"subunit to-json", 0, hostileStream(t)},
		{"import " + hostile, 3, ""},
		{"daemon " + hostile, 2, ""},
		{"daemon status", 3, ""},
		{"daemon --idle " + hostile, 2, ""},
		{"doctor", 0, ""},
		{"doctor " + hostile, 2, ""},
		{"relay", 2, ""}, // nor does it come from one
		{"relay " + hostile, 2, ""},
		{"worker " + hostile, 2, ""},
		{"worker go -- " + hostile, 0, "\n"},
	}
	tried := map[string]bool{}
	for _, c := range calls {
		args := strings.Split(c.args, " ")
		shown, status := onTerminal(t, p.command("testr", args...), c.input)
		wantHarmless(t, "testr "+c.args, shown)
		wantNoPanic(t, "testr "+c.args, shown)
		if status != c.status {
			t.Errorf("testr %q: got exit status %d; want %d, or it shows something else:\n%q", args, status, c.status, shown)
		}
		for _, a := range args {
			tried[a] = true
		}
	}
	for _, c := range newApp(newEnvironment(os.Stdin, io.Discard, io.Discard)).Commands {
		if !tried[c.Name] {
			t.Errorf("command %s was not tried", c.Name)
		}
	}
}
