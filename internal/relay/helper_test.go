package relay

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"testr/internal/instance"
	"testr/internal/instance/instancetest"
	"testr/internal/protocol"
)

// patience is how long a test waits for what comes soon.
const patience = 30 * time.Second

func TestMain(m *testing.M) {
	os.Exit(instancetest.Main(m, instancetest.Programs{
		"relay":    programRelay,
		"guardian": programGuardian,
		"speak":    programSpeak,
		"closed":   programClosed,
	}))
}

func programGuardian([]string) int {
	if err := instance.RunGuardian(); err != nil {
		return 1
	}
	return 0
}

// programRelay is testr relay; its argument is a relayConfig.
func programRelay(args []string) int {
	var cfg relayConfig
	if err := json.Unmarshal([]byte(args[0]), &cfg); err != nil {
		return 2
	}
	l := cfg.local()
	s := &Server{Provider: l, Version: "test"}
	err := s.Serve(context.Background(), os.Stdin, os.Stdout)
	_, closing := l.Close()
	if err := errors.Join(err, closing); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		return 3
	}
	return 0
}

// programSpeak says of as many packets as its argument tells that a test has
// begun, or passed.
func programSpeak(args []string) int {
	count, _ := strconv.Atoi(args[0])
	says := bufio.NewWriter(os.Stdout)
	w := protocol.NewWriter(says)
	for n, packets := 0, benchPackets(); n < count; n++ {
		if err := w.WritePacket(packets[n%len(packets)]); err != nil {
			return 1
		}
	}
	if err := says.Flush(); err != nil {
		return 1
	}
	return 0
}

// programClosed closes its input, says so, and ends when it is terminated.
func programClosed([]string) int {
	_ = os.Stdin.Close()
	return instancetest.Block()
}

// relayConfig is how a relay runs commands.
type relayConfig struct {
	Dir   string
	Env   []string
	Grace time.Duration
}

// guardianArgs are the test binary as a guardian.
func guardianArgs() []string {
	exe, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return slices.Concat([]string{"/usr/bin/env"}, instancetest.ProgramEnv(), []string{exe, "guardian"})
}

func (c relayConfig) local() *instance.Local {
	return &instance.Local{Dir: c.Dir, Env: c.Env, Grace: c.Grace, Guardian: guardianArgs()}
}

// piped is a relay in this process: an instance.Process whose files are pipes.
type piped struct {
	stdin  *io.PipeWriter
	stdout *io.PipeReader
	stderr *io.PipeReader
	done   chan struct{}
	status instance.ExitStatus
}

func (p *piped) PID() int              { return 0 }
func (p *piped) Stdin() io.WriteCloser { return p.stdin }
func (p *piped) Stdout() io.Reader     { return p.stdout }
func (p *piped) Stderr() io.Reader     { return p.stderr }
func (p *piped) Pause() error          { return errors.ErrUnsupported }
func (p *piped) Resume() error         { return errors.ErrUnsupported }
func (p *piped) Wait() (instance.ExitStatus, error) {
	<-p.done
	return p.status, nil
}

// startPiped starts run as a process; cancel ends its context.
func startPiped(run func(ctx context.Context, in io.Reader, out io.Writer) error) (*piped, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	in, stdin := io.Pipe()
	stdout, out := io.Pipe()
	stderr, errors := io.Pipe()
	p := &piped{stdin: stdin, stdout: stdout, stderr: stderr, done: make(chan struct{})}
	go func() {
		if err := run(ctx, in, out); err != nil {
			p.status.Code = 3
			_, _ = fmt.Fprintln(errors, err)
		}
		_ = in.Close()
		_ = out.Close()
		_ = errors.Close()
		cancel()
		close(p.done)
	}()
	return p, cancel
}

// inProcess is a client of a relay in this process. It is closed with the test.
func inProcess(t testing.TB, cfg relayConfig) *Client {
	t.Helper()
	l := cfg.local()
	p, cancel := startPiped(func(ctx context.Context, in io.Reader, out io.Writer) error {
		return (&Server{Provider: l, Version: "test"}).Serve(ctx, in, out)
	})
	t.Cleanup(func() {
		if _, err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return client(t, p, cancel)
}

// client is a client of a relay that has to come up. It is closed with the test,
// and then has to end well unless it was lost.
func client(t testing.TB, p instance.Process, cancel context.CancelFunc) *Client {
	t.Helper()
	dir := t.TempDir()
	brought := &carrier{dir: dir}
	c, err := New(t.Context(), p, Options{Name: "desktop", Cancel: cancel, Path: brought.path, Bring: brought.bring})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		var lost *instance.LostError
		if err := c.Close(); err != nil && !errors.As(err, &lost) {
			t.Errorf("Close: %v", err)
		}
	})
	return c
}

// carrier brings files to a directory, as a host does.
type carrier struct {
	dir string
	mu  sync.Mutex
}

func (c *carrier) path(file string) string {
	return filepath.Join(c.dir, fmt.Sprintf("%x", sha256.Sum256([]byte(filepath.Dir(file)))), filepath.Base(file))
}

func (c *carrier) bring(_ context.Context, files ...string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		info, err := os.Stat(file)
		if err != nil {
			return err
		}
		there := c.path(file)
		if _, err := os.Stat(there); err == nil {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(there), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(there, content, info.Mode()); err != nil {
			return err
		}
	}
	return nil
}

// executed is a client of a relay in a process of its own, which is returned.
func executed(t testing.TB, cfg relayConfig) (*Client, instance.Process) {
	t.Helper()
	text, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	i := instancetest.One(t, &instance.Local{})
	p := instancetest.Start(ctx, t, i, instancetest.Program(t, "relay", string(text)))
	return client(t, p, cancel), p
}

func TestContractInProcess(t *testing.T) {
	instancetest.Run(t, func(s instancetest.Settings) instance.Provider {
		return inProcess(s.T, relayConfig{Dir: s.Dir, Env: s.Env, Grace: s.Grace})
	}, instancetest.Traits{})
}

func TestContractExecuted(t *testing.T) {
	instancetest.Run(t, func(s instancetest.Settings) instance.Provider {
		c, _ := executed(s.T, relayConfig{Dir: s.Dir, Env: s.Env, Grace: s.Grace})
		return c
	}, instancetest.Traits{})
}

// wantLost wants an error to say that the relay was lost, and why.
func wantLost(t testing.TB, err error) {
	t.Helper()
	var lost *instance.LostError
	if !errors.As(err, &lost) || lost.Instance != "desktop" {
		t.Errorf("got %v; want the loss of desktop", err)
	}
}

// kill kills a process.
func kill(t testing.TB, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Error(err)
	}
}
