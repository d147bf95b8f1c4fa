package runner

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"testr/internal/config"
	"testr/internal/event"
	"testr/internal/protocol"
	"testr/internal/repo"
	"testr/internal/scheduler"
	"testr/internal/supervisor"
)

// twoProfiles has two profiles, one of which keeps classes together.
const twoProfiles = "test_command=x $LISTOPT\ntest_list_option=--list\n" +
	"[profile py27]\nparallel_class=true\ntimeout=1\n[profile py34]\nretries=2\n"

// TestArrangeProfiles: what goes together, and in which part of a plan, is a matter of
// each profile; a plan may name what only one of them has.
func TestArrangeProfiles(t *testing.T) {
	plan, err := ParseSegments("p", []byte(segments(`{"tests": ["a.two"]}`, `{"rest": true}`)))
	if err != nil {
		t.Fatal(err)
	}
	req := newRequest(t, twoProfiles, Selection{})
	req.Segments = plan
	s := sessionOf(t, req)
	choices := []choice{{tests: []string{"a.one"}, whole: []string{"a.one"}},
		{tests: []string{"a.one", "a.two"}, whole: []string{"a.one", "a.two"}}}
	var cfg supervisor.Config
	if err := s.arrange(&cfg, choices); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		item    scheduler.Item
		group   string
		segment int
	}{
		{scheduler.Item{Test: "a.one", Profile: "py27"}, "a", 1},
		{scheduler.Item{Test: "a.one", Profile: "py34"}, "", 1},
		{scheduler.Item{Test: "a.two", Profile: "py34"}, "", 0},
	} {
		if g, n := cfg.Group(test.item), cfg.Segment(test.item); g != test.group || n != test.segment {
			t.Errorf("%v: got group %q, segment %d; want %q, %d", test.item, g, n, test.group, test.segment)
		}
	}
	var mistake *PlanError
	if err := s.arrange(&cfg, choices[:1]); !errors.As(err, &mistake) {
		t.Errorf("got %v; want that the plan names what no profile has", err)
	}
	got := []supervisor.Limits{*s.profiles[0].limits(), *s.profiles[1].limits()}
	want := []supervisor.Limits{{Timeout: time.Second, Slow: time.Minute}, {Slow: time.Minute, Retries: 2}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("limits differ (-want +got):\n%s", diff)
	}
}

// TestGroupsOfProfiles: of the instances a run has those that can run its profiles, and
// where none can it is not begun.
func TestGroupsOfProfiles(t *testing.T) {
	const instances = "test_command=x $LISTOPT $IDOPTION\ntest_list_option=-l\ntest_id_option=$IDFILE\n" +
		"[profile a]\n[profile b]\n[profile c]\n" +
		"[instance one]\ntype=local\nslots=2\nprofiles=a\n[instance two]\ntype=local\nslots=2\nprofiles=b a\n"
	for _, test := range []struct {
		name        string
		profiles    string
		parallel    bool
		concurrency int
		want        string // the instances and their slots
		err         string
	}{
		{"one", "a", false, 0, "one 1", ""},
		{"another one", "b", false, 0, "two 1", ""},
		{"both", "a b", false, 0, "two 1", ""},
		{"one in parallel", "b", true, 0, "two 2", ""},
		{"both in parallel", "a b", true, 0, "one 2, two 2", ""},
		{"enough of them", "a b", true, 3, "one 2, two 1", ""},
		{"too few of them", "a b", true, 2, "", "no instance can run profile b, of the first 2 slots"},
		{"nowhere", "a c", true, 0, "", "no instance can run profile c"},
		{"nowhere at all", "c", false, 0, "", "no instance can run profile c"},
	} {
		t.Run(test.name, func(t *testing.T) {
			req := newRequest(t, instances, Selection{})
			req.Parallel, req.Concurrency = test.parallel, test.concurrency
			var err error
			if req.Profiles, err = req.Config.Choose(strings.Fields(test.profiles)...); err != nil {
				t.Fatal(err)
			}
			s := sessionOf(t, req)
			for _, p := range s.profiles {
				p.mode = modeBatch
			}
			err = s.form(t.Context())
			var mistake *config.Error
			switch {
			case test.err != "":
				if !errors.As(err, &mistake) || mistake.Msg != test.err {
					t.Errorf("got %v; want %s", err, test.err)
				}
			case err != nil:
				t.Error(err)
			case groupsOf(s) != test.want:
				t.Errorf("got %s; want %s", groupsOf(s), test.want)
			}
		})
	}
	t.Run("not all on one", func(t *testing.T) {
		s := sessionOf(t, newRequest(t, strings.Replace(instances, "b a", "b c", 1), Selection{}))
		err := s.form(t.Context())
		var mistake *config.Error
		if !errors.As(err, &mistake) || mistake.Msg != "no instance can run all of these profiles: a, b, c" {
			t.Errorf("got %v; want that no instance can run all of them", err)
		}
		s.groups = nil
		if err := s.formToList(t.Context()); err != nil || groupsOf(s) != "one 1, two 1" {
			t.Errorf("to list: got %s, %v; want a slot of each", groupsOf(s), err)
		}
	})
}

// TestBeginsBeforeItsListing: a profile that only hooks' instances can run is listed
// before the run begins, since they do one thing at a time; that this machine could
// list another one is of no use to it.
func TestBeginsBeforeItsListing(t *testing.T) {
	const instances = "test_command=x $LISTOPT\ntest_list_option=-l\n[profile here]\n[profile there]\n[profile both]\n" +
		"[instance one]\ntype=local\nslots=1\nprofiles=here both\n" +
		"[instance two]\ntype=hook\nslots=1\nprofiles=there both\ninstance_provision=x\ninstance_execute=$COMMAND\n"
	req := newRequest(t, instances, Selection{})
	req.Parallel = true
	s := sessionOf(t, req)
	s.fleet = NewFleet(FleetConfig{})
	for _, p := range s.profiles {
		p.mode = modeStream
	}
	if err := s.form(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, p := range s.profiles {
		if got, want := p.mayBegin(), p.Name != "there"; got != want {
			t.Errorf("profile %s: got %t; want %t", p.Name, got, want)
		}
	}
}

func groupsOf(s *session) string {
	var all []string
	for _, g := range s.groups {
		all = append(all, g.name+" "+string(rune('0'+g.count)))
	}
	return strings.Join(all, ", ")
}

// TestSettleProfiles: what fails under one profile is no matter of another one, and a
// run that is taken up says which profiles there are.
func TestSettleProfiles(t *testing.T) {
	r := newRepo(t)
	for _, profile := range []string{"py27", "gone"} {
		w, err := r.Begin(repo.RunInfo{Start: time.Now(), Host: "vm", Profiles: []string{profile}})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range []event.Event{
			{Kind: event.KindAsked, Profile: profile, Tests: []string{"a", "b"}},
			{Kind: event.KindPacket, Profile: profile, Packet: packet("b", protocol.StatusFail)},
			{Kind: event.KindPacket, Profile: profile, Packet: packet("a", protocol.StatusSuccess)},
		} {
			if err := w.Event(e); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := w.Close(repo.End{State: repo.Finished}); err != nil {
			t.Fatal(err)
		}
	}
	req := newRequest(t, twoProfiles, Selection{Failing: true})
	req.Repo = r
	if err := req.Settle(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string][]string{"py27": {"b"}, "py34": nil}, req.Select.Lists); diff != "" ||
		req.Select.Failing || !req.Select.Listed {
		t.Errorf("lists differ (-want +got):\n%s", diff)
	}
	req = newRequest(t, twoProfiles, Selection{Failing: true})
	req.Repo, req.Profiles = r, req.Config.Profiles[1:]
	if err := req.Settle(); !none(err) {
		t.Errorf("got %v; want that nothing fails under py34", err)
	}
	for _, test := range []struct {
		sel    Selection
		chosen []config.Profile
		want   []string
	}{
		{Selection{}, nil, nil},
		{Selection{Like: &Like{Run: 0}}, nil, []string{"py27"}},
		{Selection{Like: &Like{Run: 99}}, nil, nil}, // which is told later
		{Selection{Like: &Like{Run: -1}}, nil, nil}, // there is no such profile any more
		{Selection{Resume: true}, nil, nil},         // likewise
		{Selection{Like: &Like{Run: 0}}, req.Config.Profiles[1:], []string{"py34"}},
	} {
		taken := req
		taken.Select, taken.Profiles = test.sel, test.chosen
		if err := taken.TakeProfiles(); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range taken.Profiles {
			got = append(got, p.Name)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%+v: profiles differ (-want +got):\n%s", test.sel, diff)
		}
	}
}

// TestPartialByProfile: what didn't run under one profile doesn't make the run partial
// for another one.
func TestPartialByProfile(t *testing.T) {
	s := sessionOf(t, newRequest(t, twoProfiles, Selection{}))
	o := event.NewOutcomes()
	for _, e := range []event.Event{
		{Kind: event.KindAsked, Profile: "py27", Tests: []string{"a"}},
		{Kind: event.KindAsked, Profile: "py34", Tests: []string{"a"}},
		{Kind: event.KindPacket, Profile: "py34", Packet: packet("a", protocol.StatusFail)},
		{Kind: event.KindNotRun, Profile: "py27", Tests: []string{"a"}, Detail: "gone"},
	} {
		_ = o.Event(e)
	}
	o.Finish()
	if got := []bool{s.profiles[0].partial(o, nil), s.profiles[1].partial(o, nil)}; !cmp.Equal(got, []bool{true, false}) {
		t.Errorf("got partial %v; want py27 alone to be", got)
	}
	s.profiles[1].torn = true
	if !s.profiles[1].partial(o, nil) {
		t.Error("got a full run of a profile whose listing lacks tests; want a partial one")
	}
}
