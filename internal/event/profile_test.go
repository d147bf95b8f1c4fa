package event_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"testr/internal/event"
	"testr/internal/protocol"
)

func TestProfileOfTags(t *testing.T) {
	t.Parallel()
	matrix := event.NewProfiles(map[string][]string{
		"py27": {"py27"}, "py34": {"py34"}, "old": {"postgres", "py27"}, "none": nil})
	named := event.NewProfiles(map[string][]string{ // as other sets are called
		"py34": {"postgres", "py34"}, "py27": {"py27"}, "old": {"default", "postgres"}})
	for _, c := range []struct {
		profiles *event.Profiles
		tags     []string
		want     string
	}{
		{nil, []string{"py27"}, ""},
		{event.NewProfiles(nil), []string{"py27"}, ""},
		{matrix, nil, "none"},
		{matrix, []string{"py34", "worker-1", "py34"}, "py34"},
		{matrix, []string{"py27", "slow", "postgres"}, "old"},
		{matrix, []string{"py34", "postgres"}, "postgres,py34"},
		{matrix, []string{"postgres"}, "postgres"},
		{named, []string{"py34", "postgres"}, "py34"},
		{named, []string{"py34"}, "py34,"},
		{named, []string{"default"}, "default,"},
		{named, []string{"default", "py27"}, "default,py27"},
		{named, nil, ""},
	} {
		if got := c.profiles.Of(c.tags); got != c.want {
			t.Errorf("tags %q: got profile %q; want %q", c.tags, got, c.want)
		}
	}
}

// TestTwoProfiles is one test that fails under one profile and passes under another.
func TestTwoProfiles(t *testing.T) {
	t.Parallel()
	o := event.NewOutcomes()
	packet := func(profile string, s protocol.Status, parent string, worker int) {
		p := &protocol.Packet{Has: protocol.HasTestID, TestID: "a", Status: s, Runnable: true}
		if parent != "" {
			p.Has, p.ParentID, p.TestID = p.Has|protocol.HasParent, parent, parent+" (part)"
		}
		_ = o.Event(event.Event{Kind: event.KindPacket, Profile: profile, Worker: worker, Packet: p})
	}
	for i, profile := range []string{"py27", "py34", ""} {
		_ = o.Event(event.Event{Kind: event.KindAsked, Profile: profile, Tests: []string{"a"}, Worker: event.NoWorker})
		_ = o.Event(event.Event{Kind: event.KindSent, Profile: profile, Tests: []string{"a"}, Worker: i})
		packet(profile, protocol.StatusInProgress, "", i)
	}
	packet("py34", protocol.StatusInProgress, "a", 1)
	packet("py27", protocol.StatusFail, "", 0)
	_ = o.Event(event.Event{Kind: event.KindRequeued, Profile: "py34", Tests: []string{"a"}, Worker: 1})
	_ = o.Event(event.Event{Kind: event.KindSent, Profile: "py34", Tests: []string{"a"}, Worker: 0})
	packet("py34", protocol.StatusSuccess, "", 0)
	_ = o.Event(event.Event{Kind: event.KindNotRun, Profile: "", Tests: []string{"a"}, Detail: "gone"})
	o.Finish()

	if got := len(o.Tests()); got != 4 {
		t.Errorf("got %d tests; want one a profile, and a part of one", got)
	}
	for profile, want := range map[string]protocol.Status{
		"py27": protocol.StatusFail, "py34": protocol.StatusSuccess, "": protocol.StatusNone} {
		got := o.Get(profile, "a")
		if got == nil || got.Status != want || got.Profile != profile || got.Open {
			t.Errorf("profile %q: got %+v; want status %v", profile, got, want)
		}
	}
	if part := o.Get("py34", "a (part)"); part == nil || part.Open {
		t.Errorf("got part %+v; want it left with its test", part)
	}
	want := map[string]event.Counts{
		"py27": {Asked: 1, Tests: 1, Failed: 1},
		"py34": {Asked: 1, Tests: 1, Passed: 1},
		"":     {Asked: 1, NotRun: 1},
	}
	got := o.ByProfile()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("counts by profile (-want +got):\n%s", d)
	}
	if all := o.Counts(); all != (event.Counts{Asked: 3, Tests: 2, Failed: 1, Passed: 1, NotRun: 1}) {
		t.Errorf("got counts %+v; want the sum of the profiles'", all)
	}
}

// TestPlainBesideListed: a profile whose command lists nothing has its tests counted
// as asked for, and they hide nothing that another profile owes.
func TestPlainBesideListed(t *testing.T) {
	t.Parallel()
	o := event.NewOutcomes()
	packet := func(profile, id string, s protocol.Status) {
		_ = o.Event(event.Event{Kind: event.KindPacket, Profile: profile, Worker: event.NoWorker, Packet: &protocol.Packet{
			Has: protocol.HasTestID, TestID: id, Status: s, Runnable: true}})
	}
	packet("plain", "before", protocol.StatusSuccess)
	_ = o.Event(event.Event{Kind: event.KindAsked, Profile: "listed", Tests: []string{"a", "b"}, Worker: event.NoWorker})
	packet("plain", "x", protocol.StatusSuccess)
	packet("plain", "y", protocol.StatusInProgress)
	packet("listed", "a", protocol.StatusSuccess)
	packet("listed", "stranger", protocol.StatusSuccess)

	c := o.Counts()
	if want := (event.Counts{Asked: 5, Tests: 3, Passed: 3, InProgress: 1, NotAsked: 1}); c != want {
		t.Errorf("got %+v; want %+v", c, want)
	}
	if got := c.Unaccounted(); got != 1 {
		t.Errorf("got %d unaccounted for; want b", got)
	}
	if got := o.ByProfile()["plain"]; got.Tests != 2 || got.NotAsked != 0 {
		t.Errorf("plain: got %+v; want two tests that count", got)
	}
}
