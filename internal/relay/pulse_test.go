package relay

import (
	"context"
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"testr/internal/instance"
	"testr/internal/instance/instancetest"
	"testr/internal/protocol"
)

// silence is for how long a relay may leave a question unanswered.
const silence = maxSilence * askEvery

// greets is a relay that says hello and then what a test has it say, until its
// context ends.
func greets(says func(ctx context.Context, in io.Reader, out io.Writer)) (*piped, context.CancelFunc) {
	return startPiped(func(ctx context.Context, in io.Reader, out io.Writer) error {
		if _, err := out.Write(hello()); err != nil {
			return err
		}
		says(ctx, in, out)
		<-ctx.Done()
		return errors.New("terminated")
	})
}

// swallow reads all that comes.
func swallow(in io.Reader) { _, _ = io.Copy(io.Discard, in) }

// pass lets time pass, unless ctx ends before.
func pass(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// answer says that it is alive whenever it is asked, when wait returns true.
func answer(in io.Reader, out io.Writer, wait func() bool) {
	for r := protocol.NewReader(in); ; {
		p, err := r.ReadPacket()
		if err != nil {
			return
		}
		if p.FileName != nameAlive {
			continue
		}
		if !wait() {
			return
		}
		_, _ = out.Write(message(noSlot, nameAlive, struct{}{})) // the test tells if it fails
	}
}

// slowReader reads so slowly that a window takes minutes.
type slowReader struct {
	ctx context.Context
	in  io.Reader
}

func (r slowReader) Read(b []byte) (int, error) {
	if !pass(r.ctx, askEvery-time.Second) {
		return 0, r.ctx.Err()
	}
	return r.in.Read(b[:min(len(b), 16<<10)])
}

// bubble runs a test with a client of a relay in a time of its own.
func bubble(t *testing.T, says func(context.Context, io.Reader, io.Writer), do func(*testing.T, *Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p, cancel := greets(says)
		c, err := New(t.Context(), p, Options{Name: "desktop", Cancel: cancel})
		if err != nil {
			t.Fatal(err)
		}
		do(t, c)
		cancel()
		<-c.done
	})
}

// F8: a relay that stands still after its hello is lost, with what runs there.
func TestRelayFallsSilent(t *testing.T) {
	for name, says := range map[string]func(context.Context, io.Reader, io.Writer){
		"reads on":      func(_ context.Context, in io.Reader, _ io.Writer) { go swallow(in) },
		"reads nothing": func(context.Context, io.Reader, io.Writer) {},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, says, func(t *testing.T, c *Client) {
				began := time.Now()
				command := startOne(t, c, "x")
				_, err := command.Wait()
				wantLost(t, err)
				if err == nil || !strings.Contains(err.Error(), "the relay has said nothing for 1m0s") {
					t.Errorf("got %v; want that the relay says nothing", err)
				}
				// In the first beat it had said hello, after the second it is asked.
				if took := time.Since(began); took != silence+2*askEvery {
					t.Errorf("lost after %v; want %v", took, silence+2*askEvery)
				}
				wantLost(t, c.Close())
			})
		})
	}
}

// A relay that is slow, or at the other end of a slow line, isn't taken for one
// that stands still.
func TestRelayIsSlow(t *testing.T) {
	const almost = silence - time.Second
	for name, says := range map[string]func(context.Context, io.Reader, io.Writer){
		"it takes its time to answer": func(ctx context.Context, in io.Reader, out io.Writer) {
			answer(in, out, func() bool { return pass(ctx, almost) })
		},
		"a long packet trickles in": func(ctx context.Context, in io.Reader, out io.Writer) {
			go swallow(in)
			for _, b := range pieces(noSlot, "news", make([]byte, maxPiece)) {
				if _, err := out.Write([]byte{b}); err != nil || !pass(ctx, almost) {
					return
				}
			}
		},
		"it reads slowly": func(ctx context.Context, in io.Reader, out io.Writer) {
			answer(slowReader{ctx, in}, out, func() bool { return true })
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, says, func(t *testing.T, c *Client) {
				command := startOne(t, c, "x")
				go func() { _, _ = command.Stdin().Write(make([]byte, windowSize)) }()
				select {
				case <-c.lost:
					t.Error(c.err)
				case <-time.After(time.Hour):
				}
			})
		})
	}
}

// TestAnswersWhileItWrites: that a relay is alive doesn't wait behind what its
// commands say, and a client that asks more often is answered once.
func TestAnswersWhileItWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, cancel := startPiped((&Server{Provider: stage{}}).Serve)
		w := func(b []byte) {
			if _, err := p.stdin.Write(b); err != nil {
				t.Error(err)
			}
		}
		w(message(noSlot, nameHello, helloMessage{Relay: speaks}))
		synctest.Wait()  // until it says hello
		for range 1000 { // nobody reads what it says
			w(message(noSlot, nameAlive, struct{}{}))
		}
		synctest.Wait()
		_ = p.stdin.Close()
		go swallow(p.stderr)
		r := protocol.NewReader(p.stdout)
		var said []string
		for {
			packet, err := r.ReadPacket()
			if err != nil {
				break
			}
			said = append(said, packet.FileName)
		}
		if got := strings.Join(said, " "); got != "hello alive" && got != "hello" {
			t.Errorf("got %q; want the hello first, and at most one answer", got)
		}
		cancel()
		<-p.done
	})
}

// TestRelayStopped: a relay that is stopped is lost, and its process ended.
func TestRelayStopped(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	i := instancetest.One(t, &instance.Local{Grace: time.Millisecond})
	p := instancetest.Start(ctx, t, i, instancetest.Program(t, "relay", "{}"))
	c, err := newClient(t.Context(), p, Options{Name: "desktop", Cancel: cancel},
		limits{hello: patience, end: patience, cancel: patience, ask: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(p.PID(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	<-c.done
	wantLost(t, c.Close())
	if !strings.Contains(c.err.Error(), "the relay has said nothing for 600ms") {
		t.Errorf("got %v; want that the relay says nothing", c.err)
	}
	gone(t, p.PID())
}

// TestRelayIdle: a relay that has nothing to do answers.
func TestRelayIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, cancel := startPiped((&Server{Provider: stage{}}).Serve)
		c, err := New(t.Context(), p, Options{Name: "desktop", Cancel: cancel})
		if err != nil {
			t.Fatal(err)
		}
		select {
		case <-c.lost:
			t.Error(c.err)
		case <-time.After(time.Hour):
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}
