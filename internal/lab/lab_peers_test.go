//go:build peers

package lab_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"testr/internal/lab"
)

func startLab(t testing.TB, n int, opts lab.Options) *lab.Lab {
	t.Helper()
	l, err := lab.Start(t.Context(), t.TempDir(), n, opts)
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

// client is OpenSSH's, which knows the lab. It is killed when the test has lost
// its patience.
func client(t testing.TB, l *lab.Lab, h *lab.Host, command string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return exec.CommandContext(ctx, "ssh", "-F", l.Config, "-o", "BatchMode=yes", h.Name, command)
}

// ask runs a command on a host, and wants it to succeed.
func ask(t testing.TB, l *lab.Lab, h *lab.Host, command string) string {
	t.Helper()
	out, err := client(t, l, h, command).CombinedOutput()
	if err != nil {
		log, _ := os.ReadFile(h.Dir + "/sshd.log")
		t.Fatalf("ssh %s %s: %v: %s\n%s", h.Name, command, err, out, log)
	}
	return string(out)
}

// reaches tells whether a host answers within the time.
func reaches(h *lab.Host, timeout time.Duration) error {
	conn, err := net.DialTimeout("tcp", h.Addr(), timeout)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(timeout))
	_, err = conn.Read(make([]byte, 1))
	return err
}

func TestLabRunsCommands(t *testing.T) {
	l := startLab(t, 3, lab.Options{})
	for i, h := range l.Hosts {
		if want := fmt.Sprintf("host%d", i+1); h.Name != want {
			t.Errorf("got %q; want %q", h.Name, want)
		}
		if got, want := ask(t, l, h, "echo $HOME; pwd; echo ~"), strings.Repeat(h.Home+"\n", 3); got != want {
			t.Errorf("%s: got %q; want %q", h.Name, got, want)
		}
		var exit *exec.ExitError
		if err := client(t, l, h, "exit 7").Run(); !errors.As(err, &exit) || exit.ExitCode() != 7 {
			t.Errorf("%s: got %v; want exit status 7", h.Name, err)
		}
		out, err := h.Exec(t.Context(), "ip", "-brief", "addr")
		if err != nil || !strings.Contains(out, h.Address.String()) || strings.Contains(out, "eth0") {
			t.Errorf("%s: got %v and\n%s\nwant its own interfaces alone", h.Name, err, out)
		}
	}
	_, err := l.Hosts[0].Exec(t.Context(), "sh", "-c", "echo no >&2; exit 3")
	if err == nil || !strings.Contains(err.Error(), "exit status 3: no") {
		t.Errorf("got %v; want the exit status and stderr", err)
	}
}

func TestLabCutAndHeal(t *testing.T) {
	delayed := func(i int) lab.HostOptions { return lab.HostOptions{Delay: time.Duration(i) * time.Millisecond} }
	l := startLab(t, 2, lab.Options{Host: delayed})
	tests := map[string]struct{ cut, heal func(*lab.Host) error }{
		"cut": {
			cut:  func(h *lab.Host) error { return h.Cut(t.Context()) },
			heal: func(h *lab.Host) error { return h.Heal(t.Context()) },
		},
		"blackhole": {
			cut:  func(h *lab.Host) error { return h.Blackhole(t.Context(), true) },
			heal: func(h *lab.Host) error { return h.Blackhole(t.Context(), false) },
		},
	}
	for name, test := range tests {
		for _, h := range l.Hosts {
			t.Run(name+"/"+h.Name, func(t *testing.T) {
				cmd := client(t, l, h, "cat")
				stdin, err := cmd.StdinPipe()
				if err != nil {
					t.Fatal(err)
				}
				stdout, err := cmd.StdoutPipe()
				if err != nil {
					t.Fatal(err)
				}
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				_, _ = fmt.Fprintln(stdin, "before")
				if got := readLine(t, stdout); got != "before" {
					t.Fatalf("got %q; want what was sent", got)
				}
				if err := test.cut(h); err != nil {
					t.Fatal(err)
				}
				if err := reaches(h, 300*time.Millisecond); err == nil {
					t.Error("the host answers although it is cut off")
				}
				_, _ = fmt.Fprintln(stdin, "meanwhile")
				if err := test.heal(h); err != nil {
					t.Fatal(err)
				}
				if got := readLine(t, stdout); got != "meanwhile" { // TCP tries again
					t.Errorf("got %q; want what was sent meanwhile", got)
				}
				_ = stdin.Close()
				if err := cmd.Wait(); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestLabDelay(t *testing.T) {
	const delay = 40 * time.Millisecond
	l := startLab(t, 2, lab.Options{Host: func(i int) lab.HostOptions {
		jitter, loss := time.Duration(i)*5*time.Millisecond, float64(i)*0.02
		return lab.HostOptions{Delay: delay, Jitter: jitter, Loss: loss, Seed: 1}
	}})
	for _, h := range l.Hosts {
		begun := time.Now()
		if err := reaches(h, patience); err != nil {
			t.Fatal(err)
		}
		// The handshake is one round trip, sshd's first line comes with another.
		if took := time.Since(begun); took < 3*delay {
			t.Errorf("%s: got an answer after %v; want at least %v", h.Name, took, 3*delay)
		}
		if got, want := len(ask(t, l, h, "head -c 300000 /dev/zero")), 300_000; got != want {
			t.Errorf("%s: got %d bytes; want %d", h.Name, got, want)
		}
	}
}

// Packets are lost as the seed says.
func TestLabLoss(t *testing.T) {
	var received []string
	for _, seed := range []uint64{1, 1, 2} {
		l := startLab(t, 1, lab.Options{Host: func(int) lab.HostOptions { return lab.HostOptions{Loss: 0.3, Seed: seed} }})
		h := l.Hosts[0]
		out, err := h.Exec(t.Context(), "ping", "-c", "100", "-i", "0.005", "-W", "1", h.Gateway.String())
		if err != nil {
			t.Fatal(err)
		}
		var answered []string
		for _, match := range regexp.MustCompile(`icmp_seq=(\d+)`).FindAllStringSubmatch(out, -1) {
			answered = append(answered, match[1])
		}
		if n := len(answered); n < 20 || n > 80 { // 49 are to be expected
			t.Errorf("got %d answers of 100 with 30 %% lost either way", n)
		}
		received = append(received, strings.Join(answered, " "))
	}
	if diff := cmp.Diff(received[0], received[1]); diff != "" {
		t.Errorf("the same seed, other losses:\n%s", diff)
	}
	if received[0] == received[2] {
		t.Error("another seed, the same losses")
	}
}

func TestLabRate(t *testing.T) {
	const rate, size = 8_000_000, 1_000_000 // a second's worth
	l := startLab(t, 1, lab.Options{Host: func(int) lab.HostOptions { return lab.HostOptions{Rate: rate} }})
	begun := time.Now()
	if got := len(ask(t, l, l.Hosts[0], fmt.Sprintf("head -c %d /dev/zero", size))); got != size {
		t.Errorf("got %d bytes; want %d", got, size)
	}
	if took := time.Since(begun); took < 800*time.Millisecond {
		t.Errorf("%d bytes took %v at %d bits a second", size, took, rate)
	}
}

func TestLabSSHD(t *testing.T) {
	l := startLab(t, 1, lab.Options{})
	h := l.Hosts[0]
	h.KillSSHD()
	if err := reaches(h, patience); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("got %v; want a refused connection", err)
	}
	if err := h.StartSSHD(t.Context()); err != nil {
		t.Fatal(err)
	}
	ask(t, l, h, "true")
	old := h.KnownHost()
	if err := h.NewHostKey(t.Context()); err != nil {
		t.Fatal(err)
	}
	out, err := client(t, l, h, "true").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "REMOTE HOST IDENTIFICATION HAS CHANGED") {
		t.Errorf("got %v: %s; want the new key refused", err, out)
	}
	if err := os.WriteFile(l.Home+"/.ssh/known_hosts", []byte(h.KnownHost()), 0o600); err != nil {
		t.Fatal(err)
	}
	ask(t, l, h, "true")
	if h.KnownHost() == old {
		t.Error("the key is the same")
	}
}

func TestLabSessions(t *testing.T) {
	l := startLab(t, 1, lab.Options{})
	h := l.Hosts[0]
	cmd := client(t, l, h, "echo $$; cat; exec sleep 600")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := pidOf(t, readLine(t, stdout))
	if err := h.StopSessions(); err != nil {
		t.Fatal(err)
	}
	_, _ = fmt.Fprintln(stdin, "late")
	got := make(chan string, 1)
	go func() { got <- readLine(t, stdout) }()
	select {
	case line := <-got:
		t.Errorf("got %q through a connection that is stopped", line)
	case <-time.After(200 * time.Millisecond):
	}
	ask(t, l, h, "true") // a new connection isn't
	if err := h.ContinueSessions(); err != nil {
		t.Fatal(err)
	}
	if line := <-got; line != "late" {
		t.Errorf("got %q; want what was sent meanwhile", line)
	}
	if err := h.KillSessions(t.Context()); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 255 {
		t.Errorf("got %v; want the connection lost", err)
	}
	if !alive(pid) {
		t.Error("the command ended with its connection")
	}
	ask(t, l, h, "true")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the command ends with its host", func() bool { return !alive(pid) })
}

func TestLabMaxSessions(t *testing.T) {
	l := startLab(t, 1, lab.Options{Host: func(int) lab.HostOptions {
		return lab.HostOptions{MaxSessions: 1, Config: []string{"AcceptEnv LAB"}, Shell: "/bin/sh"}
	}})
	h := l.Hosts[0]
	socket := t.TempDir() + "/mux"
	master := exec.CommandContext(t.Context(), "ssh", "-F", l.Config, "-M", "-S", socket, h.Name, "echo ready; cat")
	stdin, err := master.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := master.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := master.Start(); err != nil {
		t.Fatal(err)
	}
	readLine(t, stdout)
	out, err := exec.CommandContext(t.Context(), "ssh", "-F", l.Config, "-S", socket, "-o", "ControlMaster=no",
		"-o", "ProxyCommand=false", h.Name, "true").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "Session open refused by peer") {
		t.Errorf("got %v: %s; want a second session refused", err, out)
	}
	_ = stdin.Close()
	if err := master.Wait(); err != nil {
		t.Error(err)
	}
	cmd := client(t, l, h, "echo $LAB $0")
	cmd.Args = append([]string{"ssh", "-o", "SetEnv=LAB=set"}, cmd.Args[1:]...)
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "set sh\n" {
		t.Errorf("got %q, %v; want the lines of Config and the shell heeded", out, err)
	}
}

// A host is reached by way of another: hosts know their network, and nothing else.
func TestLabJump(t *testing.T) {
	l := startLab(t, 2, lab.Options{Host: func(i int) lab.HostOptions {
		return lab.HostOptions{Delay: time.Duration(i) * time.Millisecond}
	}})
	for i, h := range l.Hosts {
		cmd := client(t, l, h, "echo $SSH_CLIENT")
		cmd.Args = append([]string{"ssh", "-J", l.Hosts[1-i].Name}, cmd.Args[1:]...)
		out, err := cmd.CombinedOutput()
		if want := l.Hosts[1-i].Address.String() + " "; err != nil || !strings.HasPrefix(string(out), want) {
			t.Errorf("got %v: %s; want a connection from %s", err, out, want)
		}
	}
}

func TestTwoLabs(t *testing.T) {
	first, second := startLab(t, 2, lab.Options{}), startLab(t, 2, lab.Options{})
	addresses := make(map[string]bool)
	for _, l := range []*lab.Lab{first, second} {
		for _, h := range l.Hosts {
			addresses[h.Addr()] = true
			if got := ask(t, l, h, "pwd"); got != h.Home+"\n" {
				t.Errorf("got %q; want %q", got, h.Home)
			}
		}
	}
	if len(addresses) != 4 {
		t.Errorf("got addresses %v; want four", addresses)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	ask(t, second, second.Hosts[1], "true")
}

// What the server in the process imitates, sshd does.
func TestSSHDIsLikeTheServer(t *testing.T) {
	l := startLab(t, 1, lab.Options{})
	h := l.Hosts[0]
	conn, err := login(t, h.Addr(), "root", l.Home, l.IdentityFile)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if ok, _, err := conn.SendRequest("keepalive@openssh.com", true, nil); ok || err != nil {
		t.Errorf("keepalive: got %v, %v; want an answer, which is no", ok, err)
	}
	session, line := start(t, conn, "echo $$; exec sleep 600")
	ok, err := session.SendRequest("signal", true, ssh.Marshal(struct{ Signal string }{"TERM"}))
	if ok || err != nil {
		t.Errorf("signal: got %v, %v; want root refused, as with RefuseSignals", ok, err)
	}
	_ = conn.Close()
	eventually(t, "the connection's sshd ends", func() bool {
		pids, err := h.Processes()
		return err == nil && len(pids) == 2
	})
	if !alive(pidOf(t, line)) {
		t.Error("the command ended with its connection")
	}
}
