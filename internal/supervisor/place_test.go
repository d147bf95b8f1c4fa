package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"testr/internal/event"
	"testr/internal/instance"
	"testr/internal/protocol"
	"testr/internal/scheduler"
)

var errCut = errors.New("no answer for 15s")

// cut ends a process as the loss of its instance does: nothing more comes, and
// nobody knows how it ended.
func cut(p *fakeProcess) { p.lost = &instance.LostError{Instance: "desktop", Err: errCut} }

// desktop makes the last slot of a configuration one of an instance of that
// name, which is opened by open.
func desktop(cfg *Config, open func(context.Context) (Place, error)) {
	s := &cfg.Slots[len(cfg.Slots)-1]
	s.Name, s.Instance, s.Open = "desktop", nil, open
}

// there opens a place at once, or after a while.
func there(after time.Duration, program program) func(context.Context) (Place, error) {
	return func(ctx context.Context) (Place, error) {
		select {
		case <-time.After(after):
			return Place{Instance: &fakeInstance{program: program}, Host: "desktop.example"}, nil
		case <-ctx.Done():
			return Place{}, context.Cause(ctx)
		}
	}
}

// slowly is a worker whose tests take a second each.
var slowly = stream(func(*fakeProcess, string) (protocol.Status, bool) {
	<-time.After(time.Second)
	return pass, true
})

// ranBy counts the outcomes of each slot.
func ranBy(rec *recorder) map[int]int {
	n := map[int]int{}
	for _, e := range rec.events {
		if p := e.Packet; p != nil && p.Status.Final() {
			n[e.Worker]++
		}
	}
	return n
}

// TestLateInstance: the run goes on with what is there, and a host that joins
// late gets its part.
func TestLateInstance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tests := ids(100)
		cfg, rec := setup(t, 2, slowly, tests...)
		desktop(&cfg, there(20*time.Second, slowly))
		begun := time.Now()
		check(t, cfg, all("success", tests...))
		if took := time.Since(begun); took > 62*time.Second {
			t.Errorf("got %v; want what 100 tests take on one worker for 20 s, then on two", took)
		}
		if n := ranBy(rec); n[1] < 38 {
			t.Errorf("got %v outcomes by slot; want some 40 of the late one", n)
		}
		if got := rec.of(event.KindWorkerStarted); !slices.ContainsFunc(got, func(s string) bool {
			return strings.HasPrefix(s, "host=desktop.example instance=fake pid=1001 generation=1")
		}) {
			t.Errorf("got starts %q; want the host's name in one", got)
		}
	})
}

// TestNeverNeeded: nobody waits for an instance when there is nothing left to
// run on it.
func TestNeverNeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, rec := setup(t, 2, passing, "a", "b")
		desktop(&cfg, there(time.Hour, passing))
		begun := time.Now()
		check(t, cfg, all("success", "a", "b"))
		if took := time.Since(begun); took > time.Second || len(rec.of(event.KindWarning)) > 0 {
			t.Errorf("got %v and warnings %q; want an end at once and none", took, rec.of(event.KindWarning))
		}
	})
}

// TestNotThere: an instance that can't be had is a warning as long as there is
// another one, and else the reason of the run's end.
func TestNotThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		none := func(context.Context) (Place, error) {
			return Place{}, errors.New("instance desktop: connection refused")
		}
		cfg, rec := setup(t, 2, passing, "a", "b")
		desktop(&cfg, none)
		check(t, cfg, all("success", "a", "b"))
		if got := rec.of(event.KindWarning); !slices.Equal(got, []string{"instance desktop: connection refused"}) {
			t.Errorf("got warnings %q; want the reason", got)
		}

		cfg, _ = setup(t, 1, passing, "a", "b")
		desktop(&cfg, none)
		o, err := Run(t.Context(), cfg)
		if !errors.Is(err, ErrNoWorkers) || !strings.Contains(err.Error(), "(2 outstanding; lost: desktop)") {
			t.Errorf("got %v; want that there is no worker, and why", err)
		}
		if diff := cmp.Diff(all("not run: "+reasonNoWorker, "a", "b"), statuses(o)); diff != "" {
			t.Errorf("outcomes (-want +got):\n%s", diff)
		}
	})
}

// TestNothingIsLeftToNobody: slow workers don't leave long tests to faster ones that
// are not there.
func TestNothingIsLeftToNobody(t *testing.T) {
	const long = 50 * time.Second
	errNone := errors.New("instance desktop: connection refused")
	for _, err := range []error{errNone, &AbsentError{errNone}} {
		synctest.Test(t, func(t *testing.T) {
			tests := append(ids(30), "z.L.long1", "z.L.long2", "z.L.long3")
			of := func(id string) time.Duration {
				if strings.HasPrefix(id, "z") {
					return long
				}
				return time.Second
			}
			cfg, _ := setup(t, 6, stream(func(_ *fakeProcess, id string) (protocol.Status, bool) {
				<-time.After(4 * of(id))
				return pass, true
			}), tests...)
			cfg.Estimate = func(it scheduler.Item) (time.Duration, bool) { return of(it.Test), true }
			for i := range cfg.Slots[2:] {
				s := &cfg.Slots[2+i]
				s.Name, s.Instance = "desktop", nil
				s.Open = func(context.Context) (Place, error) { return Place{}, err }
			}
			begun := time.Now()
			check(t, cfg, all("success", tests...))
			if took := time.Since(begun); took > 2*4*long+time.Minute {
				t.Errorf("got %v; want what two workers need", took)
			}
		})
	}
}

// absentFor is a place that is not there before the given time has passed.
func absentFor(d time.Duration, program program) (open func(context.Context) (Place, error), tries *int) {
	from, tries := time.Now(), new(int)
	return func(context.Context) (Place, error) {
		*tries++
		if time.Since(from) < d {
			err := fmt.Errorf("instance desktop: try %d: connection refused", *tries)
			return Place{}, fmt.Errorf("open: %w", &AbsentError{err})
		}
		return Place{Instance: &fakeInstance{program: program}}, nil
	}, tries
}

// TestAbsent: a place that isn't there is tried for as long as there is another
// one, people are told of it once, and it gets its part when it comes.
func TestAbsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tests := ids(100)
		cfg, rec := setup(t, 2, slowly, tests...)
		open, tries := absentFor(30*time.Second, slowly)
		desktop(&cfg, open)
		check(t, cfg, all("success", tests...))
		if n := ranBy(rec); n[1] < 30 || n[1] > 35 {
			t.Errorf("got %v outcomes by slot; want some 33 of the late one", n)
		}
		if *tries != 8 {
			t.Errorf("got %d tries; want 8, after 0, 1, 5, 10 seconds and so on", *tries)
		}
		want := []string{"open: instance desktop: try 1: connection refused"}
		if got := rec.of(event.KindWarning); !slices.Equal(got, want) {
			t.Errorf("got warnings %q; want the first reason alone", got)
		}
	})
}

// TestAllAbsent: the run ends when nothing is there and nothing has come in three
// tries, or when what was there is no more.
func TestAllAbsent(t *testing.T) {
	for _, others := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			open, tries := absentFor(time.Hour, passing)
			cfg, _ := setup(t, 1, passing, "a", "b")
			wantTries, wantTook := 3, 5*time.Second
			if others { // for ten seconds: three workers that don't begin a test
				cfg, _ = setup(t, 2, func(context.Context, *fakeProcess) int {
					<-time.After(4 * time.Second)
					return 1
				}, "a", "b")
				wantTries, wantTook = 4, 12*time.Second
			}
			desktop(&cfg, open)
			begun := time.Now()
			o, err := Run(t.Context(), cfg)
			var none *WorkersError
			if !errors.As(err, &none) || len(none.Lost) != 1 {
				t.Errorf("got %v; want that no worker is left, and one instance", err)
			}
			if took := time.Since(begun); *tries != wantTries || took != wantTook {
				t.Errorf("got %d tries in %v; want %d in %v", *tries, took, wantTries, wantTook)
			}
			if diff := cmp.Diff(all("not run: "+reasonNoWorker, "a", "b"), statuses(o)); diff != "" {
				t.Errorf("outcomes (-want +got):\n%s", diff)
			}
		})
	}
}

// TestAbsentPlain: a command that runs everything has nowhere to run, which is
// the run's end.
func TestAbsentPlain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, _ := setup(t, 1, passing)
		cfg.Profiles[0].Worker = Worker{Plain: fixed(instance.Command{})}
		open, tries := absentFor(time.Hour, passing)
		desktop(&cfg, open)
		_, err := Run(t.Context(), cfg)
		if err == nil || !strings.Contains(err.Error(), "connection refused") || *tries != 3 {
			t.Errorf("got %v after %d tries; want the reason after 3", err, *tries)
		}
	})
}

// TestAbsentInterrupted: nobody is told of what is not there and not needed.
func TestAbsentInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeoutCause(t.Context(), 3*time.Second, errors.New("interrupted by SIGINT"))
		defer cancel()
		cfg, rec := setup(t, 1, passing, "a")
		open, _ := absentFor(time.Hour, passing)
		desktop(&cfg, open)
		o, err := Run(ctx, cfg)
		if err != nil || !o.Interrupted() || len(rec.of(event.KindWarning)) != 1 {
			t.Errorf("got %v, interrupted %t, warnings %q; want an interrupted run and one", err, o.Interrupted(),
				rec.of(event.KindWarning))
		}
	})
}

// TestLinkCut: a test that had begun on a machine that was lost is no failure.
// It runs elsewhere, and the loss is in the run (F6).
func TestLinkCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tests := ids(40)
		first := true
		cfg, rec := setup(t, 2, slowly, tests...)
		desktop(&cfg, there(0, stream(func(p *fakeProcess, id string) (protocol.Status, bool) {
			<-time.After(time.Second)
			if first && id > "m.C.test_005" {
				first = false
				cut(p)
				return none, false
			}
			return pass, true
		})))
		o := check(t, cfg, all("success", tests...))
		if c := o.Counts(); c.Verdict() != event.Passed || c.Flaky > 0 {
			t.Errorf("got %+v; want a pass and nothing flaky", c)
		}
		if got := rec.of(event.KindWarning); !slices.Equal(got, []string{"instance desktop was lost: no answer for 15s"}) {
			t.Errorf("got warnings %q; want the loss", got)
		}
		if got := rec.of(event.KindRequeued); len(got) != 1 || !strings.Contains(got[0], "desktop was lost") {
			t.Errorf("got %q; want the tests that went elsewhere, and why", got)
		}
		if got := rec.of(event.KindWorkerExited); !slices.Contains(got, "instance desktop was lost: no answer for 15s") {
			t.Errorf("got exits %q; want the loss", got)
		}
		if n := ranBy(rec); n[1] < 10 {
			t.Errorf("got %v outcomes by slot; want the instance to come back", n)
		}
	})
}

// TestAllLost: an instance that fails three times running is dropped, and
// without any the run ends and names them.
func TestAllLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var starts atomic.Int32
		cfg, rec := setup(t, 3, passing, "a", "b", "c")
		down := &fakeInstance{program: func(_ context.Context, p *fakeProcess) int {
			starts.Add(1)
			cut(p)
			return 0
		}}
		for i := range cfg.Slots {
			cfg.Slots[i].Name, cfg.Slots[i].Instance = "desktop", down
		}
		o, err := Run(t.Context(), cfg)
		if !errors.Is(err, ErrNoWorkers) || !strings.Contains(err.Error(), "(3 outstanding; lost: desktop)") {
			t.Errorf("got %v; want the instance named once", err)
		}
		if diff := cmp.Diff(all("not run: "+reasonNoWorker, "a", "b", "c"), statuses(o)); diff != "" {
			t.Errorf("outcomes (-want +got):\n%s", diff)
		}
		if n := starts.Load(); n != 9 {
			t.Errorf("got %d starts; want three for each slot", n)
		}
		if got := rec.of(event.KindWarning); len(got) != 1 {
			t.Errorf("got warnings %q; want one", got)
		}
	})
}

// TestEatsMachines: a test that takes its machine with it each time doesn't take
// all of them.
func TestEatsMachines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tests := ids(30)
		var eaten atomic.Int32
		cfg, _ := setup(t, 4, stream(func(p *fakeProcess, id string) (protocol.Status, bool) {
			if id == tests[7] {
				eaten.Add(1)
				cut(p)
				return none, false
			}
			return pass, true
		}), tests...)
		want := all("success", tests...)
		want[tests[7]] = "not run: " + reasonLost(maxMoves) + "instance desktop was lost: no answer for 15s"
		o := check(t, cfg, want)
		if n := eaten.Load(); n != maxMoves {
			t.Errorf("got %d machines lost; want %d", n, maxMoves)
		}
		if v := o.Counts().Verdict(); v != event.Incomplete {
			t.Errorf("got verdict %v; want incomplete", v)
		}
	})
}

// TestLostWhileOverdue: a test that had its time failed, whatever became of its
// machine.
func TestLostWhileOverdue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, _ := setup(t, 1, func(ctx context.Context, p *fakeProcess) int {
			r := protocol.NewReader(p.in)
			for {
				if packet, err := r.ReadPacket(); err != nil || packet.TestID == "a" {
					break
				}
			}
			p.send("a", protocol.StatusInProgress)
			<-ctx.Done()
			cut(p)
			return 0
		}, "a")
		cfg.Timeout = time.Minute
		check(t, cfg, map[string]string{"a": "fail"})
	})
}

// TestLostInBatch: what a batch had begun and what it had not goes elsewhere.
func TestLostInBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tests := ids(20)
		cfg, _ := setup(t, 1, passing, tests...)
		cfg.Profiles[0].Worker = Worker{Batch: batchOf}
		cfg.Slots[0].Instance = &fakeInstance{program: func(_ context.Context, p *fakeProcess) int {
			for i, id := range p.cmd.Args {
				p.send(id, protocol.StatusInProgress)
				if p.start == 1 && i == 5 {
					cut(p)
					return 0
				}
				p.send(id, pass)
			}
			return 0
		}}
		check(t, cfg, all("success", tests...))
	})
}

// TestInterruptWhileOpening: nobody waits for a place after an interruption.
func TestInterruptWhileOpening(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, rec := setup(t, 1, passing, "a")
		desktop(&cfg, there(time.Hour, passing))
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Minute, func() { cancel(errors.New("interrupted by SIGINT")) })
		begun := time.Now()
		o, err := Run(ctx, cfg)
		if took := time.Since(begun); err != nil || !o.Interrupted() || took > 61*time.Second {
			t.Errorf("got %v, interrupted %t, after %v; want the end at the interruption", err, o.Interrupted(), took)
		}
		if got := rec.of(event.KindWarning); len(got) > 0 {
			t.Errorf("got warnings %q; want none", got)
		}
	})
}

// TestPlainElsewhere: a command that runs everything runs on the first
// instance, when that is there, and its loss is the run's end.
func TestPlainElsewhere(t *testing.T) {
	for _, loses := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			cfg, _ := setup(t, 1, passing)
			cfg.Profiles[0].Worker = Worker{Plain: fixed(instance.Command{})}
			desktop(&cfg, there(time.Minute, func(_ context.Context, p *fakeProcess) int {
				p.send("a", pass)
				if loses {
					p.send("b", protocol.StatusInProgress)
					cut(p)
				}
				return 0
			}))
			o, err := Run(t.Context(), cfg)
			var lost *instance.LostError
			if got := errors.As(err, &lost); got != loses || o.Counts().Passed != 1 {
				t.Errorf("loses %t: got %v, %+v", loses, err, o.Counts())
			}
			if c := o.Counts(); c.InProgress > 0 || loses && statuses(o)["b"] != "not run: "+event.ReasonStopped {
				t.Errorf("loses %t: got %q, %+v; want a reason for what had begun", loses, statuses(o), c)
			}
		})
	}
}

// TestFramed: a process behind a relay gives packets and takes packets.
func TestFramed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tests := ids(10)
		cfg, rec := setup(t, 1, passing, tests...)
		cfg.Slots[0].Route = "1/0"
		inner := cfg.Slots[0].Instance
		cfg.Slots[0].Instance = framedInstance{inner}
		check(t, cfg, all("success", tests...))
		for _, e := range rec.events {
			if p := e.Packet; p != nil && p.Route != "1/0" {
				t.Errorf("got route %q; want 1/0", p.Route)
			}
		}
	})
}

type framedInstance struct{ instance.Instance }

func (i framedInstance) Start(ctx context.Context, cmd instance.Command) (instance.Process, error) {
	p, err := i.Instance.Start(ctx, cmd)
	if err != nil {
		return nil, err
	}
	return &framedProcess{p, protocol.NewReader(p.Stdout()), protocol.NewWriter(p.Stdin())}, nil
}

type framedProcess struct {
	instance.Process
	*protocol.Reader
	*protocol.Writer
}

// A process behind a relay has no bytes to read.
func (p *framedProcess) Stdout() io.Reader { panic("the bytes of a framed process were asked for") }

// TestReopened: what was lost is opened again before it is used again.
func TestReopened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tests := ids(10)
		opens := 0
		cfg, rec := setup(t, 1, passing, tests...)
		desktop(&cfg, func(context.Context) (Place, error) {
			opens++
			up := opens
			return Place{Instance: &fakeInstance{program: stream(func(p *fakeProcess, id string) (protocol.Status, bool) {
				if up == 1 && id == tests[4] {
					cut(p)
					return none, false
				}
				return pass, true
			})}}, nil
		})
		check(t, cfg, all("success", tests...))
		if opens != 2 {
			t.Errorf("got %d openings; want one more after the loss", opens)
		}
		if n := len(rec.of(event.KindWorkerStarted)); n != 2 {
			t.Errorf("got %d starts; want 2", n)
		}
	})
}

// TestAbsentSilently: who takes long to say nothing is not asked three times.
func TestAbsentSilently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, _ := setup(t, 1, passing, "a")
		tries := 0
		desktop(&cfg, func(context.Context) (Place, error) {
			tries++
			<-time.After(30 * time.Second)
			return Place{}, &AbsentError{errors.New("no answer within 30s")}
		})
		if _, err := Run(t.Context(), cfg); !errors.Is(err, ErrNoWorkers) || tries != 1 {
			t.Errorf("got %v after %d tries; want that no worker is left after 1", err, tries)
		}
	})
}

// TestLostAndAbsent: that a place was lost is told, and not each way in which it
// isn't there until it is.
func TestLostAndAbsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tests := ids(40)
		opens := 0
		cfg, rec := setup(t, 2, slowly, tests...)
		desktop(&cfg, func(context.Context) (Place, error) {
			opens++
			up := opens
			if up == 2 || up == 3 {
				return Place{}, &AbsentError{fmt.Errorf("connection refused from port %d", up)}
			}
			return Place{Instance: &fakeInstance{program: stream(func(p *fakeProcess, _ string) (protocol.Status, bool) {
				<-time.After(time.Second)
				if up == 1 {
					cut(p)
					return none, false
				}
				return pass, true
			})}}, nil
		})
		check(t, cfg, all("success", tests...))
		if n := ranBy(rec); opens != 4 || n[1] < 10 {
			t.Errorf("got %d openings and %v outcomes by slot; want 4, and the place to be used again", opens, n)
		}
		if got := rec.of(event.KindWarning); !slices.Equal(got, []string{"instance desktop was lost: no answer for 15s"}) {
			t.Errorf("got warnings %q; want the loss alone", got)
		}
	})
}

// TestGivenUp: of an instance whose workers never begin a test people are told,
// once for all of its slots, if the run goes on without it.
func TestGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tests := ids(10)
		cfg, rec := setup(t, 3, slowly, tests...)
		for i := range 2 {
			cfg.Slots[i].Name = "desktop"
			cfg.Slots[i].Instance = &fakeInstance{program: func(context.Context, *fakeProcess) int { return 127 }}
		}
		check(t, cfg, all("success", tests...))
		want := "instance desktop gets no more tests: its workers end before they begin one: exit status 127"
		if got := rec.of(event.KindWarning); !slices.Equal(got, []string{want}) {
			t.Errorf("got warnings %q; want %q", got, want)
		}
	})
}

// TestLastChance: a test that was lost three times has one more chance on a
// machine that it was never lost with, if there is one, and the others leave it to
// that for a while. One that a worker ended with is not spared.
func TestLastChance(t *testing.T) {
	for _, tt := range []struct {
		name  string
		busy  time.Duration // for how long the other machine has something else to do
		loses bool          // that machine is lost with the test, too
		kills bool          // the test's first worker ends with it
		want  string
	}{
		{"idle", 0, false, false, "success"},
		{"busy", 8 * time.Second, false, false, "success"},
		{"busy for too long", time.Hour, false, false, "not run: " + reasonLost(4)},
		{"lost there too", 8 * time.Second, true, false, "not run: " + reasonLost(4)},
		{"to blame", 8 * time.Second, false, true, "not run: " + reasonLost(3)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg, _ := setup(t, 2, stream(func(p *fakeProcess, id string) (protocol.Status, bool) {
					if id == "other" {
						<-time.After(tt.busy)
						return pass, true
					}
					if tt.loses {
						cut(p)
						return none, false
					}
					return pass, true
				}), "other", "it")
				cfg.Isolated, cfg.Retries = true, 1 // nobody has a test before it can begin it
				var tries int
				desktop(&cfg, there(0, stream(func(p *fakeProcess, _ string) (protocol.Status, bool) {
					if tries++; tries == 1 && tt.kills {
						p.died = true
						return none, false
					}
					cut(p)
					return none, false
				})))
				o, err := Run(t.Context(), cfg)
				if err != nil {
					t.Error(err)
				}
				if got := statuses(o)["it"]; !strings.HasPrefix(got, tt.want) {
					t.Errorf("got %q after %d tries on desktop; want %q", got, tries, tt.want)
				}
				if o.Counts().Unaccounted() > 0 {
					t.Errorf("got %+v; want everything accounted for", o.Counts())
				}
			})
		})
	}
}
