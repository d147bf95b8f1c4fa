//go:build peers

package sshdial_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"testr/internal/instance/sshdial"
	"testr/internal/lab"
)

func startLab(t *testing.T, n int, opts lab.Options) *lab.Lab {
	t.Helper()
	l, err := lab.Start(testContext(t), t.TempDir(), n, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// labOptions are those of the user of a lab.
func labOptions(t *testing.T, l *lab.Lab) sshdial.Options {
	t.Helper()
	t.Setenv("SSH_AUTH_SOCK", "")
	return sshdial.Options{Home: l.Home, ConfigFile: l.Config, Log: testLog(t)}
}

// startAgent starts a real ssh-agent, which ends with the test.
func startAgent(t *testing.T) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "agent")
	cmd := exec.Command("ssh-agent", "-D", "-a", socket)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	eventually(t, "the agent's socket", func() bool {
		_, err := os.Stat(socket)
		return err == nil
	})
	return socket
}

func command(t *testing.T, env []string, stdin, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(testContext(t), name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v: %s", name, args, err, out)
	}
	return string(out)
}

// Agents and keys with passphrases that are OpenSSH's own.
func TestPeersLogin(t *testing.T) {
	l := startLab(t, 1, lab.Options{})
	host := l.Hosts[0].Name
	home := t.TempDir()
	sealed := filepath.Join(home, "sealed")
	for _, kind := range []string{"ed25519", "rsa", "ecdsa"} {
		_ = os.Remove(sealed)
		command(t, nil, "", "ssh-keygen", "-q", "-t", kind, "-a", "1", "-N", "secret", "-C", "test", "-f", sealed)
		public, err := os.ReadFile(sealed + ".pub")
		if err != nil {
			t.Fatal(err)
		}
		rewrite(t, filepath.Join(l.Hosts[0].Dir, "authorized_keys"), func(string) string { return string(public) })
		o := labOptions(t, l)
		o.ConfigFile = write(t, filepath.Join(home, "config"),
			fmt.Sprintf("IdentityFile %s\nIdentitiesOnly yes\nInclude %s\n", sealed, l.Config))

		t.Run(kind+" without anybody to ask", func(t *testing.T) {
			_, err := resolve(t, host, o).Dial(testContext(t))
			if !errors.Is(err, sshdial.ErrAuthentication) || !strings.Contains(hintOf(err), "ssh-add "+sealed) {
				t.Errorf("Dial error is %v, and the hint %q; want ssh-add %s", err, hintOf(err), sealed)
			}
		})
		t.Run(kind+" with its passphrase", func(t *testing.T) {
			o := o
			o.Passphrase = func(string) ([]byte, error) { return []byte("secret"), nil }
			if got := run(t, dial(t, host, o), "echo hello"); got != "hello" {
				t.Errorf("echo hello wrote %q; want hello", got)
			}
		})
		t.Run(kind+" in an agent", func(t *testing.T) {
			o := o
			o.AgentSocket = startAgent(t)
			ask := write(t, filepath.Join(t.TempDir(), "ask"), "#!/bin/sh\necho secret\n")
			if err := os.Chmod(ask, 0o700); err != nil {
				t.Fatal(err)
			}
			command(t, []string{"SSH_AUTH_SOCK=" + o.AgentSocket, "SSH_ASKPASS=" + ask, "SSH_ASKPASS_REQUIRE=force"}, "",
				"ssh-add", "-q", sealed)
			if got := run(t, dial(t, host, o), "echo hello"); got != "hello" {
				t.Errorf("echo hello wrote %q; want hello", got)
			}
		})
	}
}

// join connects two hosts directly, so that the first can reach the second.
func join(t *testing.T, a, b *lab.Host) {
	t.Helper()
	ctx := testContext(t)
	for _, step := range []struct {
		host *lab.Host
		args []string
	}{
		{a, []string{"ip", "link", "add", "jump0", "type", "veth", "peer", "name", "jump1", "netns", b.Namespace}},
		{a, []string{"ip", "addr", "add", "10.255.255.1/30", "dev", "jump0"}},
		{a, []string{"ip", "link", "set", "jump0", "up"}},
		{b, []string{"ip", "addr", "add", "10.255.255.2/30", "dev", "jump1"}},
		{b, []string{"ip", "link", "set", "jump1", "up"}},
		{a, []string{"ip", "route", "add", b.Address.String(), "dev", "jump0"}},
	} {
		if _, err := step.host.Exec(ctx, step.args...); err != nil {
			t.Fatal(err)
		}
	}
}

// A host that only another one can reach.
func TestPeersJump(t *testing.T) {
	l := startLab(t, 2, lab.Options{})
	gate, behind := l.Hosts[0], l.Hosts[1]
	join(t, gate, behind)
	for name, config := range map[string]string{
		"ProxyJump":    "ProxyJump " + gate.Name,
		"ProxyCommand": "ProxyCommand ssh -F " + l.Config + " -W [%h]:%p " + gate.Name,
	} {
		t.Run(name, func(t *testing.T) {
			o := quickly(labOptions(t, l))
			o.ConfigFile = write(t, filepath.Join(t.TempDir(), "config"),
				"Host "+behind.Name+"\n "+config+"\nHost *\nInclude "+l.Config+"\n")
			conn := dial(t, behind.Name, o)
			if got := run(t, conn, "echo $SSH_CONNECTION"); !strings.HasPrefix(got, "10.255.255.1 ") {
				t.Errorf("the connection is %q; want one from the jump host", got)
			}
			eventually(t, "an answered keepalive", func() bool { return conn.RTT() > 0 })
			if err := gate.StopSessions(); err != nil {
				t.Fatal(err)
			}
			await(t, "Lost", conn.Lost())
			if err := gate.KillSessions(testContext(t)); err != nil {
				t.Fatal(err)
			}
			closed := make(chan struct{})
			go func() {
				defer close(closed)
				_ = conn.Close()
			}()
			await(t, "Close", closed)
		})
	}
}

// Threat F5: an sshd that lets in few at a time lets all in in the end.
func TestPeersMaxStartups(t *testing.T) {
	const dials = 20
	l := startLab(t, 1, lab.Options{Host: func(int) lab.HostOptions { return lab.HostOptions{MaxStartups: "3:100:3"} }})
	o := labOptions(t, l)
	target := resolve(t, l.Hosts[0].Name, o)
	ctx := testContext(t)
	began := time.Now()
	var all sync.WaitGroup
	for range dials {
		all.Go(func() {
			conn, err := target.Dial(ctx)
			if err != nil {
				t.Errorf("Dial error: %v", err)
				return
			}
			defer func() { _ = conn.Close() }()
			_ = run(t, conn, "true")
		})
	}
	all.Wait()
	log, err := os.ReadFile(filepath.Join(l.Hosts[0].Dir, "sshd.log"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(log), "MaxStartups throttling") {
		t.Error("sshd has turned nobody away: this test shows nothing")
	}
	t.Logf("%d connections in %v", dials, time.Since(began))
}

// Threats F5 and F6: however a connection goes, it is known in time.
func TestPeersLost(t *testing.T) {
	l := startLab(t, 1, lab.Options{})
	host := l.Hosts[0]
	for _, test := range []struct {
		name    string
		busy    bool // with bytes on their way
		end     func(t *testing.T) error
		mend    func(t *testing.T) error
		atMost  time.Duration
		because string
	}{
		{name: "blackhole, idle", end: func(t *testing.T) error { return host.Blackhole(testContext(t), true) },
			mend:   func(t *testing.T) error { return host.Blackhole(testContext(t), false) },
			atMost: quickLimit + time.Second, because: "no answer for 1.5s"},
		{name: "blackhole, busy", busy: true, end: func(t *testing.T) error { return host.Blackhole(testContext(t), true) },
			mend:   func(t *testing.T) error { return host.Blackhole(testContext(t), false) },
			atMost: quickLimit + time.Second},
		{name: "cable pulled", end: func(t *testing.T) error { return host.Cut(testContext(t)) },
			mend:   func(t *testing.T) error { return host.Heal(testContext(t)) },
			atMost: quickLimit + time.Second},
		{name: "sshd stopped", end: func(*testing.T) error { return host.StopSessions() },
			mend:   func(*testing.T) error { return host.ContinueSessions() },
			atMost: quickLimit + time.Second, because: "no answer for 1.5s"},
		{name: "sshd killed", end: func(t *testing.T) error { return host.KillSessions(testContext(t)) },
			mend: func(*testing.T) error { return nil }, atMost: 10 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			conn := dial(t, host.Name, quickly(labOptions(t, l)))
			session, err := conn.NewSession()
			if err != nil {
				t.Fatal(err)
			}
			stdin, err := session.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := session.Start("cat > /dev/null"); err != nil {
				t.Fatal(err)
			}
			if test.busy {
				go func() { _, _ = io.Copy(stdin, zeros{}) }()
			}
			eventually(t, "an answered keepalive", func() bool { return conn.RTT() > 0 })
			began := time.Now()
			if err := test.end(t); err != nil {
				t.Fatal(err)
			}
			await(t, "Lost", conn.Lost())
			took := time.Since(began)
			err = conn.Err()
			if took > test.atMost || !errors.Is(err, sshdial.ErrLost) || !strings.Contains(fmt.Sprint(err), test.because) {
				t.Errorf("lost after %v: %v; want within %v: %s", took, err, test.atMost, test.because)
			}
			t.Logf("lost after %v: %v", took, err)
			_ = conn.Close()
			if err := test.mend(t); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// Defence S14: an sshd that comes back with another key gets nothing.
func TestPeersHostKeyChanges(t *testing.T) {
	l := startLab(t, 1, lab.Options{})
	host := l.Hosts[0]
	target := resolve(t, host.Name, labOptions(t, l))
	conn, err := target.Dial(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := host.NewHostKey(testContext(t)); err != nil {
		t.Fatal(err)
	}
	_, err = target.Dial(testContext(t))
	if !errors.Is(err, sshdial.ErrHostKeyChanged) {
		t.Fatalf("Dial error is %v; want %v", err, sshdial.ErrHostKeyChanged)
	}
	hint := hintOf(err)
	_, rest, _ := strings.Cut(hint, "`")
	remedy, _, _ := strings.Cut(rest, "`")
	command(t, nil, "", "sh", "-c", remedy) // what the hint says is what helps
	if _, err := target.Dial(testContext(t)); !errors.Is(err, sshdial.ErrHostKeyUnknown) {
		t.Errorf("Dial error after %s is %v; want %v", remedy, err, sshdial.ErrHostKeyUnknown)
	}
	known := filepath.Join(l.Home, ".ssh", "known_hosts")
	rewrite(t, known, func(text string) string { return text + host.KnownHost() })
	again, err := target.Dial(testContext(t))
	if err != nil {
		t.Fatalf("Dial error when the new key is known: %v", err)
	}
	_ = again.Close()
}

// What accept-new writes down is what ssh reads, and the reverse.
func TestPeersKnownHosts(t *testing.T) {
	l := startLab(t, 1, lab.Options{})
	host := l.Hosts[0].Name
	for _, hash := range []string{"no", "yes"} {
		for _, first := range []string{"ssh", "testr"} {
			t.Run("hash "+hash+", first "+first, func(t *testing.T) {
				dir := t.TempDir()
				config := func(strict string) string {
					return write(t, filepath.Join(dir, "config-"+strict), "UserKnownHostsFile "+filepath.Join(dir, "known")+
						"\nGlobalKnownHostsFile none\nHashKnownHosts "+hash+"\nStrictHostKeyChecking "+strict+"\nInclude "+l.Config+"\n")
				}
				strict := [2]string{"accept-new", "yes"}
				if first == "testr" {
					strict[0], strict[1] = strict[1], strict[0]
				}
				ssh := func() { command(t, nil, "", "ssh", "-F", config(strict[0]), "-o", "BatchMode=yes", host, "true") }
				if first == "ssh" {
					ssh()
				}
				o := labOptions(t, l)
				o.ConfigFile = config(strict[1])
				_ = run(t, dial(t, host, o), "true")
				if first == "testr" {
					ssh()
				}
			})
		}
	}
}

// What a connection to sshd costs, and its first session: 44 ms without
// TCP_QUICKACK.
func BenchmarkDial(b *testing.B) {
	l, err := lab.Start(b.Context(), b.TempDir(), 1, lab.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	target, err := sshdial.Resolve(b.Context(), l.Hosts[0].Name, sshdial.Options{Home: l.Home, ConfigFile: l.Config})
	if err != nil {
		b.Fatal(err)
	}
	var dialed, opened time.Duration
	for b.Loop() {
		began := time.Now()
		conn, err := target.Dial(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		dialed += time.Since(began)
		began = time.Now()
		session, err := conn.NewSession()
		if err != nil {
			b.Fatal(err)
		}
		opened += time.Since(began)
		_ = session.Close()
		_ = conn.Close()
	}
	b.ReportMetric(float64(dialed.Microseconds())/float64(b.N)/1e3, "ms/dial")
	b.ReportMetric(float64(opened.Microseconds())/float64(b.N)/1e3, "ms/session")
}
