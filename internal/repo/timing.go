package repo

import (
	"encoding/binary"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
)

// updateTiming adds what a run teaches to a profile's durations. A new duration
// counts as much as all before it: what was measured long ago fades.
func (r *Repository) updateTiming(tx *bolt.Tx, p *profileRef, f *fold, s share, num numbers) error {
	known, err := r.timing(tx, p)
	if err != nil {
		return err
	}
	learned := false
	for _, t := range s.tests {
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
	p.timing, err = r.putState(tx, bucketTiming, p.name, encodeTiming(known))
	return err
}

func encodeTiming(known map[uint64]time.Duration) []byte {
	order := make([]uint64, 0, len(known))
	for n := range known {
		order = append(order, n)
	}
	slices.Sort(order)
	raw := appendNumbers(nil, order)
	for _, n := range order {
		raw = binary.AppendVarint(raw, int64(known[n]))
	}
	return raw
}

// timing returns durations by the tests' numbers, which are the caller's; none, if
// none are known.
func (r *Repository) timing(tx *bolt.Tx, p *profileRef) (map[uint64]time.Duration, error) {
	raw, err := r.state(tx, bucketTiming, p.name, p.timing)
	if err != nil {
		return nil, err
	}
	if raw == nil {
		return map[uint64]time.Duration{}, nil
	}
	d := decoder{b: raw}
	order := d.numbers()
	known := make(map[uint64]time.Duration, len(order))
	for _, n := range order {
		known[n] = time.Duration(d.varint())
	}
	if d.bad || len(d.b) > 0 {
		return nil, r.damaged("timing of %s: can't be read", p.name)
	}
	return known, nil
}
