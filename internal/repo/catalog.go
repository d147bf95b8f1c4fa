package repo

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	bolt "go.etcd.io/bbolt"
)

// catalog says what there is: which runs, tests, profiles and leases. What it
// doesn't name is not there; what it names and can't be found is damage.
//
// Its own checksum stands in the bucket meta, which is so small that bbolt keeps it
// within the root page, and that one's number has a checksum in bbolt's own meta
// page. So there is a chain of checksums from there to everything.
//
// A catalog that others may have, too, is not changed: see clone.
type catalog struct {
	next     uint64 // number that the next run gets
	tests    uint64 // how many ids there are
	leases   reference
	runs     []runRef     // in order
	profiles []profileRef // in the order of their names
}

type runRef struct {
	id  int
	sum uint32 // of its description
}

// profileRef is what is known of a profile that has results.
type profileRef struct {
	name  string
	since uint64 // runs before that number don't explain the failing set any more
	runs  int    // how many cover it
	last  int    // the last of these
	tests int    // of the last full run, if there was one, else of the last
	full  bool   // there was one

	failed                   int // how many entries the failing set has
	failing, timing, listing reference
}

var (
	bucketCatalog = []byte("catalog")
	keyCatalog    = []byte("catalog")
	keyIndex      = []byte("index")
)

const placeCatalog, placeIndex = "catalog", "index"

// run returns where a run stands in the catalog, and whether it does.
func (c *catalog) run(id int) (int, bool) {
	return slices.BinarySearchFunc(c.runs, id, func(r runRef, id int) int { return r.id - id })
}

// profile returns what is known of a profile, or nil.
func (c *catalog) profile(name string) *profileRef {
	i, ok := c.searchProfile(name)
	if !ok {
		return nil
	}
	return &c.profiles[i]
}

func (c *catalog) searchProfile(name string) (int, bool) {
	return slices.BinarySearchFunc(c.profiles, name, func(p profileRef, name string) int {
		return strings.Compare(p.name, name)
	})
}

// addProfile returns what is known of a profile, for changing. It is good until
// the next call.
func (c *catalog) addProfile(name string) *profileRef {
	i, ok := c.searchProfile(name)
	if !ok {
		c.profiles = slices.Insert(c.profiles, i, profileRef{name: name, last: -1})
	}
	return &c.profiles[i]
}

// clone returns a catalog that may be changed.
func (c *catalog) clone() *catalog {
	d := *c
	d.runs, d.profiles = slices.Clone(c.runs), slices.Clone(c.profiles)
	return &d
}

func (c *catalog) encode() []byte {
	dst := binary.AppendUvarint(nil, c.next)
	dst = binary.AppendUvarint(dst, c.tests)
	dst = c.leases.append(dst)
	dst = binary.AppendUvarint(dst, uint64(len(c.runs)))
	last := -1
	for _, r := range c.runs {
		dst = binary.AppendUvarint(dst, uint64(r.id-last))
		dst = binary.BigEndian.AppendUint32(dst, r.sum)
		last = r.id
	}
	dst = binary.AppendUvarint(dst, uint64(len(c.profiles)))
	for _, p := range c.profiles {
		dst = appendString(dst, p.name)
		full := uint64(0)
		if p.full {
			full = 1
		}
		for _, n := range []uint64{p.since, uint64(p.runs), uint64(p.last + 1), uint64(p.tests), full, uint64(p.failed)} {
			dst = binary.AppendUvarint(dst, n)
		}
		for _, ref := range []reference{p.failing, p.timing, p.listing} {
			dst = ref.append(dst)
		}
	}
	return dst
}

func decodeCatalog(value []byte) (*catalog, error) {
	d := decoder{b: value}
	c := &catalog{next: d.uvarint(), tests: d.uvarint(), leases: d.reference()}
	last := -1
	for n := d.length(); n > 0 && !d.bad; n-- {
		step := d.uvarint()
		if step == 0 || step > maxRuns || last > maxRuns {
			d.bad = true
			break
		}
		last += int(step)
		c.runs = append(c.runs, runRef{last, d.uint32()})
	}
	for n := d.length(); n > 0 && !d.bad; n-- {
		p := profileRef{name: d.string(), since: d.uvarint(), runs: d.number(), last: d.number() - 1, tests: d.number(),
			full: d.number() > 0, failed: d.number(), failing: d.reference(), timing: d.reference(), listing: d.reference()}
		if k := len(c.profiles); k > 0 && c.profiles[k-1].name >= p.name {
			d.bad = true
		}
		c.profiles = append(c.profiles, p)
	}
	if d.bad || len(d.b) > 0 || c.next > maxRuns || uint64(last+1) > c.next {
		return nil, errors.New("catalog: can't be read")
	}
	return c, nil
}

// maxRuns is how many runs a repository can have, ever.
const maxRuns = 1 << 40

// number reads a value that is no larger than what there can be of anything.
func (d *decoder) number() int {
	n := d.uvarint()
	if n > maxRuns {
		d.bad = true
		return 0
	}
	return int(n)
}

// stamp is what the bucket meta says of the catalog.
type stamp struct {
	generation uint64 // how often it has changed
	sum        uint32
}

func readStamp(meta *bolt.Bucket) (s stamp, err error) {
	value, err := unseal(placeIndex, meta.Get(keyIndex))
	if err == nil && len(value) != 12 {
		err = errors.New("index: bad length")
	}
	if err != nil {
		return s, err
	}
	return stamp{binary.BigEndian.Uint64(value), binary.BigEndian.Uint32(value[8:])}, nil
}

// catalog returns the catalog as the transaction sees it. Nobody may change it.
func (r *Repository) catalog(tx *bolt.Tx) (*catalog, error) {
	now, err := readStamp(tx.Bucket(bucketMeta))
	if err != nil {
		return nil, r.damaged("%v", err)
	}
	r.mu.Lock()
	known, stamped := r.known, r.stamped
	r.mu.Unlock()
	if known != nil && stamped == now {
		return known, nil
	}
	b := tx.Bucket(bucketCatalog)
	if err := r.verifyOnce(tx, "catalog", b, true); err != nil {
		return nil, err
	}
	value := bytes.Clone(b.Get(keyCatalog))
	if err := (reference{true, now.sum}).check(placeCatalog, value); err != nil {
		return nil, r.damaged("%v", err)
	}
	c, err := decodeCatalog(value)
	if err != nil {
		return nil, r.damaged("%v", err)
	}
	if !tx.Writable() {
		r.mu.Lock()
		r.known, r.stamped = c, now
		r.mu.Unlock()
	}
	return c, nil
}

// putCatalog stores what there is from now on. A transaction may do so once.
func (r *Repository) putCatalog(tx *bolt.Tx, c *catalog) error {
	meta := tx.Bucket(bucketMeta)
	last := stamp{}
	if meta.Get(keyIndex) != nil {
		var err error
		if last, err = readStamp(meta); err != nil {
			return r.damaged("%v", err)
		}
	}
	value := c.encode()
	index := binary.BigEndian.AppendUint64(nil, last.generation+1)
	index = binary.BigEndian.AppendUint32(index, checksum(placeCatalog, value))
	if err := errors.Join(tx.Bucket(bucketCatalog).Put(keyCatalog, value),
		meta.Put(keyIndex, seal(placeIndex, index))); err != nil {
		return fmt.Errorf("catalog: %w", err)
	}
	return nil
}

// changeCatalog has fn change the catalog, in a transaction that can write.
func (r *Repository) changeCatalog(tx *bolt.Tx, fn func(c *catalog) error) error {
	c, err := r.catalog(tx)
	if err != nil {
		return err
	}
	c = c.clone()
	if err := fn(c); err != nil {
		return err
	}
	return r.putCatalog(tx, c)
}

// putState packs and stores a value of a profile and refers to it.
func (r *Repository) putState(tx *bolt.Tx, bucket []byte, profile string, raw []byte) (reference, error) {
	value := r.codec.pack(nil, raw)
	if err := tx.Bucket(bucket).Put([]byte(profile), value); err != nil {
		return reference{}, fmt.Errorf("%s of %s: %w", bucket, profile, err)
	}
	return refer(placeOf(bucket, profile), value), nil
}

// state returns a value that putState stored; nil if there is none.
func (r *Repository) state(tx *bolt.Tx, bucket []byte, profile string, ref reference) ([]byte, error) {
	if !ref.there {
		return nil, nil
	}
	b := tx.Bucket(bucket)
	if err := r.verifyOnce(tx, string(bucket), b, true); err != nil {
		return nil, err
	}
	value := b.Get([]byte(profile))
	if err := ref.check(placeOf(bucket, profile), value); err != nil {
		return nil, r.damaged("%v", err)
	}
	raw, err := r.codec.unpack(value, nil)
	if err != nil {
		return nil, r.damaged("%s: %v", placeOf(bucket, profile), err)
	}
	return raw, nil
}

func placeOf(bucket []byte, profile string) string { return string(bucket) + " " + profile }
