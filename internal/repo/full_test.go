package repo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"testr/internal/event"
)

// limitFiles has writes beyond that offset of a file fail, as on a full disk:
// it says whether it could.
func limitFiles(bytes uint64) error {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &l); err != nil {
		return err
	}
	l.Cur = min(bytes, l.Max)
	return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &l)
}

const unlimited = ^uint64(0)

// allAnswers is everything that reading commands ask of the repository in dir.
func allAnswers(dir string) (string, error) {
	r, err := OpenReadOnly(dir)
	if err != nil {
		return "", err
	}
	latest, err0 := r.Latest()
	runs, err1 := r.Runs()
	failing, err2 := r.Failing(DefaultProfile)
	timing, err3 := r.Timing(DefaultProfile)
	listing, err4 := r.Listing(DefaultProfile)
	stats, err5 := r.Stats()
	leases, err6 := r.Leases()
	slowest, err7 := r.Slowest(latest.ID, DefaultProfile, -1)
	left, err8 := r.Left(latest.ID, DefaultProfile)
	errs := []error{err0, err1, err2, err3, err4, err5, err6, err7, err8, r.Check(context.Background())}
	var packets []string
	for _, info := range runs {
		_, err := r.Tests(info.ID, DefaultProfile, 0)
		err2 := r.Excerpt(info.ID, Wanted{Beside: true}, func(e event.Event) error {
			packets = append(packets, e.Kind.String())
			return nil
		})
		errs = append(errs, err, err2)
	}
	stats.Bytes = 0
	text, err := json.MarshalIndent([]any{latest, runs, failing, timing, listing, stats, leases, slowest, left, packets},
		"", " ")
	if _, err := r.Begin(RunInfo{}); err == nil {
		errs = append(errs, errors.New("a run can be begun where nothing can be written"))
	}
	if _, err := r.PutLease(Lease{ID: "new"}); err == nil {
		errs = append(errs, errors.New("a lease can be put where nothing can be written"))
	}
	return string(text), errors.Join(append(errs, err, r.Close())...)
}

// childFull answers while the disk is full.
func childFull(dir string) int {
	text, err := "", limitFiles(4096)
	if err == nil {
		text, err = allAnswers(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	_, _ = fmt.Fprint(os.Stdout, text)
	return 0
}

// F11: where a full disk keeps the run of a crash from being closed, whoever
// reads gets the answers that it will have, and nothing is written.
func TestFullDiskAnswers(t *testing.T) {
	whole := sample(t, true)
	dir := dirWith(t, whole)
	got, err := child(t.Context(), t, "full", dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, DirName, FileName)); err != nil || !bytes.Equal(b, whole) {
		t.Errorf("the file was changed: %v", err)
	}
	closeRepo(t, openRepo(t, dir)) // now there is room, and the run is closed
	want, err := allAnswers(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("answers (-with room +without):\n%s", diff)
	}
}

// fullRun is a life of a repository: it is opened, which closes a run of a
// crash; a run is stored and closed, and another one begun. It says how many
// events of which run it was told are stored.
type fullRun struct {
	run    int
	synced uint64
	closed bool
}

// lifeEvent is the event number i of its run.
func lifeEvent(i int) event.Event {
	if i%20 == 9 {
		return file("big", "log", noise(90<<10))
	}
	return childEvent(i)
}

func (f *fullRun) live(dir string, failed func()) error {
	f.run = -1
	r, err := Open(dir)
	if err != nil {
		failed()
		return err
	}
	w, err := r.Begin(RunInfo{})
	if err == nil {
		f.run = w.ID()
		for i := 0; i < 60 && err == nil; i++ {
			if err = w.Event(lifeEvent(i)); err == nil && i%7 == 6 {
				if err = w.Sync(); err == nil {
					f.synced = uint64(i + 1)
				}
			}
		}
		if err != nil {
			failed()
		}
		_, closing := w.Close(End{State: Finished})
		if err != nil && closing == nil {
			closing = errors.New("Close says nothing of an earlier error")
		}
		f.closed = closing == nil
		err = errors.Join(err, closing)
	}
	if err != nil {
		failed()
	}
	return errors.Join(err, r.Close())
}

// childLimits has the life end at one limit after the other, until none does.
func childLimits(string) int {
	good, err := os.ReadFile(os.Getenv("TESTR_REPO_FILE"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for _, persistent := range []bool{true, false} {
		for limit := uint64(0); ; limit += max(3*4096, limit/8&^4095) {
			failed, err := liveWithin(good, limit, persistent)
			if err != nil {
				fmt.Fprintf(os.Stderr, "limit of %d bytes, persistent %v: %v\n", limit, persistent, err)
				return 1
			}
			if failed {
				continue
			}
			_, _ = fmt.Fprintf(os.Stdout, "%d\n", limit)
			break
		}
	}
	return 0
}

// liveWithin reports whether the life met its limit, and what was wrong then. A
// limit that isn't persistent is gone with the first error.
func liveWithin(good []byte, limit uint64, persistent bool) (failed bool, err error) {
	dir, err := os.MkdirTemp(os.Getenv("TESTR_REPO_DIR"), "")
	if err != nil {
		return false, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := errors.Join(os.Mkdir(filepath.Join(dir, DirName), 0o700),
		os.WriteFile(filepath.Join(dir, DirName, FileName), good, 0o600), limitFiles(limit)); err != nil {
		return false, err
	}
	var f fullRun
	lived := f.live(dir, func() {
		if !persistent {
			_ = limitFiles(unlimited)
		}
	})
	if err := limitFiles(unlimited); err != nil {
		return false, err
	}
	if lived != nil && !errors.As(lived, new(*SpaceError)) {
		return false, fmt.Errorf("got %w; want a *SpaceError", lived)
	}
	return lived != nil, f.survived(dir)
}

// survived checks that all is there that was said to be.
func (f *fullRun) survived(dir string) error {
	r, err := Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	if err := r.Check(context.Background()); err != nil {
		return err
	}
	if f.run < 0 {
		return nil
	}
	info, err := r.Run(f.run)
	switch {
	case err != nil:
		return err
	case info.Events < f.synced:
		return fmt.Errorf("%d events are there, and %d were stored", info.Events, f.synced)
	case f.closed != (info.State == Finished):
		return fmt.Errorf("closed: %v, and the run is %v", f.closed, info.State)
	}
	return nil
}

// F11, F24: whatever the size is at which a disk is full, for once or for good, a
// *SpaceError says so, and what was stored before is there.
func TestFullAtEachSize(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "sample")
	if err := os.WriteFile(path, sample(t, true), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := child(t.Context(), t, "limits", dir)
	cmd.Env = append(cmd.Env, "TESTR_REPO_FILE="+path)
	out, err := cmd.Output()
	if err != nil {
		t.Error(err)
	}
	t.Logf("there was room within these sizes: %q", out)
}
