package sshdial_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"testr/internal/instance/sshdial"
	"testr/internal/lab"
)

// quickLimit is for how long nothing may be heard of a host with quickly.
const quickLimit = 3 * quickInterval

const quickInterval = 500 * time.Millisecond

// quickly are options that find out soon that a host is gone.
func quickly(o sshdial.Options) sshdial.Options {
	o.Keepalive, o.Misses = quickInterval, 3
	return o
}

// A host that says nothing is given up when it has missed its keepalives, and
// everything that waited for it ends. Threat F6.
func TestConnHung(t *testing.T) {
	server := testServer(t, lab.ServerOptions{Name: "w1"})
	conn := dial(t, "w1", quickly(testOptions(t, server)))
	session, err := conn.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if err := session.Start("sleep 1000"); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- session.Wait() }()
	eventually(t, "an answered keepalive", func() bool { return conn.RTT() > 0 })
	if err := conn.Err(); err != nil {
		t.Errorf("Err of a connection that stands is %v; want nil", err)
	}
	server.Hang()
	hung := time.Now()
	await(t, "Lost", conn.Lost())
	took := time.Since(hung)
	if low, high := quickLimit-quickInterval-50*time.Millisecond, quickLimit+10*time.Second; took < low || took > high {
		t.Errorf("the host was given up after %v; want %v to %v", took, low, high)
	}
	err = conn.Err()
	if !errors.Is(err, sshdial.ErrLost) || !strings.Contains(fmt.Sprint(err), "no answer for 1.5s") {
		t.Errorf("Err is %v; want no answer for 1.5s", err)
	}
	select {
	case err := <-ended:
		if err == nil {
			t.Error("the session has ended well; want an error")
		}
	case <-time.After(patience):
		t.Error("the session hangs")
	}
}

// As long as anything is heard of a host it is alive, slow as it may be.
func TestConnBusy(t *testing.T) {
	server := testServer(t, lab.ServerOptions{Name: "w1", Delay: 50 * time.Millisecond})
	o := testOptions(t, server)
	o.Keepalive, o.Misses = 200*time.Millisecond, 10
	conn := dial(t, "w1", o)
	if got := len(run(t, conn, "head -c 8000000 /dev/zero | tr '\\0' x")); got != 8000000 {
		t.Errorf("read %d bytes; want 8000000", got)
	}
	eventually(t, "an answered keepalive", func() bool { return conn.RTT() > 0 })
	if got := conn.RTT(); got < 100*time.Millisecond || got > 10*time.Second {
		t.Errorf("RTT is %v; want 100ms and little more", got)
	}
	if err := conn.Err(); err != nil {
		t.Errorf("the connection is gone: %v", err)
	}
}

// A connection that breaks is lost at once, and before anything that used it
// ends. Threat F5.
func TestConnDropped(t *testing.T) {
	server := testServer(t, lab.ServerOptions{Name: "w1"})
	conn := dial(t, "w1", testOptions(t, server))
	session, err := conn.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if err := session.Start("sleep 1000"); err != nil {
		t.Fatal(err)
	}
	known := make(chan bool, 1)
	go func() {
		_ = session.Wait()
		select {
		case <-conn.Lost():
			known <- true
		default:
			known <- false
		}
	}()
	server.Drop()
	await(t, "Lost", conn.Lost())
	if !<-known {
		t.Error("the session has ended before Lost was closed")
	}
	err = conn.Err()
	if !errors.Is(err, sshdial.ErrLost) || !strings.Contains(fmt.Sprint(err), "ssh w1 (lab@"+server.Addr()) {
		t.Errorf("Err is %v; want one that names the host", err)
	}
}

// So is one on which the host, or somebody on the way, says what makes no
// sense.
func TestConnGarbled(t *testing.T) {
	server := testServer(t, lab.ServerOptions{Name: "w1"})
	garble := make(chan struct{})
	front := turnstile(t, server, func(conn net.Conn) bool {
		go func() {
			<-garble
			_, _ = conn.Write(make([]byte, 64))
		}()
		return false
	})
	t.Cleanup(sync.OnceFunc(func() { close(garble) }))
	o := testOptions(t, server)
	rewrite(t, o.ConfigFile, func(text string) string {
		return "Host w1\n HostKeyAlias known\n Port " + portOf(t, front.Addr().String()) + "\n" + text
	})
	rewrite(t, filepath.Join(o.Home, ".ssh", "known_hosts"), func(string) string {
		return "known " + text(server.HostKey())
	})
	conn := dial(t, "w1", o)
	eventually(t, "an answered keepalive", func() bool { return conn.RTT() > 0 })
	garble <- struct{}{}
	await(t, "Lost", conn.Lost())
	if err := fmt.Sprint(conn.Err()); strings.Contains(err, "no answer") || strings.Contains(err, "use of closed") {
		t.Errorf("Err is %v; want what was wrong with what the host has said", err)
	}
}

// Close ends everything at once, may be called again and by several, and is no
// loss of the host's.
func TestConnClose(t *testing.T) {
	for _, hung := range []bool{false, true} {
		t.Run(fmt.Sprintf("hung=%v", hung), func(t *testing.T) {
			server := testServer(t, lab.ServerOptions{Name: "w1"})
			jump := testServer(t, lab.ServerOptions{Name: "jump"})
			o := testOptions(t, server, jump)
			rewrite(t, o.ConfigFile, func(text string) string { return text + "Host w1\n ProxyJump jump\n" })
			conn := dial(t, "w1", o)
			session, err := conn.NewSession()
			if err != nil {
				t.Fatal(err)
			}
			stdin, err := session.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := session.Start("sleep 1000"); err != nil {
				t.Fatal(err)
			}
			if hung {
				server.Hang()
				jump.Hang()
			}
			written := make(chan error, 1)
			go func() { // fills all that can be filled on the way
				_, err := io.Copy(stdin, zeros{})
				written <- err
			}()
			closed := make(chan struct{})
			go func() {
				defer close(closed)
				for range 2 {
					if err := conn.Close(); err != nil {
						t.Errorf("Close error: %v", err)
					}
				}
			}()
			await(t, "Close", closed)
			if err := conn.Err(); err == nil || !strings.Contains(err.Error(), "it was closed") {
				t.Errorf("Err is %v; want that it was closed", err)
			}
			select {
			case err := <-written:
				if err == nil {
					t.Error("writing has ended well; want an error")
				}
			case <-time.After(patience):
				t.Error("writing hangs")
			}
		})
	}
}

// zeros is an endless reader.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

// Close does not wait for a session that nobody serves: x/crypto/ssh reads
// nothing more of a connection when the requests for one of its channels are
// not taken.
func TestConnCloseUnserved(t *testing.T) {
	key := newKey(t, "ed25519")
	h := newKeyHost(t, "", "", key)
	h.know(t, "%s "+text(key.PublicKey()))
	h.server.open = func(channel ssh.NewChannel) {
		c, requests, err := channel.Accept()
		if err != nil {
			return
		}
		go ssh.DiscardRequests(requests)
		for range 100 {
			_, _ = c.SendRequest("nothing", false, nil)
		}
	}
	conn, err := resolve(t, "w1", h.o).Dial(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	_, requests, err := conn.OpenChannel("session", nil)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "requests", func() bool { return len(requests) == cap(requests) })
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		_ = conn.Close()
	}()
	await(t, "Close", closed)
	go ssh.DiscardRequests(requests)
}

// holdMain is what the test binary does as a client that is stopped: it
// connects to w1, says so, and at the end of its input says how that went.
func holdMain(home string) int {
	say := func(v ...any) { _, _ = fmt.Fprintln(os.Stdout, v...) }
	config := filepath.Join(home, ".ssh", "config")
	o := sshdial.Options{Home: home, ConfigFile: config, Keepalive: time.Second / 2, Misses: 4}
	target, err := sshdial.Resolve(context.Background(), "w1", o)
	if err != nil {
		say(err)
		return 1
	}
	conn, err := target.Dial(context.Background())
	if err != nil {
		say(err)
		return 1
	}
	for conn.RTT() == 0 { // an answer that waits to be read could hide what the test is about
		select {
		case <-conn.Lost():
			say(conn.Err())
			return 1
		case <-time.After(time.Millisecond):
		}
	}
	say("connected")
	_, _ = io.Copy(io.Discard, os.Stdin)
	if _, _, err := conn.SendRequest("are you there", true, nil); err != nil {
		say("lost:", conn.Err())
	} else {
		say("held")
	}
	return 0
}

// A process that was stopped has heard nothing of the host, which is not the
// host's fault.
func TestConnStopped(t *testing.T) {
	server := testServer(t, lab.ServerOptions{Name: "w1"})
	o := testOptions(t, server)
	cmd := exec.Command(executable(t), "hold", o.Home)
	cmd.Stderr = t.Output()
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
	limit := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer limit.Stop()
	lines := bufio.NewScanner(stdout)
	if !lines.Scan() || lines.Text() != "connected" {
		t.Errorf("the client said %q; want that it has connected", lines.Text())
	}
	stopped := time.NewTimer(4 * time.Second) // twice as long as a host has
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Error(err)
	}
	<-stopped.C
	if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Error(err)
	}
	stopped.Reset(time.Second) // it looks at its watch meanwhile
	<-stopped.C
	_ = stdin.Close()
	if !lines.Scan() || lines.Text() != "held" {
		t.Errorf("the client said %q; want that the connection has held", lines.Text())
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// The loss of a jump host is said to be that.
func TestConnJumpLost(t *testing.T) {
	server := testServer(t, lab.ServerOptions{Name: "w1"})
	jump := testServer(t, lab.ServerOptions{Name: "jump"})
	o := quickly(testOptions(t, server, jump))
	rewrite(t, o.ConfigFile, func(text string) string { return text + "Host w1\n ProxyJump jump\n" })
	conn := dial(t, "w1", o)
	jump.Drop()
	await(t, "Lost", conn.Lost())
	err := conn.Err()
	if !errors.Is(err, sshdial.ErrLost) || !strings.Contains(fmt.Sprint(err), "the way there is gone: ssh jump (") {
		t.Errorf("Err is %v; want that the way over jump is gone", err)
	}
}

// The end of a ProxyCommand is the end of the connection.
func TestConnProxyLost(t *testing.T) {
	server := testServer(t, lab.ServerOptions{Name: "w1"})
	front := turnstile(t, server, func(net.Conn) bool { return false })
	o := testOptions(t, server)
	self := executable(t)
	rewrite(t, o.ConfigFile, func(text string) string {
		return "Host w1\n ProxyCommand '" + self + "' proxy " + front.Addr().String() +
			"; echo it is over >&2; exit 4\n" + text
	})
	conn := dial(t, "w1", o)
	server.Drop()
	await(t, "Lost", conn.Lost())
	eventually(t, "what the ProxyCommand says", func() bool {
		return strings.Contains(fmt.Sprint(conn.Err()), "the ProxyCommand said: it is over")
	})
}

// Defence S15: whatever the configuration says, nothing is asked for but what
// the caller asks for and keepalives, and channels that the host opens are
// refused.
func TestConnForwardsNothing(t *testing.T) {
	key := newKey(t, "ed25519")
	const config = "ForwardAgent yes\nForwardX11 yes\nForwardX11Trusted yes\nLocalForward 1234 localhost:80\n" +
		"RemoteForward 1235 localhost:80\nDynamicForward 1236\nTunnel yes\nPermitLocalCommand yes\nLocalCommand false"
	h := newKeyHost(t, config, "", key)
	h.know(t, "%s "+text(key.PublicKey()))
	target := resolve(t, "w1", quickly(h.o))
	conn, err := target.Dial(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	server := <-h.server.accepted
	for _, kind := range []string{"auth-agent@openssh.com", "forwarded-tcpip", "x11", "session", "tun@openssh.com"} {
		_, _, err := server.OpenChannel(kind, ssh.Marshal(struct {
			A string
			B uint32
			C string
			D uint32
		}{"127.0.0.1", 1235, "127.0.0.1", 1}))
		if _, ok := errors.AsType[*ssh.OpenChannelError](err); !ok {
			t.Errorf("opening a channel %s gave %v; want that it is refused", kind, err)
		}
	}
	lab := testServer(t, lab.ServerOptions{Name: "w2"})
	o := testOptions(t, lab)
	rewrite(t, o.ConfigFile, func(text string) string {
		return "ForwardAgent yes\nRemoteForward 1235 localhost:80\n" + text
	})
	other := dial(t, "w2", o)
	_ = run(t, other, "true")
	eventually(t, "a keepalive", func() bool { return other.RTT() > 0 })
	for _, r := range lab.Requests() {
		switch r.Type {
		case "session", "exec", "keepalive@openssh.com":
		default:
			t.Errorf("%s was requested", r.Type)
		}
	}
}

// When a connection is closed nothing of it is left.
func TestConnLeavesNothing(t *testing.T) {
	server := testServer(t, lab.ServerOptions{Name: "w1"})
	jump := testServer(t, lab.ServerOptions{Name: "jump"})
	o := testOptions(t, server, jump)
	rewrite(t, o.ConfigFile, func(text string) string { return text + "Host w1\n ProxyJump jump\n" })
	target := resolve(t, "w1", o)
	before := runtime.NumGoroutine()
	for range 5 {
		ctx, cancel := context.WithCancel(testContext(t))
		conn, err := target.Dial(ctx)
		cancel() // of no more concern to the connection
		if err != nil {
			t.Fatal(err)
		}
		_ = run(t, conn, "true")
		_ = conn.Close()
	}
	eventually(t, "the end of all goroutines", func() bool { return runtime.NumGoroutine() <= before })
}
