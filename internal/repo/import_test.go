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
