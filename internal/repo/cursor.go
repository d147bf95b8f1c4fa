package repo

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"

	bolt "go.etcd.io/bbolt"

	"testr/internal/event"
)

// Cursor delivers the events of a run in order, from the first. It belongs to
// one goroutine. A cursor that nobody reads costs nothing and holds up nobody:
// it keeps no transaction open, and what it has missed it reads back.
type Cursor struct {
	r     *Repository
	w     *RunWriter // nil for a run that isn't being written
	run   int
	next  uint64
	total uint64 // how many there are; without a writer
	parts *parts // what there is of a run that is over, without a writer
}

// Follow returns a cursor over the run's events, those that are still to come
// included. It never delivers an event that isn't on disk.
func (w *RunWriter) Follow() *Cursor { return &Cursor{r: w.r, w: w, run: w.info.ID} }

// Replay returns a cursor over the events of a stored run. Of the run that is
// going on it delivers those that are on disk by now; see RunWriter.Follow.
func (r *Repository) Replay(run int) (*Cursor, error) {
	c := &Cursor{r: r, run: run}
	err := r.view(func(tx *bolt.Tx) error {
		info, err := r.info(tx, run)
		if err != nil {
			return err
		}
		c.total = info.Events
		if c.parts, err = r.parts(tx, &info); err == nil && c.parts == nil {
			c.total, err = r.count(tx, run)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("replay run %d: %w", run, err)
	}
	return c, nil
}

// Next returns the next events, one at least: as many as are at hand. It waits
// for them as long as the run is being written, and returns io.EOF when it has
// been closed and everything was delivered. If the writer couldn't store
// everything, its error comes in the place of io.EOF. Nobody may change the
// events.
func (c *Cursor) Next(ctx context.Context) ([]event.Event, error) {
	if c.w != nil {
		events, err := c.recent(ctx)
		if events != nil || err != nil {
			c.next += uint64(len(events))
			return events, err
		}
	} else if c.next >= c.total {
		return nil, io.EOF
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	events, err := c.r.read(c.run, c.parts, c.next)
	if err != nil {
		return nil, fmt.Errorf("read run %d: %w", c.run, err)
	}
	c.next += uint64(len(events))
	return events, nil
}

// recent waits for the next event to be on disk and returns those that are
// still in memory from it on; none, if it isn't any more.
func (c *Cursor) recent(ctx context.Context) ([]event.Event, error) {
	for {
		events, changed, err := c.w.since(c.next)
		if changed == nil {
			return events, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// since returns the events of one group from next on. With neither events nor
// an error they are no longer in memory; with a channel they aren't stored yet.
func (w *RunWriter) since(next uint64) ([]event.Event, <-chan struct{}, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case next < w.stored:
		for _, g := range w.recent {
			first, n := g.events[0].Seq, uint64(len(g.events))
			if next >= first && next < first+n {
				return g.events[next-first:], nil, nil
			}
		}
		return nil, nil, nil
	case w.err != nil:
		return nil, nil, w.err
	case w.closed:
		return nil, nil, io.EOF
	}
	return nil, w.changed, nil
}

// read returns the events of a run from number next to the end of its chunk;
// that they aren't there is an error. Without parts the run goes on, or went on when
// somebody last looked.
func (r *Repository) read(id int, p *parts, next uint64) ([]event.Event, error) {
	value, err := r.chunk(id, p, next, nil)
	if err != nil {
		return nil, err
	}
	events, err := decodeChunk(value, r.codec)
	if err != nil {
		return nil, r.damaged("run %d: %v", id, err)
	}
	first := events[0].Seq
	if next < first || next-first >= uint64(len(events)) {
		return nil, r.damaged("run %d has no event %d", id, next)
	}
	return events[next-first:], nil
}

// chunk returns the stored chunk of a run that has the event number next, in the
// memory of dst if that is enough.
func (r *Repository) chunk(run int, p *parts, next uint64, dst []byte) ([]byte, error) {
	err := r.view(func(tx *bolt.Tx) error {
		var v []byte
		var err error
		if p == nil {
			v, err = r.openChunkOf(tx, run, next)
		} else {
			v, err = p.chunkOf(r, tx, run, next)
		}
		dst = append(dst[:0], v...)
		return err
	})
	return dst, err
}

// chunkOf returns the stored chunk that has the event number next.
func (p *parts) chunkOf(r *Repository, tx *bolt.Tx, id int, next uint64) ([]byte, error) {
	ref, ok := p.chunkRef(next)
	if !ok {
		return nil, r.damaged("run %d has no event %d", id, next)
	}
	chunks, err := r.part(tx, id, bucketEvents)
	if err != nil {
		return nil, err
	}
	value := chunks.Get(be64(ref.first))
	if err := (reference{true, ref.sum}).check(placeOfChunk(id, ref.first), value); err != nil {
		return nil, r.damaged("%v", err)
	}
	return value, nil
}

// openChunkOf is parts.chunkOf of a run that goes on: it returns the last chunk that
// begins at or before the event.
func (r *Repository) openChunkOf(tx *bolt.Tx, id int, next uint64) ([]byte, error) {
	run, err := r.run(tx, id)
	if err != nil {
		return nil, err
	}
	if tail := run.Get(keyTail); tail != nil {
		if first, n := binary.Uvarint(tail); n > 0 && first <= next {
			return tail, nil
		}
	}
	chunks, err := r.part(tx, id, bucketEvents)
	if err != nil {
		return nil, err
	}
	c := chunks.Cursor()
	key, value := c.Seek(be64(next))
	switch {
	case key == nil:
		key, value = c.Last()
	case !bytes.Equal(key, be64(next)):
		key, value = c.Prev()
	}
	if key == nil {
		return nil, r.damaged("run %d has no event %d", id, next)
	}
	if first, _ := binary.Uvarint(value); !bytes.Equal(key, be64(first)) {
		return nil, r.damaged("run %d: the chunk %x says that it begins with event %d", id, key, first)
	}
	return value, nil
}

// count returns how many events of a run that goes on are on disk.
func (r *Repository) count(tx *bolt.Tx, id int) (uint64, error) {
	p, err := r.progress(tx, id)
	if err != nil {
		return 0, err
	}
	return p.events, nil
}
