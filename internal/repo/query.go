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

// Latest returns the last run that is over; the error is ErrNoRuns where there is
// none.
func (r *Repository) Latest() (RunInfo, error) {
	var info RunInfo
	err := r.view(func(tx *bolt.Tx) error {
		c := tx.Bucket(bucketRuns).Cursor()
		for key, _ := c.Last(); key != nil; key, _ = c.Prev() {
			id, err := r.runID(tx, key)
			if err != nil {
				return err
			}
			if info, err = r.info(tx, id); err != nil || info.State != Running {
				return err
			}
		}
		return ErrNoRuns
	})
	if err != nil {
		return RunInfo{}, err
	}
	return info, nil
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
			id, err := r.runID(tx, key)
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
// in which they first appeared; none if the run doesn't cover the profile. Tests
// may share their lists of tags.
func (r *Repository) Tests(run int, profile string, choose Choice) ([]*event.Test, error) {
	return r.tests(run, profile, choose.wants)
}

// tests returns the wanted tests of a run: what want is asked about has no ids yet.
func (r *Repository) tests(run int, profile string, want func(*event.Test) bool) ([]*event.Test, error) {
	blocks, err := r.columns(run, profile)
	if err != nil {
		return nil, fmt.Errorf("tests of run %d: %w", run, err)
	}
	var rows rows
	t := new(event.Test) // most are often not wanted
	for _, c := range blocks {
		for i := range c.ids {
			if c.test(i, t); want(t) {
				rows.add(t, c, i)
				t = new(event.Test)
			}
		}
	}
	if err := r.identify(&rows); err != nil {
		return nil, fmt.Errorf("tests of run %d: %w", run, err)
	}
	return rows.tests, nil
}

// Slowest returns the runnable tests of a run whose durations are known, the
// longest first, and of equal ones that which appeared first; no more than limit
// of them, unless limit is negative. Otherwise it is like Tests.
func (r *Repository) Slowest(run int, profile string, limit int) ([]*event.Test, error) {
	blocks, err := r.columns(run, profile)
	if err != nil {
		return nil, fmt.Errorf("slowest tests of run %d: %w", run, err)
	}
	type place struct {
		duration   time.Duration
		block, row int32
	}
	count := 0
	for _, c := range blocks {
		count += len(c.ids)
	}
	order := make([]place, 0, count)
	for n, c := range blocks {
		for i, flags := range c.flags {
			if flags&testTimed != 0 && flags&testRunnable != 0 {
				order = append(order, place{c.duration(i), int32(n), int32(i)})
			}
		}
	}
	slices.SortStableFunc(order, func(a, b place) int { return cmp.Compare(b.duration, a.duration) })
	if limit >= 0 && len(order) > limit {
		order = order[:limit]
	}
	var rows rows
	for _, p := range order {
		t := new(event.Test)
		blocks[p.block].test(int(p.row), t)
		rows.add(t, blocks[p.block], int(p.row))
	}
	if err := r.identify(&rows); err != nil {
		return nil, fmt.Errorf("slowest tests of run %d: %w", run, err)
	}
	return rows.tests, nil
}

// rows are tests that were made of columns, and the numbers of their ids.
type rows struct {
	tests []*event.Test
	ids   []uint64

	children []*event.Test // those that have a parent
	parents  []uint64
}

func (x *rows) add(t *event.Test, c *columns, row int) {
	x.tests, x.ids = append(x.tests, t), append(x.ids, c.ids[row])
	if parent := c.parents[row]; parent != 0 {
		x.children, x.parents = append(x.children, t), append(x.parents, parent)
	}
}

// identify gives tests their ids.
func (r *Repository) identify(x *rows) error {
	return r.view(func(tx *bolt.Tx) error {
		ids, err := r.names(tx, x.ids)
		if err != nil {
			return err
		}
		for i, id := range ids {
			x.tests[i].ID = id
		}
		ids, err = r.names(tx, x.parents)
		for i, id := range ids {
			x.children[i].ParentID = id
		}
		return err
	})
}

// columns returns a run's tests, block by block.
func (r *Repository) columns(run int, profile string) ([]*columns, error) {
	blocks, err := r.blocks(run, profile)
	if err != nil {
		return nil, err
	}
	var all []*columns
	for _, block := range blocks {
		raw, err := r.codec.unpack(block, nil)
		if err != nil {
			return nil, r.damaged("%v", err)
		}
		c, err := decodeTests(raw)
		if err != nil {
			return nil, r.damaged("%v", err)
		}
		all = append(all, c)
	}
	return all, nil
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
