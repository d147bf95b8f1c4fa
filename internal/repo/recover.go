package repo

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	bolt "go.etcd.io/bbolt"
)

// unfinished returns the run that a crash left unfinished, or -1. Only the last
// one can be.
func (r *Repository) unfinished() (id int, err error) {
	id = -1
	err = r.view(func(tx *bolt.Tx) error {
		info, err := r.latest(tx)
		if errors.Is(err, ErrNoRuns) {
			return nil
		}
		if err == nil && info.State == Running {
			id = info.ID
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
	var chunks []chunkRef
	err = r.view(func(tx *bolt.Tx) (err error) {
		chunks, err = r.openChunks(tx, id)
		return err
	})
	if err != nil {
		return err
	}
	f, err := r.foldRun(context.Background(), id)
	if err == nil {
		info.Why = "testr ended before the run did"
		err = r.finish(&info, f, chunks, nil)
	}
	if err != nil {
		return fmt.Errorf("close run %d, which was cut short: %w", id, err)
	}
	return nil
}

// openChunks returns references to the chunks of a run that a crash left, the last
// one included, which are those that its writer stored.
func (r *Repository) openChunks(tx *bolt.Tx, id int) ([]chunkRef, error) {
	want, err := r.progress(tx, id)
	if err != nil {
		return nil, err
	}
	b, err := r.part(tx, id, bucketEvents)
	if err != nil {
		return nil, err
	}
	var chunks []chunkRef
	var got progress
	err = b.ForEach(func(key, value []byte) error {
		if len(key) != 8 || value == nil {
			return r.damaged("run %d: a chunk has the key %x", id, key)
		}
		ref := referChunk(id, binary.BigEndian.Uint64(key), value)
		chunks = append(chunks, ref)
		got.add(ref)
		return nil
	})
	if err != nil {
		return nil, err
	}
	run, err := r.run(tx, id)
	if err != nil {
		return nil, err
	}
	if tail := run.Get(keyTail); tail != nil {
		first, _ := binary.Uvarint(tail)
		ref := referChunk(id, first, tail)
		chunks = append(chunks, ref)
		got.tail = reference{true, ref.sum}
	}
	got.events = want.events // what the chunks have is counted when they are read
	if got != *want {
		return nil, r.damaged("run %d: its chunks are not those that were stored", id)
	}
	return chunks, nil
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
