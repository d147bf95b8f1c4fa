//go:build peers

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"testr/internal/lab"
)

// TestDoctorOnHosts: of three hosts one is as it should be, one lacks the
// directory, and one has a key that nobody knows.
func TestDoctorOnHosts(t *testing.T) {
	t.Parallel()
	l, p := newLab(t, 3, lab.Options{Host: func(int) lab.HostOptions { return lab.HostOptions{MaxSessions: 4} }},
		map[string]string{"tests": suite(20)})
	conf := streaming + p.section("host1", "slots=5", "relay=yes") + "[instance direct]\nhost=host1\ndirectory=" + p.dir +
		"\nenv.PATH=" + os.Getenv("PATH") + "\nslots=5\n" +
		"[instance host2]\ndirectory=src/nowhere\n" + p.section("host3")
	p.write(".testr.conf", conf)
	forgetHost(t, l, 2)
	p.want(0, "init")

	var found struct {
		Version, Status int
		Checks          []struct {
			Instance, Fix, File *string
			Check, Outcome      string
			Detail              string
			Line                *int
		}
	}
	res := p.want(3, "doctor", "--json")
	if err := json.Unmarshal([]byte(res.out), &found); err != nil {
		t.Fatalf("%v in\n%s", err, res.out)
	}
	wrong, seen := map[string]string{}, map[string]string{}
	for _, c := range found.Checks {
		name := c.Check
		if c.Instance != nil {
			name = *c.Instance + ": " + name
		}
		seen[name] = c.Outcome + " " + c.Detail
		if c.Outcome != "problem" {
			continue
		}
		line, fix := 0, ""
		if c.Line != nil {
			line = *c.Line
		}
		if c.Fix != nil {
			fix = *c.Fix
		}
		wrong[name] = fmt.Sprintf("%d %s", line, fix)
	}
	lineOf := func(text string) int {
		before, _, _ := strings.Cut(conf, text)
		return strings.Count(before, "\n") + 1
	}
	want := map[string]string{
		"host2: directory": fmt.Sprintf("%d name the one that has the tests, or have testr bring them: sync=yes. "+
			"A relative one begins in the home directory, which is %s", lineOf("directory=src/nowhere"), l.Hosts[1].Home),
		"host3: host key": fmt.Sprintf("%d compare the fingerprint with the host's own and accept it with `ssh host3`",
			lineOf("[instance host3]")),
	}
	if diff := cmp.Diff(want, wrong); diff != "" {
		t.Errorf("problems (-want +got):\n%s\n%s", diff, res.out)
	}
	for name, text := range map[string]string{
		"host1: relay": "ok testr ", "host1: worker": "ok ", "direct: worker": "ok ", "host2: login": "ok as root",
		"direct: sessions": "ok 5 sessions at once, over 2 connections", "listing": "ok 24 tests",
	} {
		if !strings.HasPrefix(seen[name], text) {
			t.Errorf("%s: got %q; want %q", name, seen[name], text)
		}
	}
	if found.Version != 1 || found.Status != 3 {
		t.Errorf("got version %d, status %d; want 1, 3", found.Version, found.Status)
	}
	p.want(3, "last") // there is no run
	p.wantNobodyLeft(1)

	shown := p.want(3, "doctor").out
	wantText(t, shown, "FAIL  host3: host key", "\n      fix: compare the fingerprint", "2 of ")
	t.Log(shown)
}

// TestDoctorOnHookBySSH: hooks of OpenSSH's own ssh keep the contract, but that
// what is ended here goes on there; and one that is made wrong doesn't.
func TestDoctorOnHookBySSH(t *testing.T) {
	t.Parallel()
	l, p := newLab(t, 1, lab.Options{}, map[string]string{"tests": suite(3)})
	hook := func(name, options string) string {
		return "[instance " + name + "]\ninstance_provision=echo host1 # $INSTANCE_COUNT\n" +
			"instance_execute=ssh " + options + " -F " + l.Config + " $INSTANCE_ID \"cd " + p.dir +
			" && env PATH=$PATH $COMMAND\" # $FILES\ninstance_dispose=: $INSTANCE_IDS\n"
	}
	p.write(".testr.conf", streaming+hook("ssh", ""))
	p.want(0, "init")
	res := p.want(0, "doctor")
	wantText(t, res.out, "ok    ssh: exit status", "ok    ssh: buffering", "ok    ssh: stdin", "ok    ssh: stdout",
		"ok    ssh: worker", "warn  ssh: cancel", "a command that is ended here goes on there", "7 tests", "all is well")
	t.Log(res.out)
	p.write(".testr.conf", streaming+hook("ssh", "-n"))
	wantText(t, p.want(3, "doctor", "--timeout", "10s").out, "FAIL  ssh: stdin", "ssh without -n",
		"ok    ssh: exit status")
	p.write(".testr.conf", streaming+hook("ssh", "-tt"))
	res = p.want(3, "doctor", "--timeout", "10s")
	wantText(t, res.out, "FAIL  ssh: stdout", "without -t")
	t.Log(res.out)
}

// forgetHost takes a host's key out of what the lab's user knows.
func forgetHost(t *testing.T, l *lab.Lab, i int) {
	t.Helper()
	file := filepath.Join(l.Home, ".ssh", "known_hosts")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	rest := strings.Replace(string(b), l.Hosts[i].KnownHost(), "", 1)
	if rest == string(b) {
		t.Fatalf("%s is not in %s:\n%s", l.Hosts[i].Name, file, b)
	}
	if err := os.WriteFile(file, []byte(rest), 0o600); err != nil {
		t.Fatal(err)
	}
}
