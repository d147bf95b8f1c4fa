package repo

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
)

// bucketInstances has the leases, all as one value.
var (
	bucketInstances = []byte("instances")
	keyLeases       = []byte("leases")
)

const placeLeases = "instances"

// Lease is something that a process has got and has to give back, whatever
// becomes of it.
type Lease struct {
	Key     uint64 // its place; 0 before it has one
	Section string // of the configuration; empty for [DEFAULT]
	ID      string // of an instance; empty while nobody knows what there is
	Dispose string // the shell command that was to give it back
	Dir     string // where that was to run
	PID     int    // of the process that got it
	Since   time.Time
	Failure string // why the last attempt to give it back failed; empty before one
}

// storedLease is Lease as it is stored: names that don't change with the code.
type storedLease struct {
	Key     uint64    `json:"key"`
	Section string    `json:"section,omitempty"`
	ID      string    `json:"id,omitempty"`
	Dispose string    `json:"dispose,omitempty"`
	Dir     string    `json:"dir,omitempty"`
	PID     int       `json:"pid"`
	Since   time.Time `json:"since"`
	Failure string    `json:"failure,omitempty"`
}

// storedLeases is all leases.
type storedLeases struct {
	Last   uint64        `json:"last"` // key that a lease got
	Leases []storedLease `json:"leases"`
}

// PutLease stores a lease, in the place of the one with its key, or with a key
// that none had before if it has none. When it returns nil that is on disk. A run
// may go on meanwhile.
func (r *Repository) PutLease(l Lease) (key uint64, err error) {
	err = r.changeLeases(func(s *storedLeases) {
		if key = l.Key; key == 0 {
			key = s.Last + 1
		}
		s.Last = max(s.Last, key)
		l.Key = key
		i, ok := s.search(key)
		if !ok {
			s.Leases = slices.Insert(s.Leases, i, storedLease{})
		}
		s.Leases[i] = storedLease(l)
	})
	if err != nil {
		return 0, fmt.Errorf("store instance %q: %w", l.ID, err)
	}
	return key, nil
}

// RemoveLease removes a lease. It is no error if there is none with that key.
// When it returns nil that is on disk.
func (r *Repository) RemoveLease(key uint64) error {
	leases, err := r.Leases()
	if err == nil && slices.ContainsFunc(leases, func(l Lease) bool { return l.Key == key }) {
		err = r.changeLeases(func(s *storedLeases) {
			if i, ok := s.search(key); ok {
				s.Leases = slices.Delete(s.Leases, i, i+1)
			}
		})
	}
	if err != nil {
		return fmt.Errorf("remove instance %d: %w", key, err)
	}
	return nil
}

// Leases returns all leases in the order of their keys, which is that in which
// they were first stored.
func (r *Repository) Leases() (leases []Lease, err error) {
	err = r.view(func(tx *bolt.Tx) error {
		s, err := r.leases(tx)
		for _, l := range s.Leases {
			leases = append(leases, Lease(l))
		}
		return err
	})
	return leases, err
}

func (s *storedLeases) search(key uint64) (int, bool) {
	return slices.BinarySearchFunc(s.Leases, key, func(l storedLease, key uint64) int { return cmp.Compare(l.Key, key) })
}

// changeLeases stores what fn makes of all leases, as one value: there are few.
func (r *Repository) changeLeases(fn func(*storedLeases)) error {
	return r.update(func(tx *bolt.Tx) error {
		s, err := r.leases(tx)
		if err != nil {
			return err
		}
		fn(&s)
		return r.changeCatalog(tx, func(c *catalog) error { return putLeases(tx, c, s) })
	})
}

func putLeases(tx *bolt.Tx, c *catalog, s storedLeases) error {
	value, err := json.Marshal(s)
	if err == nil {
		err = tx.Bucket(bucketInstances).Put(keyLeases, value)
	}
	if err != nil {
		return fmt.Errorf("instances: %w", err)
	}
	c.leases = refer(placeLeases, value)
	return nil
}

// leases returns all leases.
func (r *Repository) leases(tx *bolt.Tx) (s storedLeases, err error) {
	c, err := r.catalog(tx)
	if err != nil || !c.leases.there {
		return s, err
	}
	b := tx.Bucket(bucketInstances)
	if err := r.verifyOnce(tx, "instances", b, true); err != nil {
		return s, err
	}
	value := b.Get(keyLeases)
	if err = c.leases.check(placeLeases, value); err == nil {
		err = json.Unmarshal(value, &s)
	}
	if err != nil {
		return s, r.damaged("%v", err)
	}
	last := uint64(0)
	for _, l := range s.Leases {
		if l.Key <= last || l.Key > s.Last {
			return s, r.damaged("instance %d is out of order", l.Key)
		}
		last = l.Key
	}
	return s, nil
}
