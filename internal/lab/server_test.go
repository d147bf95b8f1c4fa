package lab_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"testr/internal/lab"
)

// patience is how long a state may take to come about.
const patience = 30 * time.Second

func newServer(t testing.TB, opts lab.ServerOptions) *lab.Server {
	t.Helper()
	if opts.Dir == "" {
		opts.Dir = t.TempDir()
	}
	s, err := lab.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// dial logs in with the files that ConfigFile writes.
func dial(t testing.TB, s *lab.Server) *ssh.Client {
	t.Helper()
	client, err := connect(t, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func connect(t testing.TB, s *lab.Server) (*ssh.Client, error) {
	t.Helper()
	home := t.TempDir()
	if _, err := s.ConfigFile(home); err != nil {
		t.Fatal(err)
	}
	return login(t, s.Addr(), "lab", home, s.IdentityFile())
}

// login logs in as a client whose home directory home is.
func login(t testing.TB, addr, user, home, identity string) (*ssh.Client, error) {
	t.Helper()
	known, err := knownhosts.New(filepath.Join(home, ".ssh", "known_hosts"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(identity)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.ParsePrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return ssh.Dial("tcp", addr, &ssh.ClientConfig{
		User: user, Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: known, Timeout: patience,
	})
}

// eventually waits until ok holds.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(patience)
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for !ok() {
		select {
		case <-again.C:
		case <-deadline:
			t.Fatalf("waited %v in vain: %s", patience, what)
		}
	}
}

// start runs a command and gives its stdout, once it has written a line, and
// that line.
func start(t testing.TB, client *ssh.Client, command string) (*ssh.Session, string) {
	t.Helper()
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := session.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := session.Start(command); err != nil {
		t.Fatal(err)
	}
	return session, readLine(t, stdout)
}

func readLine(t testing.TB, r io.Reader) string {
	t.Helper()
	var line []byte
	for b := make([]byte, 1); ; {
		if _, err := r.Read(b); err != nil {
			t.Fatalf("got %q, then %v; want a line", line, err)
		}
		if b[0] == '\n' {
			return string(line)
		}
		line = append(line, b[0])
	}
}

func pidOf(t testing.TB, text string) int {
	t.Helper()
	pid, err := strconv.Atoi(text)
	if err != nil || pid < 2 {
		t.Fatalf("got %q; want the number of a process", text)
	}
	return pid
}

func alive(pid int) bool {
	return syscall.Kill(pid, 0) == nil
}

func TestServerMaxSessions(t *testing.T) {
	s := newServer(t, lab.ServerOptions{MaxSessions: 2})
	client := dial(t, s)
	first, _ := start(t, client, "echo ready; exec sleep 600")
	start(t, client, "echo ready; exec sleep 600")
	_, err := client.NewSession()
	var refused *ssh.OpenChannelError
	if !errors.As(err, &refused) || refused.Reason != ssh.ConnectionFailed || refused.Message != "open failed" {
		t.Fatalf("got %v; want the third session refused", err)
	}
	if _, err := dial(t, s).NewSession(); err != nil {
		t.Errorf("another connection: %v", err)
	}
	_ = first.Signal(ssh.SIGKILL)
	_ = first.Wait()
	eventually(t, "there is room again", func() bool {
		_, err := client.NewSession()
		return err == nil
	})
}

func TestServerRecordsRequests(t *testing.T) {
	s := newServer(t, lab.ServerOptions{})
	client := dial(t, s)
	if ok, _, err := client.SendRequest("keepalive@openssh.com", true, nil); ok || err != nil {
		t.Errorf("keepalive: got %v, %v; want an answer, which is no", ok, err)
	}
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if err := session.Setenv("A", "b"); err == nil {
		t.Error("env was accepted")
	}
	if err := session.RequestPty("xterm", 24, 80, nil); err == nil {
		t.Error("pty-req was accepted")
	}
	if err := session.Run("true"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := client.OpenChannel("x11", nil); err == nil {
		t.Error("x11 was accepted")
	}
	var got []string
	for _, r := range s.Requests() {
		got = append(got, fmt.Sprintf("%d %s %s", r.Connection, r.Kind, r.Type))
	}
	want := []string{
		"0 global keepalive@openssh.com", "0 open session", "0 channel env", "0 channel pty-req",
		"0 channel exec", "0 open x11",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	exec := s.Requests()[4]
	if string(exec.Payload) != "\x00\x00\x00\x04true" || !exec.WantReply {
		t.Errorf("got %+v; want the command in the payload", exec)
	}
}

func TestServerHang(t *testing.T) {
	s := newServer(t, lab.ServerOptions{})
	client := dial(t, s)
	file := filepath.Join(t.TempDir(), "file")
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	stdin, err := session.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := session.Start("cat >" + file); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the command runs", func() bool {
		_, err := os.Stat(file)
		return err == nil
	})
	s.Hang()
	_, _ = stdin.Write([]byte("late"))
	answered := make(chan error, 1)
	go func() {
		_, _, err := client.SendRequest("keepalive@openssh.com", true, nil)
		answered <- err
	}()
	// A handshake that begins meanwhile has to wait, too.
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	if n, err := conn.Read(make([]byte, 100)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %d bytes and %v from a server that hangs", n, err)
	}
	select {
	case err := <-answered:
		t.Fatalf("a server that hangs answered: %v", err)
	default:
	}
	if text, err := os.ReadFile(file); len(text) > 0 || err != nil {
		t.Errorf("got %q, %v; want nothing read by a server that hangs", text, err)
	}
	s.Resume()
	eventually(t, "nothing is lost", func() bool {
		text, _ := os.ReadFile(file)
		return string(text) == "late"
	})
	if err := <-answered; err != nil {
		t.Error(err)
	}
}

func TestServerCloseWhileItHangs(t *testing.T) {
	s := newServer(t, lab.ServerOptions{Delay: time.Millisecond})
	client := dial(t, s)
	s.Hang()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_ = client.Wait()
}

func TestServerDropAndRefuse(t *testing.T) {
	s := newServer(t, lab.ServerOptions{})
	client := dial(t, s)
	s.Refuse()
	if _, err := connect(t, s); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("got %v; want a refused connection", err)
	}
	if _, err := client.NewSession(); err != nil {
		t.Errorf("a connection that is there: %v", err)
	}
	s.Drop()
	if err := client.Wait(); err == nil {
		t.Error("the connection ended well; want an error")
	}
	if err := s.Accept(); err != nil {
		t.Fatal(err)
	}
	dial(t, s)
	if _, accepted := s.Connections(); accepted != 2 {
		t.Errorf("got %d connections; want 2", accepted)
	}
}

func TestServerDelay(t *testing.T) {
	const delay = 30 * time.Millisecond
	s := newServer(t, lab.ServerOptions{Delay: delay})
	client := dial(t, s)
	begun := time.Now()
	if _, _, err := client.SendRequest("keepalive@openssh.com", true, nil); err != nil {
		t.Fatal(err)
	}
	if trip := time.Since(begun); trip < 2*delay {
		t.Errorf("a round trip took %v; want at least %v", trip, 2*delay)
	}
	// What is late is still whole, in order, and not one round trip a packet.
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	sent := make([]byte, 10<<20)
	for i := range sent {
		sent[i] = byte(i >> 8)
	}
	session.Stdin = bytes.NewReader(sent)
	got, err := session.Output("cat")
	if err != nil || !bytes.Equal(got, sent) {
		t.Errorf("got %d bytes, %v; want the %d that were sent", len(got), err, len(sent))
	}
}

func TestServerRefusesKeys(t *testing.T) {
	s := newServer(t, lab.ServerOptions{})
	stranger, err := lab.NewHostKey()
	if err != nil {
		t.Fatal(err)
	}
	_, err = ssh.Dial("tcp", s.Addr(), &ssh.ClientConfig{
		User: "lab", Auth: []ssh.AuthMethod{ssh.PublicKeys(stranger)},
		HostKeyCallback: ssh.FixedHostKey(s.HostKey()), Timeout: patience,
	})
	if err == nil || !strings.Contains(err.Error(), "unable to authenticate") {
		t.Errorf("got %v; want a stranger refused", err)
	}
	friendly := newServer(t, lab.ServerOptions{AuthorizedKeys: []ssh.PublicKey{stranger.PublicKey()}})
	client, err := ssh.Dial("tcp", friendly.Addr(), &ssh.ClientConfig{
		User: "lab", Auth: []ssh.AuthMethod{ssh.PublicKeys(stranger)},
		HostKeyCallback: ssh.FixedHostKey(friendly.HostKey()), Timeout: patience,
	})
	if err != nil {
		t.Fatal(err)
	}
	_ = client.Close()
}

func TestServerHostCertificate(t *testing.T) {
	ca, err := lab.NewHostKey()
	if err != nil {
		t.Fatal(err)
	}
	dial(t, newServer(t, lab.ServerOptions{HostCA: ca})) // known_hosts has the authority alone
}

func TestServerForwards(t *testing.T) {
	jump, target := newServer(t, lab.ServerOptions{}), newServer(t, lab.ServerOptions{})
	conn, err := dial(t, jump).Dial("tcp", target.Addr())
	if err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(target.IdentityFile())
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.ParsePrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	sshConn, channels, requests, err := ssh.NewClientConn(conn, target.Addr(), &ssh.ClientConfig{
		User: "lab", Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: ssh.FixedHostKey(target.HostKey()),
	})
	if err != nil {
		t.Fatal(err)
	}
	client := ssh.NewClient(sshConn, channels, requests)
	defer func() { _ = client.Close() }()
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if out, err := session.Output("echo through"); string(out) != "through\n" || err != nil {
		t.Errorf("got %q, %v; want an answer through the jump host", out, err)
	}
	if _, err := dial(t, jump).Dial("tcp", "127.0.0.1:1"); err == nil {
		t.Error("a port where nobody listens was reached")
	}
}

func TestSixtyFourServers(t *testing.T) {
	dir := t.TempDir()
	servers := make([]*lab.Server, 64)
	for i := range servers {
		servers[i] = newServer(t, lab.ServerOptions{
			Dir: filepath.Join(dir, strconv.Itoa(i)), Name: fmt.Sprintf("host%d", i), IdentityFile: filepath.Join(dir, "key"),
		})
	}
	config, err := lab.ConfigFile(dir, servers...)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(config)
	if err != nil || strings.Count(string(text), "Host host") != len(servers) {
		t.Errorf("got %v and\n%s\nwant %d hosts", err, text, len(servers))
	}
	info, err := os.Stat(servers[0].IdentityFile())
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v; want a key for its owner alone", info.Mode(), err)
	}
	ports := make([]int, len(servers))
	var work sync.WaitGroup
	for i, s := range servers {
		ports[i] = s.Port()
		work.Go(func() {
			client, err := connect(t, s)
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = client.Close() }()
			session, err := client.NewSession()
			if err != nil {
				t.Error(err)
				return
			}
			if out, err := session.Output("echo $HOME"); err != nil || string(out) != s.Home()+"\n" {
				t.Errorf("%s: got %q, %v; want its home", s.Name(), out, err)
			}
		})
	}
	work.Wait()
	slices.Sort(ports)
	if len(slices.Compact(ports)) != len(servers) {
		t.Error("two servers share a port")
	}
}
