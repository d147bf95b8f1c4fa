package repo

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	bolt "go.etcd.io/bbolt"
)

// finish closes a run whose events are all on disk, in those chunks: in one
// transaction, so that either everything that is known of it is there or nothing is.
func (r *Repository) finish(info *RunInfo, f *fold, chunks []chunkRef, ends map[string]ProfileEnd) error {
	if info.State != Finished {
		info.State = Interrupted
	}
	f.Finish()
	info.Counts, info.Span, info.Events, info.Listed = f.Counts(), f.Span(), f.events, f.listed
	if info.End.IsZero() {
		info.End = f.last
	}
	shares := f.shares(info, ends)
	info.Partial = info.Partial || info.State != Finished
	info.Profiles, info.ByProfile = nil, nil
	events := int64(0)
	for _, c := range chunks {
		events += int64(c.size)
	}
	addEvents(shares, events)
	var ids []string
	for _, s := range shares {
		info.Profiles = append(info.Profiles, s.Name)
		info.Partial = info.Partial || s.Partial
		ids = append(ids, s.ids()...)
	}
	return r.update(func(tx *bolt.Tx) error {
		return r.changeCatalog(tx, func(c *catalog) error {
			numbers, err := r.number(tx, c, ids)
			if err != nil {
				return err
			}
			run := tx.Bucket(bucketRuns).Bucket(be64(uint64(info.ID)))
			if err := closeTail(run); err != nil {
				return err
			}
			p := parts{chunks, map[string][]uint32{}}
			for i := range shares {
				s := &shares[i]
				numbers = s.number(numbers)
				if err := r.putShare(tx, c, info, f, s); err != nil {
					return fmt.Errorf("profile %s: %w", s.Name, err)
				}
				if p.columns[s.Name], err = r.putTests(run, info.ID, s); err != nil {
					return fmt.Errorf("profile %s: %w", s.Name, err)
				}
				info.ByProfile = append(info.ByProfile, s.ProfileRun)
			}
			return errors.Join(run.Put(keyParts, p.encode(info.ID)), run.Delete(keyProgress), r.putInfo(tx, c, info))
		})
	})
}

// closeTail puts a run's last chunk where the others are.
func closeTail(run *bolt.Bucket) error {
	tail := bytes.Clone(run.Get(keyTail))
	if tail == nil {
		return nil
	}
	first, _ := binary.Uvarint(tail)
	return errors.Join(run.Bucket(bucketEvents).Put(be64(first), tail), run.Delete(keyTail))
}

// putShare brings what is known of a profile up to date.
func (r *Repository) putShare(tx *bolt.Tx, c *catalog, info *RunInfo, f *fold, s *share) error {
	p := c.addProfile(s.Name)
	p.noteRun(info.ID, s.ProfileRun)
	return errors.Join(
		r.updateFailing(tx, p, info.ID, f, s),
		r.updateTiming(tx, p, f, s),
		r.putListing(tx, p, s),
		r.putHistory(tx, info.ID, s.Name, s.history()))
}

// noteRun counts a run of the profile, the last one.
func (p *profileRef) noteRun(id int, run ProfileRun) {
	p.runs++
	p.last = id
	if !run.Partial || !p.full {
		p.tests, p.full = run.Counts.Tests, !run.Partial
	}
}

// putTests stores the columns of a run's tests and returns the checksums of their
// blocks.
func (r *Repository) putTests(run *bolt.Bucket, id int, s *share) ([]uint32, error) {
	b, err := run.Bucket(bucketTests).CreateBucket([]byte(s.Name))
	if err != nil {
		return nil, fmt.Errorf("columns of tests: %w", err)
	}
	b.FillPercent = 1
	sums := []uint32{}
	for first := 0; first < len(s.tests); first += blockTests {
		value := r.codec.pack(nil, s.block(first))
		n := len(sums)
		s.Bytes += int64(len(value))
		if err := b.Put(be64(uint64(n)), value); err != nil {
			return nil, fmt.Errorf("columns of tests: %w", err)
		}
		sums = append(sums, checksum(placeOfColumns(id, s.Name, n), value))
	}
	return sums, nil
}

// putListing remembers a profile's listing, if there is one.
func (r *Repository) putListing(tx *bolt.Tx, p *profileRef, s *share) (err error) {
	if s.listing == nil {
		return nil
	}
	p.listing, err = r.putState(tx, bucketListing, p.name, appendNumbers(nil, s.order))
	return err
}

func (r *Repository) decodeListing(raw []byte) ([]uint64, error) {
	if raw == nil {
		return nil, nil
	}
	d := decoder{b: raw}
	order := d.numbers()
	if d.bad || len(d.b) > 0 {
		return nil, r.damaged("listing: can't be read")
	}
	return order, nil
}

// appendNumbers appends a list of tests' numbers, each as the difference to the
// one before.
func appendNumbers(dst []byte, list []uint64) []byte {
	dst = binary.AppendUvarint(slices.Grow(dst, 2*(1+len(list))), uint64(len(list)))
	last := uint64(0)
	for _, n := range list {
		dst = binary.AppendVarint(dst, int64(n-last))
		last = n
	}
	return dst
}

func (d *decoder) numbers() []uint64 {
	n := d.uvarint()
	if d.bad || n > uint64(len(d.b)) {
		d.bad = true
		return nil
	}
	list := make([]uint64, n)
	last := uint64(0)
	for i := range list {
		last += uint64(d.varint())
		list[i] = last
	}
	return list
}
