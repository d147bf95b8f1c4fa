package repo

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// Compact writes the file anew without its free pages, so that it takes no more
// room than it needs, and returns how many bytes it had and has. Queries wait
// meanwhile. A crash leaves the old file or the new one; the old one stays, too,
// where there is no room for both. While a run goes on the error is ErrRunning.
func (r *Repository) Compact() (before, after int64, err error) {
	if before, after, err = r.compact(); err != nil {
		return before, before, fmt.Errorf("compact the repository: %w", classify(err))
	}
	return before, after, nil
}

func (r *Repository) compact() (before, after int64, err error) {
	if err := r.compactable(); err != nil {
		return 0, 0, err
	}
	// The walk over the file that follows trusts it.
	if err := r.checkFile(); err != nil {
		return 0, 0, err
	}
	r.swap.Lock()
	defer r.swap.Unlock()
	if err := r.compactable(); err != nil { // a run may have begun
		return 0, 0, err
	}
	if before, err = fileSize(r.file); err != nil {
		return 0, 0, err
	}
	home := filepath.Dir(r.path)
	tmp, err := os.CreateTemp(home, "new-*.db")
	if err != nil {
		return before, 0, err
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // it is gone if all went well
	if err := tmp.Close(); err != nil {
		return before, 0, err
	}
	db, file, err := r.copyTo(tmp.Name())
	if err != nil {
		return before, 0, err
	}
	// The new file is locked by now: whoever opens it waits, as for the old one.
	if err := os.Rename(tmp.Name(), r.path); err != nil {
		return before, 0, errors.Join(err, db.Close())
	}
	old := r.db
	r.db, r.file = db, file
	r.mu.Lock()
	clear(r.verified)
	r.mu.Unlock()
	if err := errors.Join(syncDir(home), r.guard(old.Close)); err != nil {
		return before, 0, err
	}
	after, err = fileSize(file)
	return before, after, err
}

// compactable reports why the file can't be written anew.
func (r *Repository) compactable() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.readOnly:
		return berrors.ErrDatabaseReadOnly
	case r.running != nil:
		return ErrRunning
	case r.closed:
		return ErrClosed
	}
	return r.broken
}

// copyTo copies everything to a new file, which is on disk and locked then.
func (r *Repository) copyTo(path string) (db *bolt.DB, file *os.File, err error) {
	err = r.guard(func() error {
		if db, file, err = openBolt(path, lockTimeout, false); err != nil {
			return err
		}
		db.NoSync, db.AllocSize = true, os.Getpagesize() // nobody else knows of it yet; no room in reserve
		const atOnce = 8 << 20
		if err := bolt.Compact(db, r.db, atOnce); err != nil {
			return err
		}
		db.NoSync, db.AllocSize = false, growBy
		return db.Sync()
	})
	if err != nil && db != nil {
		_ = db.Close()
	}
	return db, file, err
}

func fileSize(file *os.File) (int64, error) {
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
