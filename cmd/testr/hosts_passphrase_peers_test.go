//go:build peers

package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"testr/internal/lab"
)

// console is testr at a terminal of its own, in front of which the test sits.
type console struct {
	p      *project
	tty    *os.File // the person's side
	shown  *tap
	exited chan int // the exit status
}

// atConsole starts testr at a terminal.
func (p *project) atConsole(args ...string) *console {
	p.t.Helper()
	cmd := p.command("testr", args...)
	f, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 30, Cols: 200})
	if err != nil {
		p.t.Fatal(err)
	}
	c := &console{p: p, tty: f, shown: newTap(), exited: make(chan int, 1)}
	read, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(c.shown, f) // the terminal's end is an error
	}()
	go func() {
		defer close(gone)
		_ = cmd.Wait()
		<-read
		c.exited <- statusOf(cmd.ProcessState)
	}()
	p.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-gone
		_ = f.Close()
	})
	return c
}

// await waits until a text was shown so many times.
func (c *console) await(text string, times int) {
	c.p.t.Helper()
	if !within(func() bool { return strings.Count(c.shown.String(), text) >= times }) {
		c.p.t.Fatalf("waited in vain for %q, %d times, on the terminal:\n%s", text, times, c.shown)
	}
}

// types types something.
func (c *console) types(text string) {
	c.p.t.Helper()
	if _, err := io.WriteString(c.tty, text); err != nil {
		c.p.t.Fatal(err)
	}
}

// echoes reports whether the terminal shows what is typed.
func (c *console) echoes() bool {
	c.p.t.Helper()
	state, err := unix.IoctlGetTermios(int(c.tty.Fd()), unix.TCGETS)
	if err != nil {
		c.p.t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

// wait waits for the end.
func (c *console) wait() (shown string, status int) {
	c.p.t.Helper()
	select {
	case status = <-c.exited:
	case <-time.After(patience):
		c.p.t.Fatalf("testr does not end; the terminal has\n%s", c.shown)
	}
	return c.shown.String(), status
}

// sesame is the passphrase of the key that newLocked makes.
const sesame = "open-sesame-5d41402a"

// lockedKey makes a key with a passphrase, which takes no time to try.
func lockedKey(t *testing.T, file, passphrase string) {
	t.Helper()
	out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-a", "1", "-N", passphrase, "-f", file).CombinedOutput()
	if err != nil {
		t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
}

// newLocked makes hosts whose user has a key with a passphrase, and a project.
// The key is in none of the project's directories.
func newLocked(t *testing.T) (l *lab.Lab, p *project, key string) {
	t.Helper()
	l = startLab(t, 2, lab.Options{})
	p = newProject(t, map[string]string{"tests": suite(20)})
	p.cleanUp()
	key = filepath.Join(t.TempDir(), "key")
	lockedKey(t, key, sesame)
	authorize(t, key, l.Hosts...)
	var config []string
	for _, h := range l.Hosts {
		config = append(config, stanza(h.Name, h, key, l.Home+"/.ssh/known_hosts"))
	}
	p.setSSH(config...)
	p.write(".testr.conf", streaming+p.sections(l))
	p.want(0, "init")
	return l, p, key
}

// TestPassphrase: at a terminal the passphrase of a key is asked for, once for
// all hosts, and never shown.
func TestPassphrase(t *testing.T) {
	t.Parallel()
	_, p, key := newLocked(t)
	c := p.atConsole("run", "--parallel")
	prompt := "Passphrase of " + key + ": "
	c.await(prompt, 1)
	c.types("open barley\n")
	c.await(prompt, 2)
	c.types(sesame + "\n")
	shown, status := c.wait()
	if status != 1 {
		t.Errorf("got exit status %d; want 1, of the test that fails", status)
	}
	if n := strings.Count(shown, prompt); n != 2 {
		t.Errorf("got the question %d times; want twice, for the wrong answer:\n%s", n, shown)
	}
	wantText(t, shown, "Ran 24 tests", " (id=0, failures=2, skips=1)")
	if strings.Contains(shown, sesame) || strings.Contains(shown, "barley") || !c.echoes() {
		t.Errorf("got a passphrase shown, or a terminal that shows nothing now:\n%s", shown)
	}
}

// TestPassphraseUnknown: who doesn't know the passphrase is told what is wrong
// with the hosts, and not asked again and again.
func TestPassphraseUnknown(t *testing.T) {
	t.Parallel()
	_, p, key := newLocked(t)
	c := p.atConsole("run", "--parallel")
	for i := range 3 {
		c.await("Passphrase of "+key+": ", i+1)
		c.types("open barley\n")
	}
	shown, status := c.wait()
	if status != 3 {
		t.Errorf("got exit status %d; want 3", status)
	}
	wantOnce(t, shown, "instance host1: ")
	wantOnce(t, shown, "instance host2: ")
	wantText(t, shown, key+" did not sign: the passphrase was wrong 3 times")
}

// TestPassphraseInterrupted: Ctrl-C ends testr while it asks, and leaves the
// terminal as it was.
func TestPassphraseInterrupted(t *testing.T) {
	t.Parallel()
	_, p, _ := newLocked(t)
	c := p.atConsole("run", "--parallel")
	c.await("Passphrase of ", 1)
	if c.echoes() {
		t.Error("got a terminal that shows what is typed; want none when it asks")
	}
	c.types("\x03")
	if shown, status := c.wait(); status != 130 || !c.echoes() {
		t.Errorf("got exit status %d, echo %t; want 130 and the terminal as it was:\n%s", status, c.echoes(), shown)
	}
}

// TestPrivateKeys is S16: neither a private key nor its passphrase comes up in
// anything that testr writes, however much it is told to log.
func TestPrivateKeys(t *testing.T) {
	t.Parallel()
	_, p, key := newLocked(t)
	p.env = append(p.env, "TESTR_LOG=trace")
	c := p.atConsole("run", "--parallel")
	c.await("Passphrase of ", 1)
	c.types(sesame + "\n")
	all, status := c.wait()
	if status != 1 {
		t.Fatalf("got exit status %d; want 1:\n%s", status, all)
	}
	for _, args := range append(reading(), []string{"run", "--parallel"}) { // which nobody is asked in
		res := p.testr(args...)
		all += res.out + res.err
	}
	wantText(t, all, "has a passphrase, and there is no terminal")
	for _, secret := range append(keyText(t, key), sesame) {
		if strings.Contains(all, secret) {
			t.Errorf("%q is in what testr shows", secret)
		}
		wantNowhere(t, p.dir, secret)
	}
}

// keyText are the lines of a private key, as they are and as bytes.
func keyText(t *testing.T, file string) (lines []string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range linesOf(string(text)) {
		if !strings.HasPrefix(line, "---") {
			lines = append(lines, line)
		}
	}
	if len(lines) < 3 {
		t.Fatalf("got %q of a key", lines)
	}
	return lines
}
