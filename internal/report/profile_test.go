package report

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"testr/internal/event"
	"testr/internal/protocol"
)

// TestProfilesAreShown is one test that fails under several profiles at the same time,
// and passes under others.
func TestProfilesAreShown(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	text := NewText(&out, TextOptions{Terminal: true})
	for _, profile := range []string{"py27", "", "py34"} {
		file := protocol.Packet{Has: protocol.HasTestID | protocol.HasFile, TestID: "a", FileName: "traceback",
			MIMEType: "text/plain", Content: []byte("broken on [" + profile + "]")}
		if err := text.Event(event.Event{Kind: event.KindPacket, Profile: profile, Packet: &file}); err != nil {
			t.Fatal(err)
		}
	}
	end := func(profile string, status protocol.Status, attempt string) {
		p := &protocol.Packet{Has: protocol.HasTestID, TestID: "a", Status: status}
		if attempt != "" {
			p.Has, p.Tags = p.Has|protocol.HasTags, []string{attempt}
		}
		if err := text.Event(event.Event{Kind: event.KindPacket, Profile: profile, Packet: p}); err != nil {
			t.Fatal(err)
		}
	}
	end("py34\x1b", protocol.StatusFail, "")
	end("", protocol.StatusFail, "")
	end("py27", protocol.StatusUxSuccess, "")
	end("py34", protocol.StatusSuccess, "")
	want := blockRule + "FAIL: a (profile py34\\x1b)\n" + headerRule +
		blockRule + "FAIL: a\n" + headerRule + "broken on []\n" +
		blockRule + "UNEXPECTED SUCCESS: a (profile py27)\n" + headerRule + "broken on [py27]\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("failures differ (-want +got):\n%s", diff)
	}
}

func TestProfilesInSummary(t *testing.T) {
	t.Parallel()
	one := event.Counts{Asked: 3, Tests: 2, Passed: 1, Failed: 1, NotRun: 1}
	two := event.Counts{Asked: 3, Tests: 3, Passed: 1, Skipped: 1, Flaky: 1, InProgress: 1}
	tests := []*event.Test{{ID: "a", Profile: "py27", Asked: true, NotRun: "gone"}, {ID: "a", Asked: true, NotRun: "gone"}}
	const totals = "FAILED (id=0)\n"
	for _, test := range []struct {
		name     string
		profiles map[string]event.Counts
		want     string
	}{
		{"unknown", nil, ""},
		{"the default one alone", map[string]event.Counts{"": one}, ""},
		{"another one alone", map[string]event.Counts{"py27": one}, "profile py27: 2 tests, failures=1, not run=1\n"},
		{"several", map[string]event.Counts{"py27": one, "": two},
			"profile default: 4 tests, skips=1, flaky=1\nprofile py27: 2 tests, failures=1, not run=1\n"},
	} {
		var out bytes.Buffer
		s := Summary{Counts: event.Counts{Asked: 2, NotRun: 2}, Tests: tests, Profiles: test.profiles}
		if err := NewText(&out, TextOptions{}).Summary(s); err != nil {
			t.Fatal(err)
		}
		want := "2 tests not run: gone (a (profile py27), a)\n" + test.want + totals
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}
