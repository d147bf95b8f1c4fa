package repo

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"

	bolt "go.etcd.io/bbolt"
)

// longName is the length from which on a test id's hash stands in for it as a
// key: bbolt's keys are limited, and long ones make a bad tree.
const longName = 512

// nameKey returns the key under which the number of a test id is stored.
func nameKey(id string) []byte {
	if len(id) <= longName {
		return append([]byte{0}, id...)
	}
	sum := sha256.Sum256([]byte(id))
	return append([]byte{1}, sum[:]...)
}

// numbers are the numbers of test ids. No test has the number 0.
type numbers map[string]uint64

// number returns the numbers of ids, and gives new ones to those that have
// none, if the transaction can write. It sorts ids.
func (r *Repository) number(tx *bolt.Tx, ids []string) (numbers, error) {
	names, err := r.numbers(tx)
	if err != nil {
		return nil, err
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	found := make(numbers, len(ids))
	var missing []string
	c := names.Cursor()
	var key, v []byte
	for _, id := range ids {
		want := nameKey(id)
		if key != nil { // the next one is it, more often than not
			key, v = c.Next()
		}
		if !bytes.Equal(key, want) {
			key, v = c.Seek(want)
		}
		switch {
		case !bytes.Equal(key, want):
			missing = append(missing, id)
		case len(v) != 8:
			return nil, r.damaged("the number of a test has %d bytes", len(v))
		default:
			found[id] = binary.BigEndian.Uint64(v)
		}
	}
	if len(missing) == 0 || !tx.Writable() {
		return found, nil
	}
	return found, r.addNames(tx, missing, found)
}

// addNames numbers new ids. Sorted and in one go, as they are, they cost a
// tenth of what they would one by one.
func (r *Repository) addNames(tx *bolt.Tx, ids []string, found numbers) error {
	byNumber, err := r.ids(tx)
	if err != nil {
		return err
	}
	names := tx.Bucket(bucketNames)
	names.FillPercent, byNumber.FillPercent = 0.9, 1
	last, err := lastNumber(byNumber)
	if err != nil {
		return r.damaged("%v", err)
	}
	for _, id := range ids {
		last++
		number := be64(last)
		if err := errors.Join(names.Put(nameKey(id), number), byNumber.Put(number, []byte(id))); err != nil {
			return err
		}
		found[id] = last
	}
	return nil
}

// lastNumber returns the highest number that a test has, or 0.
func lastNumber(byNumber *bolt.Bucket) (uint64, error) {
	key, _ := byNumber.Cursor().Last()
	switch {
	case key == nil:
		return 0, nil
	case len(key) != 8:
		return 0, errors.New("a test's number isn't one")
	}
	return binary.BigEndian.Uint64(key), nil
}

// names returns the test ids with the given numbers, in their order.
func (r *Repository) names(tx *bolt.Tx, wanted []uint64) ([]string, error) {
	byNumber, err := r.ids(tx)
	if err != nil {
		return nil, err
	}
	order := make([]int, len(wanted))
	for i := range order {
		order[i] = i
	}
	if !slices.IsSorted(wanted) {
		slices.SortFunc(order, func(a, b int) int { return cmp.Compare(wanted[a], wanted[b]) })
	}
	ids := make([]string, len(wanted))
	c := byNumber.Cursor()
	var key, value []byte
	want := make([]byte, 8)
	for n, i := range order {
		binary.BigEndian.PutUint64(want, wanted[i])
		// The next key is the one, more often than not.
		if n > 0 && key != nil && !bytes.Equal(key, want) {
			key, value = c.Next()
		}
		if !bytes.Equal(key, want) {
			key, value = c.Seek(want)
		}
		if !bytes.Equal(key, want) {
			return nil, r.damaged("no test has the number %d", wanted[i])
		}
		ids[i] = string(value)
	}
	return ids, nil
}
