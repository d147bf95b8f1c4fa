package repo

import (
	"bytes"
	"cmp"
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
		c, err := r.catalog(tx)
		if err != nil {
			return err
		}
		for _, ref := range slices.Backward(c.runs) { // the last one may go on
			if info, err = r.described(tx, ref); err != nil || info.State != Running {
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
	err := r.view(func(tx *bolt.Tx) (err error) {
		runs, err = r.infos(tx)
		return err
	})
	return runs, err
}

// Profile is a profile that the repository has something of.
type Profile struct {
	Name    string
	Runs    int // that say something about it
	LastRun int // the last of these, or -1
	Failing int // how many tests its failing set has
	Tests   int // with an outcome in its last full run, or without one in its last
}

// Profiles returns the profiles that the repository has runs or failing tests of, by
// name.
func (r *Repository) Profiles() ([]Profile, error) {
	var all []Profile
	err := r.view(func(tx *bolt.Tx) error {
		c, err := r.catalog(tx)
		if err != nil {
			return err
		}
		for _, p := range c.profiles {
			if p.runs > 0 || p.failed > 0 {
				all = append(all, Profile{p.name, p.runs, p.last, p.failed, p.tests})
			}
		}
		return nil
	})
	return all, err
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
	if err := r.identify(&rows, profile); err != nil {
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
	if err := r.identify(&rows, profile); err != nil {
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

// identify gives tests their ids and their profile.
func (r *Repository) identify(x *rows, profile string) error {
	return r.view(func(tx *bolt.Tx) error {
		ids, err := r.names(tx, x.ids)
		if err != nil {
			return err
		}
		for i, id := range ids {
			x.tests[i].ID, x.tests[i].Profile = id, profileOf(profile)
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
		info, err := r.info(tx, run)
		if err != nil {
			return err
		}
		p, err := r.parts(tx, &info)
		if err != nil || p == nil || len(p.columns[profile]) == 0 {
			return err
		}
		part, err := r.part(tx, run, bucketTests)
		if err != nil {
			return err
		}
		b := part.Bucket([]byte(profile))
		if b == nil {
			return r.damaged("run %d has no tests of %s", run, profile)
		}
		for i, sum := range p.columns[profile] {
			value := b.Get(be64(uint64(i)))
			if err := (reference{true, sum}).check(placeOfColumns(run, profile, i), value); err != nil {
				return r.damaged("%v", err)
			}
			blocks = append(blocks, bytes.Clone(value))
		}
		return nil
	})
	return blocks, err
}

// Failing returns a profile's failing set, sorted by test id.
func (r *Repository) Failing(profile string) ([]Failing, error) {
	var failing []Failing
	err := r.viewProfile(profile, func(tx *bolt.Tx, c *catalog, p *profileRef) error {
		set, err := r.failing(tx, p)
		if err != nil {
			return err
		}
		which := make([]uint64, len(set))
		for i, e := range set {
			which[i] = e.number
		}
		ids, err := r.names(tx, which)
		for i, id := range ids {
			f := set[i].Failing
			_, there := c.run(f.Run)
			f.ID, f.Gone = id, !there
			failing = append(failing, f)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(failing, func(a, b Failing) int { return cmp.Compare(a.ID, b.ID) })
	return failing, nil
}

// viewProfile runs fn in a read transaction with what is known of a profile, if
// anything is.
func (r *Repository) viewProfile(profile string, fn func(*bolt.Tx, *catalog, *profileRef) error) error {
	return r.view(func(tx *bolt.Tx) error {
		c, err := r.catalog(tx)
		if err != nil {
			return err
		}
		if p := c.profile(profile); p != nil {
			return fn(tx, c, p)
		}
		return nil
	})
}

// Timing returns how long tests take in a profile, by their ids: the mean of
// their durations, of which the last counts half, the one before it a quarter,
// and so on.
func (r *Repository) Timing(profile string) (map[string]time.Duration, error) {
	durations := map[string]time.Duration{}
	err := r.viewProfile(profile, func(tx *bolt.Tx, _ *catalog, p *profileRef) error {
		known, err := r.timing(tx, p)
		if err != nil {
			return err
		}
		ids, err := r.names(tx, known.numbers)
		durations = make(map[string]time.Duration, len(ids))
		for i, id := range ids {
			durations[id] = known.durations[i]
		}
		return err
	})
	return durations, err
}

// Listing returns the ids that a run last listed for a profile, in their order;
// none if no run did.
func (r *Repository) Listing(profile string) ([]string, error) {
	var listing []string
	err := r.viewProfile(profile, func(tx *bolt.Tx, _ *catalog, p *profileRef) error {
		raw, err := r.state(tx, bucketListing, profile, p.listing)
		if err != nil {
			return err
		}
		order, err := r.decodeListing(raw)
		if err == nil {
			listing, err = r.names(tx, order)
		}
		return err
	})
	return listing, err
}

// Stats is what there is to say of a repository as a whole, or of a profile.
type Stats struct {
	Runs     int
	Tests    int           // that were ever seen; of a profile: see Profile
	Outcomes int           // of all runs together
	Time     time.Duration // that the runs took together
	Bytes    int64         // size of the file; of a profile: what its runs take in it

	ByProfile map[string]Stats // nil for a profile
}

// Stats returns how much the repository holds.
func (r *Repository) Stats() (Stats, error) {
	s := Stats{ByProfile: map[string]Stats{}}
	err := r.view(func(tx *bolt.Tx) error {
		c, err := r.catalog(tx)
		if err != nil {
			return err
		}
		runs, err := r.infos(tx)
		for _, info := range runs {
			s.Outcomes += info.Counts.Tests
			s.Time += info.Duration()
			for _, p := range info.ByProfile {
				of := s.ByProfile[p.Name]
				of.Runs++
				of.Outcomes += p.Counts.Tests
				of.Time += info.Duration()
				of.Bytes += p.Bytes
				s.ByProfile[p.Name] = of
			}
		}
		for _, p := range c.profiles {
			if of, ok := s.ByProfile[p.name]; ok {
				of.Tests = p.tests
				s.ByProfile[p.name] = of
			}
		}
		s.Runs, s.Tests, s.Bytes = len(runs), int(c.tests), tx.Size()
		return err
	})
	return s, err
}
