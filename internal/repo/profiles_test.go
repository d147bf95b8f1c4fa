package repo

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"testr/internal/event"
	"testr/internal/protocol"
)

// under makes events those of a profile.
func under(profile string, events ...event.Event) []event.Event {
	for i := range events {
		events[i].Profile = profile
	}
	return events
}

// failingIDs returns the ids of a failing set.
func failingIDs(t *testing.T, r *Repository, profile string) string {
	t.Helper()
	failing, err := r.Failing(profile)
	if err != nil {
		t.Fatal(err)
	}
	ids := make([]string, 0, len(failing))
	for _, f := range failing {
		ids = append(ids, f.ID)
	}
	return strings.Join(ids, " ")
}

// A test fails under one profile and passes under the other: both facts stay,
// through partial runs of either, and until a full run says otherwise.
func TestTwoProfiles(t *testing.T) {
	r := newRepo(t)
	want := func(py27, py34 string) {
		t.Helper()
		if got := []string{failingIDs(t, r, "py27"), failingIDs(t, r, "py34")}; !slices.Equal(got, []string{py27, py34}) {
			t.Errorf("failing: got %q; want %q and %q", got, py27, py34)
		}
	}
	both := RunInfo{Profiles: []string{"py27", "py34"}}
	info := store(t, r, both, End{}, join(under("py27", results([]string{"b"}, []string{"a"})...),
		under("py34", results([]string{"a", "b"}, nil)...))...)
	counts := func(passed, failed int) event.Counts {
		return event.Counts{Asked: 2, Tests: 2, Passed: passed, Failed: failed}
	}
	wantRuns := []ProfileRun{{Name: "py27", Counts: counts(1, 1)}, {Name: "py34", Counts: counts(2, 0)}}
	diff := cmp.Diff(wantRuns, info.ByProfile, cmpopts.IgnoreFields(ProfileRun{}, "Bytes"))
	if diff != "" || info.Partial || info.Counts.Tests != 4 {
		t.Errorf("got %+v -want +got:\n%s", info, diff)
	}
	want("a", "")
	store(t, r, RunInfo{Profiles: []string{"py34"}, Partial: true}, End{},
		under("py34", results([]string{"a"}, nil)...)...)
	want("a", "")
	store(t, r, RunInfo{Partial: true}, End{}, under("py34", results(nil, []string{"a", "b"})...)...)
	want("a", "a b")
	store(t, r, both, End{Profiles: map[string]ProfileEnd{"py27": {Partial: true}}}, join(
		under("py27", results(nil, []string{"b"})...), under("py34", results([]string{"b"}, nil)...))...)
	want("a b", "")
	// What was asked for under one profile and has no outcome says nothing of the other.
	info = store(t, r, both, End{}, join(under("py27", asked("a", "x")), under("py27", results([]string{"a"}, nil)...),
		under("py34", results(nil, []string{"b"})...))...)
	if !info.ByProfile[0].Partial || info.ByProfile[1].Partial || !info.Partial {
		t.Errorf("got %+v; want py27 alone to be partial", info.ByProfile)
	}
	want("b", "b")
	store(t, r, RunInfo{}, End{}, results([]string{"a"}, []string{"z"})...)
	want("b", "b")
	profiles, err := r.Profiles()
	if diff := cmp.Diff([]Profile{{DefaultProfile, 1, 5, 1, 2}, {"py27", 3, 4, 1, 2}, {"py34", 5, 4, 1, 1}},
		profiles); diff != "" || err != nil {
		t.Errorf("%v -want +got:\n%s", err, diff)
	}
}

// A run's profiles are those that it says something of, whoever it was that said
// what it would cover.
func TestProfilesOfRun(t *testing.T) {
	one := status("a", protocol.StatusSuccess, 1)
	for _, test := range []struct {
		name   string
		begin  []string
		end    map[string]ProfileEnd
		events []event.Event
		want   string
	}{
		{"nothing", nil, nil, nil, "default"},
		{"nothing of two", []string{"x", "y"}, nil, nil, "x y"},
		{"one of two", []string{"x", "y"}, nil, under("y", one), "y"},
		{"another one", nil, nil, under("y", one), "y"},
		{"the default one by its name", nil, nil, under(DefaultProfile, one), "default"},
		{"an empty listing is something", []string{"x", "y"}, map[string]ProfileEnd{"x": {Listing: []string{}}},
			under("y", one), "x y"},
		{"a listing of one that nobody spoke of", nil, map[string]ProfileEnd{"z": {Listing: []string{"t"}}}, under("y", one),
			"z y"},
		{"no listing", nil, map[string]ProfileEnd{"z": {}}, under("y", one), "y"},
	} {
		r := newRepo(t)
		info := store(t, r, RunInfo{Profiles: test.begin}, End{Profiles: test.end}, test.events...)
		if got := strings.Join(info.Profiles, " "); got != test.want || len(info.ByProfile) != len(info.Profiles) {
			t.Errorf("%s: got %s, %+v; want %s", test.name, got, info.ByProfile, test.want)
		}
	}
}

func TestBadProfiles(t *testing.T) {
	r := newRepo(t)
	long := strings.Repeat("x", maxProfile+1)
	for _, names := range [][]string{{""}, {"a", ""}, {"a", "b", "a"}, {long}} {
		if _, err := r.Begin(RunInfo{Profiles: names}); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("Begin of %d profiles: got %v; want it refused", len(names), err)
		}
	}
	w, err := r.Begin(RunInfo{Profiles: []string{long[1:]}})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Event(under(long, status("a", protocol.StatusSuccess, 1))[0]); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Event: got %v; want it refused", err)
	}
	if err := w.Event(under(long[1:], status("a", protocol.StatusFail, 1))[0]); err != nil {
		t.Error(err)
	}
	if _, err := w.Close(End{State: Finished}); err != nil {
		t.Error(err)
	}
	if got := failingIDs(t, r, long[1:]); got != "a" {
		t.Errorf("failing: got %q; want a", got)
	}
}

// A full run whose listing is empty empties the failing set: its tests are no more.
func TestEmptyListing(t *testing.T) {
	r := newRepo(t)
	store(t, r, RunInfo{}, End{}, join(under("x", results(nil, []string{"a"})...), results(nil, []string{"a"}))...)
	store(t, r, RunInfo{Profiles: []string{DefaultProfile, "x"}}, End{Profiles: map[string]ProfileEnd{
		"x": {Listing: []string{}}}}, results(nil, []string{"b"})...)
	if x, d := failingIDs(t, r, "x"), failingIDs(t, r, DefaultProfile); x != "" || d != "b" {
		t.Errorf("failing: got %q and %q; want nothing and b", x, d)
	}
}

// F1: of a run whose testr was killed its profiles are known by its events.
func TestProfilesOfKilled(t *testing.T) {
	dir := newDir(t)
	r := openRepo(t, dir)
	store(t, r, RunInfo{}, End{}, under("y", results(nil, []string{"a", "b"})...)...)
	w, err := r.Begin(RunInfo{Profiles: []string{"x", "z"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range join(under("x", results(nil, []string{"a"})...), under("y", results([]string{"a"}, nil)...)) {
		if err := w.Event(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Sync(); err != nil {
		t.Fatal(err)
	}
	closeRepo(t, r)
	r = openRepo(t, dir)
	info, err := r.Latest()
	if err != nil || strings.Join(info.Profiles, " ") != "x y" || !info.ByProfile[0].Partial || info.Why == "" {
		t.Errorf("got %+v, %v", info, err)
	}
	if x, y := failingIDs(t, r, "x"), failingIDs(t, r, "y"); x != "a" || y != "b" {
		t.Errorf("failing: got %q and %q; want a and b", x, y)
	}
}

// What is asked about one profile has nothing of the other, though the ids are the
// same.
func TestQueriesOfProfile(t *testing.T) {
	r := newRepo(t)
	log := func(profile, text string) event.Event { return under(profile, file("a", "log", []byte(text)))[0] }
	events := join(under("x", asked("a", "b")), under("", asked("a", "b")),
		under("x", by(0, sent("b", "a"))...), under("", by(1, sent("a", "b"))...),
		under("x", by(0, status("b", begins, 1))...), under("", by(1, status("a", begins, 1))...),
		[]event.Event{log("x", "of x"), log("", "of default")},
		under("", by(1, status("a", passes, 30))...), under("x", by(0, status("b", fails, 2), status("a", begins, 4),
			status("a", fails, 14))...))
	store(t, r, RunInfo{}, End{Profiles: map[string]ProfileEnd{"x": {Listing: []string{"b", "a"}},
		DefaultProfile: {Listing: []string{"a", "b"}}}}, events...)
	for _, test := range []struct{ profile, schedule, left, listing, slowest, text string }{
		{"x", "b a", "", "b a", "a 10ms, b 1ms", "of x"},
		{DefaultProfile, "a b", "b", "a b", "a 29ms", "of default"},
		{"y", "", "", "", "", ""},
	} {
		schedule, err1 := r.Schedule(0, test.profile, "")
		left, err2 := r.Left(0, test.profile)
		listing, err3 := r.Listing(test.profile)
		slowest, err4 := r.Slowest(0, test.profile, 5)
		var slow []string
		text := ""
		for _, x := range slowest {
			slow = append(slow, fmt.Sprint(x.ID, " ", x.Duration))
			if x.ID != "a" {
				continue
			}
			for _, e := range excerptOf(t, r, 0, Wanted{Tests: []Span{{"a", x.FirstSeq, x.LastSeq, x.Profile}}}) {
				text += string(e.Packet.Content)
			}
		}
		got := struct{ profile, schedule, left, listing, slowest, text string }{test.profile, strings.Join(schedule, " "),
			strings.Join(left.Tests, " "), strings.Join(listing, " "), strings.Join(slow, ", "), text}
		if err := errors.Join(err1, err2, err3, err4); got != test || err != nil {
			t.Errorf("got %+v, %v; want %+v", got, err, test)
		}
	}
}

// Every kind of thing that makes a test flaky, and what doesn't.
func TestFlaky(t *testing.T) {
	r := newRepo(t)
	runs := []struct {
		revision string
		dirty    bool
		outcomes string // of the tests a to f: p, f, r (failed, then passed), s, n (not run), - (not asked for)
	}{
		{"one", false, "pffpps"},
		{"one", false, "fpfpfp"},
		{"one", false, "pffsp-"},
		{"two", false, "pffrpn"},
		{"two", true, "fpppps"},
		{"", false, "fppppf"},
		{"", false, "pfpfpp"},
		{"one", false, "pfpp-p"},
	}
	for _, run := range runs {
		var events []event.Event
		for i, o := range run.outcomes {
			id := string(rune('a' + i))
			events = append(events, asked(id))
			switch o {
			case 'p':
				events = append(events, outcome(id, passes, 0, 1)...)
			case 'f':
				events = append(events, outcome(id, fails, 0, 1)...)
			case 'r':
				events = append(events, outcome(id, fails, 0, 1)...)
				events = append(events, attempt(2, id, begins), attempt(2, id, passes))
			case 's':
				events = append(events, outcome(id, protocol.StatusSkip, 0, 1)...)
			case 'n':
				events = append(events, notRun("machine lost", id))
			case '-':
				events[len(events)-1] = asked()
			}
		}
		store(t, r, RunInfo{Revision: run.revision, Dirty: run.dirty, Start: at(0)}, End{}, events...)
	}
	got, err := r.Flaky(DefaultProfile)
	want := []FlakyTest{
		{ID: "b", Runs: 8, Passes: 3, Failures: 5, Flips: 2, Revisions: []string{"one"}, LastFail: 7},
		{ID: "a", Runs: 8, Passes: 5, Failures: 3, Flips: 2, Revisions: []string{"one"}, LastFail: 5},
		{ID: "e", Runs: 7, Passes: 6, Failures: 1, Flips: 2, Revisions: []string{"one"}, LastFail: 1},
		{ID: "c", Runs: 8, Passes: 4, Failures: 4, Flips: 1, Revisions: []string{"one"}, LastFail: 3},
		{ID: "d", Runs: 8, Passes: 6, Failures: 1, Retries: 1, Flips: 1, Revisions: []string{"two"}, LastFail: 6},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v -want +got:\n%s", err, diff)
	}
	if got, err := r.Flaky("nothing"); got != nil || err != nil {
		t.Errorf("of a profile that there isn't: got %v, %v", got, err)
	}
	outcomes, err := r.Outcomes(DefaultProfile, "d")
	wantOutcome := TestOutcome{Run: 3, Start: at(0), Revision: "two", Status: passes, Attempts: 2}
	if err != nil || len(outcomes) != 8 || outcomes[3] != wantOutcome {
		t.Errorf("got %+v, %v; want %+v", outcomes, err, wantOutcome)
	}
	for _, id := range []string{"z", ""} {
		if outcomes, err := r.Outcomes(DefaultProfile, id); outcomes != nil || err != nil {
			t.Errorf("of no test: got %v, %v", outcomes, err)
		}
	}
}

func TestStats(t *testing.T) {
	r := newRepo(t)
	store(t, r, RunInfo{Start: at(0)}, End{Time: at(1000)}, join(under("x", results([]string{"a"}, []string{"b"})...),
		results([]string{"c"}, nil))...)
	store(t, r, RunInfo{Start: at(0)}, End{Time: at(500)}, results([]string{"c", "d"}, nil)...)
	got, err := r.Stats()
	want := Stats{Runs: 2, Tests: 4, Outcomes: 5, Time: 1500 * time.Millisecond, ByProfile: map[string]Stats{
		"x":            {Runs: 1, Tests: 2, Outcomes: 2, Time: time.Second},
		DefaultProfile: {Runs: 2, Tests: 2, Outcomes: 3, Time: 1500 * time.Millisecond},
	}}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Stats{}, "Bytes")); diff != "" || err != nil {
		t.Errorf("%v -want +got:\n%s", err, diff)
	}
}

// What a run says of itself is kept.
func TestRunInfo(t *testing.T) {
	dir := newDir(t)
	r := openRepo(t, dir)
	begin := RunInfo{Start: at(0), User: "u", Revision: "abc", Dirty: true, Host: "h"}
	store(t, r, begin, End{State: Interrupted, Why: "SIGINT"})
	closeRepo(t, r)
	got, err := queryRepo(t, dir).Latest()
	if err != nil || got.User != "u" || !got.Dirty || got.Why != "SIGINT" || got.Revision != "abc" {
		t.Errorf("got %+v, %v", got, err)
	}
}
