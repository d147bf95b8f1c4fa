package repo

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
)

// place is where a value stands: the buckets, and its key.
type place [][]byte

// places are those of all values below a bucket.
func places(b *bolt.Bucket, above place) (all []place) {
	_ = b.ForEach(func(k, v []byte) error {
		at := append(append(place{}, above...), bytes.Clone(k))
		if v == nil {
			all = append(all, places(b.Bucket(k), at)...)
		} else {
			all = append(all, at)
		}
		return nil
	})
	return all
}

// S20: a value in which one bit is another one is seen by Check, wherever it
// stands, although the pages around it are sound.
func TestChangedBytes(t *testing.T) {
	good := sample(t, false)
	var all []place
	err := eachTop(dirWith(t, good), func(name []byte, b *bolt.Bucket) error {
		all = append(all, places(b, place{bytes.Clone(name)})...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for i, at := range all {
		if string(at[0]) == string(bucketMeta) && string(at[len(at)-1]) == string(keyFormat) {
			continue // another format: see TestNotARepository
		}
		if seen[string(at[0])]++; seen[string(at[0])] > 8 {
			continue
		}
		dir := dirWith(t, good)
		err := eachTop(dir, func(name []byte, b *bolt.Bucket) error {
			if !bytes.Equal(name, at[0]) {
				return nil
			}
			for _, key := range at[1 : len(at)-1] {
				b = b.Bucket(key)
			}
			v := bytes.Clone(b.Get(at[len(at)-1]))
			if len(v) == 0 {
				return nil
			}
			v[(i*7919+len(v)/2)%len(v)] ^= 1
			return b.Put(at[len(at)-1], v)
		})
		if err != nil {
			t.Fatal(err)
		}
		r, err := Open(dir)
		if err == nil {
			err = r.Check(t.Context())
			closeRepo(t, r)
		}
		if _, ok := errors.AsType[*DamagedError](err); !ok {
			t.Errorf("a bit of %q: got %v; want a *DamagedError", at, err)
		}
	}
	t.Logf("values changed, by bucket: %v", seen)
}

// eachTop calls f for the buckets at the top, in one transaction.
func eachTop(dir string, f func(name []byte, b *bolt.Bucket) error) error {
	db, err := bolt.Open(filepath.Join(dir, DirName, FileName), 0o600, nil)
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bolt.Tx) error { return tx.ForEach(f) })
	return errors.Join(err, db.Close())
}

// F16, finding 2: a read transaction that somebody keeps open holds up no commit,
// however much the file grows meanwhile, and no reader that comes later.
func TestReaderHoldsUpNobody(t *testing.T) {
	r := newRepo(t)
	tx, err := r.db.Begin(false)
	if err != nil {
		t.Fatal(err)
	}
	stored := make(chan error, 1)
	go func() { stored <- grow(r) }()
	select {
	case err = <-stored:
		err = errors.Join(err, tx.Rollback())
	case <-time.After(20 * time.Second):
		t.Error("a reader held up a commit")
		err = errors.Join(tx.Rollback(), <-stored)
	}
	if err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(r.path); err != nil || info.Size() < 16<<20 {
		t.Errorf("got a file of %d bytes, %v; want a large one, or this shows nothing", info.Size(), err)
	}
}

// grow stores a run that makes the file large, and reads meanwhile.
func grow(r *Repository) error {
	w, err := r.Begin(RunInfo{})
	for i := 0; i < 300 && err == nil; i++ {
		if err = w.Event(file("test", "log", noise(100<<10))); err == nil {
			_, err = r.Run(w.ID())
		}
	}
	if err == nil {
		_, err = w.Close(End{State: Finished})
	}
	return err
}
