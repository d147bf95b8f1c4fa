package repo

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"testr/internal/event"
	"testr/internal/protocol"
)

// finish closes a run whose events are all on disk: in one transaction, so that
// either everything that is known of it is there or nothing is.
func (r *Repository) finish(info *RunInfo, f *fold, listing []string) error {
	if info.State != Finished {
		info.State = Interrupted
	}
	f.Finish()
	info.Counts, info.Span, info.Events, info.Listed = f.Counts(), f.Span(), f.events, f.listed
	info.Partial = info.Partial || info.State == Interrupted || !f.complete()
	if info.End.IsZero() {
		info.End = f.last
	}
	return r.update(func(tx *bolt.Tx) error {
		run := tx.Bucket(bucketRuns).Bucket(be64(uint64(info.ID)))
		if err := closeTail(run); err != nil {
			return err
		}
		num, err := r.number(tx, idsOf(f.Tests(), listing))
		if err != nil {
			return err
		}
		value, err := info.encode()
		if err != nil {
			return err
		}
		profile := []byte(info.Profiles[0])
		return errors.Join(
			r.putTests(run, profile, f.Tests(), num),
			r.putFailing(tx, profile, info, f, num),
			r.putTiming(tx, profile, f, num),
			r.putListing(tx, profile, listing, num),
			run.Put(keyInfo, value))
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

// idsOf returns all ids that a run has to do with.
func idsOf(tests []*event.Test, listing []string) []string {
	ids := make([]string, 0, len(tests)+len(listing))
	for _, t := range tests {
		ids = append(ids, t.ID)
		if t.ParentID != "" {
			ids = append(ids, t.ParentID)
		}
	}
	return append(ids, listing...)
}

func (r *Repository) putTests(run *bolt.Bucket, profile []byte, tests []*event.Test, num numbers) error {
	b, err := run.Bucket(bucketTests).CreateBucket(profile)
	if err != nil {
		return fmt.Errorf("columns of tests: %w", err)
	}
	b.FillPercent = 1
	n := uint64(0)
	for block := range slices.Chunk(tests, blockTests) {
		if err := b.Put(be64(n), r.codec.pack(nil, encodeTests(block, num))); err != nil {
			return fmt.Errorf("columns of tests: %w", err)
		}
		n++
	}
	return nil
}

// putFailing brings a profile's failing set up to date.
func (r *Repository) putFailing(tx *bolt.Tx, profile []byte, info *RunInfo, f *fold, num numbers) error {
	all := tx.Bucket(bucketFailing)
	if !info.Partial && all.Bucket(profile) != nil {
		if err := all.DeleteBucket(profile); err != nil {
			return fmt.Errorf("failing set: %w", err)
		}
	}
	b, err := all.CreateBucketIfNotExists(profile)
	if err != nil {
		return fmt.Errorf("failing set: %w", err)
	}
	for _, s := range f.sayings(b, num) {
		if s.verdict == saysFailing {
			err = b.Put(be64(s.number), encodeFailing(info.ID, s.test))
		} else {
			err = b.Delete(be64(s.number))
		}
		if err != nil {
			return fmt.Errorf("failing set: %w", err)
		}
	}
	return nil
}

// saying is what a run says of a test for the failing set.
type saying struct {
	verdict verdict
	number  uint64
	test    *event.Test
}

// sayings returns what changes a failing set, in the order of its keys. Passes
// mean nothing to an empty one, which spares most runs the work.
func (f *fold) sayings(set *bolt.Bucket, num numbers) []saying {
	first, _ := set.Cursor().First()
	var all []saying
	for _, t := range f.Tests() {
		if v := f.says(t); v == saysFailing || v == saysPassing && first != nil {
			all = append(all, saying{v, num[t.ID], t})
		}
	}
	slices.SortFunc(all, func(x, y saying) int { return cmp.Compare(x.number, y.number) })
	return all
}

// Failing is a test of the failing set, and what the run that put it there
// knows of it.
type Failing struct {
	ID     string
	Run    int
	Status protocol.Status // its outcome; StatusNone if it has none
	NotRun string          // why it did not run, if it didn't

	FirstSeq, LastSeq uint64 // where its events are in that run
}

func encodeFailing(run int, t *event.Test) []byte {
	v := binary.AppendUvarint(nil, uint64(run))
	v = append(v, byte(t.Status))
	v = binary.AppendUvarint(v, t.FirstSeq)
	v = binary.AppendUvarint(v, t.LastSeq-t.FirstSeq)
	reason := t.NotRun
	if t.Settled() || t.Open {
		reason = ""
	}
	return appendString(v, reason)
}

func decodeFailing(value []byte) (Failing, error) {
	d := decoder{b: value}
	f := Failing{Run: int(d.uvarint()), Status: protocol.Status(d.byte()), FirstSeq: d.uvarint()}
	f.LastSeq = f.FirstSeq + d.uvarint()
	f.NotRun = d.string()
	if d.bad || len(d.b) > 0 || f.Run < 0 || f.Status > protocol.StatusXFail {
		return Failing{}, errors.New("an entry can't be read")
	}
	return f, nil
}

// putTiming adds what a run teaches to a profile's durations. A new duration
// counts as much as all before it: what was measured long ago fades.
func (r *Repository) putTiming(tx *bolt.Tx, profile []byte, f *fold, num numbers) error {
	b := tx.Bucket(bucketTiming)
	known, err := r.decodeTiming(b.Get(profile))
	if err != nil {
		return err
	}
	learned := false
	for _, t := range f.Tests() {
		n := num[t.ID]
		old, ok := known[n]
		switch {
		case !f.teaches(t, ok):
			continue
		case ok:
			known[n] = old + (t.Duration-old)/2
		default:
			known[n] = t.Duration
		}
		learned = true
	}
	if !learned {
		return nil
	}
	if err := b.Put(profile, r.encodeTiming(known)); err != nil {
		return fmt.Errorf("timing: %w", err)
	}
	return nil
}

func (r *Repository) encodeTiming(known map[uint64]time.Duration) []byte {
	order := make([]uint64, 0, len(known))
	for n := range known {
		order = append(order, n)
	}
	slices.Sort(order)
	raw := appendNumbers(nil, order)
	for _, n := range order {
		raw = binary.AppendVarint(raw, int64(known[n]))
	}
	return r.codec.pack(nil, raw)
}

// decodeTiming returns durations by the tests' numbers; of no value, an empty
// map.
func (r *Repository) decodeTiming(value []byte) (map[uint64]time.Duration, error) {
	if value == nil {
		return map[uint64]time.Duration{}, nil
	}
	raw, err := r.codec.unpack(value, nil)
	if err != nil {
		return nil, r.damaged("timing: %v", err)
	}
	d := decoder{b: raw}
	order := d.numbers()
	known := make(map[uint64]time.Duration, len(order))
	for _, n := range order {
		known[n] = time.Duration(d.varint())
	}
	if d.bad || len(d.b) > 0 {
		return nil, r.damaged("timing: can't be read")
	}
	return known, nil
}

// putListing remembers a profile's listing, if there is one.
func (r *Repository) putListing(tx *bolt.Tx, profile []byte, listing []string, num numbers) error {
	if listing == nil {
		return nil
	}
	order := make([]uint64, len(listing))
	for i, id := range listing {
		order[i] = num[id]
	}
	if err := tx.Bucket(bucketListing).Put(profile, r.codec.pack(nil, appendNumbers(nil, order))); err != nil {
		return fmt.Errorf("listing: %w", err)
	}
	return nil
}

func (r *Repository) decodeListing(value []byte) ([]uint64, error) {
	if value == nil {
		return nil, nil
	}
	raw, err := r.codec.unpack(value, nil)
	if err != nil {
		return nil, r.damaged("listing: %v", err)
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
	dst = binary.AppendUvarint(dst, uint64(len(list)))
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
