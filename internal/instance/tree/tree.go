package tree

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"testr/internal/instance"
)

// Options are what Sync brings, and how.
type Options struct {
	// Root is the tree here.
	Root string
	// Exclude has further patterns of files to leave out, in the syntax of
	// gitignore and relative to Root. They hold for files that git tracks too,
	// and need git here.
	Exclude []string
	// Rsh is a program, with its arguments, that calls ServeRsh with the
	// arguments that are put behind these. Nil means that rsync is not used.
	Rsh []string
	// Progress is called now and then, at most ten times a second, from the
	// goroutine that called Sync. It may be nil.
	Progress func(Progress)
	// TempDir is where Sync makes a directory for its socket and other things
	// that it needs for a while. Empty means the system's.
	TempDir string
}

// Progress says how far a Sync is.
type Progress struct {
	// Waiting is who is at work in the directory there, while Sync waits for
	// its end: the host and the process.
	Waiting string
	Files   int   // that were sent
	Bytes   int64 // of what they hold
	// AllFiles and AllBytes are what there is to send, once that is known.
	// Rsync finds that out as it goes: there it is all of the tree.
	AllFiles int
	AllBytes int64
}

// Stats are what a Sync has done.
type Stats struct {
	Files   int   // in the tree, links included
	Sent    int   // of these
	Deleted int   // names of an earlier Sync that left the tree since
	Bytes   int64 // of what the files that were sent hold
	Took    time.Duration
	By      string // "rsync" or "tar"
	// Warnings say what was left out and why, and why rsync was not used if it
	// was wanted. They are for people. There are 20 at most.
	Warnings []string
}

// maxWarnings is how many warnings are kept.
const maxWarnings = 20

// The ways to bring files.
const (
	byRsync = "rsync"
	byTar   = "tar"
)

// Sync makes the directory dir on inst equal to the tree, but for what was made
// there. A relative dir is relative to where the commands of inst run; what of
// it is missing is made. Two Syncs of one directory, by whomever, come one after
// the other.
//
// When it returns, with or without an error, nothing of it runs here any more,
// and what it started there ends with its input. After an error the directory
// has files of before and of now; the next Sync puts it right. An error of inst
// itself is an *instance.LostError, as errors.As finds it.
func Sync(ctx context.Context, inst instance.Instance, dir string, o Options) (Stats, error) {
	began := time.Now()
	s := &syncer{options: o, there: newThere(inst, dir), meter: meter{tell: o.Progress}}
	err := s.sync(ctx)
	s.stats.Took = time.Since(began)
	if err != nil {
		return s.stats, fmt.Errorf("bring the source tree to %s: %w", dir, err)
	}
	return s.stats, nil
}

// syncer is one Sync. It belongs to the goroutine that called that.
type syncer struct {
	options Options
	root    string // absolute, no link
	temp    string // a directory of our own, 0700
	there   *there
	hold    *hold
	files   []*entry
	meter   meter
	stats   Stats
	more    int // warnings that were not kept
}

func (s *syncer) sync(ctx context.Context) error {
	if err := s.prepare(); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(s.temp) }()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	hold, err := s.there.hold(ctx, cancel)
	if err != nil {
		return err
	}
	s.hold = hold
	err = s.locked(ctx)
	if closeErr := hold.close(); err == nil {
		err = closeErr
	}
	if s.more > 0 {
		s.stats.Warnings = append(s.stats.Warnings, fmt.Sprintf("and %d more", s.more))
	}
	return err
}

// prepare finds the tree and makes the temporary directory.
func (s *syncer) prepare() error {
	root, err := filepath.Abs(s.options.Root)
	if err != nil {
		return err
	}
	if s.root, err = filepath.EvalSymlinks(root); err != nil {
		return err
	}
	if info, err := os.Stat(s.root); err != nil {
		return err
	} else if !info.IsDir() {
		return errors.New("it is no directory")
	}
	if s.temp, err = os.MkdirTemp(s.options.TempDir, "sync-"); err != nil {
		return fmt.Errorf("make a temporary directory: %w", err)
	}
	return nil
}

func (s *syncer) warn(text string) {
	if len(s.stats.Warnings) < maxWarnings-1 {
		s.stats.Warnings = append(s.stats.Warnings, text)
	} else {
		s.more++
	}
}

// locked lists the files while the lock is being got, and brings them.
func (s *syncer) locked(ctx context.Context) error {
	var err error
	if s.files, err = list(ctx, s.root, s.options.Exclude, s.temp, s.warn); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("list the files of the tree: %w", err)
	}
	s.stats.Files = len(s.files)
	if err := s.hold.wait(ctx, func(owner string) {
		s.meter.now.Waiting = owner
		s.meter.flush()
	}); err != nil {
		return err
	}
	s.meter.now.Waiting = ""
	plan := newPlan(s.files, s.hold.synced)
	s.stats.Deleted = len(plan.gone)
	if err := s.note(ctx, plan); err != nil {
		return err
	}
	if err := s.bring(ctx, plan); err != nil {
		return err
	}
	if plan.changed() {
		if err := s.hold.keep(ctx); err != nil {
			return err
		}
	}
	s.meter.flush()
	return nil
}

// note writes the record of names before any of them is sent.
func (s *syncer) note(ctx context.Context, p *plan) error {
	if !p.changed() {
		return nil
	}
	record := formatSynced(p.names)
	return s.there.note(ctx, record)
}

// bring brings the files by rsync, if it can, or by tar.
func (s *syncer) bring(ctx context.Context, p *plan) error {
	if s.options.Rsh != nil && s.hold.has["rsync"] {
		_, err := exec.LookPath("rsync")
		if err == nil {
			s.stats.By = byRsync
			err = s.byRsync(ctx, p)
		}
		var unable *unableError
		if !errors.As(err, &unable) && !errors.Is(err, exec.ErrNotFound) {
			return err
		}
		s.warn(fmt.Sprintf("rsync was not used: %v", err))
		s.stats.Sent, s.stats.Bytes, s.meter.now = 0, 0, Progress{}
	}
	s.stats.By = byTar
	return s.byTar(ctx, p)
}
