//go:build peers

package repo

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// F11, F13, F24: whichever call to the system fails, once or from then on, what
// was said to be stored is there, what went wrong is said, and every event is
// there once. strace counts the calls of each thread for itself, so that of
// several threads each may have one that fails.
func TestFailingCalls(t *testing.T) {
	crashed := sample(t, true)
	faults := []string{"pwrite64:error=ENOSPC:when=%d", "pwrite64:error=ENOSPC:when=%d+",
		"fdatasync:error=EIO:when=%d", "fdatasync:error=EIO:when=%d+", "ftruncate:error=ENOSPC:when=%d"}
	long := os.Getenv("TESTR_KILLS") != ""
	if long {
		faults = append(faults, "pwrite64:error=EIO:when=%d", "pwrite64:error=EIO:when=%d+",
			"fdatasync:error=ENOSPC:when=%d", "fdatasync:error=ENOSPC:when=%d+")
	}
	for _, fault := range faults {
		t.Run(fault, func(t *testing.T) {
			n, step := 1, 1
			if strings.HasPrefix(fault, "pwrite64") && !long {
				step = 8 // the long form has them all
			}
			for failingCall(t, crashed, fmt.Sprintf("inject="+fault, n)) {
				n += step
			}
			if t.Logf("the first %d calls failed", n-step); n == 1 {
				t.Error("none failed, or this shows nothing")
			}
		})
	}
}

// failingCall has a repository live with a fault, and reports whether it met it.
func failingCall(t *testing.T, crashed []byte, inject string) bool {
	t.Helper()
	dir := dirWith(t, crashed)
	calls, out := trace(t, "life", dir, nil, "fdatasync,pwrite64,ftruncate", "-s", "1", "-e", inject)
	met := false
	for _, c := range calls {
		met = met || c.injected
	}
	var l lived
	if err := json.Unmarshal([]byte(out), &l); err != nil {
		t.Fatalf("%s: got %q: %v", inject, out, err)
	}
	if met != (l.Err != "") {
		t.Errorf("%s: it failed: %v; got the error %q", inject, met, l.Err)
	}
	r := openRepo(t, dir)
	defer closeRepo(t, r)
	if err := r.Check(context.Background()); err != nil {
		t.Errorf("%s: %v", inject, err)
	}
	if l.Run < 0 {
		return met
	}
	info, err := r.Run(l.Run)
	if err != nil || info.Events < l.Synced || l.Closed && info.State != Finished {
		t.Errorf("%s: got %+v, %v; want %+v", inject, info, err, l)
	}
	for i, e := range replay(t, r, l.Run) {
		want := lifeEvent(i).Packet
		if string(e.Packet.Content) != string(want.Content) || e.Packet.TestID != want.TestID {
			t.Errorf("%s: event %d of run %d is not what was written", inject, i, l.Run)
		}
	}
	return met
}

// F12: on a disk that takes long for a sync nothing is lost, and what waits is
// bounded: whoever sends events waits, too.
func TestSlowDisk(t *testing.T) {
	for _, delay := range []string{"10ms", "100ms"} {
		dir := newDir(t)
		_, out := trace(t, "flood", dir, nil, "fdatasync", "-e", "inject=fdatasync:delay_enter="+delay)
		var f flooded
		if err := json.Unmarshal([]byte(out), &f); err != nil {
			t.Fatalf("got %q: %v", out, err)
		}
		t.Logf("a sync takes %s: %+v", delay, f)
		if limit := maxPending + 1<<20; f.Waiting > limit {
			t.Errorf("a sync takes %s: %d bytes waited; want %d at most", delay, f.Waiting, limit)
		}
		checkFlood(t, dir, f)
	}
}

func checkFlood(t *testing.T, dir string, f flooded) {
	t.Helper()
	r := queryRepo(t, dir)
	info, err := r.Latest()
	if err != nil || info.State != Finished || info.Events != uint64(f.Events) {
		t.Errorf("got %+v, %v; want a run of %d events", info, err, f.Events)
	}
	if err := r.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// Promise 2: the name of a new repository, and what is in it, are synced before
// Init says that there is one.
func TestInitSyncs(t *testing.T) {
	calls, out := trace(t, "power", t.TempDir(), []string{"TESTR_REPO_RUNS=0"}, traced)
	if out != "init\n" {
		t.Fatalf("got %q", out)
	}
	var order []string
	for _, c := range calls {
		switch {
		case c.name == "linkat":
			order = append(order, "link")
		case strings.HasSuffix(c.name, "sync") && filepath.Base(c.path) == DirName:
			order = append(order, "sync of the directory")
		case strings.HasSuffix(c.name, "sync") && isRepository(c.path) && len(order) == 0:
			order = append(order, "sync of the file")
		case c.name == "write" && c.fd == 1:
			order = append(order, "init")
		}
	}
	if got, want := strings.Join(order, ", "), "sync of the file, link, sync of the directory, init"; got != want {
		t.Errorf("got %s; want %s", got, want)
	}
}
