package repo

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
)

// DropLast forgets the last run, which must have the number id and be over: its
// events and what it put into failing sets. What it taught about durations stays, and its
// number is not used again. It is for a run that was stored in part only, and
// comes again. Either all of it is on disk when DropLast returns, or nothing is and there is
// an error, which wraps ErrNoRun if there is no such run.
func (r *Repository) DropLast(id int) error {
	err := r.update(func(tx *bolt.Tx) error {
		return r.changeCatalog(tx, func(c *catalog) error { return r.dropLast(tx, c, id) })
	})
	if err != nil {
		return fmt.Errorf("forget run %d: %w", id, err)
	}
	return nil
}

func (r *Repository) dropLast(tx *bolt.Tx, c *catalog, id int) error {
	info, err := r.info(tx, id)
	if err != nil {
		return err
	}
	if c.runs[len(c.runs)-1].id != id || info.State == Running {
		return errors.New("it is not the last one, or goes on")
	}
	for _, part := range [][]byte{bucketEvents, bucketTests} {
		if _, err := r.part(tx, id, part); err != nil { // before bbolt walks it
			return err
		}
	}
	key := be64(uint64(id))
	err = errors.Join(tx.Bucket(bucketRuns).DeleteBucket(key), tx.Bucket(bucketInfos).Delete(key))
	c.runs = c.runs[:len(c.runs)-1]
	for _, p := range info.ByProfile {
		err = errors.Join(err, tx.Bucket(bucketHistory).Delete(historyKey(id, p.Name)), r.unnote(tx, c, p.Name, id))
	}
	return err
}

// unnote makes what is known of a profile that what it is without a run, which has
// left the catalog. What passed in that run stays out of the failing set.
func (r *Repository) unnote(tx *bolt.Tx, c *catalog, name string, id int) error {
	p := c.addProfile(name)
	p.runs, p.last, p.tests, p.full = 0, -1, 0, false
	for _, ref := range c.runs {
		info, err := r.described(tx, ref)
		if err != nil {
			return err
		}
		if run, ok := info.Profile(name); ok {
			p.noteRun(ref.id, run)
		}
	}
	set, err := r.failing(tx, p)
	if err != nil {
		return err
	}
	p.since = c.next
	return r.putFailing(tx, p, slices.DeleteFunc(set, func(e failingEntry) bool { return e.Run == id }))
}

// Adopt makes the failing set of a profile the tests of ids, all of them and no
// others, and replaces what is known of the durations of the tests in timing: for
// runs that come from elsewhere, of which only their keeper knew which were
// partial. A test of ids that no run left in the set gets into it with that
// reason, as one that did not run in the last run. Either all of it is on disk when
// Adopt returns, or nothing is and there is an error, which wraps ErrNoRuns if there is no run.
func (r *Repository) Adopt(profile string, ids []string, reason string, timing map[string]time.Duration) error {
	err := r.update(func(tx *bolt.Tx) error {
		return r.changeCatalog(tx, func(c *catalog) error {
			last, err := r.latest(tx)
			if err != nil {
				return err
			}
			num, err := r.number(tx, c, slices.AppendSeq(slices.Clone(ids), maps.Keys(timing)))
			if err != nil {
				return err
			}
			p := c.addProfile(profile)
			p.since = c.next
			known, err := r.timing(tx, p)
			if err != nil {
				return err
			}
			for id, d := range timing {
				known[num[id]] = d
			}
			if len(timing) > 0 {
				p.timing, err = r.putState(tx, bucketTiming, p.name, encodeTiming(known))
			}
			return errors.Join(err, r.adoptFailing(tx, p, ids, num, Failing{Run: last.ID, NotRun: reason}))
		})
	})
	if err != nil {
		return fmt.Errorf("take over failing set and timing: %w", err)
	}
	return nil
}

// adoptFailing makes a failing set that of ids; without is the entry of those that
// have none.
func (r *Repository) adoptFailing(tx *bolt.Tx, p *profileRef, ids []string, num numbers, without Failing) error {
	old, err := r.failing(tx, p)
	if err != nil {
		return err
	}
	entries := map[uint64]failingEntry{}
	for _, id := range ids {
		entries[num[id]] = failingEntry{num[id], without}
	}
	for _, e := range old {
		if _, ok := entries[e.number]; ok {
			entries[e.number] = e
		}
	}
	return r.putFailing(tx, p, slices.SortedFunc(maps.Values(entries),
		func(a, b failingEntry) int { return cmp.Compare(a.number, b.number) }))
}
