package repo

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"testr/internal/event"
	"testr/internal/protocol"
)

// model is what a repository should say, kept in the plainest way.
type model struct {
	runs     []modelRun
	profiles map[string]*modelProfile
}

type modelRun struct {
	info     RunInfo
	profiles map[string]map[string]modelOutcome // by profile and test
}

type modelOutcome struct {
	Status   protocol.Status
	Attempts int
	Duration time.Duration // of the last attempt
}

type modelProfile struct {
	failing map[string]int // run by test
	timing  map[string]time.Duration
	listing []string
}

// modelEvents makes the events of a random run, and what they mean.
func modelEvents(rnd *rand.Rand, run *modelRun) []event.Event {
	var all []event.Event
	names := []string{"", "py27", "py34"}
	rnd.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	for _, profile := range names[:1+rnd.IntN(3)] {
		var ids []string
		for i := range 12 {
			if rnd.IntN(4) > 0 {
				ids = append(ids, "t"+strconv.Itoa(i))
			}
		}
		if len(ids) == 0 {
			continue
		}
		outcomes := map[string]modelOutcome{}
		run.profiles[profileName(profile)] = outcomes
		ask := asked(ids...)
		ask.Profile = profile
		all = append(all, ask)
		for _, id := range ids {
			for attempts := 1; ; attempts++ {
				s := protocol.StatusSuccess
				if rnd.IntN(3) == 0 {
					s = protocol.StatusFail
				}
				from, to := rnd.IntN(100), 100+rnd.IntN(100)
				for _, e := range outcome(id, s, from, to) {
					e.Profile = profile
					if attempts > 1 {
						e.Packet.Has |= protocol.HasTags
						e.Packet.Tags = []string{event.AttemptTag(attempts)}
					}
					all = append(all, e)
				}
				outcomes[id] = modelOutcome{s, attempts, time.Duration(to-from) * time.Millisecond}
				if s == protocol.StatusSuccess || rnd.IntN(2) == 0 || attempts > 3 {
					break
				}
			}
		}
	}
	return all
}

// take has the model learn from a run.
func (m *model) take(run modelRun, ends map[string]ProfileEnd) {
	m.runs = append(m.runs, run)
	for name, outcomes := range run.profiles {
		p := m.profiles[name]
		if p == nil {
			p = &modelProfile{failing: map[string]int{}, timing: map[string]time.Duration{}}
			m.profiles[name] = p
		}
		if !run.info.Partial && !ends[name].Partial {
			clear(p.failing)
		}
		for id, o := range outcomes {
			if o.Status == protocol.StatusFail {
				p.failing[id] = run.info.ID
			} else {
				delete(p.failing, id)
			}
			switch old, known := p.timing[id]; {
			case !known:
				p.timing[id] = o.Duration
			case o.Status != protocol.StatusFail:
				p.timing[id] = old + (o.Duration-old)/2
			}
		}
		if l := ends[name].Listing; l != nil {
			p.listing = l
		}
	}
}

// flaky works out the flaky tests of a profile.
func (m *model) flaky(profile string) []FlakyTest {
	tests := map[string]*FlakyTest{}
	last := map[[2]string]bool{} // whether it failed, by test and revision
	revisions := map[string]map[string]int{}
	for _, run := range m.runs {
		revision := run.info.Revision
		if revision == "" || run.info.Dirty {
			revision = fmt.Sprint("run ", run.info.ID)
		}
		for id, o := range run.profiles[profile] {
			t := tests[id]
			if t == nil {
				t = &FlakyTest{ID: id}
				tests[id], revisions[id] = t, map[string]int{}
			}
			t.Runs++
			fails := o.Status == protocol.StatusFail
			if was, ok := last[[2]string{id, revision}]; ok && was != fails {
				t.Flips++
				revisions[id][run.info.Revision]++
			}
			last[[2]string{id, revision}] = fails
			if fails {
				t.Failures++
			} else {
				t.Passes++
			}
			if !fails && o.Attempts > 1 {
				t.Retries++
				t.Flips++
				revisions[id][run.info.Revision]++
			}
			if fails || o.Attempts > 1 {
				t.LastFail = run.info.ID
			}
		}
	}
	var all []FlakyTest
	for id, t := range tests {
		if t.Flips == 0 {
			continue
		}
		delete(revisions[id], "")
		t.Revisions = slices.Sorted(maps.Keys(revisions[id]))
		all = append(all, *t)
	}
	slices.SortFunc(all, func(a, b FlakyTest) int {
		return cmp.Or(b.Flips-a.Flips, b.Failures-a.Failures, strings.Compare(a.ID, b.ID))
	})
	return all
}

// same compares all that a repository says with the model.
func (m *model) same(t *testing.T, r *Repository) {
	t.Helper()
	check := func(what string, want, got any, err error) {
		t.Helper()
		if diff := gocmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" || err != nil {
			t.Errorf("%s: %v -want +got:\n%s", what, err, diff)
		}
	}
	var infos []int
	profiles := map[string]Profile{}
	for name := range m.profiles {
		profiles[name] = Profile{Name: name, LastRun: -1}
	}
	for _, run := range m.runs {
		infos = append(infos, run.info.ID)
		for name := range run.profiles {
			p := profiles[name]
			p.Runs, p.LastRun = p.Runs+1, run.info.ID
			profiles[name] = p
		}
	}
	runs, err := r.Runs()
	var got []int
	for _, i := range runs {
		got = append(got, i.ID)
	}
	check("runs", infos, got, err)
	for name, p := range m.profiles {
		failing, err := r.Failing(name)
		set := map[string]int{}
		for _, f := range failing {
			set[f.ID] = f.Run
			if gone := !slices.Contains(infos, f.Run); gone != f.Gone {
				t.Errorf("failing of %s: %s: got gone %v; want %v", name, f.ID, f.Gone, gone)
			}
		}
		check("failing of "+name, p.failing, set, err)
		timing, err := r.Timing(name)
		check("timing of "+name, p.timing, timing, err)
		listing, err := r.Listing(name)
		check("listing of "+name, p.listing, listing, err)
		flaky, err := r.Flaky(name)
		check("flaky of "+name, m.flaky(name), flaky, err)
		for i := range 12 {
			id := "t" + strconv.Itoa(i)
			var want, got []string
			for _, run := range m.runs {
				if o, ok := run.profiles[name][id]; ok {
					want = append(want, fmt.Sprint(run.info.ID, run.info.Revision, run.info.Dirty, o.Status, o.Attempts))
				}
			}
			outcomes, err := r.Outcomes(name, id)
			for _, o := range outcomes {
				got = append(got, fmt.Sprint(o.Run, o.Revision, o.Dirty, o.Status, o.Attempts))
			}
			check("outcomes of "+name+" "+id, want, got, err)
		}
		want := profiles[name]
		want.Failing = len(p.failing)
		all, err := r.Profiles()
		if err != nil {
			t.Fatal(err)
		}
		at := slices.IndexFunc(all, func(p Profile) bool { return p.Name == name })
		switch {
		case at < 0 && (want.Runs > 0 || want.Failing > 0):
			t.Errorf("profile %s is not there", name)
		case at >= 0:
			all[at].Tests = 0
			check("profile", want, all[at], nil)
		}
	}
	for _, run := range m.runs {
		for _, name := range []string{DefaultProfile, "py27", "py34"} {
			tests, err := r.Tests(run.info.ID, name, 0)
			got := map[string]modelOutcome{}
			for _, x := range tests {
				if profileName(x.Profile) != name {
					t.Errorf("run %d: a test of %s has the profile %q", run.info.ID, name, x.Profile)
				}
				got[x.ID] = modelOutcome{x.Status, x.Attempts, x.Duration}
			}
			check(fmt.Sprint("tests of run ", run.info.ID, " ", name), run.profiles[name], got, err)
		}
	}
	if err := r.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// Laws: whatever is stored, removed, pruned and compacted in whatever order, the
// failing sets, listings, histories and flaky tests of all profiles are those that
// the runs come to. TESTR_SEEDS makes more such repositories.
func TestModel(t *testing.T) {
	seeds := 8
	if n, err := strconv.Atoi(os.Getenv("TESTR_SEEDS")); err == nil {
		seeds = n / 20
	}
	for seed := range seeds {
		rnd := rand.New(rand.NewPCG(uint64(seed), 5))
		dir := newDir(t)
		r := openRepo(t, dir)
		m := &model{profiles: map[string]*modelProfile{}}
		for range 15 {
			what := rnd.IntN(9)
			switch {
			case len(m.runs) > 3 && (what == 0 || what == 4):
				at := len(m.runs) - 1 - rnd.IntN(len(m.runs))*rnd.IntN(2) // often the last one
				if err := r.Remove(m.runs[at].info.ID); err != nil {
					t.Fatal(err)
				}
				m.runs = slices.Delete(m.runs, at, at+1)
			case len(m.runs) > 3 && what == 1:
				keep := 1 + rnd.IntN(len(m.runs))
				removed, err := r.Prune(keep, time.Time{})
				if err != nil || len(removed) != len(m.runs)-keep {
					t.Fatalf("got %v, %v; want %d runs to be removed", removed, err, len(m.runs)-keep)
				}
				m.runs = m.runs[len(m.runs)-keep:]
			case what == 2:
				if _, _, err := r.Compact(); err != nil {
					t.Fatal(err)
				}
			case what == 3:
				closeRepo(t, r)
				r = openRepo(t, dir)
			default:
				m.store(t, rnd, r)
			}
		}
		m.same(t, r)
		closeRepo(t, r)
		m.same(t, queryRepo(t, dir))
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// store makes a random run.
func (m *model) store(t *testing.T, rnd *rand.Rand, r *Repository) {
	t.Helper()
	run := modelRun{profiles: map[string]map[string]modelOutcome{}, info: RunInfo{Partial: rnd.IntN(4) == 0,
		Revision: []string{"", "abc", "def"}[rnd.IntN(3)], Dirty: rnd.IntN(4) == 0, Start: at(len(m.runs))}}
	events := modelEvents(rnd, &run)
	ends := map[string]ProfileEnd{}
	for _, name := range slices.Sorted(maps.Keys(run.profiles)) {
		end := ProfileEnd{Partial: rnd.IntN(3) == 0}
		if rnd.IntN(2) == 0 {
			end.Listing = slices.Sorted(maps.Keys(run.profiles[name]))
		}
		ends[name] = end
	}
	if len(events) == 0 { // else it would be about the default profile
		return
	}
	run.info.Profiles = slices.Sorted(maps.Keys(run.profiles))[:1]
	info := store(t, r, run.info, End{Profiles: ends}, events...)
	run.info.ID = info.ID
	for _, p := range info.ByProfile {
		if want := run.info.Partial || ends[p.Name].Partial; p.Partial != want {
			t.Errorf("run %d: profile %s: got partial %v; want %v", info.ID, p.Name, p.Partial, want)
		}
	}
	m.take(run, ends)
}
