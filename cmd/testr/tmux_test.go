//go:build peers

package main

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// pane is a terminal of tmux in which a command runs, by a server of its own.
type pane struct {
	p      *project
	socket string
}

// newPane starts a command line in a terminal of 100 columns and 30 lines. What
// it writes is kept as it is in the file "raw", its exit status in "status".
func newPane(p *project, line string) *pane {
	p.t.Helper()
	q := &pane{p, p.path("tmux.socket")}
	for _, fifo := range []string{"start", "stop"} {
		if err := syscall.Mkfifo(p.path(fifo), 0o600); err != nil {
			p.t.Fatal(err)
		}
	}
	p.t.Cleanup(func() {
		if out, err := q.command("kill-server").CombinedOutput(); err != nil {
			p.t.Errorf("end tmux: %v: %s", err, out)
		}
	})
	q.tmux("new-session", "-d", "-x", "100", "-y", "30",
		"exec 2>&1; read x <start; "+line+"; echo $? >status.new; mv status.new status; read x <stop")
	q.tmux("pipe-pane", "exec cat >raw")
	p.awaitFile("raw")
	q.open("start")
	return q
}

func (q *pane) command(args ...string) *exec.Cmd {
	return q.p.command("tmux", append([]string{"-S", q.socket, "-f", "/dev/null"}, args...)...)
}

func (q *pane) tmux(args ...string) string {
	q.p.t.Helper()
	out, err := q.command(args...).CombinedOutput()
	if err != nil {
		q.p.t.Fatalf("tmux %q: %v\n%s", args, err, out)
	}
	return string(out)
}

// open lets whoever reads from a FIFO go on.
func (q *pane) open(fifo string) {
	q.p.t.Helper()
	f, err := os.OpenFile(q.p.path(fifo), os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString("\n")
		_ = f.Close()
	}
	if err != nil {
		q.p.t.Fatal(err)
	}
}

// shown is what stands on the screen, without the empty lines at its end.
func (q *pane) shown() string {
	q.p.t.Helper()
	return strings.TrimRight(q.tmux("capture-pane", "-p"), "\n") + "\n"
}

// awaitScreen waits until the screen shows something.
func (q *pane) awaitScreen(pattern string) string {
	q.p.t.Helper()
	re := regexp.MustCompile(pattern)
	for deadline := time.After(patience); ; {
		screen := q.shown()
		if re.MatchString(screen) {
			return screen
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-deadline:
			q.p.t.Fatalf("waited in vain for %s on the screen, which has\n%s", pattern, screen)
		}
	}
}

// TestStatusLine: while tests run a terminal shows how many are done, failed and
// running and how long it will take; in the end none of that is left.
func TestStatusLine(t *testing.T) {
	t.Parallel()
	long := "m.C.test_3_waits_" + strings.Repeat("so_long_", 30) + "end"
	p := newProject(t, map[string]string{".testr.conf": streaming, "go": "",
		"tests": "m.C.test_1\nm.C.test_2_fail\n" + long + "\nm.C.test_4_escape\n"})
	p.want(0, "init")
	p.want(1, "run") // durations to go by
	p.remove("go", "begun")

	q := newPane(p, "testr run")
	screen := q.awaitScreen(`(?m)^2/4 done, 1 failed, 1 running, \d+s left; \d+s 0: .*so_long_end$`)
	wantText(t, screen, "FAIL: m.C.test_2_fail\n", "it went wrong in m.C.test_2_fail\n")
	if n := strings.Count(screen, "running, "); n != 1 {
		t.Errorf("got %d status lines; want 1:\n%s", n, screen)
	}
	if strings.Contains(screen, "Ran ") {
		t.Errorf("got a summary while tests run:\n%s", screen)
	}
	// Time goes on, the line with it, while nothing happens.
	q.awaitScreen(`running, \d+s left; [1-9]s 0: `)

	p.write("go", "")
	p.awaitFile("status")
	screen = q.awaitScreen(`(?m)^FAILED `)
	if got := p.read("status"); got != "1\n" {
		t.Errorf("got exit status %s; want 1", got)
	}
	lines := linesOf(screen)
	ran := regexp.MustCompile(`^Ran 4 tests in \d+\.\d{3}s \(\+\d+\.\d{3}s\)$`)
	if len(lines) < 2 || !ran.MatchString(lines[len(lines)-2]) ||
		lines[len(lines)-1] != "FAILED (id=1, failures=2)" {
		t.Errorf("got these last lines:\n%s", screen)
	}
	for _, gone := range []string{" done, ", " running", "so_long"} {
		if strings.Contains(screen, gone) {
			t.Errorf("got %q on the screen in the end:\n%s", gone, screen)
		}
	}
	wantText(t, screen, "FAIL: m.C.test_4_escape\n", `\x1b]52;c;aGFja2Vk\x07`)
	wantHarmless(t, "testr run", p.read("raw"))
}

// TestHostileIDs is S3 on a terminal that is one: no control byte of an id, of
// output or of an attachment comes through while tests run, in blocks, in the
// status line, or in lists.
func TestHostileIDs(t *testing.T) {
	t.Parallel()
	line := strings.NewReplacer("\n", "", "\r", "").Replace(hostile) // "tests" is lines
	tests := ""
	for i, does := range []string{"fail", "skip", "prints", "parent", "escape", "waits"} {
		tests += fmt.Sprintf("%d_%s_%s\n", i, does, line)
	}
	p := newProject(t, map[string]string{"tests": tests,
		".testr.conf": strings.Replace(streaming, "=test-double --stream",
			"=cat text text >&2; exec test-double --stream", 1),
		"text": hostileBytes + "\n"})
	p.want(0, "init")
	q := newPane(p, "testr run; testr last; testr failing; testr failing --list; testr slowest; "+
		"testr list-tests; testr last")
	q.awaitScreen(`running.*; \d+s 0: .*\\u2066x\\x7f\\x08\\x0b\\x0c`)
	p.write("go", "")
	p.awaitFile("status")
	q.awaitScreen(`(?m)^FAILED \(id=0`)
	raw := p.read("raw")
	wantHarmless(t, "testr", raw)
	if n := strings.Count(raw, `\x1b]52;c;aGFja2Vk\x07`); n < 20 {
		t.Errorf("got %d times what is escaped; want more, or this shows nothing", n)
	}
}

// TestInterruptAtTerminal is F18 by the key that people have for it: the
// terminal sends SIGINT to testr and to its workers alike.
func TestInterruptAtTerminal(t *testing.T) {
	t.Parallel()
	p := newProject(t, map[string]string{".testr.conf": streaming, "tests": "m.C.test_1\nm.C.test_2_waits\nm.C.test_3\n"})
	p.want(0, "init")
	q := newPane(p, "trap : INT; testr run")
	p.awaitFile("begun")
	q.awaitScreen(`1 running`)
	q.tmux("send-keys", "C-c")
	p.awaitFile("no-more")
	q.tmux("send-keys", "C-c")
	p.awaitFile("status")
	if got := p.read("status"); got != "130\n" {
		t.Errorf("got exit status %s; want 130", got)
	}
	screen := q.awaitScreen(`(?m)^FAILED \(id=0`)
	wantText(t, screen, "Interrupted: interrupted by SIGINT\n", "2 tests not run: interrupted\n")
	p.wantNobodyLeft(2)
}
