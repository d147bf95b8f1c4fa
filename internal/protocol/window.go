package protocol

import "io"

const (
	// bufferSize is how much is read at once, and the longest piece of text.
	bufferSize = 64 << 10

	// maxRead is the most that is asked for at once, for the reason of appendContent.
	maxRead = 256 << 10

	// maxHeld is how much a Reader may have to hold to decide: one packet,
	// and a small one after it that says whether the first one's length is right.
	maxHeld = MaxPacket + bufferSize

	// maxBuffer leaves so much room beyond maxHeld that what is held is moved
	// to the buffer's beginning once in 1 MiB only.
	maxBuffer = maxHeld + 1<<20

	// slack is how much longer a buffer is than the packet that it is for, so that it
	// does for many packets of that size, each a bit shorter at its beginning,
	// when it is given back.
	slack = 4 << 10

	// maxEmptyReads is how often a source may return nothing and no error.
	maxEmptyReads = 100
)

// window is the part of a stream that a Reader holds: buf[pos:end].
type window struct {
	src   io.Reader
	buf   []byte
	pos   int
	end   int
	off   int64  // place in the stream of buf[pos]
	base  []byte // the buffer for what is small
	spare []byte // a buffer that was given back
	proof int    // length of the last large packet that was whole
}

func (w *window) held() []byte { return w.buf[w.pos:w.end] }

func (w *window) drop(n int) {
	w.pos += n
	w.off += int64(n)
}

// large reports whether the buffer is one that can be given away.
func (w *window) large() bool { return len(w.buf) > bufferSize }

// give gives the buffer away with a good packet of that length, which was
// dropped. What is held still must fit into the base buffer.
func (w *window) give(length int) {
	w.proof = length
	w.rebase()
}

// rebase goes back to the base buffer.
func (w *window) rebase() {
	if w.base == nil {
		w.base = make([]byte, bufferSize)
	}
	w.end = copy(w.base, w.held())
	w.pos = 0
	w.buf = w.base
}

// fill reads once, n octets. want is how much has to be held before a decision
// can be made, 0 if that is not known.
func (w *window) fill(want int) (n int, err error) {
	w.makeRoom(want)
	for range maxEmptyReads {
		n, err = w.src.Read(w.buf[w.end:min(len(w.buf), w.end+maxRead)])
		if n < 0 || n > len(w.buf)-w.end {
			return 0, io.ErrNoProgress
		}
		w.end += n
		if n > 0 || err != nil {
			return n, err
		}
	}
	return 0, io.ErrNoProgress
}

// makeRoom sees to it that there is room after what is held. What is moved is
// paid for by what was read or consumed since the last move, and no buffer is
// larger than four times what has arrived, unless a packet of that size has
// come lately: a length that lies costs nothing.
func (w *window) makeRoom(want int) {
	held := w.end - w.pos
	switch {
	case held <= bufferSize/2 && want <= bufferSize:
		if held == 0 || w.large() || len(w.buf)-w.end < bufferSize/4 {
			w.rebase()
		}
	case want > bufferSize && want > len(w.buf)-w.pos && want <= max(4*held, 2*w.proof):
		// Of just this size, so that it can be given away.
		w.move(w.take(want))
	case w.end < len(w.buf):
	case w.pos >= held/4:
		w.move(w.buf)
	default:
		w.move(make([]byte, min(4*held, maxBuffer)))
	}
}

// take returns a buffer for a packet of that length.
func (w *window) take(length int) []byte {
	if b := w.spare; len(b) >= length {
		w.spare = nil
		return b
	}
	return make([]byte, length+slack)
}

func (w *window) move(to []byte) {
	w.end = copy(to, w.held())
	w.pos = 0
	w.buf = to
}
