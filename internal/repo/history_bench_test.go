package repo

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// BenchmarkHistory asks generated repositories of 10 and 100 runs, or of as many as
// TESTR_RUNS says ("10 100 1000"), opened for every question as by a command. What
// a run takes on disk is a figure of Open.
func BenchmarkHistory(b *testing.B) {
	sizes := strings.Fields(os.Getenv("TESTR_RUNS"))
	if len(sizes) == 0 {
		sizes = []string{"10", "100"}
	}
	for _, size := range sizes {
		runs, err := strconv.Atoi(size)
		if err != nil {
			b.Fatal(err)
		}
		b.Run("runs="+size, func(b *testing.B) { benchHistory(b, runs) })
	}
}

func benchHistory(b *testing.B, runs int) {
	dir := generated(b, runs)
	info, err := os.Stat(filepath.Join(dir, DirName, FileName))
	if err != nil {
		b.Fatal(err)
	}
	test := longIDs(12)[11] // a flaky one
	for _, query := range []struct {
		name string
		ask  func(r *Repository) error
	}{
		{"Open", func(*Repository) error { return nil }},
		{"Latest", func(r *Repository) error { _, err := r.Latest(); return err }},
		{"Failing", func(r *Repository) error { _, err := r.Failing(DefaultProfile); return err }},
		{"Tests", func(r *Repository) error { _, err := r.Tests(runs-1, DefaultProfile, 0); return err }},
		{"Failed", func(r *Repository) error { _, err := r.Tests(runs-1, DefaultProfile, ChooseFailed); return err }},
		{"Slowest", func(r *Repository) error { _, err := r.Slowest(runs-1, DefaultProfile, 10); return err }},
		{"Profiles", func(r *Repository) error { _, err := r.Profiles(); return err }},
		{"Runs", func(r *Repository) error { _, err := r.Runs(); return err }},
		{"Stats", func(r *Repository) error { _, err := r.Stats(); return err }},
		{"Outcomes", func(r *Repository) error { _, err := r.Outcomes(DefaultProfile, test); return err }},
		{"Flaky", func(r *Repository) error { _, err := r.Flaky(DefaultProfile); return err }},
		{"PruneNothing", func(r *Repository) error { _, err := r.Prune(runs, epoch.Add(-time.Hour)); return err }},
	} {
		b.Run(query.name, func(b *testing.B) {
			for b.Loop() {
				r, err := OpenReadOnly(dir)
				if err == nil {
					err = query.ask(r)
				}
				if err != nil {
					b.Fatal(err)
				}
				closeRepo(b, r)
			}
			if query.name == "Open" {
				b.ReportMetric(float64(info.Size())/float64(runs)/1e6, "MB/run")
			}
		})
	}
}

// The generated runs are such as the benchmark needs: every kind of outcome is in
// them, and they are a sound repository.
func TestGenerated(t *testing.T) {
	r := newRepo(t)
	generate(t, r, 800, 12)
	runs, err := r.Runs()
	if err != nil || len(runs) != 12 {
		t.Fatalf("got %d runs, %v", len(runs), err)
	}
	var passed, failed, skipped, flaky, partial int
	for _, i := range runs {
		c := i.Counts
		passed, failed, skipped, flaky = passed+c.Passed, failed+c.Failed, skipped+c.Skipped, flaky+c.Flaky
		if i.Partial {
			partial++
		}
	}
	if passed == 0 || failed == 0 || skipped == 0 || flaky == 0 || partial != 1 {
		t.Errorf("got %d passed, %d failed, %d skipped, %d flaky, %d runs partial", passed, failed, skipped, flaky, partial)
	}
	tests, err := r.Flaky(DefaultProfile)
	if err != nil || len(tests) == 0 || len(tests) > 100 {
		t.Errorf("got %d flaky tests, %v", len(tests), err)
	}
}
