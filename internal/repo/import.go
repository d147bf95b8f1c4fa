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
