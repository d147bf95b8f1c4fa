package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"testr/internal/event"
	"testr/internal/instance"
	"testr/internal/protocol"
)

// stuckAt passes every test but one, in which it stays until it is killed.
func stuckAt(stuck string) program {
	return func(ctx context.Context, p *fakeProcess) int {
		return stream(func(_ *fakeProcess, id string) (protocol.Status, bool) {
			if id == stuck {
				<-ctx.Done()
				return none, false
			}
			return pass, true
		})(ctx, p)
	}
}

// detailsOf is everything that was attached to a test.
func (r *recorder) detailsOf(id string) string {
	var b strings.Builder
	for _, e := range r.events {
		if e.Packet != nil && e.Packet.TestID == id {
			b.Write(e.Packet.Content)
		}
	}
	return b.String()
}

// TestTimeout: a test that takes too long fails, and costs the others nothing (F8).
func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tests := ids(40)
		cfg, rec := setup(t, 2, stuckAt(tests[0]), tests...)
		cfg.Timeout = 3 * time.Second
		want := all("success", tests...)
		want[tests[0]] = "fail"
		began := time.Now()
		check(t, cfg, want)
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("took %v; want little more than the time limit", took)
		}
		if text := rec.detailsOf(tests[0]); !strings.Contains(text, "3s") || !strings.Contains(text, "SIGTERM") {
			t.Errorf("got details %q; want the time limit and the worker's end", text)
		}
		for _, e := range rec.events {
			if p := e.Packet; p != nil && p.Status.Final() && (e.Detail == madeUp) != (p.TestID == tests[0]) {
				t.Errorf("%s: got detail %q; want it on what testr made up, and nowhere else", p.TestID, e.Detail)
			}
		}
	})
}

// TestTooLate: a verdict after the time limit is stored and changes nothing (S5).
func TestTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, rec := setup(t, 1, func(ctx context.Context, p *fakeProcess) int {
			return stream(func(p *fakeProcess, id string) (protocol.Status, bool) {
				if id == "a" {
					<-ctx.Done()
					p.send("a", pass)
				}
				return pass, id != "a"
			})(ctx, p)
		}, "a", "b")
		cfg.Timeout = time.Second
		check(t, cfg, map[string]string{"a": "fail", "b": "success"})
		passes := 0
		for _, e := range rec.events {
			if e.Packet != nil && e.Packet.TestID == "a" && e.Packet.Status == pass {
				passes++
			}
		}
		if passes == 0 {
			t.Error("the late verdict was not stored")
		}
	})
}

// TestSetUpCountsForNoTest: a worker that says again that a test begins, after it
// has set up, starts the clock anew, but once.
func TestSetUpCountsForNoTest(t *testing.T) {
	for again, want := range map[int]string{1: "success", 5: "fail"} {
		synctest.Test(t, func(t *testing.T) {
			cfg, _ := setup(t, 1, stream(func(p *fakeProcess, id string) (protocol.Status, bool) {
				for range again {
					time.Sleep(2 * time.Second) //nolint:forbidigo // the bubble's time
					p.send(id, protocol.StatusInProgress)
				}
				time.Sleep(2 * time.Second) //nolint:forbidigo // the bubble's time
				return pass, true
			}), "a")
			cfg.Timeout = 3 * time.Second
			check(t, cfg, all(want, "a"))
		})
	}
}

// TestTimeoutInBatchesAndPlain: the rules are the same for those who are given
// everything at once, and what did not begin goes on in another process.
func TestTimeoutInBatchesAndPlain(t *testing.T) {
	program := func(ctx context.Context, p *fakeProcess) int {
		for _, id := range p.cmd.Args {
			p.send(id, protocol.StatusInProgress)
			if id == "b" {
				<-ctx.Done()
				return 1
			}
			p.send(id, pass)
		}
		return 0
	}
	for _, test := range []struct {
		name   string
		worker Worker
		want   map[string]string
	}{
		{"batch", Worker{Batch: batchOf}, map[string]string{"a": "success", "b": "fail", "c": "success"}},
		{"plain", Worker{Plain: fixed(instance.Command{Args: []string{"a", "b", "c"}})},
			map[string]string{"a": "success", "b": "fail"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg, rec := setup(t, 1, program, "a", "b", "c")
				cfg.Profiles[0].Worker, cfg.Timeout = test.worker, time.Minute
				began := time.Now()
				check(t, cfg, test.want)
				if took := time.Since(began); took > 2*time.Minute {
					t.Errorf("took %v; want the time limit", took)
				}
				if text := rec.detailsOf("b"); !strings.Contains(text, "1m0s") {
					t.Errorf("got details %q; want the time limit", text)
				}
			})
		})
	}
}

// TestSilentWorker: one that begins nothing is replaced, and given up after three of them (F8).
func TestSilentWorker(t *testing.T) {
	for _, limit := range []time.Duration{0, time.Second} {
		silentWorker(t, limit)
	}
}

func silentWorker(t *testing.T, limit time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		tests := ids(20)
		cfg, rec := setup(t, 2, passing, tests...)
		cfg.Slots[1].Instance = &fakeInstance{program: func(ctx context.Context, _ *fakeProcess) int {
			<-ctx.Done()
			return 0
		}}
		cfg.Timeout, cfg.Slow = limit, 30*time.Second
		check(t, cfg, all("success", tests...))
		if got := rec.of(event.KindWarning); len(got) == 0 || !strings.Contains(got[0], "begun none of its") {
			t.Errorf("got warnings %q; want one about the worker that begins nothing", got)
		}
		if n := len(rec.of(event.KindWorkerStarted)); n > 1+maxFruitless {
			t.Errorf("got %d starts; want no more than %d", n, 1+maxFruitless)
		}
	})
}

// TestSlow: people are told of a slow test once, and it may go on.
func TestSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, rec := setup(t, 1, stream(func(*fakeProcess, string) (protocol.Status, bool) {
			time.Sleep(10 * time.Minute) //nolint:forbidigo // the bubble's time
			return pass, true
		}), "a", "b")
		cfg.Slow = time.Minute
		check(t, cfg, all("success", "a", "b"))
		got := rec.of(event.KindWarning)
		if len(got) != 2 || !strings.Contains(got[0], "a has been running for 1m0s on worker 0") {
			t.Errorf("got warnings %q; want one for each test", got)
		}
	})
}

// TestDeaf: a worker that closes its stdin and goes on loses nothing but its job.
func TestDeaf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tests := ids(30)
		cfg, _ := setup(t, 2, passing, tests...)
		cfg.Slots[0].Instance = &fakeInstance{program: func(ctx context.Context, p *fakeProcess) int {
			r := protocol.NewReader(p.in)
			for {
				packet, err := r.ReadPacket()
				if err != nil {
					return 1
				}
				if packet.Has&protocol.HasTestID == 0 {
					continue
				}
				p.send(packet.TestID, protocol.StatusInProgress)
				_ = p.in.CloseWithError(syscall.EPIPE)
				p.send(packet.TestID, pass)
				<-ctx.Done()
				return 0
			}
		}}
		want := all("success", tests...)
		want[event.ReturnCode] = "fail" // it had to be ended
		check(t, cfg, want)
	})
}

// TestScarce: where no more processes can be had for the moment, those that run
// do the work (F19).
func TestScarce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tests := ids(30)
		cfg, rec := setup(t, 5, passing, tests...)
		full := &fakeInstance{startup: fmt.Errorf("start: %w", syscall.EMFILE)}
		for i := range cfg.Slots[1:] {
			cfg.Slots[1+i].Instance = full
		}
		check(t, cfg, all("success", tests...))
		if got := rec.of(event.KindWarning); len(got) != 1 || !strings.Contains(got[0], "too many open files") {
			t.Errorf("got warnings %q; want one", got)
		}
	})
}

// TestInspect: what runs where, since when, with its last output.
func TestInspect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		worker := func(ctx context.Context, p *fakeProcess) int {
			_, _ = io.WriteString(p.err, "connecting\n")
			return stuckAt("a")(ctx, p)
		}
		cfg, _ := setup(t, 2, worker, "a")
		asked := make(chan func([]SlotState))
		cfg.Inspect = asked
		cfg.Timeout = time.Minute
		began := time.Now()
		var got []SlotState
		time.AfterFunc(10*time.Second, func() { asked <- func(s []SlotState) { got = s } })
		check(t, cfg, all("fail", "a"))
		if len(got) != 2 || len(got[0].Running) != 1 || got[0].Running[0].Test != "a" || got[0].Last != "connecting" ||
			got[0].PID != 1001 || got[0].Running[0].Since.Sub(began) > time.Second || got[1].PID != 0 {
			t.Errorf("got %+v; want test a in slot 0 and nothing in slot 1", got)
		}
	})
}

// TestPause: what stands still counts for no time limit (F18).
func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, _ := setup(t, 1, stream(func(*fakeProcess, string) (protocol.Status, bool) {
			time.Sleep(time.Hour + 2*time.Second) //nolint:forbidigo // the bubble's time
			return pass, true
		}), "a")
		cfg.Timeout = 3 * time.Second
		pause := make(chan func())
		cfg.Pause = pause
		time.AfterFunc(time.Second, func() {
			pause <- func() { time.Sleep(time.Hour) } //nolint:forbidigo // the bubble's time
		})
		check(t, cfg, all("success", "a"))
		if got := cfg.Slots[0].Instance.(*fakeInstance).paused; got != 0 {
			t.Errorf("%d workers stand still; want none", got)
		}
	})
}

// TestGoneAfterTheListing: an answer in two packets, of which the listing comes in
// between, counts as little as one in one.
func TestGoneAfterTheListing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		worker := func(_ context.Context, p *fakeProcess) int {
			w := protocol.NewWriter(p.out)
			for r := protocol.NewReader(p.in); ; {
				packet, err := r.ReadPacket()
				switch {
				case err != nil:
					return 0
				case packet.TestID == "a":
					p.send("a", pass)
				case packet.TestID == "gone":
					_ = w.WritePacket(&protocol.Packet{
						Has: protocol.HasTestID | protocol.HasFile, TestID: "gone", FileName: unknownTest})
					time.Sleep(2 * time.Second) //nolint:forbidigo // the bubble's time
					_ = w.WritePacket(&protocol.Packet{Has: protocol.HasTestID, TestID: "gone", Status: fail})
				}
			}
		}
		cfg, _ := setup(t, 1, worker, "gone", "a")
		cfg.Profiles[0].List = func(context.Context) (Listing, error) {
			time.Sleep(time.Second) //nolint:forbidigo // the bubble's time
			return Listing{Tests: []string{"a"}}, nil
		}
		o, err := Run(t.Context(), cfg)
		if err != nil || o.Counts().Failed != 0 {
			t.Errorf("got %+v, %v; want nothing failed", o.Counts(), err)
		}
	})
}

// TestEndOfTheSink: what is retried, timed out or killed after the sink has failed is no
// matter any more.
func TestEndOfTheSink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, rec := setup(t, 2, stuckAt("a"), "a", "b", "c")
		cfg.Timeout, cfg.Retries, rec.failAt = time.Second, 3, 8
		if _, err := Run(t.Context(), cfg); !errors.Is(err, errDiskFull) {
			t.Errorf("got %v; want %v", err, errDiskFull)
		}
	})
}
