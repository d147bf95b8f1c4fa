package api

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"testr/internal/repo"
)

// TestEdits: who has the file changes it for others, while a run goes on, too.
func TestEdits(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := newRepo(t, dir)
	for range 6 {
		store(t, r, repo.RunInfo{Start: time.Unix(1e9, 0)}, repo.End{State: repo.Finished}, aRun()...)
	}
	s, err := Serve(Config{Dir: dir, Queries: r, Edits: r})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	c, err := Dial(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()

	if err := c.Remove(1, 3); err != nil {
		t.Error(err)
	}
	wantRuns(t, c, 0, 2, 4, 5)
	if err := c.Remove(2, 3); !errors.Is(err, repo.ErrNoRun) {
		t.Errorf("a run that isn't there: got error %v; want ErrNoRun", err)
	}
	wantRuns(t, c, 0, 2, 4, 5)
	removed, err := c.Prune(2, time.Time{})
	if diff := cmp.Diff([]int{0, 2}, removed); diff != "" || err != nil {
		t.Errorf("pruned: error %v, (-want +got):\n%s", err, diff)
	}
	if removed, err = c.Prune(2, time.Time{}); err != nil || len(removed) != 0 {
		t.Errorf("pruned again: got %v, %v; want nothing", removed, err)
	}
	if before, after, err := c.Compact(); err != nil || after > before {
		t.Errorf("compacted: got %d bytes of %d, %v", after, before, err)
	}
	w, err := r.Begin(repo.RunInfo{})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Compact(); !errors.Is(err, repo.ErrRunning) {
		t.Errorf("compacted during a run: got error %v; want ErrRunning", err)
	}
	if err := c.Remove(w.ID()); !errors.Is(err, repo.ErrRunning) {
		t.Errorf("removed the run that goes on: got error %v; want ErrRunning", err)
	}
	if removed, err = c.Prune(1, time.Time{}); err != nil || len(removed) != 1 {
		t.Errorf("pruned during a run: got %v, %v; want one run", removed, err)
	}
	if _, err := w.Close(repo.End{State: repo.Finished}); err != nil {
		t.Fatal(err)
	}
}

func wantRuns(t *testing.T, q repo.Queries, want ...int) {
	t.Helper()
	runs, err := q.Runs()
	var got []int
	for _, info := range runs {
		got = append(got, info.ID)
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("runs: error %v, (-want +got):\n%s", err, diff)
	}
}
