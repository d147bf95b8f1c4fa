package legacy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"testr/internal/repo"
)

func newRepo(t *testing.T) *repo.Repository {
	t.Helper()
	dir := t.TempDir()
	if err := repo.Init(dir); err != nil {
		t.Fatal(err)
	}
	r, err := repo.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(r.Check(context.Background()), r.Close()); err != nil {
			t.Error(err)
		}
	})
	return r
}

func open(t *testing.T, path string) *Directory {
	t.Helper()
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// imported imports a directory and returns what it warned of.
func imported(t *testing.T, r *repo.Repository, d *Directory) (Result, []string) {
	t.Helper()
	var warnings []string
	res, err := Import(t.Context(), r, d, func(err error) { warnings = append(warnings, err.Error()) })
	if err != nil {
		t.Fatal(err)
	}
	return res, warnings
}

func wantResult(t *testing.T, got, want Result, warnings []string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" || len(warnings) > 0 {
		t.Errorf("warnings %q; (-want +got):\n%s", warnings, diff)
	}
}

func failing(t *testing.T, r *repo.Repository) map[string]string {
	t.Helper()
	entries, err := r.Failing(repo.DefaultProfile)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, f := range entries {
		got[f.ID] = fmt.Sprintf("%d %s", f.Run, f.NotRun)
	}
	return got
}

func wantFailing(t *testing.T, r *repo.Repository, want map[string]string) {
	t.Helper()
	if diff := cmp.Diff(want, failing(t, r)); diff != "" {
		t.Errorf("failing set (-want +got):\n%s", diff)
	}
}

func TestImportRecorded(t *testing.T) {
	for _, c := range []struct {
		dir     string
		result  Result
		failing map[string]string
		tests   []int // of each run
		timing  map[string]time.Duration
	}{
		{
			dir: "testdata/testrepository", result: Result{Runs: 3, Failing: 1},
			failing: map[string]string{"test_a.T.test_err": "2 "}, tests: []int{6, 6, 1},
			timing: map[string]time.Duration{
				"test_a.T.test_err": 181 * time.Microsecond, "test_a.T.test_fail": 126 * time.Microsecond,
				"test_a.T.test_pass": 62500 * time.Microsecond, "test_a.T.test_skip": 42 * time.Microsecond,
				"test_a.T.test_uxs": 98 * time.Microsecond, "test_a.T.test_xfail": 250 * time.Millisecond,
			},
		},
		{
			dir: "testdata/stestr", result: Result{Runs: 2, Failing: 1},
			failing: map[string]string{"test_a.T.test_fail": "1 "}, tests: []int{6, 2},
			timing: stestrTimes(t),
		},
	} {
		t.Run(filepath.Base(c.dir), func(t *testing.T) {
			r, d := newRepo(t), open(t, c.dir)
			res, warnings := imported(t, r, d)
			wantResult(t, res, c.result, warnings)
			wantFailing(t, r, c.failing)
			infos, err := r.Runs()
			if err != nil {
				t.Fatal(err)
			}
			var tests []int
			for i, info := range infos {
				tests = append(tests, info.Counts.Tests)
				from, to := span(t, r, info.ID)
				if info.State != repo.Finished || !info.Start.Equal(from) || !info.End.Equal(to) || info.ID != i {
					t.Errorf("run %d: got %+v; want it finished, from %v to %v", i, info, from, to)
				}
			}
			if diff := cmp.Diff(c.tests, tests); diff != "" {
				t.Errorf("numbers of tests (-want +got):\n%s", diff)
			}
			timing, err := r.Timing(repo.DefaultProfile)
			if diff := cmp.Diff(c.timing, timing); diff != "" || err != nil {
				t.Errorf("timing: %v (-want +got):\n%s", err, diff)
			}

			res, warnings = imported(t, r, d)
			wantResult(t, res, Result{Known: c.result.Runs, Failing: 1}, warnings)
			wantFailing(t, r, c.failing)
		})
	}
}

// stestrTimes reads the recorded durations in another way.
func stestrTimes(t *testing.T) map[string]time.Duration {
	t.Helper()
	dir, errDir := os.ReadFile("testdata/stestr/times.dbm.dir")
	dat, errDat := os.ReadFile("testdata/stestr/times.dbm.dat")
	if err := errors.Join(errDir, errDat); err != nil {
		t.Fatal(err)
	}
	times := map[string]time.Duration{}
	for line := range strings.Lines(string(dir)) {
		var key string
		var at, size int
		if _, err := fmt.Sscanf(line, "'%s (%d, %d)", &key, &at, &size); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		var seconds float64
		if _, err := fmt.Sscan(string(dat[at:at+size]), &seconds); err != nil {
			t.Fatal(err)
		}
		times[strings.TrimSuffix(key, "',")] = time.Duration(seconds*1e9 + 0.5)
	}
	if len(times) != 6 {
		t.Fatalf("got %d durations; want 6", len(times))
	}
	return times
}

// span returns the start of a run's first test, and the end of its last.
func span(t *testing.T, r *repo.Repository, run int) (from, to time.Time) {
	t.Helper()
	tests, err := r.Tests(run, repo.DefaultProfile, 0)
	if err != nil || len(tests) == 0 {
		t.Fatalf("tests of run %d: %v, %v", run, tests, err)
	}
	for _, test := range tests {
		if test.End.After(to) {
			to = test.End
		}
	}
	return tests[0].Start, to
}

// copyOf returns a copy of a recorded directory, to be changed.
func copyOf(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

func write(t *testing.T, dir, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// An import that was cut short goes on: a run that is there in part is stored anew.
func TestImportResumes(t *testing.T) {
	path := copyOf(t, "testdata/testrepository")
	d, r := open(t, path), newRepo(t)
	one, err := r.Begin(repo.RunInfo{Partial: true, Command: []string{"import", d.Path, "0"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := one.Close(repo.End{State: repo.Finished}); err != nil {
		t.Fatal(err)
	}
	two, err := r.Begin(repo.RunInfo{Partial: true, Command: []string{"import", d.Path, "1"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := two.Close(repo.End{State: repo.Interrupted}); err != nil {
		t.Fatal(err)
	}
	res, warnings := imported(t, r, d)
	wantResult(t, res, Result{Runs: 2, Known: 1, Failing: 1}, warnings)
	infos, err := r.Runs()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, info := range infos {
		got = append(got, fmt.Sprintf("%d: %s %s", info.ID, info.Command[2], info.State))
	}
	if diff := cmp.Diff([]string{"0: 0 finished", "2: 1 finished", "3: 2 finished"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	// One that was removed here doesn't come again.
	if err := r.Remove(0); err != nil {
		t.Fatal(err)
	}
	res, warnings = imported(t, r, d)
	wantResult(t, res, Result{Known: 2, Passed: 1, Failing: 1}, warnings)

	// Runs that were made there since come, too.
	write(t, path, "7", "test: new\nfailure: new\n")
	write(t, path, "failing", "test: new\nfailure: new\ntest: old\nfailure: old\ntest: new\nerror: new\n")
	res, warnings = imported(t, r, d)
	wantResult(t, res, Result{Runs: 1, Known: 2, Passed: 1, Failing: 2}, warnings)
	wantFailing(t, r, map[string]string{"new": "4 ", "old": "4 " + reasonGone})
}

func TestImportInterrupted(t *testing.T) {
	d, r := open(t, "testdata/testrepository"), newRepo(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("enough")
	cancel(reason)
	if res, err := Import(ctx, r, d, func(error) {}); !errors.Is(err, reason) || res.Runs > 0 {
		t.Errorf("got %+v, %v; want nothing, %v", res, err, reason)
	}
	res, warnings := imported(t, r, d)
	wantResult(t, res, Result{Runs: 3, Failing: 1}, warnings)
}

// Runs of one's own are not mixed with older ones.
func TestImportOwnRuns(t *testing.T) {
	d, r := open(t, "testdata/testrepository"), newRepo(t)
	imported(t, r, d)
	w, err := r.Begin(repo.RunInfo{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Close(repo.End{State: repo.Finished}); err != nil {
		t.Fatal(err)
	}
	before := failing(t, r)
	res, warnings := imported(t, r, d)
	wantResult(t, res, Result{Known: 3}, warnings)
	wantFailing(t, r, before)
	if _, err := Import(t.Context(), r, open(t, "testdata/stestr"), func(error) {}); !errors.Is(err, ErrOwnRuns) {
		t.Errorf("got %v; want %v", err, ErrOwnRuns)
	}
}

// Without the directory's own record the failing set is what its runs make of it, and is
// told as that; durations come from the database all the same.
func TestImportWithoutFailing(t *testing.T) {
	path := copyOf(t, "testdata/testrepository")
	if err := os.Remove(filepath.Join(path, failingFile)); err != nil {
		t.Fatal(err)
	}
	r := newRepo(t)
	res, warnings := imported(t, r, open(t, path))
	if len(warnings) != 1 || !strings.Contains(warnings[0], "the failing set is worked out from the runs: open failing") {
		t.Errorf("got the warnings %q; want one of the failing set", warnings)
	}
	set := failing(t, r)
	if len(set) == 0 || res.Failing != len(set) {
		t.Errorf("got %+v; want the %d tests of the failing set", res, len(set))
	}
	timing, err := r.Timing(repo.DefaultProfile)
	if got := timing["test_a.T.test_pass"]; got != 62500*time.Microsecond || err != nil {
		t.Errorf("got %v, %v; want the duration that the database has", got, err)
	}
}

// A directory whose name is no text is known again, and taken for no other one.
func TestImportOddPath(t *testing.T) {
	in, r := t.TempDir(), newRepo(t)
	for i, name := range []string{"\xff", "\xfe"} {
		path := filepath.Join(in, name)
		if err := os.CopyFS(path, os.DirFS("testdata/testrepository")); err != nil {
			t.Fatal(err)
		}
		d := open(t, path)
		if i > 0 {
			if _, err := Import(t.Context(), r, d, func(error) {}); !errors.Is(err, ErrOwnRuns) {
				t.Errorf("got %v; want %v", err, ErrOwnRuns)
			}
			continue
		}
		for _, want := range []Result{{Runs: 3, Failing: 1}, {Known: 3, Failing: 1}} {
			res, warnings := imported(t, r, d)
			wantResult(t, res, want, warnings)
		}
	}
}
