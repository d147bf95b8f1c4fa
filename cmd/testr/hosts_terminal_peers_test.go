//go:build peers

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"testr/internal/lab"
)

// statusText is how a status line begins.
var statusText = regexp.MustCompile(`\d+(/\d+)? done, \d+ failed, \d+ running`)

// wantWhole wants that what stands on a terminal beside a status line stands in
// lines of its own: the line is alone, and taken away before anything else comes.
func wantWhole(t *testing.T, raw string) {
	t.Helper()
	drawn := 0
	for part := range strings.SplitSeq(raw, "\r\x1b[K") {
		at := statusText.FindStringIndex(part)
		if at == nil {
			continue
		}
		drawn++
		if at[0] != 0 || strings.Contains(part, "\n") {
			t.Errorf("got a status line that is torn: %q", part)
		}
	}
	if drawn == 0 {
		t.Errorf("got no status line in %q", raw)
	}
}

// TestHostsOnTerminal: while a run goes on over hosts, a terminal shows which of
// them has got the source tree, what is wrong with the user's ssh configuration,
// which was lost, and which can't be given back, beside the status line; and nothing of what hosts say, to
// everybody or to testr, does anything to it.
func TestHostsOnTerminal(t *testing.T) {
	t.Parallel()
	banner := filepath.Join(t.TempDir(), "banner")
	check(t, os.WriteFile(banner, []byte(hostile), 0o644))
	l, p := newLab(t, 2, lab.Options{Host: func(int) lab.HostOptions {
		return lab.HostOptions{Config: []string{"Banner " + banner}}
	}}, map[string]string{"tests": holders(8), "noise": hostileBytes})
	p.addSSH(l, append([]string{"Host *", " ForwardAgent yes"}, impatient...)...)
	conf := streaming + "[instance here]\ntype=local\nslots=1\nenv.PLACE=here\n" +
		"[instance hooks]\ntype=hook\ninstance_provision=echo one\ninstance_execute=PLACE=hooks; export PLACE; $COMMAND\n" +
		"instance_dispose=echo can not >&2; cat noise >&2; false\n"
	for _, h := range l.Hosts {
		conf += "[instance " + h.Name + "]\ndirectory=src\nsync=yes\nsync_exclude=holds.* tmux.socket raw start stop\n" +
			"env.PLACE=" + h.Name + "\nenv.PATH=" + os.Getenv("PATH") + "\nsetup=cat noise >&2\n"
		login := strings.ReplaceAll("cat NOISE >&2; cat NOISE\n", "NOISE", p.path("noise"))
		check(t, os.WriteFile(filepath.Join(h.Home, ".bashrc"), []byte(login), 0o644))
	}
	p.write(".testr.conf", conf)
	p.want(0, "init")
	q := newPane(p, "testr run --parallel; testr last; testr instances list")
	for _, h := range l.Hosts {
		await(t, "a test on "+h.Name, func() bool {
			held, err := filepath.Glob(filepath.Join(h.Home, "src", "holds.*"))
			check(t, err)
			return len(held) > 0
		})
	}
	q.awaitScreen(`(?m)^testr: host1 has the source tree: \d+ files, `)
	q.awaitScreen(`(?m)^0/8 done, 0 failed, 4 running`)
	crash(t, l.Hosts[1])
	screen := q.awaitScreen(`(?m)^testr: warning: instance host2 was lost: ssh host2 `)
	q.awaitScreen(`(?m)^0/8 done, 0 failed, 3 running`)
	wantText(t, screen, "\ntestr: host2 has the source tree: ")
	if n := len(statusText.FindAllString(screen, -1)); n > 1 {
		t.Errorf("got %d status lines; want 1:\n%s", n, screen)
	}
	p.write("go", "")
	check(t, os.WriteFile(filepath.Join(l.Hosts[0].Home, "src", "go"), nil, 0o600))
	p.awaitFile("status")
	raw := p.read("raw")
	wantHarmless(t, "testr run", raw)
	wantWhole(t, raw)
	wantText(t, raw, "ForwardAgent of the ssh configuration is ignored", `\x1b]52;c;aGFja2Vk\x07`, " (id=0)\r\n",
		"\r\x1b[Ktestr: warning: dispose of one: ")
	if got := p.read("status"); got != "0\n" {
		t.Errorf("got exit status %s; want 0\n%s", got, raw)
	}
}

// TestPassphraseBesideRun: while tests run a passphrase is asked for in a line of
// its own, over which nothing is drawn until it was given.
func TestPassphraseBesideRun(t *testing.T) {
	t.Parallel()
	_, p, key := newLocked(t)
	p.write(".testr.conf", p.read(".testr.conf")+"[instance here]\ntype=local\nslots=1\nenv.PLACE=here\n")
	p.write("tests", holders(6))
	c := p.atConsole("run", "--parallel")
	prompt := "Passphrase of " + key + ": "
	c.await(prompt, 1)
	p.awaitHolding(1, "here")
	<-time.After(2500 * time.Millisecond) // in which a status line would be drawn, and drawn again
	if shown := c.shown.String(); !strings.HasSuffix(shown, prompt) {
		t.Errorf("got more after the question: %q", shown)
	}
	c.types(sesame + "\n")
	p.awaitHolding(1, "host1", "host2")
	c.await("6 done, 0 failed, 3 running", 1)
	p.write("go", "")
	shown, status := c.wait()
	if status != 0 {
		t.Errorf("got exit status %d; want 0", status)
	}
	wantWhole(t, shown)
}
