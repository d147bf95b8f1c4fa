package repo

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"time"

	bolt "go.etcd.io/bbolt"

	"testr/internal/event"
	"testr/internal/protocol"
)

// The bits of what a run said of a test, but for its number.
const (
	saidStatus = 1<<3 - 1
	saidOpen   = 1 << 3
	saidAgain  = 1 << 4 // there was more than one attempt

	saidAll = 1<<5 - 1
)

// said is what a run said of a test.
type said struct {
	number   uint64
	bits     byte
	attempts uint64 // 0 unless the bits say that there were more than one
}

func newSaid(number uint64, t *event.Test) said {
	s := said{number: number, bits: byte(t.Status)}
	if t.Open {
		s.bits |= saidOpen
	}
	if t.Attempts > 1 {
		s.bits |= saidAgain
		s.attempts = uint64(t.Attempts)
	}
	return s
}

func (s said) status() protocol.Status { return protocol.Status(s.bits & saidStatus) }

// times returns how often the test was begun.
func (s said) times() int {
	switch {
	case s.bits&saidAgain != 0:
		return int(min(s.attempts, maxRuns))
	case s.bits == 0:
		return 0
	}
	return 1
}

// failedBits is event.Test.Failed.
func failedBits(bits byte) bool {
	s := protocol.Status(bits & saidStatus)
	return bits&saidOpen != 0 || s == protocol.StatusFail || s == protocol.StatusUxSuccess
}

// passedBits says whether a test did what it should; one that was skipped did not.
func passedBits(bits byte) bool {
	s := protocol.Status(bits & saidStatus)
	return bits&saidOpen == 0 && (s == protocol.StatusSuccess || s == protocol.StatusXFail)
}

// history returns what is kept of the tests, in the order of their numbers: of those
// that can be asked for, or were.
func (s *share) history() []said {
	all := make([]said, 0, len(s.tests))
	for _, i := range s.byNumber {
		if t := s.tests[i]; t.Runnable || t.Asked {
			all = append(all, newSaid(s.numbers[i], t))
		}
	}
	return all
}

func placeOfHistory(run int, profile string) string {
	return "history of run " + strconv.Itoa(run) + " of " + profile
}

func historyKey(run int, profile string) []byte { return append(be64(uint64(run)), profile...) }

// putHistory stores what a run said of a profile's tests.
func (r *Repository) putHistory(tx *bolt.Tx, run int, profile string, all []said) error {
	b := tx.Bucket(bucketHistory)
	b.FillPercent = 0.9
	value := seal(placeOfHistory(run, profile), r.codec.pack(nil, encodeHistory(all)))
	if err := b.Put(historyKey(run, profile), value); err != nil {
		return fmt.Errorf("history: %w", err)
	}
	return nil
}

// encodeHistory returns columns: how far each number is from the one before, the
// bits, and the attempts of those with more than one.
func encodeHistory(all []said) []byte {
	const most = 3 // octets that a test takes, as a rule
	dst := binary.AppendUvarint(make([]byte, 0, most*(1+len(all))), uint64(len(all)))
	last := uint64(0)
	for _, s := range all {
		dst = binary.AppendUvarint(dst, s.number-last)
		last = s.number
	}
	for _, s := range all {
		dst = append(dst, s.bits)
	}
	for _, s := range all {
		if s.bits&saidAgain != 0 {
			dst = binary.AppendUvarint(dst, s.attempts)
		}
	}
	return dst
}

// decodeHistory gives each what a run said of each test, in the order of their
// numbers, none of which is above last.
func decodeHistory(raw []byte, last uint64, each func(said)) error {
	d := decoder{b: raw}
	n := d.length()
	steps := d
	for range n {
		d.uvarint()
	}
	bits := d.take(n)
	if d.bad {
		return errors.New("can't be read")
	}
	number := uint64(0)
	for i := range n {
		step := uint64(1)
		if steps.b[0] == 1 {
			steps.b = steps.b[1:]
		} else {
			step = steps.uvarint()
		}
		number += step
		s := said{number, bits[i], 0}
		if s.bits&saidAgain != 0 {
			s.attempts = d.uvarint()
		}
		if step == 0 || step > last || number > last || s.bits&^saidAll != 0 || d.bad {
			return errors.New("can't be read")
		}
		each(s)
	}
	if len(d.b) > 0 {
		return errors.New("more than it says")
	}
	return nil
}

// history gives each what a run said of a profile's tests; raw is memory to use, and
// what is to be used the next time is returned.
func (r *Repository) history(tx *bolt.Tx, c *catalog, run int, profile string, raw []byte, each func(said)) ([]byte,
	error) {
	b := tx.Bucket(bucketHistory)
	if err := r.verifyOnce(tx, "history", b, true); err != nil {
		return nil, err
	}
	place := placeOfHistory(run, profile)
	packed, err := unseal(place, b.Get(historyKey(run, profile)))
	if err != nil {
		return nil, r.damaged("%v", err)
	}
	if raw, err = r.codec.unpack(packed, raw); err == nil {
		err = decodeHistory(raw, c.tests, each)
	}
	if err != nil {
		return nil, r.damaged("%s: %v", place, err)
	}
	return raw, nil
}

// TestOutcome is what a run said of a test.
type TestOutcome struct {
	Run      int
	Start    time.Time // of the run
	Revision string    // likewise
	Dirty    bool      // likewise
	Status   protocol.Status
	Open     bool // it began and did not end
	Attempts int  // 0 if it never began
}

// Outcomes returns what the runs said of a test under a profile, in their order;
// none if nothing is known of it. Runs that were removed say nothing.
func (r *Repository) Outcomes(profile, id string) ([]TestOutcome, error) {
	var all []TestOutcome
	err := r.view(func(tx *bolt.Tx) error {
		c, err := r.catalog(tx)
		if err != nil {
			return err
		}
		num, err := r.numbers(tx, c)
		number := num[id]
		if err != nil || number == 0 {
			return err
		}
		infos, err := r.infos(tx)
		var raw []byte
		for _, info := range infos {
			if _, ok := info.Profile(profile); !ok {
				continue
			}
			raw, err = r.history(tx, c, info.ID, profile, raw, func(s said) {
				if s.number == number {
					all = append(all, TestOutcome{info.ID, info.Start, info.Revision, info.Dirty, s.status(),
						s.bits&saidOpen != 0, s.times()})
				}
			})
			if err != nil {
				return err
			}
		}
		return err
	})
	return all, err
}
