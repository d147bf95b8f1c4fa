package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"testr/internal/lab"
)

// TestRequestsOfARun is S15: in a whole run, with the tree brought over and with
// a relay, hosts are asked for sessions, commands, and whether they are there: for
// no forwarding, no variables, no terminal, whatever the user's ssh configuration
// says. What runs there has no way to the user's agent.
func TestRequestsOfARun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := newProject(t, map[string]string{"sub/file": "content\n",
		"tests": "m.C1.test_holds\nm.C2.test_holds\nm.C3.test_holds\nm.C4.test_holds\n"})
	conf := strings.Replace(streaming, "=test-double --stream", "=env >>environment; exec test-double --stream", 1)
	servers := map[string]*lab.Server{}
	for _, name := range []string{"plain", "relay"} {
		s, err := lab.NewServer(lab.ServerOptions{Dir: filepath.Join(dir, name), Name: name,
			IdentityFile: filepath.Join(dir, "id_ed25519")})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		servers[name] = s
		conf += fmt.Sprintf("[instance %s]\nslots=2\nsync=yes\ndirectory=src\nenv.PATH=%s\n", name, os.Getenv("PATH"))
	}
	p.write(".testr.conf", conf+"relay=yes\n")
	config, err := lab.ConfigFile(filepath.Join(dir, "home"), servers["plain"], servers["relay"])
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	all := "ForwardAgent yes\nForwardX11 yes\nRemoteForward 1235 localhost:80\nSendEnv *\nSetEnv A=1\nRequestTTY force\n" +
		"ServerAliveInterval 1\n"
	if err := os.WriteFile(config, append([]byte(all), theirs...), 0o600); err != nil {
		t.Fatal(err)
	}
	p.env = append(p.env, "HOME="+filepath.Join(dir, "home"), "SSH_AUTH_SOCK="+filepath.Join(dir, "agent"), "DISPLAY=:7")
	p.want(0, "init")
	b := p.start("run", "--parallel")
	for name, s := range servers { // before one of them could run all that there is
		await(t, "two tests on "+name+", and a question whether it is there", func() bool {
			held, _ := filepath.Glob(filepath.Join(dir, name, "home", "src", "holds.*"))
			return len(held) == 2 && asked(s)["keepalive@openssh.com"] > 1
		})
	}
	for name := range servers {
		src := filepath.Join(dir, name, "home", "src")
		environment, err := os.ReadFile(filepath.Join(src, "environment"))
		if err != nil || !strings.Contains(string(environment), "TESTR_KEEPER=") {
			t.Errorf("%s: got the environment %q, %v", name, environment, err)
		}
		for _, variable := range []string{"SSH_AUTH_SOCK=", "DISPLAY=", "\nA=1\n"} {
			if strings.Contains(string(environment), variable) {
				t.Errorf("%s: workers have %q in their environment:\n%s", name, variable, environment)
			}
		}
		if err := os.WriteFile(filepath.Join(src, "go"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if res := b.wait(); res.status != 0 {
		t.Errorf("got exit status %d; want 0\n%s%s", res.status, res.out, res.err)
	}
	for name, s := range servers {
		got := asked(s)
		if got["session"] == 0 || got["exec"] != got["session"] {
			t.Errorf("%s: got asked %v; want sessions, with a command each", name, got)
		}
		for _, kind := range []string{"session", "exec", "keepalive@openssh.com"} {
			delete(got, kind)
		}
		if len(got) > 0 {
			t.Errorf("%s: got asked for more: %v", name, got)
		}
	}
}

// asked is how often a server was asked for what.
func asked(s *lab.Server) map[string]int {
	n := map[string]int{}
	for _, r := range s.Requests() {
		n[r.Type]++
	}
	return n
}
