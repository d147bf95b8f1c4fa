package repo

import (
	"fmt"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
)

// removeAtOnce is how many runs are removed in one transaction.
const removeAtOnce = 20

// Remove removes runs: their events, what they say of their tests, and their part of
// the history. What the failing sets, the timing and the listings have of them
// stays, but Failing says of an entry that its run is gone. Their numbers are not
// used again, and their room is.
//
// The error wraps ErrNoRun where one of them isn't there, and ErrRunning where one
// goes on; nothing is removed then. Many runs are removed in several transactions: a
// crash in between leaves some of them, as wholes, the last ones given.
func (r *Repository) Remove(runs ...int) error {
	runs = slices.Clone(runs)
	slices.Sort(runs)
	runs = slices.Compact(runs)
	err := r.view(func(tx *bolt.Tx) error {
		for _, id := range runs {
			info, err := r.info(tx, id)
			switch {
			case err != nil:
				return err
			case info.State == Running:
				return fmt.Errorf("run %d is not over: %w", id, ErrRunning)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("remove runs: %w", err)
	}
	_, err = r.removeRuns(runs, false)
	return err
}

// removeRuns removes runs and returns which. With others it passes over those that are
// gone already.
func (r *Repository) removeRuns(runs []int, others bool) (removed []int, err error) {
	for some := range slices.Chunk(runs, removeAtOnce) {
		first, last := some[0], some[len(some)-1]
		err := r.update(func(tx *bolt.Tx) error {
			return r.changeCatalog(tx, func(c *catalog) error {
				if others {
					some = slices.DeleteFunc(slices.Clone(some), func(id int) bool {
						_, there := c.run(id)
						return !there
					})
				}
				return r.remove(tx, c, some)
			})
		})
		if err != nil {
			return removed, fmt.Errorf("remove runs %d to %d: %w", first, last, err)
		}
		removed = append(removed, some...)
	}
	return removed, nil
}

// Prune removes the runs that are not among the last keep, if that is not 0, and
// those that began before a time, if that is not zero; of the latter those alone
// that no run that stays was before. The last run that is over always stays, and so
// does one that goes on. It returns the numbers of those that it removed, which others
// had not done meanwhile; see Remove. It is quick where there is nothing to do.
func (r *Repository) Prune(keep int, before time.Time) (removed []int, err error) {
	var old []int
	err = r.view(func(tx *bolt.Tx) error {
		c, err := r.catalog(tx)
		if err != nil {
			return err
		}
		old, err = r.prunable(tx, c.runs, keep, before)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("prune: %w", err)
	}
	return r.removeRuns(old, true)
}

// longAgo is after how many days nobody has a run any more: a century. What is
// reckoned back from far more may be no time at all, or one that is still to come.
const longAgo = 36525

// DaysAgo is the time before which runs are older than so many days. It is zero, as
// Prune takes it for no limit, for 0, and for more than a century.
func DaysAgo(days int) time.Time {
	if days <= 0 || days > longAgo {
		return time.Time{}
	}
	return time.Now().AddDate(0, 0, -days)
}

// prunable returns those of the runs, which are all, that Prune removes.
func (r *Repository) prunable(tx *bolt.Tx, over []runRef, keep int, before time.Time) (ids []int, err error) {
	if n := len(over); n > 0 {
		last, err := r.described(tx, over[n-1])
		if err != nil {
			return nil, err
		}
		if last.State == Running {
			over = over[:n-1]
		}
	}
	for i, ref := range over[:max(len(over)-1, 0)] {
		if keep <= 0 || i >= len(over)-keep {
			if before.IsZero() {
				break
			}
			info, err := r.described(tx, ref)
			if err != nil || !info.Start.Before(before) {
				return ids, err
			}
		}
		ids = append(ids, ref.id)
	}
	return ids, nil
}

// remove removes runs that are there and over.
func (r *Repository) remove(tx *bolt.Tx, c *catalog, ids []int) error {
	all := tx.Bucket(bucketRuns)
	touched := map[string]bool{}
	for _, id := range ids {
		info, err := r.removable(tx, c, all, id)
		if err != nil {
			return err
		}
		key := be64(uint64(id))
		if err := all.DeleteBucket(key); err != nil {
			return fmt.Errorf("run %d: %w", id, err)
		}
		if err := tx.Bucket(bucketInfos).Delete(key); err != nil {
			return fmt.Errorf("run %d: %w", id, err)
		}
		i, _ := c.run(id)
		c.runs = slices.Delete(c.runs, i, i+1)
		for _, p := range info.ByProfile {
			if err := tx.Bucket(bucketHistory).Delete(historyKey(id, p.Name)); err != nil {
				return fmt.Errorf("run %d: %w", id, err)
			}
			known := c.addProfile(p.Name)
			if known.runs == 0 {
				return r.damaged("run %d is one of profile %s, which has none", id, p.Name)
			}
			known.runs--
			known.since = max(known.since, uint64(id)+1)
			touched[p.Name] = touched[p.Name] || known.last == id
		}
	}
	for name, lost := range touched {
		if lost {
			if err := r.findLast(tx, c, c.addProfile(name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// removable looks at everything that will be walked over when a run is removed.
func (r *Repository) removable(tx *bolt.Tx, c *catalog, all *bolt.Bucket, id int) (RunInfo, error) {
	i, ok := c.run(id)
	if !ok {
		return RunInfo{}, fmt.Errorf("run %d: %w", id, ErrNoRun)
	}
	info, err := r.described(tx, c.runs[i])
	if err != nil {
		return RunInfo{}, err
	}
	if err := r.verifyOnce(tx, "history", tx.Bucket(bucketHistory), true); err != nil {
		return RunInfo{}, err
	}
	what := fmt.Sprintf("runs/%d in all", id)
	return info, r.verifyOnce(tx, what, all.Bucket(be64(uint64(id))), true)
}

// findLast looks for the last run of a profile.
func (r *Repository) findLast(tx *bolt.Tx, c *catalog, p *profileRef) error {
	p.last = -1
	if p.runs == 0 {
		return nil
	}
	for _, ref := range slices.Backward(c.runs) {
		info, err := r.described(tx, ref)
		if err != nil {
			return err
		}
		if _, ok := info.Profile(p.name); ok {
			p.last = info.ID
			return nil
		}
	}
	return r.damaged("none of the %d runs of profile %s is there", p.runs, p.name)
}
