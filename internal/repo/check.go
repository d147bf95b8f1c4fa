package repo

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	bolt "go.etcd.io/bbolt"
)

// Check reads the whole repository and returns a *DamagedError for the first
// thing that is not as it should be: the pages of the file, the numbers of
// tests, the events of every run without a gap, what was worked out from them,
// the failing sets as far as the runs that are there explain them, and the leases.
// A run that is going on is left out. It reads pages with bounds on everything, and
// is safe on a file that somebody tampered with.
func (r *Repository) Check(ctx context.Context) error {
	if err := r.checkFile(); err != nil {
		return err
	}
	if err := r.view(r.checkKeys); err != nil {
		return err
	}
	if _, err := r.Leases(); err != nil {
		return err
	}
	runs, err := r.Runs()
	if err != nil {
		return err
	}
	x := checker{r: r, profiles: map[string]*checkedProfile{}}
	for i, info := range runs {
		if info.State == Running {
			if i < len(runs)-1 {
				return r.damaged("run %d goes on, and is not the last", info.ID)
			}
			continue
		}
		if err := x.run(ctx, info); err != nil {
			return err
		}
	}
	return r.view(x.checkProfiles)
}

// checkFile checks the pages of the file, which others may write to meanwhile: two
// commits between the beginning of a transaction and a look at its meta page are rare.
func (r *Repository) checkFile() (err error) {
	const most = 100
	for range most {
		if err = r.stored(r.checkPages); !errors.Is(err, errOvertaken) {
			return err
		}
	}
	return fmt.Errorf("check the pages of the repository: %w", err)
}

// checkPages checks that every page of the file is used once or free. The error is
// errOvertaken where it can't be told.
func (r *Repository) checkPages(tx *bolt.Tx) error {
	if err := r.verifySize(tx); err != nil {
		return r.damaged("%v", err)
	}
	p := newPages(r, tx)
	root, freelist, err := p.meta(tx)
	switch {
	case errors.Is(err, errOvertaken):
		return err
	case err == nil:
		err = p.deep(root, 0)
	}
	if err != nil {
		return r.damaged("%v", err)
	}
	free, err := p.free(freelist)
	if err != nil {
		return r.damaged("%v", err)
	}
	for _, id := range free {
		if id < 2 || id >= p.limit || !p.use(id, 1) {
			return r.damaged("page %d: in the free list, and used or not in the file", id)
		}
	}
	if lost := p.limit - 2 - p.used; lost != 0 {
		return r.damaged("%d pages are neither used nor free", lost)
	}
	return nil
}

// checkKeys checks that all ids can be read and are different, and that there is
// nothing that the catalog doesn't know of.
func (r *Repository) checkKeys(tx *bolt.Tx) error {
	c, err := r.catalog(tx)
	if err != nil {
		return err
	}
	if _, err := r.numbers(tx, c); err != nil {
		return err
	}
	last, ids := uint64(0), []string(nil)
	if c.tests > 0 {
		if last, ids, err = r.blockOf(tx, c.tests); err != nil {
			return err
		}
	}
	_, err = r.countKeys(tx, bucketIDs, func(key []byte) bool { return bytes.Compare(key, be64(last)) <= 0 })
	if err == nil && last+uint64(len(ids)) != c.tests+1 && c.tests > 0 {
		err = r.damaged("there are more ids than %d", c.tests)
	}
	runs := 0
	if err == nil {
		runs, err = r.countKeys(tx, bucketRuns, func(key []byte) bool {
			if len(key) != 8 {
				return false
			}
			_, ok := c.run(int(binary.BigEndian.Uint64(key)))
			return ok
		})
	}
	infos := 0
	if err == nil {
		infos, err = r.countKeys(tx, bucketInfos, func([]byte) bool { return true })
	}
	if err == nil && (runs != len(c.runs) || infos != len(c.runs)) {
		err = r.damaged("there are %d runs and %d descriptions instead of %d", runs, infos, len(c.runs))
	}
	return err
}

// countKeys counts a bucket's keys, each of which has to be right.
func (r *Repository) countKeys(tx *bolt.Tx, name []byte, right func(key []byte) bool) (n int, err error) {
	b := tx.Bucket(name)
	if err := r.verifyOnce(tx, string(name), b, string(name) != string(bucketRuns)); err != nil {
		return 0, err
	}
	var last []byte
	err = b.ForEach(func(key, _ []byte) error {
		n++
		if !right(key) || last != nil && bytes.Compare(last, key) >= 0 {
			return r.damaged("%s: key %x is wrong", name, key)
		}
		last = key
		return nil
	})
	return n, err
}

// checker works out again what the repository says.
type checker struct {
	r        *Repository
	profiles map[string]*checkedProfile
	history  int // values that there have to be
}

// checkedProfile is what the runs that are there say of a profile.
type checkedProfile struct {
	profileRef
	explained bool                     // a full run was among those that explain the failing set
	set       map[uint64]*failingEntry // nil: the test is not in it
}

// run checks that a run's events follow each other, and that what was stored
// besides is what they come to.
func (x *checker) run(ctx context.Context, info RunInfo) error {
	r := x.r
	f, err := r.foldRun(ctx, info.ID)
	if err != nil {
		return err
	}
	f.Finish()
	if f.Counts() != info.Counts || f.listed != info.Listed || f.events != info.Events || f.Span() != info.Span {
		return r.damaged("run %d: its description and its events don't agree", info.ID)
	}
	events := int64(0)
	if err := r.view(func(tx *bolt.Tx) (err error) {
		events, err = r.checkChunks(tx, &info)
		return err
	}); err != nil {
		return err
	}
	ends := map[string]ProfileEnd{}
	for _, p := range info.ByProfile {
		ends[p.Name] = ProfileEnd{p.Partial, []string{}}
	}
	again := RunInfo{State: info.State}
	shares := f.shares(&again, ends)
	slices.SortStableFunc(shares, func(a, b share) int {
		return slices.Index(info.Profiles, a.Name) - slices.Index(info.Profiles, b.Name)
	})
	if len(shares) != len(info.ByProfile) || len(shares) != len(info.Profiles) {
		return r.damaged("run %d: its profiles and its events don't agree", info.ID)
	}
	addEvents(shares, events)
	for i := range shares {
		s := &shares[i]
		if err := x.share(&info, f, s); err != nil {
			return err
		}
		if info.Bytes() == 0 {
			s.Bytes = 0 // nobody counted
		}
		if s.ProfileRun != info.ByProfile[i] || s.Name != info.Profiles[i] {
			return r.damaged("run %d: what it says of profile %s and its events don't agree", info.ID, s.Name)
		}
	}
	return nil
}

// checkChunks checks that there are no chunks but those that are named, and that
// they follow each other. It returns how much they take.
func (r *Repository) checkChunks(tx *bolt.Tx, info *RunInfo) (size int64, err error) {
	parts, err := r.parts(tx, info)
	if err != nil {
		return 0, err
	}
	part, err := r.part(tx, info.ID, bucketEvents)
	if err != nil {
		return 0, err
	}
	n, next := 0, uint64(0)
	err = part.ForEach(func(key, value []byte) error {
		d := decoder{b: value}
		if first := d.uvarint(); first != next || !bytes.Equal(key, be64(first)) {
			return r.damaged("run %d: a chunk begins with event %d instead of %d", info.ID, first, next)
		}
		next += d.uvarint()
		n++
		size += int64(len(value))
		return nil
	})
	if err == nil && (next != info.Events || n != len(parts.chunks)) {
		err = r.damaged("run %d: %d events in %d chunks instead of %d in %d", info.ID, next, n, info.Events,
			len(parts.chunks))
	}
	return size, err
}

// share checks what is stored of a run and a profile, and brings what the runs come
// to up to date.
func (x *checker) share(info *RunInfo, f *fold, s *share) error {
	blocks, err := x.r.blocks(info.ID, s.Name)
	if err != nil {
		return err
	}
	if want := (len(s.tests) + blockTests - 1) / blockTests; len(blocks) != want {
		return x.r.damaged("run %d: %d blocks of tests instead of %d", info.ID, len(blocks), want)
	}
	return x.r.view(func(tx *bolt.Tx) error {
		c, err := x.r.catalog(tx)
		if err != nil {
			return err
		}
		numbers, err := x.r.number(tx, c, s.ids())
		if err != nil {
			return err
		}
		s.number(numbers)
		for i, block := range blocks {
			s.Bytes += int64(len(block))
			raw, err := x.r.codec.unpack(block, nil)
			if err != nil || !bytes.Equal(raw, s.block(i*blockTests)) {
				return x.r.damaged("run %d: its tests and its events don't agree", info.ID)
			}
		}
		var history []said
		x.history++
		if _, err = x.r.history(tx, c, info.ID, s.Name, nil, func(s said) { history = append(history, s) }); err != nil {
			return err
		}
		if !slices.Equal(history, s.history()) {
			return x.r.damaged("run %d: its history and its events don't agree", info.ID)
		}
		x.take(info, f, s, c.profile(s.Name))
		return nil
	})
}

// take brings what the runs come to up to date; known is what the catalog says.
func (x *checker) take(info *RunInfo, f *fold, s *share, known *profileRef) {
	p := x.profiles[s.Name]
	if p == nil {
		p = &checkedProfile{profileRef: profileRef{name: s.Name}, set: map[uint64]*failingEntry{}}
		x.profiles[s.Name] = p
	}
	p.noteRun(info.ID, s.ProfileRun)
	if known != nil && uint64(info.ID) < known.since {
		return
	}
	if !s.Partial {
		p.explained = true
		clear(p.set)
	}
	for i, t := range s.tests {
		switch f.says(t) {
		case saysFailing:
			e := newEntry(s.numbers[i], info.ID, t)
			p.set[e.number] = &e
		case saysPassing:
			p.set[s.numbers[i]] = nil
		case saysNothing:
		}
	}
}

// checkProfiles checks the failing sets against what the runs come to, and that
// timing, listings and nothing else are there.
func (x *checker) checkProfiles(tx *bolt.Tx) error {
	c, err := x.r.catalog(tx)
	if err != nil {
		return err
	}
	there := map[string]int{}
	for _, p := range c.profiles {
		if err := x.checkProfile(tx, &p); err != nil {
			return fmt.Errorf("profile %s: %w", p.name, err)
		}
		for bucket, ref := range map[string]reference{string(bucketFailing): p.failing, string(bucketTiming): p.timing,
			string(bucketListing): p.listing} {
			if ref.there {
				there[bucket]++
			}
		}
	}
	for name := range x.profiles {
		if c.profile(name) == nil {
			return x.r.damaged("nothing is known of profile %s", name)
		}
	}
	there[string(bucketHistory)] = x.history
	for _, bucket := range slices.Sorted(maps.Keys(there)) {
		n, err := x.r.countKeys(tx, []byte(bucket), func([]byte) bool { return true })
		if err == nil && n != there[bucket] {
			err = x.r.damaged("%s has %d values instead of %d", bucket, n, there[bucket])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// checkProfile checks what the catalog says of a profile.
func (x *checker) checkProfile(tx *bolt.Tx, p *profileRef) error {
	r := x.r
	want := x.profiles[p.name]
	if want == nil {
		want = &checkedProfile{profileRef: profileRef{last: -1}}
	}
	if p.runs != want.runs || p.last != want.last {
		return r.damaged("it has %d runs, the last %d, instead of %d and %d", p.runs, p.last, want.runs, want.last)
	}
	set, err := r.failing(tx, p)
	if err != nil {
		return err
	}
	for i, e := range set {
		w, known := want.set[e.number]
		switch {
		case known && (w == nil || !set[i].stands(*w)):
			return r.damaged("its failing set isn't what the runs come to")
		case !known && (want.explained || uint64(e.Run) >= p.since):
			return r.damaged("its failing set has a test that no run explains")
		}
		delete(want.set, e.number)
	}
	for _, w := range want.set {
		if w != nil {
			return r.damaged("its failing set lacks a test")
		}
	}
	timing, err := r.timing(tx, p)
	if err == nil {
		_, err = r.names(tx, timing.numbers)
	}
	if err != nil {
		return err
	}
	raw, err := r.state(tx, bucketListing, p.name, p.listing)
	if err != nil {
		return err
	}
	order, err := r.decodeListing(raw)
	if err == nil {
		_, err = r.names(tx, order)
	}
	return err
}
