package repo

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	bolt "go.etcd.io/bbolt"
)

// What stands in a run's bucket.
var (
	keyTail      = []byte("tail")
	keyProgress  = []byte("progress")
	keyParts     = []byte("parts")
	bucketEvents = []byte("events")
	bucketTests  = []byte("tests")
)

// run returns the bucket of a run. Its own pages are verified, those of the
// buckets in it are not: see part.
func (r *Repository) run(tx *bolt.Tx, id int) (*bolt.Bucket, error) {
	c, err := r.catalog(tx)
	if err != nil {
		return nil, err
	}
	if _, ok := c.run(id); !ok {
		return nil, fmt.Errorf("run %d: %w", id, ErrNoRun)
	}
	b := tx.Bucket(bucketRuns).Bucket(be64(uint64(id)))
	return b, r.verifyOnce(tx, fmt.Sprintf("runs/%d", id), b, false)
}

// part returns one of the buckets of a run, its pages verified.
func (r *Repository) part(tx *bolt.Tx, id int, name []byte) (*bolt.Bucket, error) {
	run, err := r.run(tx, id)
	if err != nil {
		return nil, err
	}
	b := run.Bucket(name)
	return b, r.verifyOnce(tx, fmt.Sprintf("runs/%d/%s", id, name), b, true)
}

// parts says what there is of a run that is over, beside its description.
type parts struct {
	chunks  []chunkRef
	columns map[string][]uint32 // checksums of the blocks of columns, by profile
}

// chunkRef names a chunk.
type chunkRef struct {
	first uint64 // number of its first event
	sum   uint32
	size  int // of the stored form; 0 in what was read of parts
}

func referChunk(run int, first uint64, value []byte) chunkRef {
	return chunkRef{first, checksum(placeOfChunk(run, first), value), len(value)}
}

func placeOfChunk(run int, first uint64) string {
	return "run " + strconv.Itoa(run) + " event " + strconv.FormatUint(first, 10)
}

func placeOfColumns(run int, profile string, block int) string {
	return "run " + strconv.Itoa(run) + " tests " + strconv.Itoa(block) + " of " + profile
}

func placeOfParts(run int) string { return "parts of run " + strconv.Itoa(run) }

func (p *parts) encode(run int) []byte {
	dst := binary.AppendUvarint(nil, uint64(len(p.chunks)))
	last := uint64(0)
	for _, c := range p.chunks {
		dst = binary.AppendUvarint(dst, c.first-last)
		dst = binary.BigEndian.AppendUint32(dst, c.sum)
		last = c.first
	}
	dst = binary.AppendUvarint(dst, uint64(len(p.columns)))
	for _, profile := range slices.Sorted(maps.Keys(p.columns)) {
		dst = appendString(dst, profile)
		dst = binary.AppendUvarint(dst, uint64(len(p.columns[profile])))
		for _, sum := range p.columns[profile] {
			dst = binary.BigEndian.AppendUint32(dst, sum)
		}
	}
	return seal(placeOfParts(run), dst)
}

func decodeParts(run int, value []byte) (*parts, error) {
	raw, err := unseal(placeOfParts(run), value)
	if err != nil {
		return nil, err
	}
	d := decoder{b: raw}
	p := &parts{columns: map[string][]uint32{}}
	last := uint64(0)
	for n := d.length(); n > 0 && !d.bad; n-- {
		last += d.uvarint()
		p.chunks = append(p.chunks, chunkRef{first: last, sum: d.uint32()})
	}
	for n := d.length(); n > 0 && !d.bad; n-- {
		profile := d.string()
		sums := make([]uint32, d.length())
		for i := range sums {
			sums[i] = d.uint32()
		}
		p.columns[profile] = sums
	}
	if d.bad || len(d.b) > 0 {
		return nil, errors.New(placeOfParts(run) + ": can't be read")
	}
	return p, nil
}

// parts returns what there is of a run, or nil of one that goes on.
func (r *Repository) parts(tx *bolt.Tx, info *RunInfo) (*parts, error) {
	if info.State == Running {
		return nil, nil
	}
	run, err := r.run(tx, info.ID)
	if err != nil {
		return nil, err
	}
	p, err := decodeParts(info.ID, run.Get(keyParts))
	if err != nil {
		return nil, r.damaged("%v", err)
	}
	return p, nil
}

// chunkRef returns the reference to the chunk that has the event number next.
func (p *parts) chunkRef(next uint64) (chunkRef, bool) {
	i, ok := slices.BinarySearchFunc(p.chunks, next, func(c chunkRef, next uint64) int {
		switch {
		case c.first < next:
			return -1
		case c.first > next:
			return 1
		}
		return 0
	})
	if !ok {
		i--
	}
	if i < 0 {
		return chunkRef{}, false
	}
	return p.chunks[i], true
}

// progress says what there is of a run that goes on: what a crash leaves of it is
// no less than that.
type progress struct {
	events uint64
	chunks uint64 // that are full
	chain  uint32 // of the references to these
	tail   reference
}

// add notes that a chunk is full.
func (p *progress) add(c chunkRef) {
	p.chunks++
	b := binary.BigEndian.AppendUint32(nil, p.chain)
	b = binary.BigEndian.AppendUint64(b, c.first)
	p.chain = checksum("chain", binary.BigEndian.AppendUint32(b, c.sum))
}

func placeOfProgress(run int) string { return "progress of run " + strconv.Itoa(run) }

func (p *progress) encode(run int) []byte {
	dst := binary.AppendUvarint(nil, p.events)
	dst = binary.AppendUvarint(dst, p.chunks)
	dst = binary.BigEndian.AppendUint32(dst, p.chain)
	return seal(placeOfProgress(run), p.tail.append(dst))
}

func decodeProgress(run int, value []byte) (*progress, error) {
	raw, err := unseal(placeOfProgress(run), value)
	if err != nil {
		return nil, err
	}
	d := decoder{b: raw}
	p := &progress{events: d.uvarint(), chunks: d.uvarint(), chain: d.uint32(), tail: d.reference()}
	if d.bad || len(d.b) > 0 {
		return nil, errors.New(placeOfProgress(run) + ": can't be read")
	}
	return p, nil
}

// progress returns what there is of a run that goes on.
func (r *Repository) progress(tx *bolt.Tx, id int) (*progress, error) {
	run, err := r.run(tx, id)
	if err != nil {
		return nil, err
	}
	p, err := decodeProgress(id, run.Get(keyProgress))
	if err != nil {
		return nil, r.damaged("%v", err)
	}
	return p, nil
}
