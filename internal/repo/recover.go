package repo

import (
	"context"
	"errors"
	"fmt"
	"io"

	bolt "go.etcd.io/bbolt"
)

// unfinished returns the run that a crash left unfinished, or -1. Only the last
// one can be.
func (r *Repository) unfinished() (id int, err error) {
	err = r.view(func(tx *bolt.Tx) error {
		if id, err = r.latest(tx); err != nil || id < 0 {
			return err
		}
		info, err := r.info(tx, id)
		if err == nil && info.State != Running {
			id = -1
		}
		return err
	})
	return id, err
}

// recoverRun closes the run that a crash left unfinished, if there is one, as
// an interrupted one: what its events say is worked out again from them.
func (r *Repository) recoverRun() error {
	id, err := r.unfinished()
	if err != nil || id < 0 {
		return err
	}
	info, err := r.Run(id)
	if err != nil {
		return err
	}
	f, err := r.foldRun(context.Background(), id)
	if err == nil {
		err = r.finish(&info, f, nil)
	}
	if err != nil {
		return fmt.Errorf("close run %d, which was cut short: %w", id, err)
	}
	return nil
}

// foldRun works out what a stored run's events say.
func (r *Repository) foldRun(ctx context.Context, id int) (*fold, error) {
	c, err := r.Replay(id)
	if err != nil {
		return nil, err
	}
	f := newFold()
	for {
		events, err := c.Next(ctx)
		if errors.Is(err, io.EOF) {
			return f, nil
		}
		if err != nil {
			return nil, err
		}
		for _, e := range events {
			f.take(e)
		}
	}
}
