package repo

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// maxRaw is the most that a stored value may unpack to: the largest packet, or
// a block of columns, and then some. It bounds what a hostile file can make us
// allocate.
const maxRaw = 64 << 20

// codec packs values: a length, then one zstd frame with a checksum. Its
// methods may be called by several goroutines. It has none itself, so nobody closes
// it: who has a value from before the repository was closed may still unpack that.
type codec struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
	raw sync.Pool // *[]byte: what unpackFor unpacks to
}

func newCodec() *codec {
	// The options are constants that zstd accepts; it has no other errors here.
	enc, _ := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(256<<10), zstd.WithLowerEncoderMem(true))
	dec, _ := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxRaw),
		zstd.WithDecodeAllCapLimit(true))
	return &codec{enc: enc, dec: dec}
}

// pack appends the packed form of raw to dst.
func (c *codec) pack(dst, raw []byte) []byte {
	dst = slices.Grow(dst, len(raw)/6+64) // what it takes, as a rule
	dst = binary.AppendUvarint(dst, uint64(len(raw)))
	return c.enc.EncodeAll(raw, dst)
}

// unpack returns what pack was given, in the memory of dst if that is enough, or
// an error if b isn't exactly what pack made of it.
func (c *codec) unpack(b, dst []byte) ([]byte, error) {
	size, n := binary.Uvarint(b)
	if n <= 0 || size > maxRaw {
		return nil, errors.New("packed value: bad length")
	}
	if uint64(cap(dst)) < size {
		dst = make([]byte, 0, size)
	}
	raw, err := c.dec.DecodeAll(b[n:], dst[:0])
	if err != nil {
		return nil, fmt.Errorf("packed value: %w", err)
	}
	if uint64(len(raw)) != size {
		return nil, errors.New("packed value: shorter than it says")
	}
	return raw, nil
}

// unpackFor has use look at what pack was given. It is in memory that is used again
// afterwards.
func (c *codec) unpackFor(b []byte, use func(raw []byte) error) error {
	buf, _ := c.raw.Get().(*[]byte)
	if buf == nil {
		buf = new([]byte)
	}
	defer c.raw.Put(buf)
	raw, err := c.unpack(b, *buf)
	if err != nil {
		return err
	}
	*buf = raw
	return use(raw)
}
