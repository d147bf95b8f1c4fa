package sshdial_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"testr/internal/instance/sshdial"
	"testr/internal/lab"
)

// patience is more than anything takes that doesn't hang.
const patience = 30 * time.Second

// testContext ends when the test has hung.
func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// testServer is a server of package lab that ends with the test.
func testServer(t *testing.T, opts lab.ServerOptions) *lab.Server {
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

// testOptions are those of a user whose home directory knows the servers.
func testOptions(t *testing.T, servers ...*lab.Server) sshdial.Options {
	t.Helper()
	home := t.TempDir()
	file, err := lab.ConfigFile(home, servers...)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("SSH_AUTH_SOCK", "")
	return sshdial.Options{Home: home, ConfigFile: file, Log: testLog(t)}
}

func testLog(t *testing.T) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Output: t.Output(), Level: hclog.Trace})
}

// resolve looks a name up that is there.
func resolve(t *testing.T, alias string, o sshdial.Options) *sshdial.Target {
	t.Helper()
	target, err := sshdial.Resolve(testContext(t), alias, o)
	if err != nil {
		t.Fatalf("Resolve(%q) error: %v", alias, err)
	}
	return target
}

// dial connects to where it must be possible, until the test ends.
func dial(t *testing.T, alias string, o sshdial.Options) *sshdial.Conn {
	t.Helper()
	conn, err := resolve(t, alias, o).Dial(testContext(t))
	if err != nil {
		t.Fatalf("Dial(%q) error: %v\nhint: %s", alias, err, hintOf(err))
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// write writes a file for its owner alone, and returns its name.
func write(t *testing.T, name, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// rewrite changes a file.
func rewrite(t *testing.T, name string, change func(string) string) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	write(t, name, change(string(text)))
}

// await waits for a channel to be closed.
func await(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatalf("%s: nothing after %v", what, patience)
	}
}

// run runs a command in a session of conn.
func run(t *testing.T, conn *sshdial.Conn, command string) string {
	t.Helper()
	session, err := conn.NewSession()
	if err != nil {
		t.Fatalf("NewSession error: %v", err)
	}
	defer func() { _ = session.Close() }()
	out, err := session.Output(command)
	if err != nil {
		t.Fatalf("run %q: %v", command, err)
	}
	return strings.TrimSpace(string(out))
}

// listen listens on loopback until the test ends, and has serve serve each
// connection in a goroutine of its own.
func listen(t *testing.T, serve func(net.Conn)) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go serve(conn)
		}
	}()
	return listener
}

// portOf is the port of an address.
func portOf(t *testing.T, address string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return port
}
