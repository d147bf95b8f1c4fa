package repo

import (
	"encoding/binary"
	"errors"
	"slices"

	bolt "go.etcd.io/bbolt"

	"testr/internal/event"
	"testr/internal/protocol"
)

// Failing is a test of the failing set, and what the run that put it there
// knows of it.
type Failing struct {
	ID     string
	Run    int
	Gone   bool            // that run was removed: nothing is known but what stands here
	Status protocol.Status // its outcome; StatusNone if it has none
	NotRun string          // why it did not run, if it didn't

	FirstSeq, LastSeq uint64 // where its events are in that run
}

// failingEntry is an entry of a failing set as it is stored.
type failingEntry struct {
	number uint64 // of the test
	Failing
}

func newEntry(number uint64, run int, t *event.Test) failingEntry {
	reason := t.NotRun
	if t.Settled() || t.Open {
		reason = ""
	}
	return failingEntry{number, Failing{Run: run, Status: t.Status, NotRun: reason,
		FirstSeq: t.FirstSeq, LastSeq: t.LastSeq}}
}

// encodeFailing returns a failing set as columns; its entries are in the order of
// their numbers.
func encodeFailing(set []failingEntry) []byte {
	order := make([]uint64, len(set))
	for i, e := range set {
		order[i] = e.number
	}
	dst := appendNumbers(nil, order)
	for _, e := range set {
		dst = binary.AppendUvarint(dst, uint64(e.Run))
	}
	for _, e := range set {
		dst = append(dst, byte(e.Status))
	}
	for _, e := range set {
		dst = binary.AppendUvarint(dst, e.FirstSeq)
	}
	for _, e := range set {
		dst = binary.AppendUvarint(dst, e.LastSeq-e.FirstSeq)
	}
	var reasons table
	for _, e := range set {
		dst = binary.AppendUvarint(dst, reasons.index(e.NotRun))
	}
	dst = binary.AppendUvarint(dst, uint64(len(reasons.list)))
	for _, s := range reasons.list {
		dst = appendString(dst, s)
	}
	return dst
}

func decodeFailing(raw []byte) ([]failingEntry, error) {
	d := decoder{b: raw}
	order := d.numbers()
	n := len(order)
	runs, statuses := d.uvarints(n), d.take(n)
	firsts, lengths, reasons := d.uvarints(n), d.uvarints(n), d.uvarints(n)
	texts := make([]string, min(d.length(), n))
	for i := range texts {
		texts[i] = d.string()
	}
	if d.bad || len(d.b) > 0 {
		return nil, errors.New("can't be read")
	}
	set := make([]failingEntry, n)
	for i := range set {
		if runs[i] >= maxRuns || statuses[i] > byte(protocol.StatusXFail) || reasons[i] >= uint64(len(texts)) ||
			i > 0 && order[i] <= order[i-1] {
			return nil, errors.New("an entry can't be read")
		}
		set[i] = failingEntry{order[i], Failing{Run: int(runs[i]), Status: protocol.Status(statuses[i]),
			NotRun: texts[reasons[i]], FirstSeq: firsts[i], LastSeq: firsts[i] + lengths[i]}}
	}
	return set, nil
}

// failing returns a profile's failing set, in the order of the tests' numbers.
func (r *Repository) failing(tx *bolt.Tx, p *profileRef) ([]failingEntry, error) {
	raw, err := r.state(tx, bucketFailing, p.name, p.failing)
	if raw == nil || err != nil {
		return nil, err
	}
	set, err := decodeFailing(raw)
	switch {
	case err != nil:
		return nil, r.damaged("failing set of %s: %v", p.name, err)
	case len(set) != p.failed:
		return nil, r.damaged("failing set of %s: %d entries instead of %d", p.name, len(set), p.failed)
	}
	return set, nil
}

// reasonLeftOut stands for the reasons of a set with more of them than a value may have.
const reasonLeftOut = "(left out: the failing set has too many reasons)"

// putFailing stores a profile's failing set, whose entries are in the order of their
// numbers.
func (r *Repository) putFailing(tx *bolt.Tx, p *profileRef, set []failingEntry) (err error) {
	p.failed = len(set)
	raw := encodeFailing(set)
	if len(raw) > maxRaw { // nobody could unpack it
		raw = encodeFailing(withoutReasons(set))
	}
	p.failing, err = r.putState(tx, bucketFailing, p.name, raw)
	return err
}

func withoutReasons(set []failingEntry) []failingEntry {
	set = slices.Clone(set)
	for i := range set {
		if set[i].NotRun != "" {
			set[i].NotRun = reasonLeftOut
		}
	}
	return set
}

// stands reports whether e is what is stored of an entry.
func (e failingEntry) stands(entry failingEntry) bool {
	if e.NotRun == reasonLeftOut && entry.NotRun != "" {
		entry.NotRun = reasonLeftOut
	}
	return e == entry
}

// updateFailing brings a profile's failing set up to date.
func (r *Repository) updateFailing(tx *bolt.Tx, p *profileRef, run int, f *fold, s *share) error {
	var old, set []failingEntry
	if s.Partial {
		var err error
		if old, err = r.failing(tx, p); err != nil {
			return err
		}
	}
	for _, i := range s.byNumber {
		t, number := s.tests[i], s.numbers[i]
		for len(old) > 0 && old[0].number < number {
			set, old = append(set, old[0]), old[1:]
		}
		says := f.says(t)
		if len(old) > 0 && old[0].number == number && says != saysNothing {
			old = old[1:]
		}
		if says == saysFailing {
			set = append(set, newEntry(number, run, t))
		}
	}
	return r.putFailing(tx, p, append(set, old...))
}
