package repo

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"testr/internal/protocol"
)

// unzipped returns what a compressed file in testdata holds. format1.db is a
// repository that the last testr of format 1 wrote, with a run that it was killed
// in, and format1.txt what that testr said of it.
func unzipped(t testing.TB, name string) []byte {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name+".gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// tell writes down what a repository says, but for what format 1 didn't know.
func tell(t *testing.T, r *Repository) string {
	t.Helper()
	b := new(strings.Builder)
	say := func(what string, values ...any) { fmt.Fprintf(b, "%s %+v\n", what, values) }
	runs, err := r.Runs()
	say("runs", len(runs), err)
	for _, i := range runs {
		say("run", i.ID, i.State, i.Start, i.End, i.Partial, i.Listed, i.Command, i.Selection, i.Host, i.Revision,
			i.Profiles, i.Events, i.Counts, i.Span)
		tests, err := r.Tests(i.ID, DefaultProfile, 0)
		say("tests", len(tests), err)
		for _, x := range tests {
			say("", x.ID, x.ParentID, x.Status, x.Open, x.Runnable, x.Asked, x.NotRun, x.Attempts, x.Duration, x.FirstSeq,
				x.LastSeq)
		}
		for _, e := range replay(t, r, i.ID) {
			say("", e.Seq, e.Kind, e.Time, e.Tests, e.Detail)
		}
	}
	failing, err := r.Failing(DefaultProfile)
	say("failing", len(failing), err)
	for _, f := range failing {
		say("", f.ID, f.Run, f.Status, f.NotRun, f.FirstSeq, f.LastSeq)
	}
	timing, err := r.Timing(DefaultProfile)
	say("timing", timing, err)
	listing, err := r.Listing(DefaultProfile)
	say("listing", listing, err)
	leases, err := r.Leases()
	say("leases", leases, err)
	return b.String()
}

// F21: a file of format 1 says what it said, whoever opens it, and is one of this
// format from then on.
func TestUpgrade(t *testing.T) {
	old, want := unzipped(t, "format1.db"), string(unzipped(t, "format1.txt"))
	for how, open := range map[string]func(string) (*Repository, error){"Open": Open, "OpenReadOnly": OpenReadOnly} {
		dir := dirWith(t, old)
		r, err := open(dir)
		if err != nil {
			t.Fatalf("%s: %v", how, err)
		}
		if diff := cmp.Diff(want, tell(t, r)); diff != "" {
			t.Errorf("%s: -want +got:\n%s", how, diff)
		}
		if err := r.Check(t.Context()); err != nil {
			t.Error(err)
		}
		outcomes, err := r.Outcomes(DefaultProfile, longIDs(51)[50])
		if err != nil || len(outcomes) != 2 || outcomes[1].Attempts != 2 || outcomes[0].Status != protocol.StatusFail {
			t.Errorf("%s: got %+v, %v", how, outcomes, err)
		}
		closeRepo(t, r)
		r = openRepo(t, dir)
		if r.format != formatVersion {
			t.Errorf("%s: got format %d; want %d", how, r.format, formatVersion)
		}
		if info := store(t, r, RunInfo{}, End{}, results([]string{"a"}, []string{"x"})...); info.ID != 5 {
			t.Errorf("%s: the next run got the number %d; want 5", how, info.ID)
		}
		if key := putLease(t, r, Lease{ID: "x"}); key != 4 {
			t.Errorf("%s: the next instance got the key %d; want 4", how, key)
		}
		closeRepo(t, r)
		checkDir(t, dir)
	}
}

// Where the file can't be written it is read all the same, and stays as it is.
func TestUpgradeReadOnly(t *testing.T) {
	dir := dirWith(t, unzipped(t, "format1.db"))
	home := filepath.Join(dir, DirName)
	path := filepath.Join(home, FileName)
	if err := errors.Join(os.Chmod(path, 0o444), os.Chmod(home, 0o555), os.Chmod(dir, 0o755),
		os.Chmod(filepath.Dir(dir), 0o755)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(home, 0o700) })
	asNobody(t, func() {
		r, err := OpenReadOnly(dir)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(unzipped(t, "format1.txt")), tell(t, r)); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		closeRepo(t, r)
	})
	if b, err := os.ReadFile(path); err != nil || !bytes.Equal(b, unzipped(t, "format1.db")) {
		t.Errorf("the file changed: %v", err)
	}
}

// Nor is room needed to read it.
func TestUpgradeFullDisk(t *testing.T) {
	old := unzipped(t, "format1.db")
	dir := dirWith(t, old)
	got, err := child(t.Context(), t, "full", dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, DirName, FileName)); err != nil || !bytes.Equal(b, old) {
		t.Errorf("the file was changed: %v", err)
	}
	closeRepo(t, openRepo(t, dir))
	want, err := allAnswers(dir)
	if diff := cmp.Diff(want, string(got)); diff != "" || err != nil {
		t.Errorf("%v -with room +without:\n%s", err, diff)
	}
}

// childOpen opens a repository, which upgrades it, and says so.
func childOpen(dir string) int {
	_, _ = fmt.Fprintln(os.Stdout, "go")
	r, err := Open(dir)
	if err == nil {
		err = r.Close()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// A testr that is killed in the middle leaves a file of one format or of the other.
func TestUpgradeKilled(t *testing.T) {
	old, want := unzipped(t, "format1.db"), string(unzipped(t, "format1.txt"))
	for i := range kills(t) {
		dir := dirWith(t, old)
		cmd := child(t.Context(), t, "open", dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		killAfter(cmd, rand.N(30*time.Millisecond))
		_ = cmd.Wait()
		r, err := OpenReadOnly(dir)
		if err != nil {
			t.Fatalf("kill %d: %v", i, err)
		}
		if diff := cmp.Diff(want, tell(t, r)); diff != "" {
			t.Fatalf("kill %d: -want +got:\n%s", i, diff)
		}
		closeRepo(t, r)
	}
}

// killAfter kills a process when that time is over.
func killAfter(cmd *exec.Cmd, after time.Duration) {
	timer := time.NewTimer(after)
	defer timer.Stop()
	<-timer.C
	_ = cmd.Process.Kill()
}

// However a file of format 1 is damaged, it is never one of this format that lacks
// something, but what its own testr couldn't have seen either.
func TestUpgradeDamaged(t *testing.T) {
	old := unzipped(t, "format1.db")
	refused := 0
	for i := range 60 {
		dir := dirWith(t, mutate(rand.New(rand.NewPCG(uint64(i), 21)), old))
		r, err := Open(dir)
		var damaged *DamagedError
		var format *FormatError
		switch {
		case err == nil:
			closeRepo(t, r)
		case errors.As(err, &damaged) || errors.As(err, &format):
			refused++
		default:
			t.Errorf("mutant %d: got %v; want a *DamagedError", i, err)
		}
	}
	if refused < 10 {
		t.Errorf("%d of 60 were refused", refused)
	}
}
