package repo

import (
	"bytes"
	"context"
	"encoding/binary"
	"maps"
	"slices"

	bolt "go.etcd.io/bbolt"

	"testr/internal/event"
)

// Check reads the whole repository and returns a *DamagedError for the first
// thing that is not as it should be: the pages of the file, the numbers of
// tests, the events of every run without a gap, what was worked out from them,
// the failing sets, and the leases. A run that is going on is left out. It reads pages with
// bounds on everything, and is safe on a file that somebody tampered with.
func (r *Repository) Check(ctx context.Context) error {
	if err := r.stored(r.checkPages); err != nil {
		return err
	}
	if err := r.view(r.checkNames); err != nil {
		return err
	}
	if _, err := r.Leases(); err != nil {
		return err
	}
	runs, err := r.Runs()
	if err != nil {
		return err
	}
	failing := map[string]map[string][]byte{}
	for i, info := range runs {
		if info.State == Running {
			if i < len(runs)-1 {
				return r.damaged("run %d goes on, and is not the last", info.ID)
			}
			continue
		}
		if err := r.checkRun(ctx, info, failing); err != nil {
			return err
		}
	}
	return r.view(func(tx *bolt.Tx) error { return r.checkProfiles(tx, failing) })
}

// checkPages checks that every page of the file is used once or free.
func (r *Repository) checkPages(tx *bolt.Tx) error {
	if err := r.verifySize(tx); err != nil {
		return r.damaged("%v", err)
	}
	p := newPages(r, tx)
	root, freelist, err := p.meta(tx)
	if err == nil {
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

// checkNames checks that ids and numbers of tests stand for each other, and
// that the other buckets' keys are what they should be.
func (r *Repository) checkNames(tx *bolt.Tx) error {
	names, err := r.numbers(tx)
	if err != nil {
		return err
	}
	ids, err := r.ids(tx)
	if err != nil {
		return err
	}
	count := uint64(0)
	err = ids.ForEach(func(number, id []byte) error {
		count++
		if !bytes.Equal(number, be64(count)) || !bytes.Equal(names.Get(nameKey(string(id))), number) {
			return r.damaged("test %x and its name don't agree", number)
		}
		return nil
	})
	if err != nil {
		return err
	}
	var last []byte
	err = names.ForEach(func(key, _ []byte) error {
		if count--; bytes.Compare(last, key) >= 0 {
			return r.damaged("names are out of order")
		}
		last = key
		return nil
	})
	if err == nil && count != 0 {
		err = r.damaged("the numbers of %d names are missing", -int64(count))
	}
	next, nextErr := getBE64(tx.Bucket(bucketMeta), keyNextRun)
	latest, latestErr := r.latest(tx)
	if err == nil && (nextErr != nil || latestErr != nil || int64(latest) >= int64(next)) {
		err = r.damaged("run %d is there, and the next one is %d", latest, next)
	}
	return err
}

// checkRun checks that a run's events follow each other, and that what was
// stored besides is what they come to. It brings failing, the failing sets that
// the runs before come to, up to date.
func (r *Repository) checkRun(ctx context.Context, info RunInfo, failing map[string]map[string][]byte) error {
	f, err := r.foldRun(ctx, info.ID)
	if err != nil {
		return err
	}
	f.Finish()
	if f.Counts() != info.Counts || f.listed != info.Listed || f.events != info.Events || f.Span() != info.Span {
		return r.damaged("run %d: its description and its events don't agree", info.ID)
	}
	chunks := uint64(0)
	err = r.view(func(tx *bolt.Tx) error {
		part, err := r.part(tx, info.ID, bucketEvents)
		if err != nil {
			return err
		}
		return part.ForEach(func(key, value []byte) error {
			d := decoder{b: value}
			if first := d.uvarint(); first != chunks || !bytes.Equal(key, be64(first)) {
				return r.damaged("run %d: a chunk begins with event %d instead of %d", info.ID, first, chunks)
			}
			chunks += d.uvarint()
			return nil
		})
	})
	if err == nil && chunks != info.Events {
		err = r.damaged("run %d: %d events instead of %d", info.ID, chunks, info.Events)
	}
	if err != nil {
		return err
	}
	profile := info.Profiles[0]
	if failing[profile] == nil || !info.Partial {
		failing[profile] = map[string][]byte{}
	}
	for _, t := range f.Tests() {
		switch f.says(t) {
		case saysFailing:
			failing[profile][t.ID] = encodeFailing(info.ID, t)
		case saysPassing:
			delete(failing[profile], t.ID)
		case saysNothing:
		}
	}
	return r.checkColumns(info, f.Tests())
}

// checkColumns checks that the stored columns of a run are those of tests.
func (r *Repository) checkColumns(info RunInfo, tests []*event.Test) error {
	blocks, err := r.blocks(info.ID, info.Profiles[0])
	if err != nil {
		return err
	}
	want := slices.Collect(slices.Chunk(tests, blockTests))
	if len(blocks) != len(want) {
		return r.damaged("run %d: %d blocks of tests instead of %d", info.ID, len(blocks), len(want))
	}
	return r.view(func(tx *bolt.Tx) error {
		num, err := r.number(tx, idsOf(tests, nil))
		if err != nil {
			return err
		}
		for i, block := range blocks {
			raw, err := r.codec.unpack(block, nil)
			if err != nil {
				return r.damaged("run %d: %v", info.ID, err)
			}
			if !bytes.Equal(raw, encodeTests(want[i], num)) {
				return r.damaged("run %d: its tests and its events don't agree", info.ID)
			}
		}
		return nil
	})
}

// checkProfiles checks the failing sets against what the runs come to, and that
// timing and listings can be read.
func (r *Repository) checkProfiles(tx *bolt.Tx, want map[string]map[string][]byte) error {
	profiles := 0
	err := tx.Bucket(bucketFailing).ForEachBucket(func(profile []byte) error {
		profiles++
		got, numbers := map[string][]byte{}, []uint64{}
		b := tx.Bucket(bucketFailing).Bucket(profile)
		err := b.ForEach(func(key, _ []byte) error {
			if len(key) != 8 {
				return r.damaged("failing set of %q: key %x", profile, key)
			}
			numbers = append(numbers, binary.BigEndian.Uint64(key))
			return nil
		})
		if err != nil {
			return err
		}
		ids, err := r.names(tx, numbers)
		if err != nil {
			return err
		}
		for i, id := range ids {
			got[id] = b.Get(be64(numbers[i]))
		}
		if !maps.EqualFunc(got, want[string(profile)], bytes.Equal) {
			return r.damaged("failing set of %q: it isn't what the runs come to", profile)
		}
		return nil
	})
	if err == nil && profiles != len(want) {
		err = r.damaged("there are %d failing sets instead of %d", profiles, len(want))
	}
	if err != nil {
		return err
	}
	err = tx.Bucket(bucketTiming).ForEach(func(_, v []byte) error {
		known, err := r.decodeTiming(v)
		if err == nil {
			_, err = r.names(tx, slices.Collect(maps.Keys(known)))
		}
		return err
	})
	if err != nil {
		return err
	}
	return tx.Bucket(bucketListing).ForEach(func(_, v []byte) error {
		order, err := r.decodeListing(v)
		if err == nil {
			_, err = r.names(tx, order)
		}
		return err
	})
}
