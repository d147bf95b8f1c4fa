package report

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestWriteSlots(t *testing.T) {
	now := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	before := func(d time.Duration) time.Time { return now.Add(-d) }
	var many []Running
	for i := range maxSlotTests + 5 {
		many = append(many, Running{Test: fmt.Sprintf("t%02d", i), Since: now})
	}
	manyLines := ""
	for i := range maxSlotTests {
		manyLines += fmt.Sprintf("  for 0s: t%02d\n", i)
	}
	tests := []struct {
		name     string
		slots    []Slot
		terminal bool
		want     string
	}{
		{"none", nil, false, "no workers\n"},
		{"idle and not started", []Slot{{Route: "0", PID: 12, Since: before(5 * time.Second), Waiting: 2}, {Route: "1"}},
			false,
			"worker 0, process 12, for 5s: 0 running, 2 waiting; nothing heard of it\nworker 1: no process\n"},
		{"on another machine", []Slot{{Route: "1/0", Host: "desktop", PID: 77, Since: now, Heard: now},
			{Route: "2", Host: "lap top"}}, false,
			"worker 1/0 on desktop, process 77, for 0s: 0 running, 0 waiting; last heard of 0s ago\n" +
				"worker 2 on lap top: no process\n"},
		{"running", []Slot{{Route: "0/3", Since: before(time.Hour), Waiting: 1, Heard: before(90 * time.Second),
			Last:    "one\ntwo\n",
			Running: []Running{{Test: "m.C.test_a", Since: before(65 * time.Second)}}}}, false,
			"worker 0/3, for 1h00m: 1 running, 1 waiting; last heard of 1m30s ago\n  for 1m05s: m.C.test_a\n  | one\n  | two\n"},
		{"only the last lines", []Slot{{Route: "0", Since: now, Heard: now, Last: "1\n2\n3\n4\r\n\n6\n7"}}, false,
			"worker 0, for 0s: 0 running, 0 waiting; last heard of 0s ago\n  | 3\n  | 4\n  |\n  | 6\n  | 7\n"},
		{"very many tests", []Slot{{Route: "0", Since: now, Heard: now, Running: many}}, false,
			"worker 0, for 0s: 15 running, 0 waiting; last heard of 0s ago\n" + manyLines + "  and 5 more\n"},
		{"a clock that was set back", []Slot{{Route: "0", Since: before(-time.Hour), Heard: before(-time.Hour)}}, false,
			"worker 0, for 0s: 0 running, 0 waiting; last heard of 0s ago\n"},
		{"hostile", []Slot{{Route: "0\x1b[2J", Host: "\x1b\n", Since: now, Heard: now, Last: "\x1b]52;c;x\a\rOK",
			Running: []Running{{Test: "a\nb\u202e", Since: now}}}}, true,
			`worker 0\x1b[2J on \x1b\n, for 0s: 1 running, 0 waiting; last heard of 0s ago` + "\n" +
				`  for 0s: a\nb\u202e` + "\n" + `  | \x1b]52;c;x\x07\rOK` + "\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var out bytes.Buffer
			if err := WriteSlots(&out, now, test.slots, test.terminal); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, out.String()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// On a terminal the workers stand where the status line was, which comes back
// below them.
func TestTextSlots(t *testing.T) {
	var out bytes.Buffer
	text := NewText(&out, TextOptions{Terminal: true, Err: &out, ErrTerminal: true})
	now := time.Unix(1000, 0)
	status := func() {
		t.Helper()
		if err := text.Tick(now, Status{Done: 1}); err != nil {
			t.Fatal(err)
		}
		now = now.Add(time.Second)
	}
	status()
	if err := text.Slots(now, []Slot{{Route: "0"}}); err != nil {
		t.Fatal(err)
	}
	status()
	line := statusLine(now, Status{Done: 1})
	want := eraseLine + line + eraseLine + "worker 0: no process\n" + eraseLine + line
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if err := NewText(&strings.Builder{}, TextOptions{}).Slots(now, nil); err != nil {
		t.Errorf("without a place for them: got %v", err)
	}
}
