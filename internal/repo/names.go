package repo

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	bolt "go.etcd.io/bbolt"
)

// A block of ids is closed when it has this many, or this much of them.
const (
	blockIDs   = 512
	blockBytes = 256 << 10
)

// numbers are the numbers of test ids. No test has the number 0.
type numbers map[string]uint64

// idCache is what was read of ids. It may be used by several goroutines.
type idCache struct {
	mu     sync.Mutex
	blocks map[uint64]idBlock // by the number of the first; guarded by mu
	known  numbers            // of all ids, or nil; guarded by mu, what it has is never changed
}

// idBlock is a block of ids that was read, and the checksum behind it: a transaction that
// began before ids were added to the block still sees it without them.
type idBlock struct {
	sum [4]byte
	ids []string
}

// forget has everything read again: ids were added, or nobody knows whether.
func (c *idCache) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.blocks, c.known = nil, nil
}

func (c *idCache) know(known numbers) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known = known
}

// block returns what was read of this very value before, or nil.
func (c *idCache) block(first uint64, value []byte) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if b := c.blocks[first]; b.ids != nil && bytes.HasSuffix(value, b.sum[:]) {
		return b.ids
	}
	return nil
}

// keep keeps what was read of a value, which has its checksum.
func (c *idCache) keep(first uint64, value []byte, ids []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.blocks == nil {
		c.blocks = map[uint64]idBlock{}
	}
	c.blocks[first] = idBlock{[4]byte(value[len(value)-4:]), ids}
}

// number returns the numbers of ids, in the order of these, and gives new ones to
// those that have none, if the transaction can write: else they are 0. c is the
// catalog that it will store.
func (r *Repository) number(tx *bolt.Tx, c *catalog, ids []string) ([]uint64, error) {
	known, err := r.numbers(tx, c)
	if err != nil {
		return nil, err
	}
	all := make([]uint64, len(ids))
	var missing []int // their places
	for i, id := range ids {
		if all[i] = known[id]; all[i] == 0 {
			missing = append(missing, i)
		}
	}
	if len(missing) == 0 || !tx.Writable() {
		return all, nil
	}
	// Neighbours in the order of the ids have much in common.
	slices.SortFunc(missing, func(a, b int) int { return strings.Compare(ids[a], ids[b]) })
	var added []string
	for n, i := range missing {
		if n == 0 || ids[i] != ids[missing[n-1]] {
			added = append(added, ids[i])
		}
		all[i] = c.tests + uint64(len(added))
	}
	r.ids.forget()
	return all, r.addIDs(tx, c, added)
}

// warmIDs reads the numbers of all ids, in a goroutine of its own, for the end of the
// run: then everybody waits. It is over when the channel is closed. What goes wrong shows then.
func (r *Repository) warmIDs() (done <-chan struct{}) {
	read := make(chan struct{})
	go func() {
		defer close(read)
		_ = r.view(func(tx *bolt.Tx) error {
			c, err := r.catalog(tx)
			if err == nil {
				_, err = r.numbers(tx, c)
			}
			return err
		})
	}()
	return read
}

// numbers returns the numbers of all ids; nobody may change them.
func (r *Repository) numbers(tx *bolt.Tx, c *catalog) (numbers, error) {
	r.ids.mu.Lock()
	known := r.ids.known
	r.ids.mu.Unlock()
	if known != nil && uint64(len(known)) >= c.tests {
		return known, nil
	}
	known = make(numbers, min(c.tests, 1<<20))
	for next := uint64(1); next <= c.tests; {
		first, ids, err := r.blockOf(tx, next)
		if err != nil {
			return nil, err
		}
		for i, id := range ids {
			known[id] = first + uint64(i)
		}
		next = first + uint64(len(ids))
	}
	if uint64(len(known)) != c.tests {
		return nil, r.damaged("%d tests have ids, and there are %d", len(known), c.tests)
	}
	r.ids.know(known)
	return known, nil
}

// addIDs gives the next numbers to ids that have none, which are in order.
func (r *Repository) addIDs(tx *bolt.Tx, c *catalog, added []string) error {
	first, block, size := c.tests+1, []string(nil), 0
	if c.tests > 0 {
		last, ids, err := r.blockOf(tx, c.tests)
		if err != nil {
			return err
		}
		for _, id := range ids {
			size += len(id)
		}
		if len(ids) < blockIDs && size < blockBytes {
			first, block = last, slices.Clone(ids)
		} else {
			size = 0
		}
	}
	b := tx.Bucket(bucketIDs)
	b.FillPercent = 1
	put := func() error {
		if err := b.Put(be64(first), r.encodeIDs(first, block)); err != nil {
			return fmt.Errorf("ids of tests: %w", err)
		}
		return nil
	}
	for _, id := range added {
		if len(id) > maxEvent { // no event has it, and nobody could unpack it
			return fmt.Errorf("the id of a test has %d bytes: %w", len(id), errors.ErrUnsupported)
		}
		if len(block) >= blockIDs || size >= blockBytes {
			if err := put(); err != nil {
				return err
			}
			first, block, size = first+uint64(len(block)), block[:0], 0
		}
		c.tests++
		block, size = append(block, id), size+len(id)
	}
	return put()
}

func placeOfIDs(first uint64) string { return "ids " + strconv.FormatUint(first, 10) }

func (r *Repository) encodeIDs(first uint64, ids []string) []byte {
	raw := binary.AppendUvarint(nil, uint64(len(ids)))
	for _, id := range ids {
		raw = appendString(raw, id)
	}
	return seal(placeOfIDs(first), r.codec.pack(nil, raw))
}

func (r *Repository) decodeIDs(first uint64, value []byte) ([]string, error) {
	packed, err := unseal(placeOfIDs(first), value)
	if err != nil {
		return nil, r.damaged("%v", err)
	}
	var ids []string
	if err := r.codec.unpackFor(packed, func(raw []byte) (err error) {
		ids, err = readIDs(raw)
		return err
	}); err != nil {
		return nil, r.damaged("%s: %v", placeOfIDs(first), err)
	}
	return ids, nil
}

// readIDs reads the ids of a block. They share one text: who keeps one keeps all.
func readIDs(raw []byte) ([]string, error) {
	d := decoder{b: raw}
	ids := make([]string, min(d.length(), blockIDs+1))
	text := string(raw)
	for i := range ids {
		id := d.bytes()
		end := len(raw) - len(d.b)
		ids[i] = text[end-len(id) : end]
	}
	if d.bad || len(d.b) > 0 || len(ids) == 0 || len(ids) > blockIDs {
		return nil, errors.New("can't be read")
	}
	return ids, nil
}

// blockOf returns the block that has the id of a number, and the number of its
// first one.
func (r *Repository) blockOf(tx *bolt.Tx, number uint64) (first uint64, ids []string, err error) {
	b := tx.Bucket(bucketIDs)
	if err := r.verifyOnce(tx, "ids", b, true); err != nil {
		return 0, nil, err
	}
	c := b.Cursor()
	key, value := c.Seek(be64(number))
	switch {
	case key == nil:
		key, value = c.Last()
	case !bytes.Equal(key, be64(number)):
		key, value = c.Prev()
	}
	if len(key) != 8 {
		return 0, nil, r.damaged("no test has the number %d", number)
	}
	first = binary.BigEndian.Uint64(key)
	if ids = r.ids.block(first, value); ids == nil {
		if ids, err = r.decodeIDs(first, value); err != nil {
			return 0, nil, err
		}
		if !tx.Writable() {
			r.ids.keep(first, value, ids)
		}
	}
	if number < first || number-first >= uint64(len(ids)) {
		return 0, nil, r.damaged("no test has the number %d", number)
	}
	return first, ids, nil
}

// names returns the test ids with the given numbers, in their order.
func (r *Repository) names(tx *bolt.Tx, wanted []uint64) ([]string, error) {
	names := make([]string, len(wanted))
	var first uint64
	var ids []string
	for i, number := range wanted {
		if number < first || number-first >= uint64(len(ids)) {
			var err error
			if first, ids, err = r.blockOf(tx, number); err != nil {
				return nil, err
			}
		}
		names[i] = ids[number-first]
	}
	return names, nil
}
