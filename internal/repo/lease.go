package repo

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"time"

	bolt "go.etcd.io/bbolt"
)

// bucketInstances has the leases. It is not there before the first one.
var bucketInstances = []byte("instances")

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
	Section string    `json:"section,omitempty"`
	ID      string    `json:"id,omitempty"`
	Dispose string    `json:"dispose,omitempty"`
	Dir     string    `json:"dir,omitempty"`
	PID     int       `json:"pid"`
	Since   time.Time `json:"since"`
	Failure string    `json:"failure,omitempty"`
}

// encode returns the lease with a checksum behind it.
func (l *Lease) encode() ([]byte, error) {
	text, err := json.Marshal(storedLease{l.Section, l.ID, l.Dispose, l.Dir, l.PID, l.Since, l.Failure})
	if err != nil {
		return nil, err
	}
	return binary.BigEndian.AppendUint32(text, crc32.ChecksumIEEE(text)), nil
}

func decodeLease(key, value []byte) (Lease, error) {
	if len(key) != 8 || binary.BigEndian.Uint64(key) == 0 {
		return Lease{}, fmt.Errorf("an instance has the key %x", key)
	}
	number := binary.BigEndian.Uint64(key)
	n := len(value) - 4
	if n < 0 || binary.BigEndian.Uint32(value[n:]) != crc32.ChecksumIEEE(value[:n]) {
		return Lease{}, fmt.Errorf("instance %d: wrong checksum", number)
	}
	var s storedLease
	if err := json.Unmarshal(value[:n], &s); err != nil {
		return Lease{}, fmt.Errorf("instance %d: %w", number, err)
	}
	return Lease{number, s.Section, s.ID, s.Dispose, s.Dir, s.PID, s.Since, s.Failure}, nil
}

// PutLease stores a lease, in the place of the one with its key, or with a key
// that none had before if it has none. When it returns nil that is on disk. A run
// may go on meanwhile.
func (r *Repository) PutLease(l Lease) (key uint64, err error) {
	if err := r.view(func(tx *bolt.Tx) error { _, err := r.instances(tx); return err }); err != nil {
		return 0, fmt.Errorf("store instance %q: %w", l.ID, err)
	}
	err = r.update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(bucketInstances)
		if err != nil {
			return err
		}
		if key = l.Key; key == 0 {
			if key, err = r.nextLease(b); err != nil {
				return err
			}
		}
		value, err := l.encode()
		if err != nil {
			return err
		}
		return b.Put(be64(key), value)
	})
	if err != nil {
		return 0, fmt.Errorf("store instance %q: %w", l.ID, err)
	}
	return key, nil
}

// nextLease returns a key that no lease has had.
func (r *Repository) nextLease(b *bolt.Bucket) (uint64, error) {
	key, err := b.NextSequence()
	if err != nil {
		return 0, err
	}
	if last, _ := b.Cursor().Last(); bytes.Compare(be64(key), last) <= 0 {
		return 0, r.damaged("an instance has the key %x, and the next one would get %d", last, key)
	}
	return key, nil
}

// RemoveLease removes a lease. It is no error if there is none with that key.
// When it returns nil that is on disk.
func (r *Repository) RemoveLease(key uint64) error {
	known := false
	err := r.view(func(tx *bolt.Tx) error {
		b, err := r.instances(tx)
		known = b != nil && b.Get(be64(key)) != nil
		return err
	})
	if err == nil && known {
		err = r.update(func(tx *bolt.Tx) error { return tx.Bucket(bucketInstances).Delete(be64(key)) })
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
		b, err := r.instances(tx)
		if b == nil || err != nil {
			return err
		}
		err = b.ForEach(func(key, value []byte) error {
			lease, err := decodeLease(key, value)
			if err != nil {
				return r.damaged("%v", err)
			}
			leases = append(leases, lease)
			return nil
		})
		if n := len(leases); err == nil && n > 0 && leases[n-1].Key > b.Sequence() {
			err = r.damaged("instance %d is there, and the last one was %d", leases[n-1].Key, b.Sequence())
		}
		return err
	})
	return leases, err
}

// instances returns the bucket of leases, its pages verified, or nil if there is
// none.
func (r *Repository) instances(tx *bolt.Tx) (*bolt.Bucket, error) {
	b := tx.Bucket(bucketInstances)
	if b == nil {
		return nil, nil
	}
	return b, r.verifyOnce(tx, "instances", b, true)
}
