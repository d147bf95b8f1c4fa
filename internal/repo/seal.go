package repo

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// bbolt's pages have no checksums: a bit that flips in a key or in a page's number
// has it find nothing, or something else. So nothing in the file is believed
// because it was found: whatever has to be there is named, with its checksum, by
// something that was checked before. See catalog.

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum is that of a value at its place: the same value elsewhere has another.
func checksum(place string, value []byte) uint32 {
	return crc32.Update(crc32.Checksum([]byte(place+"\x00"), castagnoli), castagnoli, value)
}

// seal appends to a value its checksum.
func seal(place string, value []byte) []byte {
	return binary.BigEndian.AppendUint32(value, checksum(place, value))
}

// unseal returns the value that was sealed at that place; it is shared.
func unseal(place string, sealed []byte) ([]byte, error) {
	n := len(sealed) - 4
	switch {
	case sealed == nil:
		return nil, errors.New(place + ": missing")
	case n < 0 || binary.BigEndian.Uint32(sealed[n:]) != checksum(place, sealed[:n]):
		return nil, errors.New(place + ": wrong checksum")
	}
	return sealed[:n:n], nil
}

// reference is what names a value that has to be somewhere. The zero one says that
// there is none.
type reference struct {
	there bool
	sum   uint32
}

func refer(place string, value []byte) reference { return reference{true, checksum(place, value)} }

// check reports what is wrong with the value that was found, which may be nil.
func (r reference) check(place string, value []byte) error {
	switch {
	case !r.there:
		return nil
	case value == nil:
		return errors.New(place + ": missing")
	case checksum(place, value) != r.sum:
		return errors.New(place + ": wrong checksum")
	}
	return nil
}

// append appends the reference in its stored form: a byte, 1 if there is
// something, and then the checksum.
func (r reference) append(dst []byte) []byte {
	if !r.there {
		return append(dst, 0)
	}
	return binary.BigEndian.AppendUint32(append(dst, 1), r.sum)
}

func (d *decoder) reference() (r reference) {
	switch d.byte() {
	case 0:
	case 1:
		r = reference{true, d.uint32()}
	default:
		d.bad = true
	}
	return r
}

func (d *decoder) uint32() uint32 {
	b := d.take(4)
	if b == nil {
		return 0
	}
	return binary.BigEndian.Uint32(b)
}
