package main

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"testr/internal/event"
	"testr/internal/protocol"
	"testr/internal/repo"
	"testr/internal/report"
	"testr/internal/runner"
	"testr/internal/supervisor"
)

// hostEvents are a run of two machines: of this one and, as slots 1 and 2, of
// desktop. A test fails on each, and one here passes when it is tried again there.
func hostEvents() []event.Event {
	events := []event.Event{{Kind: event.KindAsked, Worker: event.NoWorker,
		Tests: []string{"here", "there", "flaky", "fine", "never"}}}
	for i, s := range []event.Started{{Host: thisHost(), Route: "0"}, {Host: "desktop.example", Route: "1/0"},
		{Host: "desktop.example", Route: "1/1"}} {
		s.Instance, s.PID, s.Generation = "i", 7, 1
		events = append(events, event.Event{Kind: event.KindWorkerStarted, Worker: i, Detail: s.String()})
	}
	add := func(id string, status protocol.Status, route string, tags ...string) {
		for _, s := range []protocol.Status{protocol.StatusInProgress, status} {
			p := &protocol.Packet{Has: protocol.HasTestID | protocol.HasRoute | protocol.HasTags, TestID: id, Runnable: true,
				Status: s, Route: route, Tags: tags}
			events = append(events, event.Event{Kind: event.KindPacket, Worker: event.NoWorker, Packet: p})
		}
	}
	add("here", protocol.StatusFail, "0", "worker-0")
	add("there", protocol.StatusFail, "1/0", "worker-1-0")
	add("flaky", protocol.StatusFail, "0", "worker-0")
	add("flaky", protocol.StatusSuccess, "1/1", "worker-1-1", event.AttemptTag(2))
	add("fine", protocol.StatusSuccess, "1/1/5", "worker-1-1")
	return append(events, event.Event{Kind: event.KindNotRun, Worker: event.NoWorker, Tests: []string{"never"},
		Detail: "lost"})
}

const hostText = `======================================================================
FAIL: here
tags: worker-0
----------------------------------------------------------------------
======================================================================
FAIL: there
tags: worker-1-0
host: desktop.example
----------------------------------------------------------------------
======================================================================
FAIL: flaky
tags: worker-0
----------------------------------------------------------------------
FLAKY: flaky (passed at attempt 2)
1 test flaky (flaky)
1 test not run: lost (never)
Tests by host: desktop.example 3, %s 1
Ran 4 tests
FAILED (id=0, failures=2, flaky=1)
`

// storeHosts stores such a run while it is followed, and returns what is shown.
func storeHosts(t *testing.T, dir, host string) string {
	t.Helper()
	if err := repo.Init(dir); err != nil {
		t.Fatal(err)
	}
	r, err := repo.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}()
	w, err := r.Begin(repo.RunInfo{Start: time.Unix(1e9, 0), Host: host})
	if err != nil {
		t.Fatal(err)
	}
	var out, errOut bytes.Buffer
	env := newEnvironment(nil, &out, &errOut)
	env.signals = &signals{}
	f := newFollower(env, streamOptions{}, nil, true)
	f.begin(w)
	for _, e := range hostEvents() {
		if err := w.Event(e); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Close(repo.End{State: repo.Finished}); err != nil {
		t.Fatal(err)
	}
	err = f.end(r, runner.Result{Run: w.ID(), Recorded: true, Outcomes: w.Outcomes()}, nil)
	if err != nil || errOut.Len() > 0 {
		t.Errorf("show the run: %v, stderr %q", err, errOut.String())
	}
	return out.String()
}

// TestHostsOfARun: which host ran what is shown while a run goes on, and told by
// "testr last" in the same words; on another machine, in other ones.
func TestHostsOfARun(t *testing.T) {
	here := "this machine (" + thisHost() + ")"
	for _, c := range []struct{ name, host, want string }{
		{"where it ran", thisHost(), fmt.Sprintf(hostText, here)},
		{"elsewhere", "desktop.example", `======================================================================
FAIL: here
tags: worker-0
host: ` + thisHost() + `
----------------------------------------------------------------------
======================================================================
FAIL: there
tags: worker-1-0
----------------------------------------------------------------------
======================================================================
FAIL: flaky
tags: worker-0
host: ` + thisHost() + `
----------------------------------------------------------------------
FLAKY: flaky (passed at attempt 2)
1 test flaky (flaky)
1 test not run: lost (never)
Tests by host: desktop.example 3, ` + thisHost() + ` 1
Ran 4 tests
FAILED (id=0, failures=2, flaky=1)
`},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if diff := cmp.Diff(fmt.Sprintf(hostText, here), storeHosts(t, dir, c.host)); diff != "" {
				t.Errorf("live (-want +got):\n%s", diff)
			}
			var out, errOut bytes.Buffer
			env := newEnvironment(nil, &out, &errOut)
			if err := dispatch(t.Context(), env, []string{"testr", "-d", dir, "last"}); !errors.Is(err, errFailed) {
				t.Errorf("last: got %v; want that tests failed", err)
			}
			if diff := cmp.Diff(c.want, out.String()); diff != "" || errOut.Len() > 0 {
				t.Errorf("last (-want +got), stderr %q:\n%s", errOut.String(), diff)
			}
		})
	}
}

// TestSlotsOf: all that is known of a worker is shown to whoever asks.
func TestSlotsOf(t *testing.T) {
	now := time.Unix(1e9, 0)
	got := slotsOf([]supervisor.SlotState{{Route: "1/0", Host: "desktop.example", PID: 77, Since: now, Waiting: 3,
		Last: "x", Heard: now, Running: []supervisor.Running{{Test: "a", Route: "1/0", Since: now}}}})
	want := []report.Slot{{Route: "1/0", Host: "desktop.example", PID: 77, Since: now, Waiting: 3, Last: "x", Heard: now,
		Running: []report.Running{{Test: "a", Route: "1/0", Since: now}}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
