package repo

import (
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// verify looks at the pages of the root and of the named top-level buckets,
// once for as long as the repository is open: what is written meanwhile is our
// own. Runs are not looked into: see verifyRun.
func (r *Repository) verify(tx *bolt.Tx, names ...[]byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.verified[""] {
		if err := r.verifyRoot(tx); err != nil {
			return r.damaged("%v", err)
		}
		r.verified[""] = true
	}
	for _, name := range names {
		if r.verified[string(name)] {
			continue
		}
		b := tx.Bucket(name)
		if b == nil {
			return r.damaged("it has no bucket %s", name)
		}
		switch string(name) {
		case string(bucketCatalog), string(bucketInfos), string(bucketIDs), string(bucketHistory), string(bucketInstances):
			continue // looked at when they are used
		}
		if err := r.verifyBucket(tx, b, string(name) != string(bucketRuns)); err != nil {
			return r.damaged("bucket %s: %v", name, err)
		}
		r.verified[string(name)] = true
	}
	return nil
}

// verifyOnce looks at the pages of a bucket, and of the buckets in it if deep
// says so, and remembers that under the name what.
func (r *Repository) verifyOnce(tx *bolt.Tx, what string, b *bolt.Bucket, deep bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.verified[what] {
		return nil
	}
	if b == nil {
		return r.damaged("it has no bucket %s", what)
	}
	if err := r.verifyBucket(tx, b, deep); err != nil {
		return r.damaged("bucket %s: %v", what, err)
	}
	r.verified[what] = true
	return nil
}

// trust notes that the pages of a run are our own.
func (r *Repository) trust(id int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, what := range []string{"", "/events", "/tests"} {
		r.verified[fmt.Sprintf("runs/%d%s", id, what)] = true
	}
}

func (r *Repository) verifyBucket(tx *bolt.Tx, b *bolt.Bucket, deep bool) error {
	root := uint64(b.Root())
	if root == 0 {
		return nil
	}
	p := newPages(r, tx)
	p.block = r.block[:0]
	defer func() { r.block = p.block }()
	if deep {
		return p.deep(root, 0)
	}
	_, err := p.walk(root, 0)
	return err
}

func (r *Repository) verifyRoot(tx *bolt.Tx) error {
	if err := r.verifySize(tx); err != nil {
		return err
	}
	p := newPages(r, tx)
	root, _, err := p.meta(tx)
	if err == nil {
		err = p.bothMetas()
	}
	if err == nil {
		_, err = p.walk(root, 0)
	}
	return err
}

func (r *Repository) verifySize(tx *bolt.Tx) error {
	info, err := r.file.Stat()
	if err != nil {
		return err
	}
	if info.Size() < tx.Size() {
		return fmt.Errorf("%d of its %d bytes are missing", tx.Size()-info.Size(), tx.Size())
	}
	return nil
}
