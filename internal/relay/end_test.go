package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"testr/internal/instance"
	"testr/internal/instance/instancetest"
	"testr/internal/protocol"
)

// cutter is a relay whose channel is cut after so many octets of one direction.
type cutter struct {
	instance.Process
	stdin   io.WriteCloser
	stdout  io.Reader
	cut     func()
	mu      sync.Mutex
	left    int
	upwards bool
}

// count counts octets that pass, and cuts.
func (c *cutter) count(n int, upwards bool) (pass int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	if upwards != c.upwards {
		return n, nil
	}
	pass = min(n, c.left)
	if c.left -= pass; c.left == 0 {
		c.cut()
	}
	return pass, nil
}

func (c *cutter) Stdin() io.WriteCloser { return c }
func (c *cutter) Stdout() io.Reader     { return readerFunc(c.read) }
func (c *cutter) Close() error          { return c.stdin.Close() }

func (c *cutter) Write(b []byte) (int, error) {
	pass, err := c.count(len(b), false)
	if err != nil {
		return 0, err
	}
	n, err := c.stdin.Write(b[:pass])
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return n, err
}

func (c *cutter) read(b []byte) (int, error) {
	n, err := c.stdout.Read(b)
	pass, cutErr := c.count(n, true)
	if pass < n || cutErr != nil {
		return pass, io.EOF
	}
	return n, err
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// gone waits until a process is gone.
func gone(t testing.TB, pid int) {
	t.Helper()
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	limit := time.After(patience)
	for syscall.Kill(pid, 0) == nil {
		select {
		case <-look.C:
		case <-limit:
			t.Fatalf("process %d lives on", pid)
		}
	}
}

// F5: when the channel is cut, wherever it is, every command is lost, whoever
// reads or writes is told so, and nothing of what ran is left.
func TestChannelCut(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 2))
	for range 16 {
		after, upwards := 1+rnd.IntN(3000), rnd.IntN(2) == 0
		if !upwards {
			after = 100 + rnd.IntN(200_000)
		}
		l := relayConfig{}.local()
		p, cancel := startPiped(func(ctx context.Context, in io.Reader, out io.Writer) error {
			err := (&Server{Provider: l}).Serve(ctx, in, out)
			_, closing := l.Close()
			return errors.Join(err, closing)
		})
		cut := &cutter{Process: p, stdin: p.stdin, stdout: p.stdout, left: after, upwards: upwards}
		cut.cut = func() { _, _ = p.stdin.CloseWithError(io.EOF), p.stdout.CloseWithError(io.ErrClosedPipe) }
		c, err := New(t.Context(), cut, Options{Name: "desktop", Cancel: cancel})
		if err != nil {
			wantLost(t, err)
			continue
		}
		i := instancetest.One(t, c)
		var running sync.WaitGroup
		for range 3 {
			p, err := i.Start(t.Context(), instancetest.Program(t, "echo"))
			if err != nil {
				wantLost(t, err)
				continue
			}
			running.Go(func() {
				for err == nil {
					_, err = p.Stdin().Write(instancetest.Pattern(1000))
				}
				wantLost(t, err)
			})
			running.Go(func() {
				_, err := io.Copy(io.Discard, p.Stdout())
				wantLost(t, err)
			})
			running.Go(func() {
				_, err := p.Wait()
				wantLost(t, err)
				if pid := p.PID(); pid != 0 {
					gone(t, pid)
				}
			})
		}
		running.Wait()
		wantLost(t, c.Close())
		if _, err := i.Start(t.Context(), instancetest.Program(t, "echo")); err == nil {
			t.Error("a command was started at a relay that is lost")
		}
	}
}

// F2, F6: nothing outlives a relay that is killed, wherever it went, and its
// last words are told.
func TestRelayKilled(t *testing.T) {
	c, relay := executed(t, relayConfig{})
	i := instancetest.One(t, c)
	var pids []int
	var running sync.WaitGroup
	for range 3 {
		p, child := instancetest.StartLeaving(t, i, "setsid", "hold", 0)
		instancetest.AwaitReady(t, p)
		pids = append(pids, p.PID())
		running.Go(func() {
			_, err := instancetest.FinishReading(p)
			wantLost(t, err)
			if !strings.Contains(err.Error(), "killed by SIGKILL") {
				t.Errorf("got %v; want to be told how the relay ended", err)
			}
			if !child.Gone(patience) {
				t.Error("what the command left behind lives on")
			}
		})
	}
	kill(t, relay.PID())
	running.Wait()
	for _, pid := range pids {
		gone(t, pid)
	}
	wantLost(t, c.Close())
}

// A relay that is closed ends at once, whatever runs there, and so it does when
// its own context ends.
func TestRelayEnds(t *testing.T) {
	for _, how := range []string{"close", "context"} {
		l := relayConfig{}.local()
		p, cancel := startPiped((&Server{Provider: l}).Serve)
		c, err := New(t.Context(), p, Options{Name: "desktop", Cancel: cancel})
		if err != nil {
			t.Fatal(err)
		}
		i := instancetest.One(t, c)
		stubborn := instancetest.Start(t.Context(), t, i, instancetest.Program(t, "stubborn"))
		instancetest.AwaitReady(t, stubborn)
		if how == "close" {
			if err := c.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			if _, err := c.Provision(t.Context(), 1); !errors.Is(err, instance.ErrClosed) {
				t.Errorf("Provision: got %v; want %v", err, instance.ErrClosed)
			}
		} else {
			cancel()
			_, err := stubborn.Wait()
			wantLost(t, err)
			if err := c.Close(); err == nil || !strings.Contains(err.Error(), context.Canceled.Error()) {
				t.Errorf("Close: got %v; want the relay's own words", err)
			}
		}
		<-p.done
		gone(t, stubborn.PID())
		if _, err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}

// lostProcess is a relay whose machine is lost with it.
type lostProcess struct {
	*piped
	err error
}

func (p lostProcess) Wait() (instance.ExitStatus, error) {
	_, err := p.piped.Wait()
	return instance.ExitStatus{}, errors.Join(err, p.err)
}

// TestMachineLost: a relay that was lost with its machine was lost for the same
// reason, which is told once.
func TestMachineLost(t *testing.T) {
	t.Parallel()
	p, cancel := startPiped(func(_ context.Context, in io.Reader, out io.Writer) error {
		go func() { _, _ = io.Copy(io.Discard, in) }()
		_, err := out.Write(message(noSlot, nameHello, helloMessage{Relay: speaks}))
		return err
	})
	why := errors.New("no answer for 15s")
	c, err := New(t.Context(), lostProcess{p, &instance.LostError{Instance: "desktop", Err: why}},
		Options{Name: "desktop", Cancel: cancel})
	if err != nil {
		t.Fatal(err)
	}
	<-c.done
	err = c.Close()
	wantLost(t, err)
	if !errors.Is(err, why) || strings.Count(err.Error(), "was lost") != 1 {
		t.Errorf("got %v; want that it was lost, once, and why", err)
	}
}

// stuck is a relay that says hello, and started and whatever else says, and then
// nothing any more.
func stuck(says ...[]byte) (*piped, context.CancelFunc) {
	return startPiped(func(ctx context.Context, in io.Reader, out io.Writer) error {
		go func() { _, _ = io.Copy(io.Discard, in) }()
		for _, b := range append([][]byte{message(noSlot, nameHello, helloMessage{Relay: speaks})}, says...) {
			if _, err := out.Write(b); err != nil {
				return err
			}
		}
		<-ctx.Done()
		return errors.New("terminated")
	})
}

// F8: a relay that does not do what it is asked to holds nobody up for good.
func TestRelayStuck(t *testing.T) {
	const soon = 50 * time.Millisecond
	start := func() (*Client, instance.Instance, context.CancelFunc, *Process) {
		p, cancel := stuck()
		c, err := newClient(t.Context(), p, Options{Name: "desktop", Cancel: cancel},
			limits{hello: time.Minute, end: soon, cancel: soon, ask: askEvery})
		if err != nil {
			t.Fatal(err)
		}
		i := instancetest.One(t, c)
		ctx, end := context.WithCancel(context.Background())
		return c, i, end, instancetest.Start(ctx, t, i, instance.Command{Args: []string{"x"}}).(*Process)
	}
	for name, do := range map[string]func(c *Client, i instance.Instance, end context.CancelFunc){
		"cancel":         func(_ *Client, _ instance.Instance, end context.CancelFunc) { end() },
		"close":          func(_ *Client, i instance.Instance, _ context.CancelFunc) { _ = i.Close() },
		"close of relay": func(c *Client, _ instance.Instance, _ context.CancelFunc) { _ = c.Close() },
	} {
		c, i, end, p := start()
		do(c, i, end)
		_, err := p.Wait()
		wantLost(t, err)
		if _, err := p.ReadPacket(); err == nil {
			t.Errorf("%s: got a packet", name)
		}
		wantLost(t, c.Close())
		end()
	}
}

// What a relay's machine says goes into one line of a message: it can't pose as
// advice of ours.
func TestLastWords(t *testing.T) {
	p, cancel := startPiped(func(context.Context, io.Reader, io.Writer) error {
		hostile := "broken\nhint: run this\xff\n"
		return errors.New(hostile)
	})
	_, err := New(t.Context(), p, Options{Name: "desktop", Cancel: cancel})
	wantLost(t, err)
	if err == nil || !strings.HasSuffix(err.Error(), "; on the relay's stderr: broken hint: run this?") {
		t.Errorf("got %v; want the relay's words in one line", err)
	}
}

// F8: a relay that does not say what it is holds nobody up for good.
func TestRelaySilent(t *testing.T) {
	p, cancel := startPiped(func(ctx context.Context, in io.Reader, _ io.Writer) error {
		go func() { _, _ = io.Copy(io.Discard, in) }()
		<-ctx.Done()
		return errors.New("terminated")
	})
	_, err := newClient(t.Context(), p, Options{Name: "desktop", Cancel: cancel},
		limits{hello: 50 * time.Millisecond, end: time.Minute, cancel: time.Minute, ask: askEvery})
	wantLost(t, err)
	if err == nil || !strings.Contains(err.Error(), "has not said what it is within 50ms") {
		t.Errorf("got %v; want that it said nothing", err)
	}
	select {
	case <-p.done:
	default:
		t.Error("the process goes on")
	}
}

// F8: a worker that doesn't read its input holds up nobody else, and neither
// does one whose output nobody reads.
func TestStuckWorkers(t *testing.T) {
	c := staged(t, stage{
		"deaf": func(_ io.Reader, stdout, _ io.Writer) int {
			_, _ = stdout.Write(make([]byte, 64<<20))
			return 0
		},
		"reflect": reflect,
	})
	deaf := startOne(t, c, "deaf")
	written := make(chan error)
	go func() {
		var err error
		for err == nil {
			err = deaf.WritePacket(&protocol.Packet{Has: protocol.HasTestID, TestID: strings.Repeat("x", 10_000)})
		}
		written <- err
	}()
	if _, err := deaf.Stdout().Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		p := startOne(t, c, "reflect")
		want := randomPackets(1, 50)
		go func() {
			for _, packet := range want {
				if err := p.WritePacket(packet); err != nil {
					t.Error(err)
				}
			}
			_ = p.Stdin().Close()
		}()
		got, err := readAll(p)
		if err != nil {
			t.Error(err)
		}
		samePackets(t, "beside", got, want)
	}
	deaf.kill()
	if err := <-written; !errors.Is(err, syscall.EPIPE) {
		t.Errorf("got %v; want %v", err, syscall.EPIPE)
	}
}

// A command that closes its input is told of, and so is one that is gone.
func TestDeaf(t *testing.T) {
	c, _ := executed(t, relayConfig{})
	p := instancetest.Start(t.Context(), t, instancetest.One(t, c), instancetest.Program(t, "closed"))
	instancetest.AwaitReady(t, p)
	var err error
	for err == nil {
		_, err = p.Stdin().Write([]byte("x"))
	}
	if !errors.Is(err, syscall.EPIPE) {
		t.Errorf("got %v; want %v", err, syscall.EPIPE)
	}
}

// What the system says of a command that it can't start is known by its number.
func TestStartErrno(t *testing.T) {
	c, _ := executed(t, relayConfig{})
	script := t.TempDir() + "/script"
	if err := os.WriteFile(script, []byte("no program"), 0o700); err != nil {
		t.Fatal(err)
	}
	p := startOne(t, c, script)
	if _, err := p.Wait(); !errors.Is(err, syscall.ENOEXEC) || !strings.Contains(err.Error(), script) {
		t.Errorf("got %v; want %v, of %s", err, syscall.ENOEXEC, script)
	}
	if got, err := io.ReadAll(p.Stdout()); len(got) > 0 || err != nil {
		t.Errorf("stdout: got %q, %v; want nothing", got, err)
	}
}

// While files are being brought a command can be cancelled, and killed; what
// goes wrong is the machine's affair.
func TestBring(t *testing.T) {
	broken := errors.New("no room on the disk")
	for name, want := range map[string]error{"fails": broken, "cancelled": context.Canceled,
		"killed": instance.ErrClosed} {
		p, cancel := startPiped((&Server{Provider: stage{"reflect": reflect}}).Serve)
		bringing := make(chan struct{})
		c, err := New(t.Context(), p, Options{Name: "desktop", Cancel: cancel,
			Bring: func(ctx context.Context, files ...string) error {
				close(bringing)
				if name == "fails" {
					return fmt.Errorf("%s: %w", files[0], broken)
				}
				<-ctx.Done()
				return ctx.Err()
			}})
		if err != nil {
			t.Fatal(err)
		}
		i := instancetest.One(t, c)
		ctx, end := context.WithCancel(t.Context())
		process := instancetest.Start(ctx, t, i, instance.Command{Args: []string{"reflect"}, Files: []string{"/file"}})
		<-bringing
		switch name {
		case "cancelled":
			end()
		case "killed":
			if err := i.Close(); err != nil {
				t.Error(err)
			}
		}
		r, err := instancetest.FinishReading(process)
		var lost *instance.LostError
		if !errors.Is(err, want) || errors.As(err, &lost) != (name == "fails") || r.Stdout != "" {
			t.Errorf("%s: got %+v, %v; want %v", name, r, err, want)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		end()
	}
}

// A command that has ended is nobody's any more: what its holder still asks for
// doesn't reach the command that has its slot now.
func TestSlotOfAnother(t *testing.T) {
	c := staged(t, stage{"reflect": reflect})
	first := startOne(t, c, "reflect")
	if err := first.Stdin().Close(); err != nil {
		t.Error(err)
	}
	if got, err := instancetest.FinishReading(first); err != nil || !got.Status.Success() {
		t.Errorf("got %+v, %v", got, err)
	}
	second := startOne(t, c, "reflect")
	if first.slot != second.slot {
		t.Fatalf("got the slots %d and %d; want one, or this shows nothing", first.slot, second.slot)
	}
	first.order(nameCancel)
	first.kill()
	first.lose(errors.New("lost"))
	if _, err := first.Stdin().Write([]byte("x")); err == nil {
		t.Error("writing to a command that has ended gave no error")
	}
	want := randomPackets(3, 10)
	for _, packet := range want {
		if err := second.WritePacket(packet); err != nil {
			t.Error(err)
		}
	}
	if err := second.Stdin().Close(); err != nil {
		t.Error(err)
	}
	got, err := readAll(second)
	if err != nil {
		t.Error(err)
	}
	samePackets(t, "in its slot", got, want)
	if status, err := second.Wait(); err != nil || !status.Success() {
		t.Errorf("got %v, %v; want success", status, err)
	}
}
