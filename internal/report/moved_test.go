package report

import (
	"bytes"
	"testing"

	"testr/internal/event"
)

// TestMoved: which tests left an instance that was lost is said once, and of what
// others ended nothing.
func TestMoved(t *testing.T) {
	var out bytes.Buffer
	text := NewText(&out, TextOptions{Terminal: true})
	for _, e := range []event.Event{
		{Kind: event.KindRequeued, Tests: []string{"a\x1b", "b"}, Detail: event.Moved("work", "no answer")},
		{Kind: event.KindRequeued, Tests: []string{"z"}, Detail: "the worker ended before it began them: killed"},
		{Kind: event.KindRequeued, Tests: []string{"c"}, Detail: event.Moved("desktop", "refused")},
		{Kind: event.KindRequeued, Tests: []string{"d", "b", "e"}, Detail: event.Moved("work", "refused")},
	} {
		if err := text.Event(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := text.Summary(Summary{}); err != nil {
		t.Fatal(err)
	}
	want := "4 tests moved when instance work was lost (a\\x1b, b, d and 1 more)\n" +
		"1 test moved when instance desktop was lost (c)\nPASSED (id=0)\n"
	if got := out.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
