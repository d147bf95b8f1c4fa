package repo

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// unwritten is a transaction that is never committed: where there is no room to
// close the run that a crash left unfinished, queries see it closed in there.
// Nothing of it is ever written, so it needs no room.
type unwritten struct {
	sealed bool // nothing more is to be changed; set before others have the repository

	mu sync.Mutex // a transaction that changes something serves one at a time
	tx *bolt.Tx   // nil before there are changes; guarded by mu
}

// openUnwritten opens a repository for queries, with its unfinished run closed
// where nobody else sees it. Others have to wait while it is open.
func openUnwritten(dir string) (*Repository, error) {
	r, err := open(dir, filepath.Join(dir, DirName, FileName), false, lockTimeout)
	if err != nil {
		return nil, err
	}
	r.unwritten = &unwritten{}
	if err := r.settle(); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	r.unwritten.sealed, r.readOnly = true, true
	return r, nil
}

// stored runs fn in a transaction that sees what is in the file.
func (r *Repository) stored(fn func(*bolt.Tx) error) error {
	if err := r.usable(); err != nil {
		return err
	}
	r.swap.RLock()
	defer r.swap.RUnlock()
	return classify(r.guard(func() error { return r.db.View(fn) }))
}

// update runs fn in the transaction.
func (u *unwritten) update(db *bolt.DB, fn func(*bolt.Tx) error) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.sealed {
		return berrors.ErrDatabaseReadOnly
	}
	if u.tx == nil {
		tx, err := db.Begin(true)
		if err != nil {
			return fmt.Errorf("begin to change what is in memory: %w", err)
		}
		u.tx = tx
	}
	return fn(u.tx)
}

// view runs fn in the transaction, once there are changes.
func (u *unwritten) view(db *bolt.DB, fn func(*bolt.Tx) error) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.tx == nil {
		return db.View(fn)
	}
	return fn(u.tx)
}

// forget ends the transaction, as if it had never been.
func (u *unwritten) forget() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.tx == nil {
		return nil
	}
	tx := u.tx
	u.tx = nil
	return tx.Rollback()
}
