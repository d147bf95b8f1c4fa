package sshhost

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"testr/internal/instance"
	"testr/internal/instance/instancetest"
	"testr/internal/instance/sshdial"
	"testr/internal/lab"
)

func TestMain(m *testing.M) { os.Exit(instancetest.Main(m, programs)) }

// programs are what the test binary can be beside the contract's own.
var programs = instancetest.Programs{"testr": helperTestr}

// patience is how long something is waited for that comes soon.
const patience = 20 * time.Second

// sshDial connects to a host that the configuration of home knows, and asks now
// and then whether it is there.
func sshDial(home, name string, keepalive time.Duration) func(context.Context) (Conn, error) {
	return func(ctx context.Context) (Conn, error) {
		target, err := sshdial.Resolve(ctx, name, sshdial.Options{
			Home: home, ConfigFile: filepath.Join(home, ".ssh", "config"), AgentSocket: "none", Keepalive: keepalive,
		})
		if err != nil {
			return nil, err
		}
		conn, err := target.Dial(ctx)
		if err != nil {
			return nil, err
		}
		return conn, nil
	}
}

// server is an SSH server, closed with the test.
func server(t testing.TB, opts lab.ServerOptions) *lab.Server {
	t.Helper()
	opts.Dir = t.TempDir()
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

// dialer connects to a server.
func dialer(t testing.TB, s *lab.Server) func(context.Context) (Conn, error) {
	t.Helper()
	return sshDial(client(t, s), s.Name(), 5*time.Second)
}

// client is the home directory of a client of a server.
func client(t testing.TB, s *lab.Server) string {
	t.Helper()
	home := t.TempDir()
	if _, err := s.ConfigFile(home); err != nil {
		t.Fatal(err)
	}
	return home
}

// host is a host at a server, closed with the test.
func host(t testing.TB, s *lab.Server, cfg Config) *Host {
	t.Helper()
	if cfg.Name == "" {
		cfg.Name = "desktop"
	}
	if cfg.Dial == nil {
		cfg.Dial = dialer(t, s)
	}
	h := New(cfg)
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

func TestContract(t *testing.T) {
	instancetest.Run(t, func(s instancetest.Settings) instance.Provider {
		return host(s.T, server(s.T, lab.ServerOptions{}), Config{Directory: s.Dir, Env: s.Env, Grace: s.Grace})
	}, instancetest.Traits{})
}

// A server that allows few sessions on a connection costs more connections, and
// nothing else.
func TestSessionLimit(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{1, 2, 10} {
		t.Run(strconv.Itoa(limit), func(t *testing.T) {
			srv := server(t, lab.ServerOptions{MaxSessions: limit})
			i := instancetest.One(t, host(t, srv, Config{}))
			var processes []instance.Process
			for range 12 {
				processes = append(processes, instancetest.Start(t.Context(), t, i, instancetest.Program(t, "echo")))
			}
			for _, p := range processes {
				instancetest.PID(t, p) // so that all run at once
			}
			for n, p := range processes {
				text := "process " + strconv.Itoa(n)
				if got, err := instancetest.Finish(p, []byte(text)); err != nil || got.Stdout != text {
					t.Errorf("got %+v, %v; want %q", got, err, text)
				}
			}
			_, most := srv.Connections()
			if want := (13 + limit - 1) / limit; most < want || most > want+max(1, maxDials/limit) {
				t.Errorf("got %d connections; want %d, or not many more", most, want)
			}
			for range 5 {
				instancetest.Output(t, i, instance.Command{Args: []string{"true"}}, nil)
			}
			if _, now := srv.Connections(); now != most {
				t.Errorf("got %d connections; want %d as before: those that are there have room", now, most)
			}
		})
	}
}

func tempFile(t testing.TB, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
