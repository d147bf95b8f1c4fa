package main

import (
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"testr/internal/event"
	"testr/internal/protocol"
	"testr/internal/repo"
)

// openWithin is how long a repository may take to open on the slowest machine.
// How long it took is in the test's log.
const openWithin = 10 * time.Second

// open opens the repository, which has nothing to be repaired.
func (c *crashing) open() *repo.Repository {
	c.t.Helper()
	begun := time.Now()
	r, err := repo.OpenReadOnly(c.dir)
	if err != nil {
		c.t.Fatal(err)
	}
	took := time.Since(begun)
	if c.tally.Slowest = max(c.tally.Slowest, took); took > openWithin {
		c.t.Errorf("the repository took %v to open", took)
	}
	return r
}

func (c *crashing) close(r *repo.Repository) {
	c.t.Helper()
	if err := r.Close(); err != nil {
		c.t.Error(err)
	}
}

func (c *crashing) check() {
	c.t.Helper()
	r := c.open()
	defer c.close(r)
	if err := r.Check(context.Background()); err != nil {
		c.t.Error(err)
	}
}

// latest returns the last run, or one with a number below all.
func (c *crashing) latest() repo.RunInfo {
	c.t.Helper()
	r := c.open()
	defer c.close(r)
	if err := r.Check(context.Background()); err != nil {
		c.t.Error(err)
	}
	info, err := r.Latest()
	switch {
	case errors.Is(err, repo.ErrNoRuns):
		return repo.RunInfo{ID: -1}
	case err != nil:
		c.t.Fatal(err)
	case info.State == repo.Running:
		c.t.Errorf("run %d goes on, and its supervisor is dead", info.ID)
	}
	return info
}

// crashRun is what the events of a run say, read without any help of ours.
type crashRun struct {
	asked, begun map[string]bool
	exist        map[string]bool // those that a worker gave back
	outcomes     map[string]protocol.Status
	failures     map[string]string // what a failure came with
	stream       string
}

func (c *crashing) events(info repo.RunInfo) crashRun {
	c.t.Helper()
	r := c.open()
	defer c.close(r)
	run := crashRun{map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]protocol.Status{},
		map[string]string{}, ""}
	cursor, err := r.Replay(info.ID)
	if err != nil {
		c.t.Fatal(err)
	}
	var stream []byte
	for {
		events, err := cursor.Next(context.Background())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			c.t.Fatal(err)
		}
		for _, e := range events {
			if e.Kind == event.KindAsked {
				for _, id := range e.Tests {
					run.asked[id] = true
				}
			}
			if e.Kind != event.KindPacket {
				continue
			}
			if stream, err = protocol.AppendPacket(stream, e.Packet); err != nil {
				c.t.Fatal(err)
			}
			run.packet(c.t, e.Packet)
		}
	}
	run.stream = string(stream)
	return run
}

func (r *crashRun) packet(t *testing.T, p *protocol.Packet) {
	t.Helper()
	switch id := p.TestID; {
	case p.Has&protocol.HasTestID == 0 || strings.Contains(id, " (i="):
	case p.Status == protocol.StatusExists:
		r.exist[id] = true
	case p.Status == protocol.StatusInProgress:
		r.begun[id] = true
	case p.Status.Final() && r.outcomes[id] != protocol.StatusNone:
		t.Errorf("%s has two outcomes in one run", id)
	case p.Status.Final():
		r.outcomes[id], r.failures[id] = p.Status, string(p.Content)
	}
}

// wantStored wants everything that a command printed before it was killed to be
// in its run, and the run to say how far it came.
func (c *crashing) wantStored(info repo.RunInfo, res result, subunit, killed bool) {
	c.t.Helper()
	run := c.events(info)
	if subunit {
		if !strings.HasPrefix(run.stream, res.out) {
			c.t.Errorf("run %d: %d bytes of a stream were printed, and are not the first of the %d that are stored",
				info.ID, len(res.out), len(run.stream))
		}
	} else {
		for _, id := range failingTests(res.out) {
			// Who outlives the daemon tells what the run came to: what was in progress failed.
			told := res.status == statusError && run.begun[id] && run.outcomes[id] == protocol.StatusNone
			if !strings.Contains(id, " (i=") && run.outcomes[id] != protocol.StatusFail && !told {
				c.t.Errorf("%s was printed as failed, and is stored as %v", id, run.outcomes[id])
			}
		}
	}
	all := len(crashTests()) // a stream that is loaded asks for nothing
	if len(run.asked) > 0 {
		all = len(run.asked)
	}
	switch {
	case !killed:
		c.tally.Late++
		if info.State != repo.Finished {
			c.t.Errorf("run %d came to its end, and is %v", info.ID, info.State)
		}
	case len(run.outcomes) == all:
		c.tally.Closing++
	case info.State != repo.Interrupted:
		c.t.Errorf("run %d was killed with %d outcomes for %d tests; got state %v, want it interrupted", info.ID,
			len(run.outcomes), all, info.State)
	default:
		c.tally.Within++
	}
	c.wantColumns(info, run)
	if info.State == repo.Interrupted {
		wantText(c.t, c.testr("last").out, "Interrupted: the run did not come to its end")
	}
}

// wantColumns wants what the repository answers about a run to be what its
// events say: what has an outcome, what was in progress, and what never began.
func (c *crashing) wantColumns(info repo.RunInfo, run crashRun) {
	c.t.Helper()
	r := c.open()
	defer c.close(r)
	tests, err := r.Tests(info.ID, repo.DefaultProfile, 0)
	if err != nil {
		c.t.Fatal(err)
	}
	type state struct {
		Status protocol.Status
		Open   bool
	}
	got, want := map[string]state{}, map[string]state{}
	for _, test := range tests {
		if test.Runnable || test.Asked {
			got[test.ID] = state{test.Status, test.Open}
		}
	}
	for _, known := range []map[string]bool{run.asked, run.exist} {
		for id := range known {
			want[id] = state{}
		}
	}
	for id := range run.begun {
		want[id] = state{Status: run.outcomes[id], Open: run.outcomes[id] == protocol.StatusNone}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		c.t.Errorf("run %d: tests (-as its events say +as it says):\n%s", info.ID, diff)
	}
	if len(run.asked) == 0 {
		return
	}
	left, err := r.Left(info.ID, repo.DefaultProfile)
	if err != nil {
		c.t.Fatal(err)
	}
	var undone []string
	for id := range run.asked {
		if run.outcomes[id] == protocol.StatusNone {
			undone = append(undone, id)
		}
	}
	slices.Sort(undone)
	slices.Sort(left.Tests)
	if diff := cmp.Diff(undone, left.Tests); diff != "" {
		c.t.Errorf("run %d: left (-as its events say +as it says):\n%s", info.ID, diff)
	}
}

// wantAsked wants a run to have asked for what had no outcome before, and for
// nothing else.
func (c *crashing) wantAsked(info repo.RunInfo) {
	c.t.Helper()
	run := c.events(info)
	var want []string
	for _, id := range crashTests() {
		if c.settled[id] == protocol.StatusNone {
			want = append(want, id)
		}
	}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(run.asked))); diff != "" {
		c.t.Errorf("run %d: tests that it asked for (-want +got):\n%s", info.ID, diff)
	}
}

// take notes the outcomes of a run; no test has another one already.
func (c *crashing) take(info repo.RunInfo) {
	c.t.Helper()
	for id, status := range c.events(info).outcomes {
		if c.settled[id] != protocol.StatusNone {
			c.t.Errorf("%s has an outcome in run %d, and had one before", id, info.ID)
		}
		c.settled[id] = status
	}
	c.runs = info.ID + 1
}

// wantNobodyHere wants no process to be left that works in the directory: no
// worker, no guardian, no shell.
func (c *crashing) wantNobodyHere() {
	c.t.Helper()
	for deadline := time.After(30 * time.Second); ; {
		left := processesIn(c.dir)
		if len(left) == 0 {
			return
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-deadline:
			c.t.Errorf("got these processes 30 s after their supervisor was killed: %v; want none", left)
			for pid := range left {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
			return
		}
	}
}

// processesIn are the processes that live and whose directory is dir, with their
// command lines.
func processesIn(dir string) map[int]string {
	all := map[int]string{}
	links, _ := filepath.Glob("/proc/[0-9]*/cwd")
	for _, link := range links {
		at, err := os.Readlink(link)
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(link)))
		if err != nil || at != dir || !alive(pid) {
			continue
		}
		line, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
		all[pid] = strings.ReplaceAll(string(line), "\x00", " ")
	}
	return all
}
