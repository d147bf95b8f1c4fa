package runner

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"testr/internal/event"
	"testr/internal/protocol"
)

// TestLabels: tags say whose a packet is; those of the profile that was asked for are
// added where there are none, and text belongs to what its route had last.
func TestLabels(t *testing.T) {
	t.Parallel()
	known := event.NewProfiles(map[string][]string{"py27": {"py27"}, "pg": {"postgres", "py34"}})
	packet := func(route, id string, tags ...string) protocol.Packet {
		p := protocol.Packet{Route: route, TestID: id, Tags: tags}
		if id != "" {
			p.Has |= protocol.HasTestID
		}
		return p
	}
	type labelled struct {
		Profile string
		Tags    []string
	}
	tests := []struct {
		packet           protocol.Packet
		untouched, asked labelled // without --profile, and with --profile pg
	}{
		{packet("", ""), labelled{"", nil}, labelled{"pg", nil}},
		{packet("", "a", "py27"), labelled{"py27", []string{"py27"}}, labelled{"py27", []string{"py27"}}},
		{packet("", ""), labelled{"py27", nil}, labelled{"py27", nil}},
		{packet("1", "", "postgres", "py34"), labelled{"pg", []string{"postgres", "py34"}},
			labelled{"pg", []string{"postgres", "py34"}}},
		{packet("1", "a", "worker-1"), labelled{"", []string{"worker-1"}},
			labelled{"pg", []string{"worker-1", "postgres", "py34"}}},
		{packet("1", ""), labelled{"", nil}, labelled{"pg", nil}},
		{packet("", "b", "py34", "slow"), labelled{"py34", []string{"py34", "slow"}},
			labelled{"py34", []string{"py34", "slow"}}},
		{packet("2", ""), labelled{"", nil}, labelled{"pg", nil}},
	}
	untouched := labeller{Labels: Labels{Profiles: known}}
	asked := labeller{Labels: Labels{Profiles: known, Profile: "pg", Tags: []string{"postgres", "py34"}}}
	for i, test := range tests {
		for l, want := range map[*labeller]labelled{&untouched: test.untouched, &asked: test.asked} {
			p := test.packet
			got := labelled{l.label(&p), p.Tags}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("packet %d, profile %q asked for (-want +got):\n%s", i, l.Profile, diff)
			}
			if len(p.Tags) > len(test.packet.Tags) && p.Has&protocol.HasTags == 0 {
				t.Errorf("packet %d: it doesn't say that it has tags", i)
			}
		}
	}
}

// TestLabelsAreBounded: a stream can't have routes remembered without end.
func TestLabelsAreBounded(t *testing.T) {
	t.Parallel()
	var l labeller
	for i := range maxLabelled + 10 {
		l.label(&protocol.Packet{Has: protocol.HasTestID, TestID: "a", Route: string(rune(i))})
	}
	if len(l.routes) > maxLabelled {
		t.Errorf("got %d routes remembered; want at most %d", len(l.routes), maxLabelled)
	}
}
