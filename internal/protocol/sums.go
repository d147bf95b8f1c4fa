package protocol

import "hash/crc32"

// stride is how many octets lie between two marks.
const stride = 128

// sums tells the checksum of any stretch of a damaged part of a stream without
// reading the stretch: each octet is hashed once, the register is marked every
// so often, and the checksum of a stretch follows from the registers at its two
// ends. So packets that claim to lie within each other can't make a Reader hash
// the same octets again and again.
type sums struct {
	until  int64    // how far the damaged part goes; not in use from there on
	origin int64    // where the registers begin to count: nothing before it is held
	head   uint32   // the register there
	marks  []uint32 // the registers at the multiples of stride after origin
	hashed int64    // octets hashed so far, for tests
}

// covers reports whether the octet at offset lies in the damaged part.
func (s *sums) covers(offset int64) bool { return offset < s.until }

// begin makes [offset, until) part of what is damaged. offset is where the
// Reader stands.
func (s *sums) begin(offset, until int64) {
	if !s.covers(offset) {
		s.origin, s.head, s.marks = offset, 0, s.marks[:0]
	}
	s.until = max(s.until, until)
}

// advance says that the Reader goes on at offset. held begins at origin.
func (s *sums) advance(held []byte, offset int64) {
	if s.covers(s.origin) && s.covers(offset) {
		head := s.register(held, offset)
		s.marks = s.marks[offset/stride-s.origin/stride:]
		s.origin, s.head = offset, head
	}
}

// last is the place of the last mark.
func (s *sums) last() int64 {
	if len(s.marks) == 0 {
		return s.origin
	}
	return (s.origin/stride + int64(len(s.marks))) * stride
}

// register returns the register at offset, as if it had been 0 somewhere
// before. held begins at origin and goes at least to offset.
func (s *sums) register(held []byte, offset int64) uint32 {
	for s.last()+stride-s.last()%stride <= offset {
		from := s.last()
		to := from + stride - from%stride
		s.marks = append(s.marks, s.hash(s.at(from), held[from-s.origin:to-s.origin]))
	}
	from := max(s.origin, offset-offset%stride)
	return s.hash(s.at(from), held[from-s.origin:offset-s.origin])
}

// at is the register at origin or at a mark.
func (s *sums) at(offset int64) uint32 {
	if offset == s.origin {
		return s.head
	}
	return s.marks[offset/stride-s.origin/stride-1]
}

func (s *sums) hash(register uint32, b []byte) uint32 {
	s.hashed += int64(len(b))
	return ^crc32.Update(^register, crc32.IEEETable, b)
}

// checksum returns the CRC-32 of held[from:to]. held begins where the damaged
// part was begun or where the Reader has advanced to.
func (s *sums) checksum(held []byte, from, to int) uint32 {
	s.until = max(s.until, s.origin+int64(to))
	a := s.register(held, s.origin+int64(from))
	b := s.register(held, s.origin+int64(to))
	return ^(b ^ overZeros(^a, to-from))
}

// zeros[k] is x to the power of 8·2^k modulo the CRC's polynomial: what 2^k
// octets of zeros do to a register. Polynomials have x^0 in the highest bit.
var zeros = zeroTable()

func zeroTable() (t [23]uint32) {
	t[0] = 1 << 23
	for k := 1; k < len(t); k++ {
		t[k] = multiply(t[k-1], t[k-1])
	}
	return t
}

// overZeros returns the register after n octets of zeros.
func overZeros(register uint32, n int) uint32 {
	for k := 0; n > 0; k, n = k+1, n>>1 {
		if n&1 != 0 {
			register = multiply(zeros[k], register)
		}
	}
	return register
}

// multiply multiplies two polynomials modulo the CRC's.
func multiply(a, b uint32) (product uint32) {
	for bit := uint32(1) << 31; bit != 0; bit >>= 1 {
		if a&bit != 0 {
			product ^= b
		}
		if b&1 != 0 {
			b = b>>1 ^ crc32.IEEE
		} else {
			b >>= 1
		}
	}
	return product
}
