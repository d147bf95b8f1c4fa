package protocol

import (
	"bytes"
	"hash/crc32"
	"io"
	"testing"
	"time"
)

// smallPackets are what a test that passes brings: it begins and it ends.
func smallPackets() []*Packet {
	at := time.Unix(1700000000, 123456000).UTC()
	return []*Packet{
		{
			Has: HasTestID | HasTime, TestID: "shop.test_cart.CartTests.test_add_item",
			Status: StatusInProgress, Runnable: true, Time: at,
		},
		{
			Has: HasTestID | HasTime | HasRoute, TestID: "shop.test_cart.CartTests.test_add_item",
			Status: StatusSuccess, Runnable: true, Time: at, Route: "0/1",
		},
	}
}

func largePacket() *Packet {
	return &Packet{
		Has: HasTestID | HasFile | HasMIME, TestID: "shop.test_cart.CartTests.test_add_item",
		FileName: "log", MIMEType: "application/octet-stream", Content: noise(1 << 20), Runnable: true,
	}
}

// noise is n octets that look like nothing.
func noise(n int) []byte {
	b := make([]byte, n)
	x := uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}

// endless is a source that says the same again and again, so many octets in all.
type endless struct {
	stream []byte
	left   int
	pos    int
}

func (e *endless) Read(b []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), e.left)], e.stream[e.pos:])
	e.pos = (e.pos + n) % len(e.stream)
	e.left -= n
	return n, nil
}

// benchmarkRead reads b.N packets from copies of stream, which holds count.
func benchmarkRead(b *testing.B, stream []byte, count int, recycle bool) {
	b.ReportAllocs()
	b.SetBytes(int64(len(stream) / count))
	r := NewReader(&endless{stream: stream, left: (b.N/count + 1) * len(stream)})
	b.ResetTimer()
	for range b.N {
		p, err := r.ReadPacket()
		if err != nil {
			b.Fatal(err)
		}
		if recycle {
			r.Recycle(p)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "packets/s")
}

func benchmarkWrite(b *testing.B, packets []*Packet) {
	b.ReportAllocs()
	var length int
	for _, p := range packets {
		length += wireLength(p, p.Has)
	}
	b.SetBytes(int64(length / len(packets)))
	w := NewWriter(io.Discard)
	b.ResetTimer()
	for i := range b.N {
		if err := w.WritePacket(packets[i%len(packets)]); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "packets/s")
}

// encoded repeats packets on the wire.
func encoded(b *testing.B, packets []*Packet, times int) []byte {
	var stream []byte
	for range times {
		for _, p := range packets {
			var err error
			if stream, err = AppendPacket(stream, p); err != nil {
				b.Fatal(err)
			}
		}
	}
	return stream
}

// The target is 2 million packets a second on one core.
func BenchmarkReadSmall(b *testing.B) {
	benchmarkRead(b, encoded(b, smallPackets(), 500), 1000, false)
}

func BenchmarkWriteSmall(b *testing.B) { benchmarkWrite(b, smallPackets()) }

// The target is half of what BenchmarkCRC32 shows. A stream can't be read
// without copying it once: BenchmarkCopyCRC32 is the most there can be.
func BenchmarkReadLarge(b *testing.B) {
	benchmarkRead(b, encoded(b, []*Packet{largePacket()}, 1), 1, true)
}

// BenchmarkReadLargeKept is what it costs if nothing is recycled: mostly the
// memory, see BenchmarkCopy.
func BenchmarkReadLargeKept(b *testing.B) {
	benchmarkRead(b, encoded(b, []*Packet{largePacket()}, 1), 1, false)
}

func BenchmarkWriteLarge(b *testing.B) { benchmarkWrite(b, []*Packet{largePacket()}) }

func BenchmarkCRC32(b *testing.B) {
	data := noise(1 << 20)
	b.SetBytes(int64(len(data)))
	for range b.N {
		crc32.ChecksumIEEE(data)
	}
}

// BenchmarkCopyCRC32 copies 1 MiB into memory that is there, and hashes it.
func BenchmarkCopyCRC32(b *testing.B) {
	data := noise(1 << 20)
	to := make([]byte, len(data)+slack)[100:]
	b.SetBytes(int64(len(data)))
	for range b.N {
		for i := 0; i < len(data); i += maxRead {
			copy(to[i:], data[i:i+maxRead])
		}
		crc32.ChecksumIEEE(to[:len(data)])
	}
}

// BenchmarkCopy is what it costs to have a copy of 1 MiB.
func BenchmarkCopy(b *testing.B) {
	data := noise(1 << 20)
	b.SetBytes(int64(len(data)))
	for range b.N {
		bytes.Clone(data)
	}
}

// Text, random octets and nothing but signatures: what a stream that is none
// costs.
func BenchmarkReadOther(b *testing.B) {
	for _, c := range []struct {
		name   string
		stream []byte
	}{
		{"text", bytes.Repeat([]byte("checking for gcc... gcc\n"), 50000)},
		{"noise", noise(1 << 24)},
		{"signatures", bytes.Repeat([]byte{signature}, 1<<20)},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(c.stream)))
			for range b.N {
				r := NewReader(bytes.NewReader(c.stream))
				for r.Offset() < int64(len(c.stream)) {
					_, _ = r.ReadPacket()
				}
			}
		})
	}
}
