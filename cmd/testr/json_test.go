package main

import (
	"testing"

	"testr/internal/event"
	"testr/internal/protocol"
)

// TestRunnableInDocument: what was asked for and did not run can be asked for again,
// though it has no packet that says so.
func TestRunnableInDocument(t *testing.T) {
	for name, test := range map[string]struct {
		of   event.Test
		want bool
	}{
		"passed":              {event.Test{Asked: true, Runnable: true, Status: protocol.StatusSuccess}, true},
		"not asked for":       {event.Test{Runnable: true, Status: protocol.StatusSuccess}, true},
		"not run":             {event.Test{Asked: true, NotRun: "interrupted"}, true},
		"unaccounted for":     {event.Test{Asked: true}, true},
		"unknown to a worker": {event.Test{Asked: true, Status: protocol.StatusFail}, false},
		"a subtest":           {event.Test{Status: protocol.StatusFail}, false},
	} {
		if got := testDocument(&test.of).Runnable; got != test.want {
			t.Errorf("%s: got runnable %t; want %t", name, got, test.want)
		}
	}
}
