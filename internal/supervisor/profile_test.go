package supervisor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"testr/internal/event"
	"testr/internal/instance"
	"testr/internal/protocol"
	"testr/internal/scheduler"
)

// profileOf is the profile that a fake worker was started for, which the commands
// of mixed say.
func profileOf(p *fakeProcess) string { return p.cmd.Env[0] }

// modes are the ways in which a profile's workers are started.
var modes = map[string]func(name string) Worker{
	"stream": func(name string) Worker { return Worker{Stream: fixed(instance.Command{Env: []string{name}})} },
	"batch": func(name string) Worker {
		return Worker{Batch: func(_ instance.Instance, ids []string) (Batch, error) {
			return Batch{Command: instance.Command{Args: ids, Env: []string{name}}, Given: ids}, nil
		}}
	},
	"plain": func(name string) Worker { return Worker{Plain: fixed(instance.Command{Env: []string{name}})} },
}

// mixed is a program for the workers of all modes: what each test comes to is
// said by do, as for stream. A plain process finds the given tests.
func mixed(found []string, do func(p *fakeProcess, id string) (protocol.Status, bool)) program {
	return func(ctx context.Context, p *fakeProcess) int {
		tests := p.cmd.Args
		switch {
		case strings.HasPrefix(profileOf(p), "plain"):
			tests = found
		case len(tests) == 0:
			return stream(do)(ctx, p)
		}
		for _, id := range tests {
			p.send(id, protocol.StatusInProgress)
			outcome, goOn := do(p, id)
			if ctx.Err() != nil {
				return 143 // it was ended meanwhile
			}
			if outcome != protocol.StatusNone {
				p.send(id, outcome)
			}
			if !goOn {
				return 7
			}
		}
		return 0
	}
}

// several makes a configuration with profiles, of the mode that is the first
// word of each one's name; all have the same tests.
func several(t *testing.T, slots int, program program, tests []string, names ...string) (Config, *recorder) {
	cfg, rec := setup(t, slots, program)
	cfg.Profiles = nil
	for _, name := range names {
		mode, _, _ := strings.Cut(name, "-")
		p := Profile{Name: name, Tags: []string{"tag-" + name}, Worker: modes[mode](name)}
		if mode != "plain" {
			p.Tests = tests
		}
		cfg.Profiles = append(cfg.Profiles, p)
	}
	return cfg, rec
}

// under is statuses by profile and id.
func under(o *event.Outcomes) map[string]string {
	out := map[string]string{}
	for _, p := range o.Tests() {
		out[p.Profile+" "+p.ID] = status(p)
	}
	return out
}

func status(t *event.Test) string {
	switch {
	case t.NotRun != "" && !t.Settled():
		return "not run: " + t.NotRun
	case t.Open:
		return "open"
	}
	return t.Status.String()
}

// each gives the tests of each profile a status.
func each(status string, tests []string, names ...string) map[string]string {
	out := map[string]string{}
	for _, name := range names {
		for _, id := range tests {
			out[name+" "+id] = status
		}
	}
	return out
}

// laws holds a run's events against what is true of every run: slots run only what
// they can, one worker at a time; what a worker says is of its profile; and a test
// under a profile is with one worker at a time.
func laws(t *testing.T, cfg Config, rec *recorder) {
	t.Helper()
	l := lawful{t: t, cfg: cfg, profiles: map[int]string{}, busy: map[int]bool{}, owner: map[scheduler.Item]int{}}
	for _, e := range rec.events {
		l.event(e)
	}
}

type lawful struct {
	t        *testing.T
	cfg      Config
	profiles map[int]string // of each slot's worker
	busy     map[int]bool   // it has one
	owner    map[scheduler.Item]int
}

func (l *lawful) event(e event.Event) {
	l.t.Helper()
	switch e.Kind {
	case event.KindWorkerStarted:
		if s := l.cfg.Slots[e.Worker]; s.Profiles != nil && !slices.Contains(s.Profiles, e.Profile) {
			l.t.Errorf("slot %d, which can run %q, got a worker of %q", e.Worker, s.Profiles, e.Profile)
		}
		if l.busy[e.Worker] {
			l.t.Errorf("slot %d got a second worker beside its first", e.Worker)
		}
		l.profiles[e.Worker], l.busy[e.Worker] = e.Profile, true
	case event.KindWorkerExited:
		l.busy[e.Worker] = false
		maps.DeleteFunc(l.owner, func(_ scheduler.Item, worker int) bool { return worker == e.Worker })
	case event.KindSent, event.KindRequeued, event.KindPacket:
		if e.Worker != event.NoWorker && l.profiles[e.Worker] != e.Profile {
			l.t.Errorf("%v %q of profile %q beside a worker of %q", e.Kind, e.Tests, e.Profile, l.profiles[e.Worker])
		}
		l.settle(e)
	case event.KindAsked, event.KindNotRun:
		known := func(p Profile) bool { return p.Name == e.Profile }
		if len(e.Tests) > 0 && !slices.ContainsFunc(l.cfg.Profiles, known) {
			l.t.Errorf("%v %q of profile %q, which there is not", e.Kind, e.Tests, e.Profile)
		}
	default:
	}
}

// settle follows who has which test.
func (l *lawful) settle(e event.Event) {
	l.t.Helper()
	for _, id := range e.Tests {
		it := scheduler.Item{Test: id, Profile: e.Profile}
		if owner, ok := l.owner[it]; ok && e.Kind == event.KindSent {
			l.t.Errorf("%q was sent to worker %d, while worker %d has it", it, e.Worker, owner)
		}
		delete(l.owner, it)
		if e.Kind == event.KindSent {
			l.owner[it] = e.Worker
		}
	}
	p := e.Packet
	if p == nil {
		return
	}
	if e.Profile != "" && !slices.Contains(p.Tags, "tag-"+e.Profile) {
		l.t.Errorf("got tags %q of a packet of profile %q", p.Tags, e.Profile)
	}
	if it := (scheduler.Item{Test: p.TestID, Profile: e.Profile}); l.owner[it] == e.Worker &&
		(p.Status.Final() || p.Status == protocol.StatusExists) {
		delete(l.owner, it)
	}
}

// checkAll runs a configuration of several profiles and compares outcomes.
func checkAll(t *testing.T, cfg Config, rec *recorder, want map[string]string) (*event.Outcomes, error) {
	t.Helper()
	o, err := Run(t.Context(), cfg)
	if diff := cmp.Diff(want, under(o)); diff != "" {
		t.Errorf("outcomes differ (-want +got):\n%s", diff)
	}
	laws(t, cfg, rec)
	return o, err
}

// starts counts the workers that each profile got.
func starts(rec *recorder) map[string]int {
	n := map[string]int{}
	for _, e := range rec.events {
		if e.Kind == event.KindWorkerStarted {
			n[e.Profile]++
		}
	}
	return n
}

func takes(d time.Duration) func(*fakeProcess, string) (protocol.Status, bool) {
	return func(*fakeProcess, string) (protocol.Status, bool) {
		<-time.After(d)
		return pass, true
	}
}

// TestProfiles: a test under two profiles is run in both, in every mode and with
// any number of slots, and workers are not started more often than there is
// something to change for.
func TestProfiles(t *testing.T) {
	tests := ids(40)
	for _, names := range [][]string{
		{"stream", "stream-2"}, {"stream", "batch"}, {"batch", "batch-2", "stream"}, {"plain", "stream"},
		{"plain", "plain-2"}, {"stream-3", "plain", "batch"},
	} {
		for _, slots := range []int{1, 2, 3, 7} {
			t.Run(fmt.Sprintf("%s in %d", strings.Join(names, ","), slots), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					cfg, rec := several(t, slots, mixed(tests, takes(time.Second)), tests, names...)
					if _, err := checkAll(t, cfg, rec, each("success", tests, names...)); err != nil {
						t.Error(err)
					}
					for name, n := range starts(rec) {
						if strings.HasPrefix(name, "plain") && n != 1 || strings.HasPrefix(name, "stream") && n > slots {
							t.Errorf("got %d workers of %s in %d slots", n, name, slots)
						}
					}
				})
			})
		}
	}
}

// TestTheDefaultProfile: the profile without a name beside one that has one.
func TestTheDefaultProfile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tests := ids(10)
		cfg, rec := several(t, 2, mixed(nil, takes(time.Second)), tests, "stream", "stream-2")
		cfg.Profiles[0].Name, cfg.Profiles[0].Tags = "", nil
		if _, err := checkAll(t, cfg, rec, each("success", tests, "", "stream-2")); err != nil {
			t.Error(err)
		}
		for _, e := range rec.events {
			if p := e.Packet; p != nil && e.Profile == "" && slices.Contains(p.Tags, "tag-stream-2") {
				t.Errorf("got tags %q of a packet of no profile", p.Tags)
			}
		}
	})
}

// TestTagsOfOthersStay: what tags a worker gives its packets is its business, and
// its profile is the one that it was started for.
func TestTagsOfOthersStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		worker := mixed(nil, func(p *fakeProcess, id string) (protocol.Status, bool) {
			_ = protocol.NewWriter(p.out).WritePacket(&protocol.Packet{Has: protocol.HasTestID | protocol.HasTags,
				TestID: id, Status: pass, Runnable: true, Tags: []string{"tag-stream-2", "tag-stream"}})
			return none, true
		})
		cfg, rec := several(t, 1, worker, ids(1), "stream")
		if _, err := checkAll(t, cfg, rec, each("success", ids(1), "stream")); err != nil {
			t.Error(err)
		}
		last := rec.events[len(rec.events)-2].Packet
		if got, want := last.Tags, []string{"tag-stream-2", "tag-stream", "worker-0"}; !slices.Equal(got, want) {
			t.Errorf("got tags %q; want %q", got, want)
		}
	})
}

// TestSlotsOfProfiles: nothing is run where it can't be, and nobody is idle who
// could be of use.
func TestSlotsOfProfiles(t *testing.T) {
	for _, mode := range []string{"stream", "batch"} {
		t.Run(mode, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tests := ids(30)
				a, b := mode+"-a", mode+"-b"
				cfg, rec := several(t, 3, mixed(nil, takes(time.Second)), tests, a, b)
				cfg.Slots[0].Profiles = []string{a}
				cfg.Slots[1].Profiles = []string{b}
				cfg.Slots[2].Profiles = nil
				began := time.Now()
				if _, err := checkAll(t, cfg, rec, each("success", tests, a, b)); err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took > 24*time.Second {
					t.Errorf("took %v; want about 20 s", took)
				}
			})
		})
	}
}

// TestSlotGoesOn: a slot goes on with the next profile when its own has no more,
// and does not wait for tests that others run.
func TestSlotGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		worker := mixed(nil, func(p *fakeProcess, _ string) (protocol.Status, bool) {
			d := time.Second
			if profileOf(p) == "stream-long" {
				d = time.Minute
			}
			return takes(d)(p, "")
		})
		cfg, rec := several(t, 2, worker, nil, "stream-long", "stream-b")
		cfg.Profiles[0].Tests, cfg.Profiles[1].Tests = ids(1), ids(90)
		cfg.Slots[0].Profiles = []string{"stream-long"}
		want := each("success", ids(90), "stream-b")
		maps.Copy(want, each("success", ids(1), "stream-long"))
		began := time.Now()
		if _, err := checkAll(t, cfg, rec, want); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 92*time.Second {
			t.Errorf("took %v; want about 90 s", took)
		}
		if n := starts(rec); n["stream-long"]+n["stream-b"] > 3 {
			t.Errorf("got starts %v; want no more than one change", n)
		}
	})
}

// TestOnlySlotOfAProfile: where one slot alone can run a profile, it gets all of it
// in one batch, whatever the number of others.
func TestOnlySlotOfAProfile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, rec := several(t, 4, mixed(nil, takes(time.Second)), ids(40), "batch-a", "stream-b")
		for i := range cfg.Slots {
			cfg.Slots[i].Profiles = []string{"stream-b"}
		}
		cfg.Slots[2].Profiles = []string{"batch-a"}
		if _, err := checkAll(t, cfg, rec, each("success", ids(40), "batch-a", "stream-b")); err != nil {
			t.Error(err)
		}
		if n := starts(rec)["batch-a"]; n != 1 {
			t.Errorf("got %d batches; want one", n)
		}
	})
}

// TestSlowToEnd: a worker that is to make room for another profile and does not is
// ended, and its slot goes on.
func TestSlowToEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		worker := func(ctx context.Context, p *fakeProcess) int {
			code := mixed(nil, takes(time.Second))(ctx, p)
			if profileOf(p) == "stream-a" {
				<-ctx.Done() // it does not come to its end
			}
			return code
		}
		cfg, rec := several(t, 1, worker, ids(3), "stream-a", "stream-b")
		cfg.EndGrace = 5 * time.Second
		want := each("success", ids(3), "stream-a", "stream-b")
		want["stream-a "+event.ReturnCode] = "fail" // for it did not end well
		if _, err := checkAll(t, cfg, rec, want); err != nil {
			t.Error(err)
		}
	})
}

// TestListingsOfProfiles: each profile's tests begin when they are known, whatever
// the others' listings take; an id may be gone in one profile and not in another.
func TestListingsOfProfiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, rec := several(t, 2, mixed(nil, takes(time.Second)), []string{"both", "gone"},
			"stream-a", "stream-b", "stream-c")
		cfg.Profiles[2].Tests = nil
		lists := map[string][]string{"stream-a": {"both"}, "stream-b": {"new", "both", "gone"}, "stream-c": {"c"}}
		for i := range cfg.Profiles {
			p := &cfg.Profiles[i]
			p.List = func(context.Context) (Listing, error) {
				<-time.After(time.Duration(20+i) * time.Second)
				return Listing{Tests: lists[p.Name], Packets: []*protocol.Packet{
					{Has: protocol.HasTestID, TestID: "module", Status: fail}}}, nil
			}
		}
		want := map[string]string{"stream-a module": "fail", "stream-b module": "fail", "stream-c module": "fail",
			"stream-a both": "success", "stream-a gone": "success",
			"stream-b both": "success", "stream-b gone": "success", "stream-b new": "success", "stream-c c": "success"}
		began := time.Now()
		o, err := checkAll(t, cfg, rec, want)
		if err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("took %v; want the listings at the same time", took)
		}
		c := o.ByProfile()
		if c["stream-a"].Asked != 1 || c["stream-b"].Asked != 3 || c["stream-c"].Asked != 1 {
			t.Errorf("got %+v; want 1, 3 and 1 asked for", c)
		}
	})
}

// TestListingOfAProfileFails: the run ends with an error that names the profile,
// other listings end too, and what was to be run is accounted for.
func TestListingOfAProfileFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("no listing")
		cfg, rec := several(t, 2, mixed(nil, takes(time.Second)), ids(60), "stream-a", "stream-b", "stream-c")
		cfg.Profiles[1].Tests, cfg.Profiles[2].Tests = nil, nil
		cfg.Profiles[1].List = func(context.Context) (Listing, error) {
			<-time.After(3 * time.Second)
			return Listing{}, broken
		}
		cfg.Profiles[2].List = func(ctx context.Context) (Listing, error) {
			<-ctx.Done()
			return Listing{}, context.Cause(ctx)
		}
		o, err := Run(t.Context(), cfg)
		if !errors.Is(err, broken) || !strings.Contains(err.Error(), "profile stream-b") {
			t.Errorf("got %v; want %v, of profile stream-b", err, broken)
		}
		if c := o.Counts(); c.Asked != 60 || c.Unaccounted() != 0 || c.NotRun == 0 {
			t.Errorf("got %+v; want 60 tests accounted for, some not run", c)
		}
		laws(t, cfg, rec)
	})
}

// TestListedForNobody: ids that were remembered of a profile that nobody can run
// are not asked for before they are listed.
func TestListedForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, rec := several(t, 1, mixed(nil, takes(time.Second)), []string{"a", "gone"}, "stream-a", "stream-b")
		cfg.Slots[0].Profiles = []string{"stream-b"}
		cfg.Profiles[0].List = func(context.Context) (Listing, error) {
			<-time.After(5 * time.Second)
			return Listing{Tests: []string{"a"}}, nil
		}
		want := each("success", []string{"a", "gone"}, "stream-b")
		want["stream-a a"] = "not run: " + reasonNoWorker
		if _, err := checkAll(t, cfg, rec, want); !errors.Is(err, ErrNoWorkers) {
			t.Errorf("got %v; want no workers", err)
		}
	})
}

// TestEndsBeforeOthersAreListed: a worker whose profile is over does not stay for
// what may be listed of profiles that its slot can't run.
func TestEndsBeforeOthersAreListed(t *testing.T) {
	for _, listed := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			cfg, rec := several(t, 2, mixed(nil, takes(time.Second)), ids(3), "stream-a", "stream-b")
			cfg.Slots[0].Profiles, cfg.Slots[1].Profiles = []string{"stream-a"}, []string{"stream-b"}
			cfg.Profiles[1].List = func(context.Context) (Listing, error) {
				<-time.After(time.Hour)
				return Listing{Tests: ids(3)}, nil
			}
			if listed {
				cfg.Profiles[0].List = func(context.Context) (Listing, error) { return Listing{Tests: ids(3)}, nil }
			}
			if _, err := checkAll(t, cfg, rec, each("success", ids(3), "stream-a", "stream-b")); err != nil {
				t.Error(err)
			}
			for _, e := range rec.events {
				if took := e.Time.Sub(rec.events[0].Time); e.Kind == event.KindWorkerExited && e.Worker == 0 && took > time.Minute {
					t.Errorf("the worker of stream-a ended after %v; want some seconds", took)
				}
			}
		})
	}
}

// reluctant is an instance that can't start anything at first, and then as often as
// it is asked.
type reluctant struct {
	*fakeInstance
	errs []error // of the first starts; those of the loop alone
}

func (i *reluctant) Start(ctx context.Context, cmd instance.Command) (instance.Process, error) {
	if len(i.errs) > 0 {
		err := i.errs[0]
		i.errs = i.errs[1:]
		return nil, err
	}
	return i.fakeInstance.Start(ctx, cmd)
}

// TestPlainIsStartedAgain: a process that runs whatever it finds is started again
// if it was not the command that kept it from starting.
func TestPlainIsStartedAgain(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
	}{
		{"lost", &instance.LostError{Instance: "desktop", Err: errCut}},
		{"scarce", syscall.EMFILE},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				program := mixed(ids(3), takes(time.Second))
				cfg, rec := several(t, 2, program, ids(3), "stream-b", "plain")
				cfg.Slots[0].Profiles, cfg.Slots[1].Profiles = []string{"stream-b"}, []string{"plain"}
				cfg.Slots[1].Instance = &reluctant{&fakeInstance{program: program}, []error{tt.err}}
				if _, err := checkAll(t, cfg, rec, each("success", ids(3), "stream-b", "plain")); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestFallBackOfAProfile: a profile whose workers don't stream goes on in batches, in
// all slots, also in those that were at another one's tests then; and others stream on.
func TestFallBackOfAProfile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		worker := func(ctx context.Context, p *fakeProcess) int {
			if profileOf(p) == "stream-a" && len(p.cmd.Args) == 0 {
				return 1
			}
			return mixed(nil, takes(time.Second))(ctx, p)
		}
		cfg, rec := several(t, 3, worker, ids(30), "stream-a", "stream-b")
		cfg.Profiles[0].Worker.Batch = modes["batch"]("stream-a").Batch
		begun := time.Now()
		if _, err := checkAll(t, cfg, rec, each("success", ids(30), "stream-a", "stream-b")); err != nil {
			t.Error(err)
		}
		if took := time.Since(begun); took > 25*time.Second {
			t.Errorf("got %v; want some 20 s, of all three workers", took)
		}
		if got := rec.of(event.KindWarning); len(got) != 1 || !strings.Contains(got[0], "profile stream-a") {
			t.Errorf("got warnings %q; want one, of profile stream-a", got)
		}
	})
}

// TestBrokenProfile: workers of one profile that can't run take nothing from the
// others, not even their slots, and the error says whose tests were not run.
func TestBrokenProfile(t *testing.T) {
	for _, mode := range []string{"stream", "batch"} {
		t.Run(mode, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := mode+"-a", mode+"-b"
				worker := func(ctx context.Context, p *fakeProcess) int {
					if profileOf(p) == a {
						return 1
					}
					return mixed(nil, takes(time.Second))(ctx, p)
				}
				cfg, rec := several(t, 3, worker, ids(30), a, b)
				want := each("success", ids(30), b)
				maps.Copy(want, each("not run: "+reasonNoWorker, ids(30), a))
				_, err := checkAll(t, cfg, rec, want)
				lack, ok := errors.AsType[*WorkersError](err)
				if !ok || lack.Outstanding != 30 || !slices.Equal(lack.Profiles, []string{a}) {
					t.Errorf("got %v; want no workers for 30 tests of profile %s", err, a)
				}
			})
		})
	}
}

// TestNobodyCanRun: what no slot can run is not run, holds up nothing, not even
// the segments behind it, and is named.
func TestNobodyCanRun(t *testing.T) {
	for _, mode := range []string{"stream", "batch", "plain"} {
		t.Run(mode, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := mode + "-a"
				cfg, rec := several(t, 2, mixed(nil, takes(time.Second)), ids(10), a, "stream-b")
				cfg.Slots[0].Profiles = []string{"stream-b"}
				cfg.Slots[1].Profiles = []string{"stream-b", "stream-c"}
				cfg.Segment = func(it scheduler.Item) int {
					if it.Profile == a {
						return 0
					}
					return 1
				}
				want := each("success", ids(10), "stream-b")
				if mode != "plain" {
					maps.Copy(want, each("not run: "+reasonNoWorker, ids(10), a))
				}
				_, err := checkAll(t, cfg, rec, want)
				lack, ok := errors.AsType[*WorkersError](err)
				if !ok || !slices.Equal(lack.Profiles, []string{a}) || !strings.Contains(err.Error(), "profile "+a) {
					t.Errorf("got %v; want no workers for profile %s", err, a)
				}
			})
		})
	}
}

// TestLostForAProfile: when the only slot that could run a profile is lost for
// good, the others go on.
func TestLostForAProfile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, rec := several(t, 2, mixed(nil, takes(time.Second)), ids(20), "stream-a", "stream-b")
		cfg.Slots[0].Profiles = []string{"stream-b"}
		cfg.Slots[1].Profiles = []string{"stream-a"}
		desktop(&cfg, func(context.Context) (Place, error) { return Place{}, &AbsentError{errors.New("it is down")} })
		want := each("success", ids(20), "stream-b")
		maps.Copy(want, each("not run: "+reasonNoWorker, ids(20), "stream-a"))
		_, err := checkAll(t, cfg, rec, want)
		lack, ok := errors.AsType[*WorkersError](err)
		if !ok || !slices.Equal(lack.Profiles, []string{"stream-a"}) || !slices.Equal(lack.Lost, []string{"desktop"}) {
			t.Errorf("got %v; want no workers for profile stream-a, with desktop lost", err)
		}
	})
}

// TestFailuresOfProfiles: retries, deaths, moves and time limits of a test count
// for the profile that it failed in.
func TestFailuresOfProfiles(t *testing.T) {
	odd := ids(6)
	for _, mode := range []string{"stream", "batch"} {
		t.Run(mode, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := mode+"-a", mode+"-b"
				var mu sync.Mutex
				runs := map[string]int{}
				worker := mixed(nil, func(p *fakeProcess, id string) (protocol.Status, bool) {
					mu.Lock()
					name := profileOf(p) + " " + id
					runs[name]++
					n := runs[name]
					mu.Unlock()
					<-time.After(time.Second)
					switch {
					case profileOf(p) == b:
						return pass, true
					case id == odd[0]: // fails
						return fail, true
					case id == odd[1] && n == 1: // flaps
						return fail, true
					case id == odd[2]: // takes its worker with it
						p.died = true
						return none, false
					case id == odd[3] && n == 1: // is lost with its machine
						cut(p)
						return none, false
					case id == odd[4]: // hangs
						<-time.After(time.Hour)
					}
					return pass, true
				})
				cfg, rec := several(t, 3, worker, ids(20), a, b)
				cfg.Retries, cfg.Timeout = 1, 30*time.Second
				cfg.Grace = time.Second
				want := each("success", ids(20), a, b)
				for _, n := range []int{0, 2, 4} {
					want[a+" "+odd[n]] = "fail"
				}
				o, err := checkAll(t, cfg, rec, want)
				if err != nil {
					t.Error(err)
				}
				for n, attempts := range []int{2, 2, 2, 1, 2, 1} {
					if got := o.Get(a, odd[n]).Attempts; got != attempts {
						t.Errorf("%s: got %d attempts; want %d", odd[n], got, attempts)
					}
					if got := o.Get(b, odd[n]).Attempts; got != 1 || runs[b+" "+odd[n]] != 1 {
						t.Errorf("%s of the other profile: got %d attempts; want 1", odd[n], got)
					}
				}
			})
		})
	}
}

// TestMaxFailOfProfiles: the failures of all profiles count together.
func TestMaxFailOfProfiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		worker := mixed(nil, func(*fakeProcess, string) (protocol.Status, bool) {
			<-time.After(time.Second)
			return fail, true
		})
		cfg, rec := several(t, 2, worker, ids(20), "stream-a", "batch-b")
		cfg.MaxFail = 4
		o, err := Run(t.Context(), cfg)
		if err != nil {
			t.Error(err)
		}
		// What each of the two workers has begun by then may end.
		if c := o.Counts(); c.Failed < 4 || c.Failed > 6 || c.NotRun != 40-c.Failed {
			t.Errorf("got %+v; want 4 to 6 failed and the others not run", c)
		}
		laws(t, cfg, rec)
	})
}

// TestPlainProfiles: what runs by itself is run at once where there are slots for
// it, each where it can be.
func TestPlainProfiles(t *testing.T) {
	for _, tt := range []struct {
		name string
		can  [][]string
		took time.Duration
	}{
		{"one slot", [][]string{nil}, 20 * time.Second},
		{"two", [][]string{nil, nil}, 10 * time.Second},
		{"each has its own", [][]string{{"plain-b"}, {"plain-a"}}, 10 * time.Second},
		{"one takes all, one little", [][]string{nil, {"plain-a"}}, 10 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg, rec := several(t, len(tt.can), mixed(ids(10), takes(time.Second)), nil, "plain-a", "plain-b")
				for i, can := range tt.can {
					cfg.Slots[i].Profiles = can
				}
				began := time.Now()
				if _, err := checkAll(t, cfg, rec, each("success", ids(10), "plain-a", "plain-b")); err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took > tt.took+time.Second {
					t.Errorf("took %v; want %v", took, tt.took)
				}
			})
		})
	}
}

// TestWholeProfile: a command that runs all tests whatever it is given is started
// once, also where there are slots for more, and not before all tests are listed.
func TestWholeProfile(t *testing.T) {
	for _, isolated := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			tests := ids(40)
			cfg, rec := several(t, 5, mixed(tests, takes(time.Second)), tests, "batch-all", "stream-b")
			cfg.Isolated = isolated
			all := &cfg.Profiles[0]
			all.Worker.Whole, all.Tests = true, tests[:20]
			all.List = func(context.Context) (Listing, error) {
				<-time.After(3 * time.Second)
				return Listing{Tests: tests}, nil
			}
			if _, err := checkAll(t, cfg, rec, each("success", tests, "batch-all", "stream-b")); err != nil {
				t.Error(err)
			}
			if n := starts(rec)["batch-all"]; n != 1 {
				t.Errorf("got %d starts; want one", n)
			}
		})
	}
}

// TestIsolatedProfiles: each test under each profile has a process of its own.
func TestIsolatedProfiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, rec := several(t, 3, mixed(nil, takes(time.Second)), ids(7), "stream-a", "batch-b")
		cfg.Isolated = true
		if _, err := checkAll(t, cfg, rec, each("success", ids(7), "stream-a", "batch-b")); err != nil {
			t.Error(err)
		}
		if got, want := starts(rec), map[string]int{"stream-a": 7, "batch-b": 7}; !maps.Equal(got, want) {
			t.Errorf("got starts %v; want %v", got, want)
		}
	})
}

// TestIsolatedBrokenProfile: a worker that is told at once that there is no more, and
// ends before it begins what it has, is of no use either.
func TestIsolatedBrokenProfile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		worker := func(ctx context.Context, p *fakeProcess) int {
			if profileOf(p) == "stream-a" {
				<-time.After(time.Second)
				return 1
			}
			return mixed(nil, takes(time.Second))(ctx, p)
		}
		cfg, rec := several(t, 2, worker, ids(5), "stream-a", "stream-b")
		cfg.Isolated = true
		ctx, stop := context.WithTimeout(t.Context(), time.Hour)
		defer stop()
		o, err := Run(ctx, cfg)
		want := each("success", ids(5), "stream-b")
		maps.Copy(want, each("not run: "+reasonNoWorker, ids(5), "stream-a"))
		if diff := cmp.Diff(want, under(o)); diff != "" || !errors.Is(err, ErrNoWorkers) {
			t.Errorf("got %v; want no workers; outcomes differ (-want +got):\n%s", err, diff)
		}
		laws(t, cfg, rec)
	})
}

// TestInterruptedProfiles: an interrupt stops all profiles, and each test is
// accounted for in its own.
func TestInterruptedProfiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, rec := several(t, 2, mixed(nil, takes(time.Second)), ids(30), "stream-a", "batch-b")
		ctx, stop := context.WithCancel(t.Context())
		time.AfterFunc(5*time.Second, stop)
		o, err := Run(ctx, cfg)
		if err != nil {
			t.Error(err)
		}
		for name, c := range o.ByProfile() {
			if c.Asked != 30 || c.Passed == 0 || c.NotRun == 0 || c.Unaccounted() != 0 {
				t.Errorf("%s: got %+v; want 30 accounted for", name, c)
			}
		}
		laws(t, cfg, rec)
	})
}

// TestInspectTellsProfiles: people see what runs under which profile.
func TestInspectTellsProfiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, rec := several(t, 2, mixed(nil, takes(time.Second)), ids(10), "stream-a", "stream-b")
		cfg.Slots[0].Profiles, cfg.Slots[1].Profiles = []string{"stream-b"}, []string{"stream-a"}
		asked := make(chan func([]SlotState))
		cfg.Inspect = asked
		var got []SlotState
		time.AfterFunc(5500*time.Millisecond, func() { asked <- func(s []SlotState) { got = s } })
		if _, err := checkAll(t, cfg, rec, each("success", ids(10), "stream-a", "stream-b")); err != nil {
			t.Error(err)
		}
		for i, name := range []string{"stream-b", "stream-a"} {
			if len(got) != 2 || got[i].Profile != name || len(got[i].Running) != 1 || got[i].Running[0].Profile != name {
				t.Errorf("got %+v; want slot %d at profile %s", got, i, name)
			}
		}
	})
}

// TestWholeEnds: a command that runs all tests is not started again once it ran some,
// however it ended: what it has left did not run. One that ran none has its chances.
func TestWholeEnds(t *testing.T) {
	left := "not run: " + reasonIgnored
	for _, tt := range []struct {
		name    string
		do      func(ctx context.Context, p *fakeProcess)
		want    map[string]string
		starts  int
		nobody  bool
		timeout time.Duration
	}{
		{"dies in a test", func(_ context.Context, p *fakeProcess) {
			p.send("a", pass)
			p.send("b", protocol.StatusInProgress)
		}, map[string]string{"a": "success", "b": "fail", "c": left}, 1, false, 0},
		{"dies between tests", func(_ context.Context, p *fakeProcess) { p.send("a", pass) },
			map[string]string{"a": "success", "b": left, "c": left, event.ReturnCode: "fail"}, 1, false, 0},
		{"hangs in a test", func(ctx context.Context, p *fakeProcess) {
			p.send("a", pass)
			p.send("b", protocol.StatusInProgress)
			<-ctx.Done()
		}, map[string]string{"a": "success", "b": "fail", "c": left}, 1, false, time.Minute},
		{"runs none", func(context.Context, *fakeProcess) {}, all("not run: "+reasonNoWorker, "a", "b", "c"),
			maxFruitless, true, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg, rec := setup(t, 1, func(ctx context.Context, p *fakeProcess) int {
					tt.do(ctx, p)
					return 9
				}, "a", "b", "c")
				cfg.Profiles[0].Worker = Worker{Batch: batchOf, Whole: true}
				cfg.Timeout = tt.timeout
				o, err := Run(t.Context(), cfg)
				if errors.Is(err, ErrNoWorkers) != tt.nobody || err != nil && !tt.nobody {
					t.Errorf("got %v; want that no worker is left: %t", err, tt.nobody)
				}
				if diff := cmp.Diff(tt.want, statuses(o)); diff != "" {
					t.Errorf("outcomes (-want +got):\n%s", diff)
				}
				if n := len(rec.of(event.KindWorkerStarted)); n != tt.starts {
					t.Errorf("got %d starts; want %d", n, tt.starts)
				}
			})
		})
	}
}

// TestSegmentsWakeUp: workers that wait for a segment to begin, or for a seat in one,
// are asked when it comes, though nothing else happens to them.
func TestSegmentsWakeUp(t *testing.T) {
	segment := func(it scheduler.Item) int {
		if strings.HasSuffix(it.Test, "_000") {
			return 0
		}
		return 1
	}
	begins := func(t *testing.T) {
		tests := ids(9)
		cfg, _ := setup(t, 4, slowly, tests...)
		cfg.Segment, cfg.Concurrency = segment, []int{1}
		begun := time.Now()
		check(t, cfg, all("success", tests...))
		if took := time.Since(begun); took > 4*time.Second {
			t.Errorf("got %v; want 3 s: one test, and then 8 on four workers", took)
		}
	}
	seat := func(t *testing.T) {
		cfg, rec := several(t, 2, mixed(nil, takes(time.Second)), ids(3), "stream-a", "stream-b")
		cfg.Segment, cfg.Concurrency = segment, []int{1}
		cfg.Slots[0].Profiles, cfg.Slots[1].Profiles = []string{"stream-a"}, []string{"stream-b"}
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Hour, errors.New("it has no end"))
		defer cancel()
		o, err := Run(ctx, cfg)
		if diff := cmp.Diff(each("success", ids(3), "stream-a", "stream-b"), under(o)); diff != "" || err != nil {
			t.Errorf("got %v; outcomes (-want +got):\n%s", err, diff)
		}
		laws(t, cfg, rec)
	}
	t.Run("begins", func(t *testing.T) { synctest.Test(t, begins) })
	t.Run("seat", func(t *testing.T) { synctest.Test(t, seat) })
}
