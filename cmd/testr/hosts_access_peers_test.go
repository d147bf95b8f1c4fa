//go:build peers

package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"testr/internal/lab"
)

// refusal is a host that can't be had, as the host "bad" of the user's ssh
// configuration.
type refusal struct {
	name   string
	ssh    string   // the user's configuration
	host   string   // as the section has it; empty for bad
	wants  []string // what people are told, and once
	passes bool     // it may pass, and is waited for
}

// key makes a key and returns its file.
func (p *project) key(name string) string {
	p.t.Helper()
	if _, err := lab.WriteKey(p.path(name), ""); err != nil {
		p.t.Fatal(err)
	}
	return p.path(name)
}

// authorize has hosts let in who has a key.
func authorize(t *testing.T, file string, hosts ...*lab.Host) {
	t.Helper()
	public, err := os.ReadFile(file + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range hosts {
		f, err := os.OpenFile(h.Dir+"/authorized_keys", os.O_APPEND|os.O_WRONLY, 0)
		if err == nil {
			_, err = f.Write(public)
			_ = f.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// refusals are hosts that can't be had, all of them host2 in truth.
func refusals(p *project, l *lab.Lab) []refusal {
	h := l.Hosts[1]
	known := l.Home + "/.ssh/known_hosts"
	other, _, _ := strings.Cut(l.Hosts[0].KnownHost(), " ")
	changed := strings.Replace(l.Hosts[0].KnownHost(), other, h.Address.String(), 1)
	p.writePrivate("changed", changed)
	p.writePrivate("unknown", "")
	stranger := p.key("stranger")
	locked := p.path("locked")
	lockedKey(p.t, locked, "open sesame")
	authorize(p.t, locked, h)
	out, err := exec.Command("ssh-keygen", "-l", "-f", h.Dir+"/ssh_host_ed25519_key.pub").Output()
	if err != nil {
		p.t.Fatal(err)
	}
	fingerprint := strings.Fields(string(out))[1]
	return []refusal{
		{name: "unknown name", passes: true, host: "nowhere.invalid",
			wants: []string{"ssh nowhere.invalid", "no such host", "testr: hint: ", "HostName ADDRESS"}},
		{name: "refused port", passes: true, ssh: stanza("bad", h, l.IdentityFile, known, "Port 1"),
			wants: []string{"connection refused", "testr: hint: see whether sshd runs there, and on port 1\n"}},
		{name: "wrong key", ssh: stanza("bad", h, stranger, known),
			wants: []string{"log in", "not accepted: " + stranger, "testr: hint: add the public key", "authorized_keys"}},
		{name: "no agent and no key", ssh: stanza("bad", h, "none", known),
			wants: []string{"there is no key to offer", "there is no agent", "testr: hint: start an agent and `ssh-add` a key"}},
		{name: "passphrase without a terminal", ssh: stanza("bad", h, locked, known),
			wants: []string{locked + " has a passphrase, and there is no terminal", "testr: hint: `ssh-add " + locked + "`"}},
		{name: "unknown host key", ssh: stanza("bad", h, l.IdentityFile, p.path("unknown")),
			wants: []string{"is not known", fingerprint, "accept it with `ssh bad`"}},
		{name: "changed host key", ssh: stanza("bad", h, l.IdentityFile, p.path("changed")),
			wants: []string{"has changed", fingerprint, p.path("changed") + ":1",
				"`ssh-keygen -R " + h.Address.String() + " -f " + p.path("changed") + "`"}},
		{name: "a name with a command in it", host: "x;touch${IFS}pwned",
			wants: []string{"x;touch${IFS}pwned"}},
	}
}

// TestRefused: a host that can't be had is told of once, with what is wrong and
// what to do; the tests run elsewhere. If there is no other host the run is not
// possible, and says why, once.
func TestRefused(t *testing.T) {
	t.Parallel()
	l := startLab(t, 2, lab.Options{})
	for _, r := range refusals(newProject(t, nil), l) {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			p := newProject(t, map[string]string{"tests": holders(2)})
			p.cleanUp()
			p.addSSH(l, r.ssh)
			host := r.host
			if host == "" {
				host = "bad"
			}
			bad := p.section("bad", "host="+host)
			p.write(".testr.conf", streaming+p.section("host1")+bad)
			p.want(0, "init")
			b := p.start("run", "--parallel")
			b.awaitSaid("instance bad: ")
			p.write("go", "")
			res := b.wait()
			if res.status != 0 {
				t.Fatalf("got exit status %d; want 0\n%s%s", res.status, res.out, res.err)
			}
			wantOnce(t, res.err, "testr: warning: instance bad: ")
			wantText(t, res.err, r.wants...)
			if n := hostsOf(t, p.want(0, "last").out); n["host1"] != 2 {
				t.Errorf("got %v tests by host; want 2 on host1", n)
			}

			p.write(".testr.conf", streaming+bad)
			res = p.want(3, "run", "--parallel")
			wantOnce(t, res.err, "instance bad: ")
			wantText(t, res.err, append(r.wants, "testr: error: list tests: no instance is there\n")...)
			wantText(t, res.out, "FAILED (id=1)\n")
			if r.passes {
				return
			}
			res = p.want(3, "list-tests")
			wantOnce(t, res.err, "instance bad: ")
			wantText(t, res.err, append(r.wants, "testr: error: list tests: no instance is there:\ninstance bad: ")...)
			res = p.want(3, "run", "--load-list", "tests", "--subunit")
			wantOnce(t, res.err, "instance bad: ")
			wantText(t, res.err, append(r.wants, "testr: error: no worker is left", "2 outstanding; lost: bad)")...)
			if p.exists("pwned") {
				t.Error("the name of the host was run")
			}
		})
	}
}

// wantOnce wants a text to be shown once.
func wantOnce(t *testing.T, shown, text string) {
	t.Helper()
	if n := strings.Count(shown, text); n != 1 {
		t.Errorf("got %q %d times; want it once:\n%s", text, n, shown)
	}
}
