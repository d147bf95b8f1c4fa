//go:build peers

package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"testr/internal/event"
	"testr/internal/lab"
)

// impatient is an ssh configuration with which a host that says nothing is soon
// taken for dead.
var impatient = []string{"Host *", " ServerAliveInterval 1", " ServerAliveCountMax 2", ""}

// TestHostLost: whatever becomes of a host in the middle of a run, its tests go
// elsewhere, the run ends well, and the loss is in it, with which tests moved.
func TestHostLost(t *testing.T) {
	t.Parallel()
	restart := func(t *testing.T, h *lab.Host) { t.Helper(); check(t, h.StartSSHD(context.WithoutCancel(t.Context()))) }
	kill := func(t *testing.T, h *lab.Host) { t.Helper(); crash(t, h) }
	for _, tt := range []struct {
		name string
		more string // of the sections
		ssh  []string
		lose func(*testing.T, *lab.Host)
		heal func(*testing.T, *lab.Host)
		why  string
	}{
		{"link cut", "", nil, cut, heal, "no answer for 15s"}, // F6 with the usual patience
		{"packets vanish", "", impatient, blackhole, unhole, "no answer for 2s"},
		{"packets vanish before a relay", "relay=yes", impatient, blackhole, unhole, "no answer for 2s"},
		{"sshd stopped", "", impatient, func(t *testing.T, h *lab.Host) { check(t, h.StopSessions()) },
			func(t *testing.T, h *lab.Host) { check(t, h.ContinueSessions()) }, "no answer for 2s"},
		{"sshd killed", "", nil, kill, restart, "the host has closed the connection"},
		{"sshd killed before a relay", "relay=yes", nil, kill, restart, "the host has closed the connection"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l, p := newLab(t, 3, lab.Options{}, map[string]string{"tests": holders(12)})
			p.addSSH(l, tt.ssh...)
			p.write(".testr.conf", streaming+p.sections(l, tt.more))
			p.want(0, "init")
			b := p.start("run", "--parallel")
			held := p.awaitHolding(1, names(l)...)
			t.Cleanup(func() { tt.heal(t, l.Hosts[1]) })
			tt.lose(t, l.Hosts[1])
			p.write("go.host1", "") // these two have what the lost one will leave
			p.write("go.host3", "")
			b.awaitSaid("instance host2 was lost: ")
			res := b.wait()
			if res.status != 0 {
				t.Fatalf("got exit status %d; want 0\n%s%s", res.status, res.out, res.err)
			}
			last := p.want(0, "last")
			moved := regexp.MustCompile(`(?m)^\d tests? moved when instance host2 was lost \(.*` + held["host2"][0])
			wantText(t, res.out, moved.FindString(last.out), "Ran 12 tests", "PASSED (id=0)")
			wantText(t, res.err, "testr: warning: instance host2 was lost: ssh host2 (root@", tt.why)
			wantOnce(t, res.err, "instance host2")
			if n := hostsOf(t, last.out); n["host1"]+n["host3"] != 12 || n["host2"] != 0 {
				t.Errorf("got %v tests by host; want 12 on the others", n)
			}
			if !moved.MatchString(last.out) {
				t.Errorf("got this of \"last\"; want that %s moved:\n%s", held["host2"][0], last.out)
			}
			wantText(t, last.err, "instance host2 was lost: ")
			p.write("go.host2", "")
		})
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func cut(t *testing.T, h *lab.Host) { t.Helper(); check(t, h.Cut(t.Context())) }
func heal(t *testing.T, h *lab.Host) {
	t.Helper()
	check(t, h.Heal(context.WithoutCancel(t.Context())))
}
func blackhole(t *testing.T, h *lab.Host) { t.Helper(); check(t, h.Blackhole(t.Context(), true)) }
func unhole(t *testing.T, h *lab.Host) {
	t.Helper()
	check(t, h.Blackhole(context.WithoutCancel(t.Context()), false))
}

// TestDeafAtTheEnd: a host that says nothing when the run is over changes no
// verdict.
func TestDeafAtTheEnd(t *testing.T) {
	t.Parallel()
	for _, more := range []string{"", "relay=yes"} {
		t.Run(more, func(t *testing.T) {
			t.Parallel()
			l, p := newLab(t, 2, lab.Options{}, map[string]string{"tests": holders(2)})
			p.addSSH(l, impatient...)
			p.write(".testr.conf", streaming+p.sections(l, more))
			p.want(0, "init")
			b := p.start("run", "--parallel")
			p.awaitHolding(1, names(l)...)
			p.write("go.host2", "")
			await(t, "the end of the worker", func() bool { return len(living(p)) == 1 })
			check(t, l.Hosts[1].StopSessions())
			t.Cleanup(func() { check(t, l.Hosts[1].ContinueSessions()) })
			p.write("go", "")
			res := b.wait()
			if res.status != 0 {
				t.Errorf("got exit status %d; want 0\n%s%s", res.status, res.out, res.err)
			}
			if n := strings.Count(res.err, "instance host2"); n > 1 || strings.Contains(res.err, "error") {
				t.Errorf("got this on stderr; want a warning at most:\n%s", res.err)
			}
		})
	}
}

// crash kills what a host has of sshd, as a crash of the host would.
func crash(t *testing.T, hosts ...*lab.Host) {
	t.Helper()
	for _, h := range hosts {
		h.KillSSHD()
		check(t, h.KillSessions(t.Context()))
	}
}

// TestHostBack: a host that was lost is used again when it is there again.
func TestHostBack(t *testing.T) {
	t.Parallel()
	l, p := newLab(t, 2, lab.Options{}, map[string]string{"tests": holders(6)})
	p.write(".testr.conf", streaming+p.sections(l))
	p.want(0, "init")
	b := p.start("run", "--parallel")
	held := p.awaitHolding(1, names(l)...)
	crash(t, l.Hosts[1])
	b.awaitSaid("instance host2 was lost: ")
	for _, id := range held["host2"] {
		p.remove("holds." + id + ".host2")
	}
	check(t, l.Hosts[1].StartSSHD(t.Context()))
	p.awaitHolding(1, "host2")
	p.write("go", "")
	res := b.wait()
	if res.status != 0 {
		t.Fatalf("got exit status %d; want 0\n%s%s", res.status, res.out, res.err)
	}
	wantOnce(t, res.err, "instance host2")
	if n := hostsOf(t, p.want(0, "last").out); n["host1"]+n["host2"] != 6 || n["host2"] == 0 {
		t.Errorf("got %v tests by host; want 6, and some on host2", n)
	}
}

// TestLateHost: a host that comes up when the run has begun gets its part, and
// nobody waits for it.
func TestLateHost(t *testing.T) {
	t.Parallel()
	l, p := newLab(t, 2, lab.Options{}, map[string]string{"tests": holders(6)})
	p.write(".testr.conf", streaming+p.sections(l))
	p.want(0, "init")
	l.Hosts[1].KillSSHD()
	b := p.start("run", "--parallel")
	p.awaitHolding(1, "host1")
	b.awaitSaid("instance host2: ")
	check(t, l.Hosts[1].StartSSHD(t.Context()))
	p.awaitHolding(1, "host2")
	p.write("go", "")
	res := b.wait()
	if res.status != 0 {
		t.Fatalf("got exit status %d; want 0\n%s%s", res.status, res.out, res.err)
	}
	wantOnce(t, res.err, "instance host2: ssh host2 (root@"+l.Hosts[1].Addr()+"): connect: connection refused\n"+
		"testr: hint: see whether sshd runs there, and on port 22\n")
	if n := hostsOf(t, p.want(0, "last").out); n["host1"]+n["host2"] != 6 || n["host2"] == 0 {
		t.Errorf("got %v tests by host; want 6, and some on host2", n)
	}
}

// TestAllHostsLost: without any host the run ends and names them all. What it has
// not run is in the failing set, and can be run when they are back.
func TestAllHostsLost(t *testing.T) {
	t.Parallel()
	l, p := newLab(t, 2, lab.Options{}, map[string]string{"tests": holders(6) + "m.C99.test_fail\n"})
	p.write(".testr.conf", streaming+p.sections(l))
	p.want(0, "init")
	b := p.start("run", "--parallel")
	p.awaitHolding(1, names(l)...)
	crash(t, l.Hosts...)
	res := b.wait()
	if res.status != 3 {
		t.Fatalf("got exit status %d; want 3\n%s%s", res.status, res.out, res.err)
	}
	for _, h := range l.Hosts {
		wantOnce(t, res.err, "testr: warning: instance "+h.Name+" was lost: ")
		wantOnce(t, res.err, "testr: warning: instance "+h.Name+": ") // and why it is not there any more
	}
	wantText(t, res.err, "testr: error: no worker is left to run the remaining tests (7 outstanding; lost: host",
		"testr: hint: testr run --resume runs what this run left (7)\n")
	wantText(t, res.out, "7 tests not run: no worker left (m.C00.test_holds", "FAILED (id=0)\n")
	last := p.want(3, "last")
	wantText(t, last.out, "7 tests not run: no worker left", " moved when instance host1 was lost (",
		" moved when instance host2 was lost (")
	if got := strings.Count(p.want(1, "failing", "--list").out, "\n"); got != 7 {
		t.Errorf("got %d tests in the failing set; want 7", got)
	}

	for _, h := range l.Hosts {
		check(t, h.StartSSHD(t.Context()))
	}
	p.write("go", "")
	wantText(t, p.want(1, "run", "--parallel", "--failing").out, "Ran 7 ", "(id=1, failures=1")
	crash(t, l.Hosts[0])
	wantText(t, p.want(1, "run", "--parallel", "--failing").out, "Ran 1 ", "(id=2, failures=1")
}

// TestResumeOnHosts: what a run left when its hosts were lost can be taken up.
func TestResumeOnHosts(t *testing.T) {
	t.Parallel()
	l, p := newLab(t, 1, lab.Options{}, map[string]string{"tests": "m.C0.test_fail\n" + holders(3)})
	p.write(".testr.conf", streaming+p.sections(l))
	p.want(0, "init")
	b := p.start("run", "--parallel")
	p.awaitHolding(1, "host1")
	crash(t, l.Hosts...)
	if res := b.wait(); res.status != 3 {
		t.Fatalf("got exit status %d; want 3\n%s%s", res.status, res.out, res.err)
	}
	check(t, l.Hosts[0].StartSSHD(t.Context()))
	p.write("go", "")
	wantText(t, p.want(0, "run", "--parallel", "--resume").out, "Ran 3 ", "PASSED (id=1)")
	wantText(t, p.want(1, "failing", "--list").out, "m.C0.test_fail\n")
}

// TestStranger: a host that is back with another key is not the host that it was:
// it is not tried again, and gets nothing (S14).
func TestStranger(t *testing.T) {
	t.Parallel()
	l, p := newLab(t, 2, lab.Options{}, map[string]string{"tests": holders(6)})
	p.write(".testr.conf", streaming+p.sections(l))
	p.want(0, "init")
	b := p.start("run", "--parallel")
	held := p.awaitHolding(1, names(l)...)
	logins := func() int {
		log, err := os.ReadFile(filepath.Join(l.Hosts[1].Dir, "sshd.log"))
		check(t, err)
		return bytes.Count(log, []byte("Accepted publickey"))
	}
	before := logins()
	check(t, l.Hosts[1].NewHostKey(t.Context()))
	check(t, l.Hosts[1].KillSessions(t.Context()))
	b.awaitSaid("the host's key has changed")
	p.write("go", "")
	res := b.wait()
	if res.status != 0 {
		t.Fatalf("got exit status %d; want 0\n%s%s", res.status, res.out, res.err)
	}
	wantText(t, res.err, "hint: somebody may be posing as the host", "`ssh-keygen -R "+l.Hosts[1].Address.String())
	wantOnce(t, res.err, "has changed")
	if got := p.holding()["host2"]; len(got) != len(held["host2"]) {
		t.Errorf("got the tests %q on host2; want those from before its key has changed, %q", got, held["host2"])
	}
	if after := logins(); before == 0 || after != before {
		t.Errorf("got %d logins on host2, %d before its key has changed; want no more, and some", after, before)
	}
	lost := false
	for _, e := range p.events(0) {
		lost = lost || e.Kind == event.KindWorkerExited && e.Worker == 1
		if lost && e.Kind == event.KindSent && e.Worker == 1 {
			t.Errorf("got %q sent to the stranger", e.Tests)
		}
	}
	if !lost {
		t.Error("got no end of the worker on host2")
	}
}

// TestClocks: a host's clock may be off by an hour: durations are right, and what
// came first stands first.
func TestClocks(t *testing.T) {
	t.Parallel()
	l, p := newLab(t, 2, lab.Options{}, map[string]string{"tests": holders(2)})
	p.write(".testr.conf", streaming+p.section("host1", "env.CLOCK=-1h")+p.section("host2", "env.CLOCK=1h"))
	p.want(0, "init")
	b := p.start("run", "--parallel", "--subunit")
	held := p.awaitHolding(1, names(l)...)
	order := func() []string { return endings(b.out.String()) }
	p.write("go.host2", "")
	await(t, "the first outcome", func() bool { return len(order()) == 1 })
	p.write("go", "")
	if res := b.wait(); res.status != 0 {
		t.Fatalf("got exit status %d; want 0\n%s", res.status, res.err)
	}
	if got, want := order(), []string{held["host2"][0], held["host1"][0]}; !slices.Equal(got, want) {
		t.Errorf("got the outcomes in the order %q; want %q", got, want)
	}
	last := p.want(0, "last")
	shown := p.want(0, "slowest", "--all").out + last.out
	seconds := regexp.MustCompile(`\d+\.\d{3}`).FindAllString(shown, -1)
	if len(seconds) != 3 {
		t.Errorf("got the times %q; want two tests' and the run's", seconds)
	}
	for _, s := range seconds {
		if n, err := strconv.ParseFloat(s, 64); err != nil || n <= 0 || n > 600 {
			t.Errorf("got %s s; want what it took\n%s", s, shown)
		}
	}
}
