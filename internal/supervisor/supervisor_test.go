package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"testr/internal/event"
	"testr/internal/instance"
	"testr/internal/protocol"
)

const (
	pass = protocol.StatusSuccess
	fail = protocol.StatusFail
	none = protocol.StatusNone
)

func ids(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("m.C.test_%03d", i)
	}
	return out
}

// check runs a configuration in a bubble, which also shows that no goroutine is
// left, and compares outcomes.
func check(t *testing.T, cfg Config, want map[string]string) *event.Outcomes {
	t.Helper()
	o, err := Run(t.Context(), cfg)
	if err != nil {
		t.Errorf("run: %v", err)
	}
	if diff := cmp.Diff(want, statuses(o)); diff != "" {
		t.Errorf("outcomes differ (-want +got):\n%s", diff)
	}
	return o
}

func all(status string, tests ...string) map[string]string {
	m := map[string]string{}
	for _, id := range tests {
		m[id] = status
	}
	return m
}

func TestRunsEverythingOnce(t *testing.T) {
	for _, slots := range []int{1, 2, 5} {
		synctest.Test(t, func(t *testing.T) {
			tests := ids(100)
			cfg, rec := setup(t, slots, passing, tests...)
			o := check(t, cfg, all("success", tests...))
			if got := o.Counts(); got.Passed != 100 || got.Verdict() != event.Passed {
				t.Errorf("got %+v; want 100 passed", got)
			}
			begun := map[string]int{}
			for i, e := range rec.events {
				if e.Seq != uint64(i) {
					t.Fatalf("event %d has number %d", i, e.Seq)
				}
				if p := e.Packet; p != nil && p.Status == protocol.StatusInProgress {
					begun[p.TestID]++
				}
			}
			for id, n := range begun {
				if n != 1 {
					t.Errorf("%s was begun %d times; want once", id, n)
				}
			}
		})
	}
}

func TestPacketsGetRouteTimeAndTag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, rec := setup(t, 1, passing, "a")
		cfg.Slots[0].Route = "3/1"
		check(t, cfg, all("success", "a"))
		for _, e := range rec.events {
			p := e.Packet
			if p == nil {
				continue
			}
			if p.Route != "3/1" || p.Has&protocol.HasTime == 0 || !slices.Equal(p.Tags, []string{"worker-3-1"}) {
				t.Errorf("got route %q, time %v, tags %q; want 3/1, a time, worker-3-1", p.Route, p.Time, p.Tags)
			}
		}
	})
}

// TestWorkerDies: a test that had begun fails with the reason, one that had
// not goes to the next worker (F4).
func TestWorkerDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tests := ids(20)
		deadly := tests[3]
		worker := stream(func(p *fakeProcess, id string) (protocol.Status, bool) {
			if id == deadly {
				_, _ = io.WriteString(p.err, "last words\n")
				p.died = true
				return none, false
			}
			return pass, true
		})
		cfg, rec := setup(t, 2, worker, tests...)
		want := all("success", tests...)
		want[deadly] = "fail"
		check(t, cfg, want)
		var text string
		for _, e := range rec.events {
			if p := e.Packet; p != nil && p.TestID == deadly && p.Status == fail {
				text = string(p.Content)
			}
		}
		if !strings.Contains(text, "killed by SIGKILL") || !strings.Contains(text, "last words") {
			t.Errorf("got details %q; want the signal and the end of stderr", text)
		}
	})
}

func TestExitWithoutOutcomeOfABegunTest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		worker := stream(func(_ *fakeProcess, id string) (protocol.Status, bool) {
			if id == "a" {
				return none, true // goes on to b without a word on a
			}
			return pass, true
		})
		cfg, _ := setup(t, 1, worker, "a", "b")
		check(t, cfg, map[string]string{"a": "fail", "b": "success"})
	})
}

// TestDiesBetweenTests: a process that breaks after its last test's outcome is
// a failure of its own.
func TestDiesBetweenTests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		worker := stream(func(_ *fakeProcess, id string) (protocol.Status, bool) { return pass, id != "b" })
		cfg, _ := setup(t, 1, worker, "a", "b", "c")
		o := check(t, cfg, map[string]string{"a": "success", "b": "success", "c": "success", "process-returncode": "fail"})
		if o.Get("", "process-returncode").Runnable {
			t.Error("process-returncode is runnable; want a failure that is not")
		}
		if got := o.Counts().Verdict(); got != event.Failed {
			t.Errorf("got %v; want a failed run", got)
		}
	})
}

// TestNeverBegins: workers that end before their first test are not started for ever.
func TestNeverBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		worker := func(_ context.Context, p *fakeProcess) int {
			_, _ = io.WriteString(p.err, "ImportError: no module named x\n")
			return 1
		}
		cfg, rec := setup(t, 2, worker, "a", "b", "c")
		o, err := Run(t.Context(), cfg)
		if !errors.Is(err, ErrNoWorkers) || !strings.Contains(err.Error(), "ImportError") {
			t.Errorf("got %v; want %v with the end of stderr", err, ErrNoWorkers)
		}
		if diff := cmp.Diff(all("not run: "+reasonNoWorker, "a", "b", "c"), statuses(o)); diff != "" {
			t.Errorf("outcomes differ (-want +got):\n%s", diff)
		}
		if got := len(rec.of(event.KindWorkerStarted)); got > 2*maxFruitless {
			t.Errorf("got %d starts; want at most %d", got, 2*maxFruitless)
		}
	})
}

func TestNoSuchProgram(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, _ := setup(t, 2, nil, "a")
		inst := &fakeInstance{startup: errors.New("no such program")}
		cfg.Slots[0].Instance, cfg.Slots[1].Instance = inst, inst
		_, err := Run(t.Context(), cfg)
		if !errors.Is(err, ErrNoWorkers) || !strings.Contains(err.Error(), "no such program") {
			t.Errorf("got %v; want %v and why", err, ErrNoWorkers)
		}
	})
}

// TestOneSlotIsBroken: the others do its work.
func TestOneSlotIsBroken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tests := ids(30)
		cfg, _ := setup(t, 3, passing, tests...)
		cfg.Slots[1].Instance = &fakeInstance{program: func(context.Context, *fakeProcess) int { return 1 }}
		check(t, cfg, all("success", tests...))
	})
}

// TestFallsBackToBatches: where no streaming worker gets as far as a test,
// batches get their chance.
func TestFallsBackToBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, rec := setup(t, 2, func(_ context.Context, p *fakeProcess) int {
			if len(p.cmd.Args) == 0 {
				return 1
			}
			return batchProgram(p)
		}, "a", "b", "c")
		cfg.Profiles[0].Worker.Batch = batchOf
		check(t, cfg, all("success", "a", "b", "c"))
		if got := rec.of(event.KindWarning); len(got) == 0 || !strings.Contains(got[0], "batches") {
			t.Errorf("got warnings %q; want one on batches", got)
		}
	})
}

func batchOf(_ instance.Instance, ids []string) (Batch, error) {
	return Batch{Command: instance.Command{Args: ids}, Given: ids}, nil
}

// batchProgram passes what it was given.
func batchProgram(p *fakeProcess) int {
	for _, id := range p.cmd.Args {
		p.send(id, protocol.StatusInProgress)
		p.send(id, pass)
	}
	return 0
}

func TestBatches(t *testing.T) {
	for _, slots := range []int{1, 3} {
		synctest.Test(t, func(t *testing.T) {
			tests := ids(100)
			cfg, rec := setup(t, slots, func(_ context.Context, p *fakeProcess) int { return batchProgram(p) }, tests...)
			cfg.Profiles[0].Worker = Worker{Batch: batchOf}
			check(t, cfg, all("success", tests...))
			if n := len(rec.of(event.KindWorkerStarted)); slots == 1 && n != 1 || slots > 1 && n < slots {
				t.Errorf("got %d processes for %d slots", n, slots)
			}
		})
	}
}

// TestBatchesAreWorthTheirStart: where starting is dear, there are few batches.
func TestBatchesAreWorthTheirStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tests := ids(400)
		cfg, rec := setup(t, 2, func(_ context.Context, p *fakeProcess) int {
			time.Sleep(time.Second) //nolint:forbidigo // the bubble's time
			for _, id := range p.cmd.Args {
				p.send(id, protocol.StatusInProgress)
				time.Sleep(time.Millisecond) //nolint:forbidigo // the bubble's time
				p.send(id, pass)
			}
			return 0
		}, tests...)
		cfg.Profiles[0].Worker = Worker{Batch: batchOf}
		began := time.Now()
		check(t, cfg, all("success", tests...))
		if n := len(rec.of(event.KindWorkerStarted)); n > 3 {
			t.Errorf("got %d processes; want few", n)
		}
		if took := time.Since(began); took > 2500*time.Millisecond {
			t.Errorf("took %v; want about the time of two starts", took)
		}
	})
}

func TestBatchOddities(t *testing.T) {
	batch := func(do func(p *fakeProcess) int) func(*testing.T) (Config, *recorder) {
		return func(t *testing.T) (Config, *recorder) {
			cfg, rec := setup(t, 1, func(_ context.Context, p *fakeProcess) int { return do(p) }, "a", "b", "c")
			cfg.Profiles[0].Worker = Worker{Batch: batchOf}
			return cfg, rec
		}
	}
	tests := []struct {
		name string
		do   func(p *fakeProcess) int
		want map[string]string
	}{
		{"ends well without running all", func(p *fakeProcess) int {
			p.send("a", pass)
			return 0
		}, map[string]string{"a": "success", "b": "not run: " + reasonIgnored, "c": "not run: " + reasonIgnored}},
		{"dies in one and is started for the rest", func(p *fakeProcess) int {
			if p.start == 1 {
				p.send("a", pass)
				p.send("b", protocol.StatusInProgress)
				return 9
			}
			return batchProgram(p)
		}, map[string]string{"a": "success", "b": "fail", "c": "success"}},
		{"exits with 1 though nothing failed", func(p *fakeProcess) int {
			batchProgram(p)
			return 1
		}, map[string]string{"a": "success", "b": "success", "c": "success", "process-returncode": "fail"}},
		{"exits with 1 because something failed", func(p *fakeProcess) int {
			batchProgram(p)
			p.send("a", fail)
			return 1
		}, map[string]string{"a": "fail", "b": "success", "c": "success"}},
		{"in any order, several at a time", func(p *fakeProcess) int {
			for _, id := range []string{"c", "a", "b"} {
				p.send(id, protocol.StatusInProgress)
			}
			for _, id := range []string{"b", "c", "a"} {
				p.send(id, pass)
			}
			return 0
		}, all("success", "a", "b", "c")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg, _ := batch(test.do)(t)
				check(t, cfg, test.want)
			})
		})
	}
}

func TestRefusedByBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, _ := setup(t, 1, func(_ context.Context, p *fakeProcess) int { return batchProgram(p) }, "a\nb", "c", "d", "e")
		cfg.Profiles[0].Worker = Worker{Batch: func(_ instance.Instance, ids []string) (Batch, error) {
			var b Batch
			for _, id := range ids {
				if strings.Contains(id, "\n") {
					b.Refused = append(b.Refused, Refused{id, "newline"})
				} else if len(b.Given) < 2 {
					b.Given = append(b.Given, id)
				}
			}
			b.Command.Args = b.Given
			return b, nil
		}}
		check(t, cfg, map[string]string{"a\nb": "not run: not fit for a batch worker: newline",
			"c": "success", "d": "success", "e": "success"})
	})
}

func TestPlain(t *testing.T) {
	tests := []struct {
		name string
		do   func(p *fakeProcess) int
		want map[string]string
	}{
		{"whatever it finds", func(p *fakeProcess) int { p.send("x", pass); return 0 }, all("success", "x")},
		{"broken off", func(p *fakeProcess) int { p.send("x", protocol.StatusInProgress); return 3 }, all("fail", "x")},
		{"failing without a test", func(*fakeProcess) int { return 3 }, all("fail", "process-returncode")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg, _ := setup(t, 1, func(_ context.Context, p *fakeProcess) int { return test.do(p) })
				cfg.Profiles[0].Worker = Worker{Plain: fixed(instance.Command{})}
				check(t, cfg, test.want)
			})
		})
	}
}

// TestHeadStart: remembered tests run while the listing goes on; what the
// listing lacks was never asked for.
func TestHeadStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		worker := stream(func(*fakeProcess, string) (protocol.Status, bool) {
			time.Sleep(time.Second) //nolint:forbidigo // the bubble's time
			return pass, true
		})
		cfg, rec := setup(t, 1, worker, "old", "gone", "later")
		cfg.Profiles[0].List = func(context.Context) (Listing, error) {
			time.Sleep(1500 * time.Millisecond) //nolint:forbidigo // the bubble's time
			return Listing{Tests: []string{"old", "new"}}, nil
		}
		began := time.Now()
		o, err := Run(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("took %v; want the listing to cost nothing", took)
		}
		for _, id := range []string{"old", "new"} {
			if test := o.Get("", id); test == nil || !test.Asked || test.Status != pass {
				t.Errorf("%s: got %+v; want it asked for and passed", id, test)
			}
		}
		if c := o.Counts(); c.Asked != 2 || c.Tests != 2 || c.Unaccounted() != 0 || c.Verdict() != event.Passed {
			t.Errorf("got %+v; want two tests, asked for and passed", c)
		}
		_ = rec
	})
}

// TestUnknownTestIsHeldBack: a worker's "I know no such test" on a remembered id
// waits for the listing, and counts for nothing if it comes after one that lacks
// the id.
func TestUnknownTestIsHeldBack(t *testing.T) {
	for _, when := range []struct {
		listed  bool
		answers time.Duration
	}{{true, 0}, {false, 0}, {true, 2 * time.Second}, {false, 2 * time.Second}} {
		listed := when.listed
		synctest.Test(t, func(t *testing.T) {
			worker := func(_ context.Context, p *fakeProcess) int {
				r := protocol.NewReader(p.in)
				for {
					packet, err := r.ReadPacket()
					if err != nil {
						return 0
					}
					if packet.Has&protocol.HasTestID == 0 {
						continue
					}
					if packet.TestID != "gone" {
						p.send(packet.TestID, pass)
						continue
					}
					time.Sleep(when.answers) //nolint:forbidigo // the bubble's time
					_ = protocol.NewWriter(p.out).WritePacket(&protocol.Packet{
						Has: protocol.HasTestID | protocol.HasFile, TestID: "gone", Status: fail, FileName: unknownTest})
				}
			}
			cfg, _ := setup(t, 1, worker, "gone", "a")
			cfg.Profiles[0].List = func(context.Context) (Listing, error) {
				time.Sleep(time.Second) //nolint:forbidigo // the bubble's time
				tests := []string{"a"}
				if listed {
					tests = append(tests, "gone")
				}
				return Listing{Tests: tests}, nil
			}
			want := map[string]string{"a": "success"}
			if listed {
				want["gone"] = "fail"
			} else {
				want["gone"] = "" // it was sent, and nothing more is known of it
			}
			check(t, cfg, want)
		})
	}
}

func TestListingFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("no listing")
		cfg, _ := setup(t, 2, passing, "a", "b")
		cfg.Profiles[0].List = func(context.Context) (Listing, error) { return Listing{}, broken }
		if _, err := Run(t.Context(), cfg); !errors.Is(err, broken) {
			t.Errorf("got %v; want %v", err, broken)
		}
	})
}

// TestListingFailsBesideATest: what our own trouble stops did not fail.
func TestListingFailsBesideATest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		worker := func(ctx context.Context, p *fakeProcess) int {
			p.send("a", protocol.StatusInProgress)
			<-ctx.Done()
			return 0
		}
		cfg, _ := setup(t, 1, worker, "a")
		cfg.Profiles[0].List = func(context.Context) (Listing, error) {
			time.Sleep(time.Second) //nolint:forbidigo // the bubble's time
			return Listing{}, errors.New("no listing")
		}
		o, err := Run(t.Context(), cfg)
		if err == nil || o.Get("", "a").Status == fail {
			t.Errorf("got %v and %+v; want an error, and no verdict on the test", err, o.Get("", "a"))
		}
	})
}

// TestSinkFails shows F24: what could not be stored is not taken for done.
func TestSinkFails(t *testing.T) {
	for n := 1; n < 30; n++ {
		synctest.Test(t, func(t *testing.T) {
			tests := ids(10)
			cfg, rec := setup(t, 2, passing, tests...)
			rec.failAt = n
			o, err := Run(t.Context(), cfg)
			if !errors.Is(err, errDiskFull) {
				t.Errorf("event %d: got %v; want %v", n, err, errDiskFull)
			}
			if got := o.Counts().Passed; got > len(rec.events) {
				t.Errorf("event %d: %d passed, with %d events stored", n, got, len(rec.events))
			}
		})
	}
}

// TestForgery shows S5: outcomes for tests that a worker was not given settle
// nothing.
func TestForgery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tests := ids(6)
		liar := stream(func(p *fakeProcess, _ string) (protocol.Status, bool) {
			for _, other := range tests {
				p.send(other, pass)
			}
			p.send("made up", pass)
			return fail, true
		})
		cfg, _ := setup(t, 1, liar, tests...)
		cfg.LookAhead = 1
		want := all("fail", tests...)
		want["made up"] = "success"
		o := check(t, cfg, want)
		if c := o.Counts(); c.NotAsked != 1 || c.Verdict() != event.Failed {
			t.Errorf("got %+v; want one not asked for, and a failed run", c)
		}
	})
}

func TestTextIsJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		worker := stream(func(p *fakeProcess, _ string) (protocol.Status, bool) {
			for range 10 {
				_, _ = io.WriteString(p.out, "x")
				_, _ = io.WriteString(p.err, "y")
			}
			time.Sleep(time.Second)            //nolint:forbidigo // the bubble's time
			_, _ = io.WriteString(p.out, "> ") // a prompt
			time.Sleep(time.Second)            //nolint:forbidigo // the bubble's time
			return pass, true
		})
		cfg, rec := setup(t, 1, worker, "a")
		check(t, cfg, all("success", "a"))
		got := map[string]string{}
		pieces := 0
		for _, e := range rec.events {
			if p := e.Packet; p != nil && p.Has&protocol.HasTestID == 0 {
				got[p.FileName] += string(p.Content)
				pieces++
			}
		}
		want := map[string]string{"stderr": "yyyyyyyyyy", "stdout": "xxxxxxxxxx> "}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("text differs (-want +got):\n%s", diff)
		}
		// stderr may overtake the packet that the text is joined up to.
		if pieces > 4 {
			t.Errorf("got %d pieces; want them joined", pieces)
		}
	})
}

// TestGarbage: damage in a worker's stream fails the run and loses no test.
func TestGarbage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		worker := stream(func(p *fakeProcess, _ string) (protocol.Status, bool) {
			_, _ = p.out.Write([]byte("\xb3\x29\x01\x0c\x03foo\x08\x55\x5f\x1c"))
			return pass, true
		})
		cfg, _ := setup(t, 1, worker, "a", "b")
		check(t, cfg, map[string]string{"a": "success", "b": "success", "subunit.parser": "fail"})
	})
}

// TestLargestPacket: a packet as large as one can be has no room for a route.
func TestLargestPacket(t *testing.T) {
	for _, extra := range []int{0, 1} {
		synctest.Test(t, func(t *testing.T) {
			large := &protocol.Packet{Has: protocol.HasTestID | protocol.HasFile, TestID: "a", FileName: "f",
				Content: make([]byte, protocol.MaxPacket-21), EOF: true}
			if extra > 0 { // nor can it be cut
				large = &protocol.Packet{Has: protocol.HasTestID, TestID: strings.Repeat("x", protocol.MaxPacket-13)}
			}
			worker := stream(func(p *fakeProcess, _ string) (protocol.Status, bool) {
				if err := protocol.NewWriter(p.out).WritePacket(large); err != nil {
					t.Error(err)
				}
				return pass, true
			})
			cfg, rec := setup(t, 1, worker, "a")
			want := all("success", "a")
			if extra > 0 {
				want[event.ParserID] = "fail"
			}
			check(t, cfg, want)
			size := 0
			for _, e := range rec.events {
				if e.Packet != nil {
					size += len(e.Packet.Content)
					if _, err := protocol.AppendPacket(nil, e.Packet); err != nil {
						t.Errorf("event %d can't be stored: %v", e.Seq, err)
					}
				}
			}
			if extra == 0 && size != len(large.Content) {
				t.Errorf("got %d octets of the file; want %d", size, len(large.Content))
			}
		})
	}
}

// TestClosesStdoutAndLivesOn: it is ended after the time of grace.
func TestClosesStdoutAndLivesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		worker := func(ctx context.Context, p *fakeProcess) int {
			if p.start > 1 {
				return passing(ctx, p)
			}
			p.send("a", protocol.StatusInProgress)
			_ = p.out.Close()
			<-ctx.Done()
			return 0
		}
		cfg, _ := setup(t, 1, worker, "a", "b")
		began := time.Now()
		check(t, cfg, map[string]string{"a": "fail", "b": "success"})
		if took := time.Since(began); took < 10*time.Second || took > 12*time.Second {
			t.Errorf("took %v; want the 10 s of grace", took)
		}
	})
}

// TestLongLastTest: the time to tear down begins when the last test has ended.
func TestLongLastTest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		worker := stream(func(_ *fakeProcess, id string) (protocol.Status, bool) {
			if id == "long" {
				time.Sleep(time.Hour) //nolint:forbidigo // the bubble's time
			}
			return pass, true
		})
		cfg, _ := setup(t, 2, worker, "a", "long", "b", "c")
		check(t, cfg, all("success", "a", "long", "b", "c"))
	})
}

// TestNeverTearsDown: a worker that does not end after its last test is ended.
func TestNeverTearsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		worker := func(ctx context.Context, p *fakeProcess) int {
			passing(ctx, p)
			<-ctx.Done()
			return 0
		}
		cfg, _ := setup(t, 1, worker, "a")
		began := time.Now()
		want := map[string]string{"a": "success", event.ReturnCode: "fail"}
		check(t, cfg, want)
		if took := time.Since(began); took < time.Minute || took > 2*time.Minute {
			t.Errorf("took %v; want the minute of grace", took)
		}
	})
}

// TestInterrupt: running tests get the time of grace, waiting ones don't run.
func TestInterrupt(t *testing.T) {
	tests := []struct {
		name string
		busy time.Duration
		want string
		took time.Duration
	}{
		{"ends in time", 5 * time.Second, "success", 5 * time.Second},
		{"does not", time.Hour, "not run: interrupted", 11 * time.Second},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				worker := func(ctx context.Context, p *fakeProcess) int {
					return stream(func(*fakeProcess, string) (protocol.Status, bool) {
						select {
						case <-time.After(test.busy):
							return pass, true
						case <-ctx.Done():
							return none, false
						}
					})(ctx, p)
				}
				cfg, _ := setup(t, 1, worker, "a", "b", "c", "d")
				cfg.LookAhead = 1
				ctx, cancel := context.WithCancelCause(t.Context())
				began := time.Now()
				time.AfterFunc(time.Second, func() { cancel(errors.New("SIGINT")) })
				o, err := Run(ctx, cfg)
				if err != nil {
					t.Errorf("got %v; want no error", err)
				}
				if !o.Interrupted() {
					t.Error("the run is not interrupted; want it to be")
				}
				got := statuses(o)
				if got["a"] != test.want || got["d"] != "not run: "+event.ReasonInterrupted {
					t.Errorf("got %v; want a %s and d not run", got, test.want)
				}
				if took := time.Since(began); took > test.took+time.Second {
					t.Errorf("took %v; want about %v", took, test.took)
				}
			})
		})
	}
}

// TestKill: the second signal leaves no time.
func TestKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		worker := func(ctx context.Context, p *fakeProcess) int {
			p.send("a", protocol.StatusInProgress)
			<-ctx.Done()
			return 0
		}
		cfg, _ := setup(t, 1, worker, "a", "b")
		kill := make(chan struct{})
		cfg.Kill = kill
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(errors.New("SIGINT")) })
		time.AfterFunc(2*time.Second, func() { close(kill) })
		began := time.Now()
		if _, err := Run(ctx, cfg); err != nil {
			t.Errorf("got %v; want no error", err)
		}
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("took %v; want 2 s", took)
		}
	})
}

func TestDuplicates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, rec := setup(t, 2, passing, "a", "b", "a")
		check(t, cfg, all("success", "a", "b"))
		if got := rec.of(event.KindWarning); len(got) != 1 {
			t.Errorf("got warnings %q; want one", got)
		}
	})
}

// TestDoesNotReadStdin: a worker whose stdin is full stops nobody (F8).
func TestDoesNotReadStdin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tests := ids(50)
		cfg, _ := setup(t, 2, passing, tests...)
		cfg.Slots[0].Instance = &fakeInstance{program: func(ctx context.Context, p *fakeProcess) int {
			for _, id := range tests { // it claims to run what it never read about
				p.send(id, protocol.StatusInProgress)
				p.send(id, pass)
			}
			<-ctx.Done()
			return 0
		}}
		o, err := Run(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if c := o.Counts(); c.Unaccounted() != 0 {
			t.Errorf("got %+v; want every test accounted for", c)
		}
	})
}
