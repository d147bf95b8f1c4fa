package repo

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"testr/internal/event"
	"testr/internal/protocol"
)

// TestCover: a run that is over says what profiles it has; one that was cut short also
// what it was to have, unless it is a stream.
func TestCover(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	of := func(profile string, events ...event.Event) []event.Event {
		for i := range events {
			events[i].Profile = profile
		}
		return events
	}
	for _, test := range []struct {
		name  string
		host  string
		state State
		want  []string
	}{
		{"finished", "vm", Finished, []string{"py34"}},
		{"cut short", "vm", Interrupted, []string{"py27", "py34"}},
		{"a stream that was cut short", "", Interrupted, []string{"py34"}},
	} {
		info := store(t, r, RunInfo{Host: test.host, Profiles: []string{"py27", "py34"}}, End{State: test.state},
			of("py34", outcome("a", protocol.StatusFail, 1, 2)...)...)
		if diff := cmp.Diff(test.want, info.Profiles); diff != "" {
			t.Errorf("%s: profiles differ (-want +got):\n%s", test.name, diff)
		}
		var counted []string
		for _, p := range info.ByProfile {
			counted = append(counted, p.Name)
		}
		if diff := cmp.Diff(test.want, counted); diff != "" {
			t.Errorf("%s: profiles with numbers differ (-want +got):\n%s", test.name, diff)
		}
		left, err := r.Left(info.ID, "py27")
		if err != nil || left.Whole || left.Tests != nil {
			t.Errorf("%s: got %+v, %v left of py27; want that nobody knows", test.name, left, err)
		}
	}
}
