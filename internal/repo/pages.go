package repo

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"

	bolt "go.etcd.io/bbolt"
)

// bbolt trusts its file: a page that has itself below it sends it into a
// recursion that ends the process, and no recover helps. So the pages of
// whatever is used are looked at before, with bounds on everything. This reads
// bbolt's layout: a header of id, flags, count and overflow, then elements of
// 16 bytes that point at keys and values behind them.
const (
	pageHead = 16
	elemSize = 16

	flagBranch   = 0x01
	flagLeaf     = 0x02
	flagFreelist = 0x10
	flagBucket   = 0x01 // of a leaf's element: its value is a bucket

	metaSize = 64 // with its checksum, the last 8 bytes

	bucketHead = 16 // root page, sequence; an inline bucket's page follows

	maxDepth = 48 // of pages and buckets in each other; a sound file stays below 20
)

// pages walks over a file's pages. Every page may be met once.
type pages struct {
	file  io.ReaderAt
	size  int
	limit uint64   // first page behind the last
	seen  []uint64 // a bit a page
	used  uint64   // bits set

	// Pages that follow each other in a tree follow each other in the file, as
	// a rule: several are read at a time, where they do.
	block []byte
	at    int64 // of block
}

// blockSize is how much is read at a time.
const blockSize = 64 << 10

// page is the head of a page and its table of elements.
type page struct {
	id       uint64
	flags    uint16
	count    int
	overflow uint64
	extent   uint64 // bytes, with its overflow pages
	table    []byte // from the page's start to the table's end at least; good until the next read
}

// bucketRef is a bucket that a leaf holds; root is 0 if it is inline.
type bucketRef struct {
	key  string
	root uint64
}

func newPages(r *Repository, tx *bolt.Tx) *pages {
	size := r.db.Info().PageSize
	limit := uint64(tx.Size()) / uint64(size)
	if info, err := r.file.Stat(); err == nil {
		limit = min(limit, uint64(info.Size())/uint64(size))
	}
	return &pages{file: r.file, size: size, limit: limit, seen: make([]uint64, limit/64+1)}
}

// use notes that pages are used, and reports whether none of them was before.
func (p *pages) use(id, n uint64) bool {
	for ; n > 0; id, n = id+1, n-1 {
		bit := uint64(1) << (id % 64)
		if p.seen[id/64]&bit != 0 {
			return false
		}
		p.seen[id/64] |= bit
		p.used++
	}
	return true
}

// bytes returns n bytes of the file from at on. They are good until the next call.
func (p *pages) bytes(at int64, n int) ([]byte, error) {
	if off := at - p.at; off >= 0 && off+int64(n) <= int64(len(p.block)) {
		return p.block[off : off+int64(n)], nil
	}
	if cap(p.block) < max(n, blockSize) {
		p.block = make([]byte, max(n, blockSize))
	}
	want := n
	if ahead := at - p.at; ahead >= 0 && ahead < 2*blockSize {
		want = max(n, blockSize)
	}
	got, err := p.file.ReadAt(p.block[:want], at)
	p.at, p.block = at, p.block[:got]
	if got < n {
		return nil, err
	}
	return p.block[:n], nil
}

// read reads a page's head and table.
func (p *pages) read(id uint64) (*page, error) {
	if id < 2 || id >= p.limit {
		return nil, fmt.Errorf("page %d: not in the file", id)
	}
	at := int64(id) * int64(p.size)
	b, err := p.bytes(at, p.size)
	if err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	native := binary.NativeEndian
	pg := &page{id: id, flags: native.Uint16(b[8:]), count: int(native.Uint16(b[10:])),
		overflow: uint64(native.Uint32(b[12:])), table: b}
	pg.extent = (pg.overflow + 1) * uint64(p.size)
	need := pageHead + elemSize*pg.count
	switch {
	case native.Uint64(b) != id:
		return nil, fmt.Errorf("page %d: has another page's number", id)
	case id+pg.overflow >= p.limit:
		return nil, fmt.Errorf("page %d: reaches beyond the file", id)
	case pg.flags == flagFreelist:
		return pg, nil
	case uint64(need) > pg.extent:
		return nil, fmt.Errorf("page %d: more elements than room", id)
	}
	if need > p.size {
		if pg.table, err = p.bytes(at, need); err != nil {
			return nil, fmt.Errorf("page %d: %w", id, err)
		}
	}
	return pg, nil
}

// walk visits the tree whose root is the page id and returns the buckets in it.
func (p *pages) walk(id uint64, depth int) ([]bucketRef, error) {
	pg, err := p.read(id)
	if err != nil {
		return nil, err
	}
	if !p.use(id, pg.overflow+1) {
		return nil, fmt.Errorf("page %d: used twice", id)
	}
	if depth > maxDepth {
		return nil, fmt.Errorf("page %d: too deep", id)
	}
	switch pg.flags {
	case flagLeaf:
		return p.leaf(pg)
	case flagBranch:
		return p.branch(pg, depth)
	}
	return nil, fmt.Errorf("page %d: neither branch nor leaf", id)
}

func (p *pages) branch(pg *page, depth int) ([]bucketRef, error) {
	var found []bucketRef
	if pg.count == 0 {
		return nil, fmt.Errorf("page %d: a branch without pages", pg.id)
	}
	table := bytes.Clone(pg.table)
	for i := range pg.count {
		at := pageHead + elemSize*i
		e := table[at : at+elemSize]
		pos, ksize := binary.NativeEndian.Uint32(e), binary.NativeEndian.Uint32(e[4:])
		if uint64(at)+uint64(pos)+uint64(ksize) > pg.extent || ksize == 0 {
			return nil, fmt.Errorf("page %d: a key outside of the page", pg.id)
		}
		below, err := p.walk(binary.NativeEndian.Uint64(e[8:]), depth+1)
		if err != nil {
			return nil, err
		}
		found = append(found, below...)
	}
	return found, nil
}

func (p *pages) leaf(pg *page) ([]bucketRef, error) {
	var held [][3]uint64
	for i := range pg.count {
		flags, key, value, size, err := leafElement(pg.table, pageHead+elemSize*i, pg.extent)
		if err != nil {
			return nil, fmt.Errorf("page %d: %w", pg.id, err)
		}
		if flags&flagBucket != 0 {
			held = append(held, [3]uint64{key, value, size})
		}
	}
	var found []bucketRef
	for _, h := range held {
		ref, err := p.bucket(pg, h[0], h[1], h[2])
		if err != nil {
			return nil, fmt.Errorf("page %d: %w", pg.id, err)
		}
		found = append(found, ref)
	}
	return found, nil
}

// leafElement reads the element of a leaf at offset at: where its key and value
// are, and the value's size.
func leafElement(table []byte, at int, extent uint64) (flags uint32, key, value, size uint64, err error) {
	e, native := table[at:at+elemSize], binary.NativeEndian
	key = uint64(at) + uint64(native.Uint32(e[4:]))
	value = key + uint64(native.Uint32(e[8:]))
	size = uint64(native.Uint32(e[12:]))
	if value+size > extent || value == key {
		return 0, 0, 0, 0, fmt.Errorf("element at %d: outside of the page", at)
	}
	return native.Uint32(e), key, value, size, nil
}

// bucket reads the bucket that an element of a leaf holds.
func (p *pages) bucket(pg *page, key, value, size uint64) (bucketRef, error) {
	if size < bucketHead || size > uint64(p.size)+bucketHead || value-key > 1<<15 {
		return bucketRef{}, fmt.Errorf("bucket at %d: bad size", value)
	}
	b, err := p.bytes(int64(pg.id)*int64(p.size)+int64(key), int(value-key+size))
	if err != nil {
		return bucketRef{}, fmt.Errorf("bucket at %d: %w", value, err)
	}
	ref := bucketRef{key: string(b[:value-key]), root: binary.NativeEndian.Uint64(b[value-key:])}
	if ref.root != 0 {
		return ref, nil
	}
	return ref, inline(b[value-key+bucketHead:])
}

// inline checks the page of a small bucket, which stands within a value.
func inline(b []byte) error {
	if len(b) < pageHead || binary.NativeEndian.Uint16(b[8:]) != flagLeaf {
		return fmt.Errorf("inline bucket: no leaf")
	}
	count := int(binary.NativeEndian.Uint16(b[10:]))
	if pageHead+elemSize*count > len(b) {
		return fmt.Errorf("inline bucket: more elements than room")
	}
	for i := range count {
		flags, _, _, _, err := leafElement(b, pageHead+elemSize*i, uint64(len(b)))
		if err != nil || flags&flagBucket != 0 {
			return fmt.Errorf("inline bucket: bad element")
		}
	}
	return nil
}

// deep visits the tree of a bucket and of all buckets in it.
func (p *pages) deep(root uint64, depth int) error {
	if root == 0 {
		return nil // inline: seen with the page that holds it
	}
	if depth > maxDepth {
		return fmt.Errorf("page %d: buckets too deep", root)
	}
	refs, err := p.walk(root, depth)
	for i := 0; err == nil && i < len(refs); i++ {
		err = p.deep(refs[i].root, depth+1)
	}
	return err
}

// errOvertaken says that a transaction that reads goes on, and that its meta page was
// needed for one that came two later.
var errOvertaken = errors.New("the meta page of the transaction was written over")

// meta returns the root page and the page of the free list as tx sees them. The error is
// errOvertaken where that can't be known any more.
func (p *pages) meta(tx *bolt.Tx) (root, freelist uint64, err error) {
	native, id, later := binary.NativeEndian, uint64(tx.ID()), false
	if tx.Writable() {
		id-- // what it has changed stands nowhere yet
	}
	for i := range int64(2) {
		b := make([]byte, 80)
		if _, err := p.file.ReadAt(b, i*int64(p.size)); err != nil {
			return 0, 0, fmt.Errorf("page %d: %w", i, err)
		}
		if b = b[pageHead:]; native.Uint64(b[48:]) == id {
			return native.Uint64(b[16:]), native.Uint64(b[32:]), nil
		}
		later = later || native.Uint64(b[48:]) > id
	}
	if later {
		return 0, 0, errOvertaken
	}
	return 0, 0, fmt.Errorf("neither meta page is that of transaction %d", id)
}

// bothMetas checks bbolt's two meta pages. Where the one that was written last is
// damaged bbolt takes the other, which knows nothing of the last commit; nothing
// but damage has that come about, since a sector is written as a whole.
func (p *pages) bothMetas() error {
	for i := range int64(2) {
		b := make([]byte, pageHead+metaSize)
		if _, err := p.file.ReadAt(b, i*int64(p.size)); err != nil {
			return fmt.Errorf("page %d: %w", i, err)
		}
		b = b[pageHead:]
		h := fnv.New64a()
		_, _ = h.Write(b[:metaSize-8])
		if binary.NativeEndian.Uint64(b[metaSize-8:]) != h.Sum64() {
			return fmt.Errorf("meta page %d: wrong checksum", i)
		}
	}
	return nil
}

// free returns the pages in the free list.
func (p *pages) free(id uint64) ([]uint64, error) {
	pg, err := p.read(id)
	if err != nil {
		return nil, err
	}
	if pg.flags != flagFreelist {
		return nil, fmt.Errorf("page %d: no free list", id)
	}
	b := make([]byte, pg.extent-pageHead)
	if _, err := p.file.ReadAt(b, int64(id)*int64(p.size)+pageHead); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	count := uint64(pg.count)
	if count == 0xFFFF { // too many for its field: the first entry is the count
		count, b = binary.NativeEndian.Uint64(b), b[8:]
	}
	if count > uint64(len(b)/8) {
		return nil, fmt.Errorf("page %d: a longer free list than room", id)
	}
	free := make([]uint64, count)
	for i := range free {
		free[i] = binary.NativeEndian.Uint64(b[8*i:])
	}
	if !p.use(id, pg.overflow+1) {
		return nil, fmt.Errorf("page %d: used twice", id)
	}
	return free, nil
}
