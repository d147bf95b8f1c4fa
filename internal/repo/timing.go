package repo

import (
	"encoding/binary"
	"time"

	bolt "go.etcd.io/bbolt"
)

// timing is the durations that are known of tests, in the order of the tests' numbers.
type timing struct {
	numbers   []uint64
	durations []time.Duration
}

func (x *timing) add(number uint64, d time.Duration) {
	x.numbers, x.durations = append(x.numbers, number), append(x.durations, d)
}

// learn returns what is known once a run has taught what it can, and whether that
// is any different. A new duration counts as much as all before it: what was measured
// long ago fades.
func (x *timing) learn(f *fold, s *share) (known timing, learned bool) {
	at, most := 0, len(x.numbers)+len(s.tests)
	known = timing{make([]uint64, 0, most), make([]time.Duration, 0, most)}
	for _, i := range s.byNumber {
		t, number := s.tests[i], s.numbers[i]
		for ; at < len(x.numbers) && x.numbers[at] < number; at++ {
			known.add(x.numbers[at], x.durations[at])
		}
		again := at < len(x.numbers) && x.numbers[at] == number
		switch {
		case !f.teaches(t, again):
			continue
		case again:
			old := x.durations[at]
			known.add(number, old+(t.Duration-old)/2)
			at++
		default:
			known.add(number, t.Duration)
		}
		learned = true
	}
	known.numbers = append(known.numbers, x.numbers[at:]...)
	known.durations = append(known.durations, x.durations[at:]...)
	return known, learned
}

// updateTiming adds what a run teaches to a profile's durations.
func (r *Repository) updateTiming(tx *bolt.Tx, p *profileRef, f *fold, s *share) error {
	old, err := r.timing(tx, p)
	if err != nil {
		return err
	}
	if known, learned := old.learn(f, s); learned {
		return r.putTiming(tx, p, known)
	}
	return nil
}

// putTiming stores a profile's durations.
func (r *Repository) putTiming(tx *bolt.Tx, p *profileRef, known timing) (err error) {
	raw := appendNumbers(nil, known.numbers)
	for _, d := range known.durations {
		raw = binary.AppendVarint(raw, int64(d))
	}
	p.timing, err = r.putState(tx, bucketTiming, p.name, raw)
	return err
}

// timing returns a profile's durations.
func (r *Repository) timing(tx *bolt.Tx, p *profileRef) (timing, error) {
	raw, err := r.state(tx, bucketTiming, p.name, p.timing)
	if raw == nil || err != nil {
		return timing{}, err
	}
	d := decoder{b: raw}
	order := d.numbers()
	known := timing{order, make([]time.Duration, len(order))}
	for i, number := range order {
		known.durations[i] = time.Duration(d.varint())
		d.bad = d.bad || i > 0 && number <= order[i-1]
	}
	if d.bad || len(d.b) > 0 {
		return timing{}, r.damaged("timing of %s: can't be read", p.name)
	}
	return known, nil
}
