package report

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"testr/internal/event"
	"testr/internal/protocol"
)

// A test that is run again is shown with each of its failures, and with what
// took them back.
func TestTextAttempts(t *testing.T) {
	const fail, pass = protocol.StatusFail, protocol.StatusSuccess
	second := event.AttemptTag(2)
	part := outcome("a (i=1)", pass, second)
	part.Packet.Has |= protocol.HasParent
	part.Packet.ParentID = "a"
	tests := []struct {
		name   string
		opts   TextOptions
		events []event.Event
		want   string
	}{
		{"passes", TextOptions{}, []event.Event{attach("a", "log", utf8Text, "x"), outcome("a", fail), outcome("a", pass,
			second)},
			block("FAIL: a", "log: {{{x}}}") + "FLAKY: a (passed at attempt 2)\n"},
		{"fails again, then passes", TextOptions{}, []event.Event{outcome("a", fail), outcome("a", fail, second),
			outcome("a", pass, event.AttemptTag(3))},
			blockRule + "FAIL: a\n" + headerRule + blockRule + "FAIL: a\ntags: attempt-2\n" +
				headerRule + "FLAKY: a (passed at attempt 3)\n"},
		{"is skipped", TextOptions{}, []event.Event{outcome("a", protocol.StatusSkip, second)},
			"FLAKY: a (skipped at attempt 2)\n"},
		{"fails as expected", TextOptions{}, []event.Event{outcome("a", protocol.StatusXFail, second)},
			"FLAKY: a (failed as expected at attempt 2)\n"},
		{"is given back", TextOptions{}, []event.Event{outcome("a", protocol.StatusExists, second)}, ""},
		{"a part of it passes", TextOptions{}, []event.Event{part}, ""},
		{"a tag that is not ours", TextOptions{}, []event.Event{outcome("a", pass, "attempt-02")}, ""},
		{"quiet, in colour, hostile", TextOptions{Quiet: true, Terminal: true, Color: true},
			[]event.Event{outcome("a\x1b\n", pass, second)}, "\x1b[33mFLAKY\x1b[0m: a\\x1b\\n (passed at attempt 2)\n"},
		{"files of an attempt that never ended", TextOptions{}, []event.Event{outcome("a", protocol.StatusInProgress),
			attach("a", "log", utf8Text, "first"), outcome("a", protocol.StatusInProgress, second), attach("a", "log", utf8Text,
				"second"),
			outcome("a", fail, second)}, blockRule + "FAIL: a\ntags: attempt-2\n" + headerRule + "log: {{{second}}}\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var out bytes.Buffer
			show(t, NewText(&out, test.opts), test.events...)
			if diff := cmp.Diff(test.want, out.String()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
