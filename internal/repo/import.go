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
// others, and replaces what is known of the durations of the tests in durations: for
// runs that come from elsewhere, of which only their keeper knew which were
// partial. A test of ids that no run left in the set gets into it with that
// reason, as one that did not run in the last run. Either all of it is on disk when
// Adopt returns, or nothing is and there is an error, which wraps ErrNoRuns if there is no run.
func (r *Repository) Adopt(profile string, ids []string, reason string, durations map[string]time.Duration) error {
	timed := slices.Collect(maps.Keys(durations))
	err := r.update(func(tx *bolt.Tx) error {
		return r.changeCatalog(tx, func(c *catalog) error {
			last, err := r.latest(tx)
			if err != nil {
				return err
			}
			numbers, err := r.number(tx, c, slices.Concat(ids, timed))
			if err != nil {
				return err
			}
			p := c.addProfile(profile)
			p.since = c.next
			learned := map[uint64]time.Duration{}
			for i, id := range timed {
				learned[numbers[len(ids)+i]] = durations[id]
			}
			return errors.Join(r.adoptTiming(tx, p, learned),
				r.adoptFailing(tx, p, numbers[:len(ids)], Failing{Run: last.ID, NotRun: reason}))
		})
	})
	if err != nil {
		return fmt.Errorf("take over failing set and timing: %w", err)
	}
	return nil
}

// adoptTiming replaces what is known of the durations of some tests.
func (r *Repository) adoptTiming(tx *bolt.Tx, p *profileRef, learned map[uint64]time.Duration) error {
	old, err := r.timing(tx, p)
	if err != nil || len(learned) == 0 {
		return err
	}
	for i, number := range old.numbers {
		if _, ok := learned[number]; !ok {
			learned[number] = old.durations[i]
		}
	}
	var known timing
	for _, number := range slices.Sorted(maps.Keys(learned)) {
		known.add(number, learned[number])
	}
	return r.putTiming(tx, p, known)
}

// adoptFailing makes a failing set that of the tests with these numbers; without is
// the entry of those that have none.
func (r *Repository) adoptFailing(tx *bolt.Tx, p *profileRef, numbers []uint64, without Failing) error {
	old, err := r.failing(tx, p)
	if err != nil {
		return err
	}
	entries := map[uint64]failingEntry{}
	for _, number := range numbers {
		entries[number] = failingEntry{number, without}
	}
	for _, e := range old {
		if _, ok := entries[e.number]; ok {
			entries[e.number] = e
		}
	}
	return r.putFailing(tx, p, slices.SortedFunc(maps.Values(entries),
		func(a, b failingEntry) int { return cmp.Compare(a.number, b.number) }))
}
