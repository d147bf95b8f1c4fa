package repo

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	bolt "go.etcd.io/bbolt"

	"testr/internal/event"
	"testr/internal/protocol"
)

// ids returns the numbers of all runs.
func runIDs(t testing.TB, r *Repository) []int {
	t.Helper()
	runs, err := r.Runs()
	if err != nil {
		t.Fatal(err)
	}
	var ids []int
	for _, i := range runs {
		ids = append(ids, i.ID)
	}
	return ids
}

func TestRemove(t *testing.T) {
	dir := newDir(t)
	r := openRepo(t, dir)
	for i := range 4 {
		store(t, r, RunInfo{Partial: i > 0}, End{}, results([]string{"p"}, []string{fmt.Sprint("f", i)})...)
	}
	w, err := r.Begin(RunInfo{})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		remove []int
		want   error
	}{{[]int{1, 7}, ErrNoRun}, {[]int{-1}, ErrNoRun}, {[]int{1, 4}, ErrRunning}, {nil, nil}} {
		if err := r.Remove(test.remove...); !errors.Is(err, test.want) {
			t.Errorf("remove %v: got %v; want %v", test.remove, err, test.want)
		}
	}
	if diff := cmp.Diff([]int{0, 1, 2, 3, 4}, runIDs(t, r)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if err := r.Remove(3, 1, 3); err != nil { // while a run goes on
		t.Error(err)
	}
	if _, err := w.Close(End{State: Interrupted}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{0, 2, 4}, runIDs(t, r)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if _, err := r.Tests(1, DefaultProfile, 0); !errors.Is(err, ErrNoRun) {
		t.Errorf("tests of a run that was removed: got %v; want ErrNoRun", err)
	}
	if _, err := r.Replay(1); !errors.Is(err, ErrNoRun) {
		t.Errorf("events of a run that was removed: got %v; want ErrNoRun", err)
	}
	failing, err := r.Failing(DefaultProfile)
	want := []Failing{{ID: "f0", Run: 0}, {ID: "f1", Run: 1, Gone: true}, {ID: "f2", Run: 2},
		{ID: "f3", Run: 3, Gone: true}}
	for i := range failing {
		failing[i].FirstSeq, failing[i].LastSeq, failing[i].Status = 0, 0, 0
	}
	if diff := cmp.Diff(want, failing); diff != "" || err != nil {
		t.Errorf("%v -want +got:\n%s", err, diff)
	}
	if info := store(t, r, RunInfo{}, End{}); info.ID != 5 {
		t.Errorf("the next run got the number %d; want 5", info.ID)
	}
	if err := r.Remove(runIDs(t, r)...); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Latest(); !errors.Is(err, ErrNoRuns) {
		t.Errorf("got %v; want ErrNoRuns", err)
	}
}

// TestDaysAgo: however many days somebody wants to keep, no run of the present is
// older.
func TestDaysAgo(t *testing.T) {
	for _, days := range []int{0, 36526, 3e6, 1 << 47, 2e14, math.MaxInt} {
		if got := DaysAgo(days); !got.IsZero() {
			t.Errorf("%d days: got %s; want no limit", days, got)
		}
	}
	for _, days := range []int{1, 365, 36525} {
		got := time.Since(DaysAgo(days))
		if day := 24 * time.Hour; got < time.Duration(days)*day-2*day || got > time.Duration(days)*day+2*day {
			t.Errorf("%d days: got %s ago", days, got)
		}
	}
}

func TestPrune(t *testing.T) {
	for _, test := range []struct {
		name   string
		keep   int
		before time.Time
		want   []int // what stays, of runs at 0, 10, 20, 30 and 15
	}{
		{"no limits", 0, time.Time{}, []int{0, 1, 2, 3, 4, 5}},
		{"two", 2, time.Time{}, []int{3, 4, 5}},
		{"more than there are", 9, time.Time{}, []int{0, 1, 2, 3, 4, 5}},
		{"as many", 5, time.Time{}, []int{0, 1, 2, 3, 4, 5}},
		{"young ones", 0, at(15), []int{2, 3, 4, 5}},
		{"none is young", 0, at(1000), []int{4, 5}},
		{"both: the number", 2, at(5), []int{3, 4, 5}},
		{"both: the time", 4, at(25), []int{3, 4, 5}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRepo(t)
			for _, ms := range []int{0, 10, 20, 30, 15} {
				store(t, r, RunInfo{Start: at(ms)}, End{}, status("a", protocol.StatusFail, 1))
			}
			w, err := r.Begin(RunInfo{Start: at(40)})
			if err != nil {
				t.Fatal(err)
			}
			removed, err := r.Prune(test.keep, test.before)
			got := runIDs(t, r)
			if diff := cmp.Diff(test.want, got); diff != "" || err != nil || len(removed)+len(got) != 6 {
				t.Errorf("removed %v, %v -want +got:\n%s", removed, err, diff)
			}
			if _, err := w.Close(End{State: Finished}); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// Where there is nothing to do, no transaction is made.
func TestPruneIsIdle(t *testing.T) {
	r := newRepo(t)
	if removed, err := r.Prune(1, at(0)); removed != nil || err != nil {
		t.Errorf("an empty repository: got %v, %v", removed, err)
	}
	for range 3 {
		store(t, r, RunInfo{Start: at(0)}, End{})
	}
	r.fault = func(string) error { return errors.New("a transaction") }
	if removed, err := r.Prune(3, at(0)); removed != nil || err != nil {
		t.Errorf("got %v, %v", removed, err)
	}
	r.fault = nil
}

// Of two that remove the same runs at the same time each has removed some.
func TestPruneTogether(t *testing.T) {
	r := newRepo(t)
	for range 4 {
		store(t, r, RunInfo{}, End{}, status("a", protocol.StatusSuccess, 1))
	}
	r.fault = func(string) error {
		r.fault = nil
		return r.Remove(1)
	}
	if removed, err := r.Prune(1, time.Time{}); !slices.Equal(removed, []int{0, 2}) || err != nil {
		t.Errorf("got %v, %v; want 0 and 2 removed", removed, err)
	}
	if _, err := r.Prune(1, time.Time{}); err != nil {
		t.Error(err)
	}
}

// Room that runs had is used again, and Compact gives it back.
func TestRoom(t *testing.T) {
	dir := newDir(t)
	r := openRepo(t, dir)
	big := func() {
		var events []event.Event
		for i := range 30 {
			events = append(events, file("a", "f", noise(100<<10+i)))
		}
		store(t, r, RunInfo{}, End{}, events...)
	}
	size := func() int64 {
		t.Helper()
		s, err := r.Stats()
		if err != nil {
			t.Fatal(err)
		}
		return s.Bytes
	}
	big()
	big()
	most := size()
	for range 4 {
		if _, err := r.Prune(1, time.Time{}); err != nil {
			t.Fatal(err)
		}
		big()
	}
	if got := size(); got > most+most/4 {
		t.Errorf("it grew from %d to %d bytes", most, got)
	}
	if _, err := r.Prune(1, time.Time{}); err != nil {
		t.Fatal(err)
	}
	before, after, err := r.Compact()
	if err != nil || after > before*2/3 {
		t.Errorf("got %d bytes instead of %d, %v", after, before, err)
	}
	info, err := os.Stat(filepath.Join(dir, DirName, FileName))
	if err != nil || info.Size() != after || info.Mode().Perm() != 0o600 {
		t.Errorf("got a file of %d bytes, %v, %v; want %d", info.Size(), info.Mode(), err, after)
	}
	if entries, err := os.ReadDir(filepath.Join(dir, DirName)); len(entries) != 2 || err != nil {
		t.Errorf("it left %v, %v", entries, err)
	}
	big() // into the new file
	closeRepo(t, r)
	if ids := runIDs(t, queryRepo(t, dir)); len(ids) != 2 {
		t.Errorf("got runs %v", ids)
	}
}

func TestCompactRefused(t *testing.T) {
	dir := newDir(t)
	r := openRepo(t, dir)
	w, err := r.Begin(RunInfo{})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Compact(); !errors.Is(err, ErrRunning) {
		t.Errorf("while a run goes on: got %v; want ErrRunning", err)
	}
	if _, err := w.Close(End{State: Finished}); err != nil {
		t.Fatal(err)
	}
	closeRepo(t, r)
	if _, _, err := r.Compact(); !errors.Is(err, ErrClosed) {
		t.Errorf("when it is closed: got %v; want ErrClosed", err)
	}
	if _, _, err := queryRepo(t, dir).Compact(); err == nil {
		t.Error("without the right to write: no error")
	}
}

// Whoever asks or waits for the file while it is replaced gets the new one.
func TestCompactWhileAsked(t *testing.T) {
	dir := newDir(t)
	r := openRepo(t, dir)
	ids := longIDs(300)
	for range 3 {
		store(t, r, RunInfo{}, End{}, benchEvents(ids)...)
	}
	ctx, stop := context.WithCancel(t.Context())
	var asking sync.WaitGroup
	for range 3 {
		asking.Go(func() {
			for ctx.Err() == nil {
				if tests, err := r.Tests(1, DefaultProfile, 0); err != nil || len(tests) != 300 {
					t.Errorf("got %d tests, %v", len(tests), err)
					return
				}
			}
		})
	}
	for range 10 {
		if _, _, err := r.Compact(); err != nil {
			t.Error(err)
		}
		putLease(t, r, Lease{ID: "a"})
	}
	stop()
	asking.Wait()
	waiting := make(chan *Repository)
	go func() {
		for {
			other, err := Open(dir)
			if _, ok := errors.AsType[*BusyError](err); ok {
				continue // it waited its second
			}
			if err != nil {
				t.Error(err)
			}
			waiting <- other
			return
		}
	}()
	for range 3 {
		if _, _, err := r.Compact(); err != nil {
			t.Error(err)
		}
	}
	closeRepo(t, r)
	other := <-waiting
	if other == nil {
		return
	}
	putLease(t, other, Lease{ID: "last"})
	closeRepo(t, other)
	leases, err := queryRepo(t, dir).Leases()
	if err != nil || len(leases) != 11 {
		t.Errorf("got %d leases, %v; want 11", len(leases), err)
	}
}

// Commits that come while the pages are to be looked at are no damage.
func TestCheckOvertaken(t *testing.T) {
	r := newRepo(t)
	err := r.stored(func(tx *bolt.Tx) error {
		for range 2 {
			putLease(t, r, Lease{ID: "a"})
		}
		return r.checkPages(tx)
	})
	if !errors.Is(err, errOvertaken) {
		t.Errorf("got %v; want it to be tried again", err)
	}
	if err := r.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// Whoever closes the repository while its file is replaced closes the new one, which
// others can open then.
func TestCloseWhileCompacting(t *testing.T) {
	dir := newDir(t)
	for range 20 {
		r := openRepo(t, dir)
		var compacting sync.WaitGroup
		first := make(chan struct{}, 1)
		compacting.Go(func() {
			for {
				if _, _, err := r.Compact(); errors.Is(err, ErrClosed) {
					return
				} else if err != nil {
					t.Error(err)
					return
				}
				signal(first)
			}
		})
		<-first
		closeRepo(t, r)
		compacting.Wait()
	}
}

// A catalog that says that a profile has no runs is not made worse.
func TestRemoveUncounted(t *testing.T) {
	dir := t.TempDir()
	if err := Init(dir); err != nil {
		t.Fatal(err)
	}
	r := openRepo(t, dir)
	for range 2 {
		store(t, r, RunInfo{}, End{}, outcome("a", protocol.StatusFail, 1, 2)...)
	}
	err := r.update(func(tx *bolt.Tx) error {
		return r.changeCatalog(tx, func(c *catalog) error {
			c.addProfile(DefaultProfile).runs = 0
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Remove(0); !errors.As(err, new(*DamagedError)) {
		t.Errorf("got %v; want a *DamagedError", err)
	}
	if failing, err := r.Failing(DefaultProfile); err != nil || len(failing) != 1 || failing[0].Gone {
		t.Errorf("then got %+v, %v; want what there was", failing, err)
	}
}

// childCompact compacts where there is address space for one file alone.
func childCompact(dir string) int {
	var pages int
	text, err := os.ReadFile("/proc/self/statm")
	if err == nil {
		_, err = fmt.Sscan(string(text), &pages)
	}
	most := uint64(pages)*uint64(os.Getpagesize()) + initialMap + initialMap/2
	err = errors.Join(err, syscall.Setrlimit(syscall.RLIMIT_AS, &syscall.Rlimit{Cur: most, Max: most}))
	if err == nil {
		var r *Repository
		if r, err = Open(dir); err == nil {
			_, _, err = r.Compact()
			err = errors.Join(err, r.Close())
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// A limit on address space takes the room in reserve away, and nothing else.
func TestCompactLimited(t *testing.T) {
	if err := child(t.Context(), t, "compact", newDir(t)).Run(); err != nil {
		t.Error(err)
	}
}

// childPrune stores, removes and compacts without end, and says so.
func childPrune(dir string) int {
	r, err := Open(dir)
	for i := 0; err == nil; i++ {
		var w *RunWriter
		if w, err = r.Begin(RunInfo{Revision: "abc"}); err != nil {
			break
		}
		for k := range 60 {
			err = errors.Join(err, w.Event(childEvent(k)))
		}
		_, closing := w.Close(End{State: Finished})
		err = errors.Join(err, closing)
		_, _ = fmt.Fprintln(os.Stdout, "closed", w.ID())
		switch i % 5 {
		case 3:
			_, _ = fmt.Fprintln(os.Stdout, "removing", w.ID()-1)
			err = errors.Join(err, r.Remove(w.ID()-1))
		case 4:
			_, _ = fmt.Fprintln(os.Stdout, "pruning", w.ID()-2)
			_, pruning := r.Prune(2, time.Time{})
			_, _, compacting := r.Compact()
			err = errors.Join(err, pruning, compacting)
		}
	}
	fmt.Fprintln(os.Stderr, err)
	return 3
}

// F23: after SIGKILL while runs are removed and the file is written anew, there are
// whole runs only, and all that nobody wanted to remove.
func TestPruneKilled(t *testing.T) {
	dir := ""
	seed := uint64(time.Now().UnixNano())
	rnd := rand.New(rand.NewPCG(seed, 1))
	var there []int
	for i := range kills(t) {
		if i%10 == 0 {
			dir, there = newDir(t), nil
		}
		cmd := child(t.Context(), t, "prune", dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := rnd.IntN(25)
		for in := bufio.NewScanner(out); in.Scan(); lines-- {
			word, number, _ := strings.Cut(in.Text(), " ")
			switch id := atoi(t, number); word {
			case "closed":
				there = append(there, id)
			case "removing":
				there = slices.DeleteFunc(there, func(run int) bool { return run == id })
			case "pruning":
				there = slices.DeleteFunc(there, func(run int) bool { return run < id+1 })
			}
			if lines == 0 {
				killAfter(cmd, rand.N(8*time.Millisecond))
			}
		}
		_ = cmd.Wait()
		r, err := OpenReadOnly(dir)
		if err != nil {
			t.Fatalf("seed %d, kill %d: %v", seed, i, err)
		}
		ids := runIDs(t, r)
		for _, id := range there {
			if !slices.Contains(ids, id) {
				t.Errorf("run %d is gone", id)
			}
		}
		for _, id := range ids {
			info, err := r.Run(id)
			events := replay(t, r, id)
			if err != nil || info.State == Finished && len(events) != 60 || info.State == Running {
				t.Errorf("run %d: got %d events, %+v, %v", id, len(events), info, err)
			}
		}
		if err := r.Check(t.Context()); err != nil {
			t.Error(err)
		}
		closeRepo(t, r)
		if t.Failed() {
			t.Fatalf("seed %d, kill %d", seed, i)
		}
	}
}
