package sshdial_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"testr/internal/instance/sshdial"
	"testr/internal/lab"
)

func hintOf(err error) string {
	if e, ok := errors.AsType[*sshdial.Error](err); ok {
		return e.Hint
	}
	return ""
}

func TestDial(t *testing.T) {
	server := testServer(t, lab.ServerOptions{Name: "w1"})
	conn := dial(t, "w1", testOptions(t, server))
	if got := run(t, conn, "echo hello"); got != "hello" {
		t.Errorf("echo hello wrote %q; want hello", got)
	}
	algorithms := conn.Conn.(ssh.AlgorithmsConnMetadata).Algorithms()
	if got := algorithms.Write.Cipher; got != ssh.CipherAES128GCM {
		t.Errorf("the cipher is %s; want %s", got, ssh.CipherAES128GCM)
	}
	if got, want := conn.Target().String(), "lab@"+server.Addr(); got != want {
		t.Errorf("the target is %s; want %s", got, want)
	}
}

// Each failure has its kind, names the host by what was asked for and by its
// address, and says what to do.
func TestDialFailures(t *testing.T) {
	server := testServer(t, lab.ServerOptions{Name: "w1"})
	silent := listen(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	var asked atomic.Int64
	web := listen(t, func(conn net.Conn) {
		asked.Add(1)
		_, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n")
		_ = conn.Close()
	})
	broken := listen(t, func(conn net.Conn) {
		_, _ = io.WriteString(conn, "SSH-2.0-old\r\n\xff\xff\xff\xff\xff\xff\xff\xff")
		_, _ = io.Copy(io.Discard, conn)
	})
	refused := listen(t, func(net.Conn) {})
	_ = refused.Close()
	o := testOptions(t, server)
	at := func(alias string, l net.Listener, more string) string {
		return fmt.Sprintf("Host %s\n HostName 127.0.0.1\n Port %s\n%s\n", alias, portOf(t, l.Addr().String()), more)
	}
	config := at("silent", silent, " ConnectTimeout 1") + at("web", web, "") + at("broken", broken, "") +
		at("refused", refused, "") +
		"Host nowhere\n HostName nowhere.invalid\n" +
		"Host proxied\n ProxyCommand echo it broke >&2; exit 3\n" +
		"Host hung\n ProxyCommand echo waiting >&2; sleep 1000\n ConnectTimeout 1\n" +
		at("behind", refused, " ProxyJump w1\n UserKnownHostsFile none")
	rewrite(t, o.ConfigFile, func(text string) string { return config + text })
	for _, test := range []struct {
		alias string
		kind  error
		says  []string // all of them
		hint  string
	}{
		{"silent", sshdial.ErrUnreachable, []string{"ssh silent (", silent.Addr().String(), "no answer within 1s"}, ""},
		{"web", sshdial.ErrUnreachable, []string{"it said \"HTTP/1.1 400 Bad Request\""}, ""},
		{"broken", sshdial.ErrUnreachable, []string{"connect: ssh: "}, ""},
		{"refused", sshdial.ErrUnreachable, []string{"connection refused"}, "whether sshd runs there"},
		{"nowhere", sshdial.ErrUnreachable, []string{"nowhere.invalid"}, "write `HostName ADDRESS` under `Host nowhere`"},
		{"proxied", sshdial.ErrUnreachable, []string{"exit status 3", "the ProxyCommand said: it broke"}, "ProxyCommand"},
		{"hung", sshdial.ErrUnreachable, []string{"no answer within 1s", "the ProxyCommand said: waiting"}, ""},
		{"behind", sshdial.ErrUnreachable, []string{"ssh behind (", "through jump host w1", "connection refused"}, ""},
	} {
		t.Run(test.alias, func(t *testing.T) {
			conn, err := resolve(t, test.alias, o).Dial(testContext(t))
			if err == nil {
				_ = conn.Close()
				t.Fatal("Dial succeeded; want an error")
			}
			if !errors.Is(err, test.kind) {
				t.Errorf("Dial error is %v; want one of the kind %q", err, test.kind)
			}
			for _, text := range test.says {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("Dial error is %q; want %q in it", err, text)
				}
			}
			if got := hintOf(err); !strings.Contains(got, test.hint) || test.hint == "" && got != "" && test.alias != "hung" {
				t.Errorf("the hint is %q; want %q", got, test.hint)
			}
		})
	}
	if got := asked.Load(); got != 1 {
		t.Errorf("what is no SSH server was tried %d times; want once", got)
	}
}

// The end of the context ends an attempt at once, whatever it is at, and is no
// failure of the host.
func TestDialCancelled(t *testing.T) {
	server := testServer(t, lab.ServerOptions{Name: "w1"})
	hung := testServer(t, lab.ServerOptions{Name: "hung"})
	hung.Hang()
	resetting := listen(t, reset)
	o := testOptions(t, server, hung)
	rewrite(t, o.ConfigFile, func(text string) string {
		return text + "Host proxied\n ProxyCommand sleep 1000\n" +
			"Host behind\n HostName 127.0.0.1\n Port " + portOf(t, hung.Addr()) + "\n ProxyJump w1\n" +
			"Host beyond\n ProxyJump hung\n" +
			"Host resetting\n HostName 127.0.0.1\n Port " + portOf(t, resetting.Addr().String()) + "\n"
	})
	for _, alias := range []string{"hung", "proxied", "behind", "beyond", "resetting"} {
		t.Run(alias, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			why := errors.New("enough")
			timer := time.AfterFunc(200*time.Millisecond, func() { cancel(why) })
			defer timer.Stop()
			result := make(chan error, 1)
			go func() {
				_, err := resolve(t, alias, o).Dial(ctx)
				result <- err
			}()
			select {
			case err := <-result:
				if !errors.Is(err, why) {
					t.Errorf("Dial error is %v; want %v", err, why)
				}
				for _, kind := range []error{sshdial.ErrUnreachable, sshdial.ErrAuthentication, sshdial.ErrConfiguration} {
					if errors.Is(err, kind) {
						t.Errorf("Dial error is of the kind %q; want none", kind)
					}
				}
			case <-time.After(patience):
				t.Fatal("Dial hangs")
			}
		})
	}
}

// turnAway turns somebody away as sshd does that has too many.
func turnAway(conn net.Conn) {
	_, _ = io.WriteString(conn, "Exceeded MaxStartups\r\n")
	_ = conn.Close()
}

// reset breaks a connection off, as happens when sshd has no time to say more.
func reset(conn net.Conn) {
	_ = conn.(*net.TCPConn).SetLinger(0)
	_ = conn.Close()
}

// turnstile is in front of a server: of the connections that come, end ends as
// many as it likes, and says so.
func turnstile(t *testing.T, server *lab.Server, end func(net.Conn) bool) net.Listener {
	t.Helper()
	return listen(t, func(conn net.Conn) {
		if end(conn) {
			return
		}
		defer func() { _ = conn.Close() }()
		to, err := net.Dial("tcp", server.Addr())
		if err != nil {
			return
		}
		defer func() { _ = to.Close() }()
		go func() {
			_, _ = io.Copy(to, conn)
			_ = to.Close()
		}()
		_, _ = io.Copy(conn, to)
	})
}

// A handshake that is broken off is tried again, five times, and other errors
// are not.
func TestDialBrokenOff(t *testing.T) {
	server := testServer(t, lab.ServerOptions{Name: "w1"})
	for _, test := range []struct {
		name  string
		end   func(net.Conn)
		fails int64
		want  error
		tries int64
	}{
		{"once", reset, 1, nil, 2},
		{"three times", reset, 3, nil, 4},
		{"with a word", turnAway, 2, nil, 3},
		{"always", reset, 1000, sshdial.ErrUnreachable, 6},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var tries atomic.Int64
			front := turnstile(t, server, func(conn net.Conn) bool {
				if tries.Add(1) > test.fails {
					return false
				}
				test.end(conn)
				return true
			})
			o := sshdial.Options{Home: t.TempDir(), Log: testLog(t)}
			file, err := lab.ConfigFile(o.Home, server)
			if err != nil {
				t.Fatal(err)
			}
			o.ConfigFile = file
			rewrite(t, file, func(text string) string {
				return "Host w1\n HostKeyAlias known\n Port " + portOf(t, front.Addr().String()) + "\n" + text
			})
			rewrite(t, filepath.Join(o.Home, ".ssh", "known_hosts"), func(string) string {
				return "known " + string(ssh.MarshalAuthorizedKey(server.HostKey()))
			})
			conn, err := resolve(t, "w1", o).Dial(testContext(t))
			if err == nil {
				_ = conn.Close()
			}
			if !errors.Is(err, test.want) {
				t.Errorf("Dial error is %v; want %v", err, test.want)
			}
			if got := tries.Load(); got != test.tries {
				t.Errorf("%d attempts; want %d", got, test.tries)
			}
		})
	}
}

// raise makes most at least n.
func raise(most *atomic.Int64, n int64) {
	for {
		m := most.Load()
		if n <= m || most.CompareAndSwap(m, n) {
			return
		}
	}
}

// No more than 8 handshakes with one address are under way at a time.
func TestDialQueue(t *testing.T) {
	const dials = 24
	server := testServer(t, lab.ServerOptions{Name: "w1"})
	var now, most atomic.Int64
	front := listen(t, func(conn net.Conn) {
		defer func() { _ = conn.Close() }()
		n := now.Add(1)
		raise(&most, n)
		timer := time.NewTimer(50 * time.Millisecond)
		<-timer.C
		now.Add(-1)
		_, _ = io.WriteString(conn, "no\r\n") // ends the handshake: this is no SSH server
	})
	o := testOptions(t, server)
	o.Shared = new(sshdial.Shared)
	rewrite(t, o.ConfigFile, func(text string) string {
		return "Host a b\n HostName 127.0.0.1\n ConnectTimeout 20\n Port " + portOf(t, front.Addr().String()) + "\n" + text
	})
	ctx := testContext(t)
	targets := []*sshdial.Target{resolve(t, "a", o), resolve(t, "b", o)}
	var all sync.WaitGroup
	for i := range dials {
		all.Go(func() {
			if _, err := targets[i%2].Dial(ctx); !errors.Is(err, sshdial.ErrUnreachable) {
				t.Errorf("Dial error is %v; want %v", err, sshdial.ErrUnreachable)
			}
		})
	}
	all.Wait()
	if got := most.Load(); got > 8 || got < 2 {
		t.Errorf("%d handshakes were under way at a time; want 2 to 8", got)
	}
}

// Jump hosts are reached as their own sections say, and each connection goes
// through the one before it.
func TestDialJump(t *testing.T) {
	first := testServer(t, lab.ServerOptions{Name: "first"})
	second := testServer(t, lab.ServerOptions{Name: "second"})
	last := testServer(t, lab.ServerOptions{Name: "last"})
	for _, test := range []struct {
		name, config string
		forwards     int // that the first server saw
	}{
		{"one", "Host last\n ProxyJump second\n", 0},
		{"two", "Host last\n ProxyJump first,second\n", 1},
		{"nested", "Host last\n ProxyJump second\nHost second\n ProxyJump first\n", 1},
		{"none", "Host last\n ProxyJump none\n ProxyJump first\n", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := testOptions(t, first, second, last)
			rewrite(t, o.ConfigFile, func(text string) string { return test.config + text })
			before := forwards(first)
			conn := dial(t, "last", o)
			if got := run(t, conn, "echo hello"); got != "hello" {
				t.Errorf("echo hello wrote %q; want hello", got)
			}
			if got := forwards(first) - before; got != test.forwards {
				t.Errorf("the first host saw %d forwards; want %d", got, test.forwards)
			}
			if err := conn.Close(); err != nil {
				t.Error(err)
			}
			for _, server := range []*lab.Server{first, second, last} {
				eventually(t, "the end of all connections", func() bool { open, _ := server.Connections(); return open == 0 })
			}
		})
	}
}

// forwards is how many connections a server was asked to forward.
func forwards(s *lab.Server) int {
	n := 0
	for _, r := range s.Requests() {
		if r.Type == "direct-tcpip" {
			n++
		}
	}
	return n
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(patience)
	for !holds() {
		select {
		case <-deadline:
			t.Fatalf("%s: not after %v", what, patience)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// What goes wrong at a jump host is said of the jump host.
func TestDialJumpFails(t *testing.T) {
	jump := testServer(t, lab.ServerOptions{Name: "jump"})
	last := testServer(t, lab.ServerOptions{Name: "last"})
	o := testOptions(t, jump, last)
	jump.Refuse()
	rewrite(t, o.ConfigFile, func(text string) string { return "Host last\n ProxyJump jump\n" + text })
	_, err := resolve(t, "last", o).Dial(testContext(t))
	if !errors.Is(err, sshdial.ErrUnreachable) || !strings.Contains(fmt.Sprint(err), "ssh jump (") ||
		!strings.Contains(fmt.Sprint(err), "on the way to last") {
		t.Errorf("Dial error is %v; want one of the host jump, on the way to last", err)
	}
}

// proxyMain is what the test binary does as a ProxyCommand: it connects its
// standard input and output to an address.
func proxyMain(address string) int {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	go func() {
		_, _ = io.Copy(conn, os.Stdin)
		_ = conn.Close()
	}()
	_, _ = io.Copy(os.Stdout, conn)
	return 0
}

func TestMain(m *testing.M) {
	if len(os.Args) == 3 {
		switch os.Args[1] {
		case "proxy":
			os.Exit(proxyMain(os.Args[2]))
		case "hold":
			os.Exit(holdMain(os.Args[2]))
		}
	}
	os.Exit(m.Run())
}

// A ProxyCommand carries the connection, and is killed with it.
func TestDialProxyCommand(t *testing.T) {
	server := testServer(t, lab.ServerOptions{Name: "w1"})
	o := testOptions(t, server)
	self := executable(t)
	pids := filepath.Join(t.TempDir(), "pids")
	rewrite(t, o.ConfigFile, func(text string) string {
		return "Host w1\n ProxyCommand echo $$ > '" + pids + "'; sleep 1000 & echo $! >> '" + pids + "'; '" + self +
			"' proxy %h:%p # %n %r\n" + text
	})
	conn := dial(t, "w1", o)
	if got := run(t, conn, "echo hello"); got != "hello" {
		t.Errorf("echo hello wrote %q; want hello", got)
	}
	text, err := os.ReadFile(pids)
	if err != nil {
		t.Fatal(err)
	}
	processes := strings.Fields(string(text))
	if len(processes) != 2 {
		t.Fatalf("the ProxyCommand wrote %q; want two processes", text)
	}
	_ = conn.Close()
	for _, pid := range processes {
		eventually(t, "the end of process "+pid, func() bool { return !lives(t, pid) })
	}
}

// executable is the test binary, for proxyMain.
func executable(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return self
}

// lives says whether a process is there, and no zombie.
func lives(t *testing.T, pid string) bool {
	t.Helper()
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z")
}
