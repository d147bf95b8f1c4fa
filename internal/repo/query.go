package repo

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"testr/internal/event"
)

// Latest returns the last run; the error is ErrNoRuns where there is none.
func (r *Repository) Latest() (RunInfo, error) {
	var info RunInfo
	err := r.view(func(tx *bolt.Tx) error {
		id, err := r.latest(tx)
		if err == nil && id < 0 {
			err = ErrNoRuns
		}
		if err == nil {
			info, err = r.info(tx, id)
		}
		return err
	})
	return info, err
}

// Run returns the run of that number; the error is ErrNoRun if it isn't there.
func (r *Repository) Run(id int) (RunInfo, error) {
	var info RunInfo
	err := r.view(func(tx *bolt.Tx) (err error) {
		info, err = r.info(tx, id)
		return err
	})
	return info, err
}

// Runs returns all runs in order.
func (r *Repository) Runs() ([]RunInfo, error) {
	var runs []RunInfo
	err := r.view(func(tx *bolt.Tx) error {
		c := tx.Bucket(bucketRuns).Cursor()
		for key, _ := c.First(); key != nil; key, _ = c.Next() {
			id, err := r.runID(key)
			if err != nil {
				return err
			}
			info, err := r.info(tx, id)
			if err != nil {
				return err
			}
			runs = append(runs, info)
		}
		return nil
	})
	return runs, err
}

// Tests returns what a run that is over says of a profile's tests, in the order
// in which they first appeared; none if the run doesn't cover the profile.
func (r *Repository) Tests(run int, profile string) ([]*event.Test, error) {
	blocks, err := r.blocks(run, profile)
	if err != nil {
		return nil, fmt.Errorf("tests of run %d: %w", run, err)
	}
	var tests []*event.Test
	for _, block := range blocks {
		more, err := r.decodeBlock(block)
		if err != nil {
			return nil, fmt.Errorf("tests of run %d: %w", run, err)
		}
		tests = append(tests, more...)
	}
	return tests, nil
}

// blocks returns the stored columns of a run's tests.
func (r *Repository) blocks(run int, profile string) ([][]byte, error) {
	var blocks [][]byte
	err := r.view(func(tx *bolt.Tx) error {
		part, err := r.part(tx, run, bucketTests)
		if err != nil {
			return err
		}
		b := part.Bucket([]byte(profile))
		if b == nil {
			return nil
		}
		return b.ForEach(func(_, v []byte) error {
			blocks = append(blocks, bytes.Clone(v))
			return nil
		})
	})
	return blocks, err
}

func (r *Repository) decodeBlock(block []byte) ([]*event.Test, error) {
	raw, err := r.codec.unpack(block)
	if err != nil {
		return nil, r.damaged("%v", err)
	}
	c, err := decodeTests(raw)
	if err != nil {
		return nil, r.damaged("%v", err)
	}
	err = r.view(func(tx *bolt.Tx) error {
		ids, err := r.names(tx, c.ids)
		if err != nil {
			return err
		}
		var children []*event.Test
		var parents []uint64
		for i, t := range c.tests {
			t.ID = ids[i]
			if c.parents[i] != 0 {
				children, parents = append(children, t), append(parents, c.parents[i])
			}
		}
		ids, err = r.names(tx, parents)
		for i := range ids {
			children[i].ParentID = ids[i]
		}
		return err
	})
	return c.tests, err
}

// Failing returns a profile's failing set, sorted by test id.
func (r *Repository) Failing(profile string) ([]Failing, error) {
	var failing []Failing
	err := r.view(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketFailing).Bucket([]byte(profile))
		if b == nil {
			return nil
		}
		var which []uint64
		err := b.ForEach(func(k, v []byte) error {
			f, err := decodeFailing(v)
			if err != nil || len(k) != 8 {
				return r.damaged("failing set of %s: %v", profile, err)
			}
			failing = append(failing, f)
			which = append(which, binary.BigEndian.Uint64(k))
			return nil
		})
		if err != nil {
			return err
		}
		ids, err := r.names(tx, which)
		for i := range ids {
			failing[i].ID = ids[i]
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(failing, func(a, b Failing) int { return cmp.Compare(a.ID, b.ID) })
	return failing, nil
}

// Timing returns how long tests take in a profile, by their ids: the mean of
// their durations, of which the last counts half, the one before it a quarter,
// and so on.
func (r *Repository) Timing(profile string) (map[string]time.Duration, error) {
	timing := map[string]time.Duration{}
	err := r.view(func(tx *bolt.Tx) error {
		known, err := r.decodeTiming(tx.Bucket(bucketTiming).Get([]byte(profile)))
		if err != nil || len(known) == 0 {
			return err
		}
		order := make([]uint64, 0, len(known))
		for n := range known {
			order = append(order, n)
		}
		slices.Sort(order)
		ids, err := r.names(tx, order)
		timing = make(map[string]time.Duration, len(ids))
		for i, id := range ids {
			timing[id] = known[order[i]]
		}
		return err
	})
	return timing, err
}

// Listing returns the ids that a run last listed for a profile, in their order;
// none if no run did.
func (r *Repository) Listing(profile string) ([]string, error) {
	var listing []string
	err := r.view(func(tx *bolt.Tx) error {
		order, err := r.decodeListing(tx.Bucket(bucketListing).Get([]byte(profile)))
		if err == nil {
			listing, err = r.names(tx, order)
		}
		return err
	})
	return listing, err
}

// Stats is what there is to say of a repository as a whole.
type Stats struct {
	Runs  int
	Tests int   // that were ever seen
	Bytes int64 // size of the file
}

// Stats returns how much the repository holds.
func (r *Repository) Stats() (Stats, error) {
	var s Stats
	err := r.view(func(tx *bolt.Tx) error {
		c := tx.Bucket(bucketRuns).Cursor()
		for key, _ := c.First(); key != nil; key, _ = c.Next() {
			s.Runs++
		}
		ids, err := r.ids(tx)
		if err != nil {
			return err
		}
		last, err := lastNumber(ids)
		s.Tests, s.Bytes = int(last), tx.Size()
		return err
	})
	return s, err
}
