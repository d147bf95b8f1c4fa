package supervisor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"testr/internal/event"
	"testr/internal/protocol"
)

// failingFirst fails each of its tests so many times before it passes.
func failingFirst(times map[string]int) program {
	var mu sync.Mutex
	return stream(func(_ *fakeProcess, id string) (protocol.Status, bool) {
		mu.Lock()
		defer mu.Unlock()
		if times[id] > 0 {
			times[id]--
			return fail, true
		}
		return pass, true
	})
}

// TestRetries: a test that fails is run again, every attempt is stored, and the
// last one counts.
func TestRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tests := ids(10)
		cfg, rec := setup(t, 2, failingFirst(map[string]int{tests[1]: 1, tests[2]: 2, tests[3]: 3}), tests...)
		cfg.Retries = 2
		want := all("success", tests...)
		want[tests[3]] = "fail"
		o := check(t, cfg, want)
		if c := o.Counts(); c.Failed != 1 || c.Passed != 9 || c.Unaccounted() != 0 {
			t.Errorf("got %+v; want 9 passed and 1 failed", c)
		}
		attempts := map[string][]string{}
		for _, e := range rec.events {
			if p := e.Packet; p != nil && p.Status.Final() {
				attempts[p.TestID] = append(attempts[p.TestID], p.Status.String()+" "+strings.Join(p.Tags[1:], " "))
			}
		}
		for id, want := range map[string][]string{
			tests[0]: {"success "},
			tests[1]: {"fail ", "success attempt-2"},
			tests[3]: {"fail ", "fail attempt-2", "fail attempt-3"},
		} {
			if !slices.Equal(attempts[id], want) {
				t.Errorf("%s: got %q; want %q", id, attempts[id], want)
			}
		}
	})
}

// TestForgedAttempt: a worker can't take back a failure by calling what it says
// another attempt (S5).
func TestForgedAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, _ := setup(t, 1, stream(func(p *fakeProcess, id string) (protocol.Status, bool) {
			p.send(id, fail)
			_ = protocol.NewWriter(p.out).WritePacket(&protocol.Packet{
				Has: protocol.HasTestID | protocol.HasTags, TestID: id, Status: pass, Runnable: true,
				Tags: []string{event.AttemptTag(2)}})
			return none, true
		}), "a")
		check(t, cfg, all("fail", "a"))
	})
}

// TestDeadlyTest: a test that takes its worker with it is tried twice at most,
// whatever the retries (F4).
func TestDeadlyTest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tests := ids(10)
		cfg, rec := setup(t, 2, stream(func(p *fakeProcess, id string) (protocol.Status, bool) {
			p.died = id == tests[4]
			return pass, !p.died
		}), tests...)
		cfg.Slots[0].Instance = &fakeInstance{program: stream(func(p *fakeProcess, id string) (protocol.Status, bool) {
			if p.died = id == tests[4]; p.died {
				return none, false
			}
			return pass, true
		})}
		cfg.Slots[1].Instance = cfg.Slots[0].Instance
		cfg.Retries = 9
		want := all("success", tests...)
		want[tests[4]] = "fail"
		check(t, cfg, want)
		died := 0
		for _, how := range rec.of(event.KindWorkerExited) {
			if strings.Contains(how, "SIGKILL") {
				died++
			}
		}
		if died != maxDeaths {
			t.Errorf("%d workers died; want %d", died, maxDeaths)
		}
	})
}

// TestMaxFail: no more tests once as many have failed, and what runs may end.
func TestMaxFail(t *testing.T) {
	for _, batch := range []bool{false, true} {
		t.Run(fmt.Sprintf("batch=%v", batch), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tests := ids(20)
				status := map[string]protocol.Status{tests[3]: fail, tests[4]: fail}
				cfg, _ := setup(t, 1, stream(func(_ *fakeProcess, id string) (protocol.Status, bool) {
					time.Sleep(time.Second) //nolint:forbidigo // the bubble's time
					return max(pass, status[id]), true
				}), tests...)
				if batch {
					cfg, _ = setup(t, 1, func(ctx context.Context, p *fakeProcess) int {
						for _, id := range p.cmd.Args {
							p.send(id, protocol.StatusInProgress)
							select {
							case <-time.After(time.Second):
							case <-ctx.Done():
								return 1
							}
							p.send(id, max(pass, status[id]))
						}
						return 0
					}, tests...)
					cfg.Profiles[0].Worker = Worker{Batch: batchOf}
				}
				cfg.MaxFail = 2
				o, err := Run(t.Context(), cfg)
				c := o.Counts()
				// One more may have begun before it was asked back.
				if err != nil || c.Failed != 2 || c.Passed > 4 || c.NotRun < 14 || c.Unaccounted() != 0 {
					t.Errorf("got %+v, %v; want 3 or 4 passed, 2 failed and the others not run", c, err)
				}
				if got := statuses(o)[tests[19]]; got != "not run: "+event.ReasonMaxFail {
					t.Errorf("got %q; want the reason", got)
				}
			})
		})
	}
}

// TestMaxFailLeavesRetriesTheirChance: a failure that is tried again is none yet.
func TestMaxFailLeavesRetriesTheirChance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tests := ids(10)
		times := map[string]int{}
		for _, id := range tests {
			times[id] = 1
		}
		cfg, _ := setup(t, 2, failingFirst(times), tests...)
		cfg.Retries, cfg.MaxFail = 1, 1
		check(t, cfg, all("success", tests...))
	})
}

// TestIsolated: a process for each test, whatever the worker.
func TestIsolated(t *testing.T) {
	for _, batch := range []bool{false, true} {
		t.Run(fmt.Sprintf("batch=%v", batch), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tests := ids(12)
				cfg, rec := setup(t, 3, passing, tests...)
				if batch {
					cfg, rec = setup(t, 3, func(_ context.Context, p *fakeProcess) int { return batchProgram(p) }, tests...)
					cfg.Profiles[0].Worker = Worker{Batch: batchOf}
				}
				cfg.Isolated = true
				check(t, cfg, all("success", tests...))
				if n := len(rec.of(event.KindWorkerStarted)); n != len(tests) {
					t.Errorf("got %d processes; want %d", n, len(tests))
				}
			})
		})
	}
}

// TestSetUpFailure: tests that a fixture keeps from running did not run.
func TestSetUpFailure(t *testing.T) {
	const fixture = "setUpClass (m.C)"
	want := map[string]string{"m.A.test_a": "success", "m.C.test_a": "not run: " + fixture + " failed",
		"m.C.test_b": "not run: " + fixture + " failed", "m.D.test_a": "success", fixture: "fail"}
	tests := []string{"m.A.test_a", "m.C.test_a", "m.C.test_b", "m.D.test_a"}
	broken := func(p *fakeProcess) {
		_ = protocol.NewWriter(p.out).WritePacket(&protocol.Packet{Has: protocol.HasTestID, TestID: fixture, Status: fail})
	}
	for name, program := range map[string]program{
		"stream": stream(func(p *fakeProcess, id string) (protocol.Status, bool) {
			if !strings.HasPrefix(id, "m.C.") {
				return pass, true
			}
			if id == "m.C.test_a" {
				broken(p)
			}
			w := protocol.NewWriter(p.out)
			_ = w.WritePacket(&protocol.Packet{Has: protocol.HasTestID | protocol.HasFile, TestID: id,
				FileName: setupFailure, Content: []byte(fixture + "\n")})
			_ = w.WritePacket(&protocol.Packet{Has: protocol.HasTestID, TestID: id, Status: fail})
			return none, true
		}),
		"batch": func(_ context.Context, p *fakeProcess) int {
			for _, id := range p.cmd.Args {
				switch {
				case !strings.HasPrefix(id, "m.C."):
					p.send(id, protocol.StatusInProgress)
					p.send(id, pass)
				case id == "m.C.test_a":
					broken(p)
				}
			}
			return 1
		},
		"batch that calls it success": func(_ context.Context, p *fakeProcess) int {
			broken(p)
			for _, id := range []string{"m.A.test_a", "m.D.test_a"} {
				p.send(id, protocol.StatusInProgress)
				p.send(id, pass)
			}
			return 0
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg, _ := setup(t, 1, program, tests...)
				if name != "stream" {
					cfg.Profiles[0].Worker = Worker{Batch: batchOf}
				}
				cfg.Retries = 1
				o := check(t, cfg, want)
				if c := o.Counts(); c.NotRun != 2 || c.Failed != 1 || c.Verdict() != event.Failed {
					t.Errorf("got %+v; want 2 not run and 1 failed", c)
				}
			})
		})
	}
}

// TestFarWorker: 100 ms there and back hide behind tests of 10 ms.
func TestFarWorker(t *testing.T) {
	took := map[time.Duration]time.Duration{}
	for _, trip := range []time.Duration{0, 100 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			tests := ids(2000)
			cfg, _ := setup(t, 2, far(trip, 10*time.Millisecond), tests...)
			began := time.Now()
			check(t, cfg, all("success", tests...))
			took[trip] = time.Since(began)
		})
	}
	if near, far := took[0], took[100*time.Millisecond]; float64(near) < 0.95*float64(far) {
		t.Errorf("got %v at no distance and %v at 100 ms; want at most 5 %% more", near, far)
	}
}

// far is a worker behind a link on which packets take half a trip each way.
func far(trip, length time.Duration) program {
	type parcel struct {
		at     time.Time
		packet *protocol.Packet
	}
	deliver := func(parcels <-chan parcel, give func(*protocol.Packet)) {
		for p := range parcels {
			time.Sleep(time.Until(p.at)) //nolint:forbidigo // the bubble's time
			give(p.packet)
		}
	}
	return func(_ context.Context, p *fakeProcess) int {
		in, out := make(chan parcel, 10000), make(chan parcel, 10000)
		requests := make(chan *protocol.Packet, 10000)
		var ways sync.WaitGroup
		ways.Go(func() {
			w := protocol.NewWriter(p.out)
			deliver(out, func(packet *protocol.Packet) { _ = w.WritePacket(packet) })
		})
		ways.Go(func() {
			deliver(in, func(packet *protocol.Packet) { requests <- packet })
			close(requests)
		})
		ways.Go(func() {
			defer close(in)
			for r := protocol.NewReader(p.in); ; {
				packet, err := r.ReadPacket()
				if err != nil {
					return
				}
				in <- parcel{time.Now().Add(trip / 2), packet}
			}
		})
		send := func(id string, s protocol.Status) {
			packet := &protocol.Packet{Has: protocol.HasTestID, TestID: id, Status: s, Runnable: true}
			out <- parcel{time.Now().Add(trip / 2), packet}
		}
		for packet := range requests {
			if packet.Has&protocol.HasTestID == 0 || packet.Status != protocol.StatusExists {
				continue
			}
			send(packet.TestID, protocol.StatusInProgress)
			time.Sleep(length) //nolint:forbidigo // the bubble's time
			send(packet.TestID, pass)
		}
		close(out)
		ways.Wait()
		return 0
	}
}
