package event

import "testing"

func TestMoved(t *testing.T) {
	for detail, want := range map[string]string{
		Moved("desktop", "no answer for 15s"):           "desktop",
		Moved("desktop", "instance x was lost: oh"):     "desktop",
		Moved("a b", ""):                                "a b",
		"the worker ended before it began them: killed": "",
		"instance desktop":                              "",
		"":                                              "",
	} {
		if got, ok := MovedFrom(detail); got != want || ok != (want != "") {
			t.Errorf("MovedFrom(%q): got %q, %t; want %q", detail, got, ok, want)
		}
	}
}
