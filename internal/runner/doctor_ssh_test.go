package runner

import (
	"maps"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"testr/internal/config"
	"testr/internal/lab"
)

// newServers makes SSH servers by these names, and a user who knows them.
func newServers(t *testing.T, options map[string]lab.ServerOptions) map[string]*lab.Server {
	t.Helper()
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("SSH_AUTH_SOCK", "")
	servers := make(map[string]*lab.Server)
	for name, o := range options {
		o.Name, o.Dir = name, t.TempDir()
		s, err := lab.NewServer(o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		servers[name] = s
	}
	var all []*lab.Server
	for s := range maps.Values(servers) {
		all = append(all, s)
	}
	if _, err := lab.ConfigFile(home, all...); err != nil {
		t.Fatal(err)
	}
	return servers
}

// section is one of [instance NAME], in lines of its own.
func section(name string, lines ...string) string {
	return "[instance " + name + "]\n" + strings.Join(lines, "\n") + "\n"
}

// TestDoctorSSH: a host where all is well, with fewer sessions a connection than
// there are slots.
func TestDoctorSSH(t *testing.T) {
	servers := newServers(t, map[string]lab.ServerOptions{"host1": {MaxSessions: 2}})
	d := newDoctored(t, nil)
	d.write(config.Name, streamConf+section("host1", "directory="+d.dir, "setup=echo welcome; export A=b", "slots=2"))
	d.examine()
	d.wantTrouble(nil)
	d.want("host1: reach", CheckOK, 0, "127.0.0.1:", "round trip")
	for _, name := range []string{"host key", "login", "shell", "clock", "platform"} {
		d.want("host1: "+name, CheckOK, 0)
	}
	d.want("host1: directory", CheckOK, 0, d.dir)
	d.want("host1: setup", CheckOK, 0)
	d.want("host1: sessions", CheckOK, 0, "2 sessions at once, over 2 connections")
	d.want("host1: worker", CheckOK, 0)
	d.want("listing", CheckOK, 0, "2 tests", "on host1")
	d.wantLeases(0)
	if open, _ := servers["host1"].Connections(); open > 0 {
		t.Errorf("got %d connections left open", open)
	}
}

// TestDoctorHosts is about hosts that each lack something. They are looked at
// together, and none is in the way of another.
func TestDoctorHosts(t *testing.T) {
	path := t.TempDir() // of programs that tell lies
	for name, script := range map[string]string{
		"date":  "#!/bin/sh\nexec env PATH=/usr/bin:/bin date -d '1 hour' \"$@\"\n",
		"uname": "#!/bin/sh\nenv PATH=/usr/bin:/bin uname \"$@\" | sed s/Linux/Plan9/\n",
	} {
		for _, dir := range []string{name, name + "-bin"} {
			if err := os.MkdirAll(filepath.Join(path, dir), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(path, name+"-bin", name), []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	withPath := func(name string) lab.ServerOptions {
		return lab.ServerOptions{Env: []string{"PATH=" + filepath.Join(path, name+"-bin") + ":" + os.Getenv("PATH")}}
	}
	servers := newServers(t, map[string]lab.ServerOptions{
		"lost": {}, "strange": {}, "closed": {}, "nowhere": {}, "file": {}, "setup": {}, "worker": {}, "empty": {}, "old": {},
		"bare": {},
		"late": withPath("date"), "plan9": withPath("uname"),
	})
	home := os.Getenv("HOME")
	servers["lost"].Refuse()
	forgetKey(t, filepath.Join(home, ".ssh", "known_hosts"), servers["strange"])
	if _, err := lab.WriteKey(servers["closed"].IdentityFile(), ""); err != nil {
		t.Fatal(err)
	}
	d := newDoctored(t, nil)
	here := "directory=" + d.dir
	sections := []string{
		section("lost", here),
		section("strange", "# a line more", here),
		section("closed", here),
		section("nowhere", "directory=no/such"),
		section("file", here+"/list"),
		section("setup", here, "setup=echo no venv here >&2; exit 5"),
		section("worker", "directory=/"),
		section("late", here),
		section("plan9", here, "relay=yes"),
		section("empty", "directory=to/come", "sync=yes"),
		section("bare", "directory=src", "sync=yes"),
		section("old", "directory=src", "sync=yes", "setup=exit 3"),
	}
	conf := streamConf + strings.Join(sections, "")
	line := func(text string) int {
		before, _, _ := strings.Cut(conf, text)
		return strings.Count(before, "\n") + 1
	}
	d.write(config.Name, conf)
	src := filepath.Join(servers["old"].Home(), "src", ".testr")
	if err := os.MkdirAll(src, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(src, "synced"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(servers["bare"].Home(), "src"), 0o700); err != nil {
		t.Fatal(err)
	}
	d.examine()
	trouble := map[string]string{
		"lost: reach": "problem", "strange: host key": "problem", "closed: login": "problem",
		"nowhere: directory": "problem", "file: directory": "problem", "setup: setup": "problem",
		"worker: worker": "problem", "late: clock": "warning", "plan9: platform": "problem", "empty: worker": "warning",
		"bare: worker": "warning", "old: setup": "problem", "slots": "warning",
	}
	for _, c := range d.checks { // where they were listed is a matter of who was first
		if c.Name == checkListing && c.Outcome != CheckOK {
			trouble[checkListing] = "problem"
			delete(trouble, "slots")
		}
	}
	d.wantTrouble(trouble)
	d.want("lost: reach", CheckProblem, line("[instance lost]"), "refused", "see whether sshd runs there")
	d.want("strange: reach", CheckOK, 0)
	d.want("strange: host key", CheckProblem, line("[instance strange]"), "is not known", "`ssh strange`")
	d.want("closed: host key", CheckOK, 0)
	d.want("closed: login", CheckProblem, line("[instance closed]"), "authorized_keys")
	d.want("nowhere: directory", CheckProblem, line("directory=no/such"), "no/such", "sync=yes", servers["nowhere"].Home())
	d.want("file: directory", CheckProblem, line(here+"/list"), "can't be used")
	d.want("setup: setup", CheckProblem, line("setup=echo"), "no venv here", "exit status 5")
	d.want("worker: worker", CheckProblem, line("worker_command="), "worker.sh")
	d.want("late: clock", CheckWarning, 0, "it is 1h0m0s ahead", "NTP")
	d.want("plan9: platform", CheckProblem, line("relay=yes"), "Plan9")
	d.want("empty: directory", CheckOK, 0, "a run makes it")
	d.want("empty: sync", CheckOK, 0, "a run brings what git doesn't ignore")
	d.want("empty: worker", CheckWarning, 0, "not there yet")
	d.want("bare: directory", CheckOK, 0, "is there, without the source tree")
	d.want("bare: worker", CheckWarning, 0, "not there yet")
	d.want("old: setup", CheckProblem, line("setup=exit 3"), "exit status 3")
	if _, err := os.Stat(filepath.Join(servers["empty"].Home(), "to")); err == nil {
		t.Error("the directory was made")
	}
}

// forgetKey takes a server's key out of a known_hosts file.
func forgetKey(t *testing.T, file string, s *lab.Server) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var rest strings.Builder
	for known := range strings.Lines(string(b)) {
		if !strings.HasPrefix(known, "["+"127.0.0.1]:"+strconv.Itoa(s.Port())+" ") {
			rest.WriteString(known)
		}
	}
	if rest.Len() == len(b) {
		t.Fatalf("%s is not in %s:\n%s", net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port())), file, b)
	}
	if err := os.WriteFile(file, []byte(rest.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestDoctorSSHConfiguration: what the user's own configuration has wrong.
func TestDoctorSSHConfiguration(t *testing.T) {
	newServers(t, map[string]lab.ServerOptions{"host1": {}})
	file := filepath.Join(os.Getenv("HOME"), ".ssh", "config")
	if err := os.WriteFile(file, []byte("Host host1\n\tPort many\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := newDoctored(t, map[string]string{config.Name: streamConf + section("host1")})
	d.examine()
	d.wantTrouble(map[string]string{"host1: reach": "problem", "listing": "warning"})
	d.want("host1: reach", CheckProblem, 6, "many")
}
