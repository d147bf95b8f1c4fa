package repo

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// failingNow returns the failing set, each test with the run that put it there and
// its reason.
func failingNow(t *testing.T, r *Repository) map[string]string {
	t.Helper()
	entries, err := r.Failing(DefaultProfile)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, f := range entries {
		got[f.ID] = string(rune('0'+f.Run)) + f.NotRun
	}
	return got
}

func wantFailing(t *testing.T, r *Repository, want map[string]string) {
	t.Helper()
	if diff := cmp.Diff(want, failingNow(t, r)); diff != "" {
		t.Errorf("failing set (-want +got):\n%s", diff)
	}
	if err := r.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestDropLast(t *testing.T) {
	r := newRepo(t)
	part := RunInfo{Partial: true}
	store(t, r, part, End{}, results([]string{"a"}, []string{"b", "c"})...)
	store(t, r, part, End{State: Interrupted}, results([]string{"b"}, []string{"c", "d"})...)
	wantFailing(t, r, map[string]string{"c": "1", "d": "1"})

	for _, id := range []int{0, 2, -1} {
		if err := r.DropLast(id); err == nil {
			t.Errorf("DropLast(%d): got no error; want one, 1 being the last", id)
		}
	}
	if err := r.DropLast(1); err != nil {
		t.Fatal(err)
	}
	wantFailing(t, r, map[string]string{})
	if _, err := r.Run(1); !errors.Is(err, ErrNoRun) {
		t.Errorf("got %v; want %v", err, ErrNoRun)
	}
	if info := store(t, r, part, End{}, results(nil, []string{"c"})...); info.ID != 2 {
		t.Errorf("the next run has the number %d; want 2", info.ID)
	}
	wantFailing(t, r, map[string]string{"c": "2"})
	for _, id := range []int{2, 0} {
		if err := r.DropLast(id); err != nil {
			t.Fatal(err)
		}
		wantFailing(t, r, map[string]string{})
	}
	if err := r.DropLast(0); !errors.Is(err, ErrNoRun) {
		t.Errorf("got %v; want %v", err, ErrNoRun)
	}
}

func TestDropLastGoesOn(t *testing.T) {
	r := newRepo(t)
	w, err := r.Begin(RunInfo{})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.DropLast(w.ID()); err == nil {
		t.Error("got no error for a run that goes on; want one")
	}
	if _, err := w.Close(End{State: Finished}); err != nil {
		t.Error(err)
	}
}

func TestAdopt(t *testing.T) {
	r := newRepo(t)
	if err := r.Adopt(DefaultProfile, nil, "gone", nil); !errors.Is(err, ErrNoRuns) {
		t.Errorf("got %v; want %v", err, ErrNoRuns)
	}
	store(t, r, RunInfo{Partial: true}, End{}, results([]string{"a"}, []string{"b", "c"})...)
	store(t, r, RunInfo{Partial: true}, End{}, results([]string{"x"}, []string{"c"})...)
	timing := map[string]time.Duration{"a": 7 * time.Second, "new": time.Second}
	if err := r.Adopt(DefaultProfile, []string{"c", "new", "a", "c"}, "gone", timing); err != nil {
		t.Fatal(err)
	}
	wantFailing(t, r, map[string]string{"a": "1gone", "c": "1", "new": "1gone"})
	got, err := r.Timing(DefaultProfile)
	want := map[string]time.Duration{"a": 7 * time.Second, "x": time.Millisecond, "new": time.Second,
		"b": time.Millisecond, "c": time.Millisecond}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("timing: %v (-want +got):\n%s", err, diff)
	}
	// Runs go on from there.
	store(t, r, RunInfo{Partial: true}, End{}, results([]string{"a", "c"}, []string{"x"})...)
	wantFailing(t, r, map[string]string{"new": "1gone", "x": "2"})
	store(t, r, RunInfo{}, End{}, results([]string{"a", "c", "x"}, []string{"b"})...)
	wantFailing(t, r, map[string]string{"b": "3"})
}
