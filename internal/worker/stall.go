package worker

import (
	"io"
	"sync"
	"time"

	"testr/internal/protocol"
)

// StallReader reads from a stream that can't be interrupted, for a
// protocol.Reader: where nothing came for a while it says so, so that what only
// looks like the beginning of a packet holds nothing up. One goroutine reads
// it.
//
// A goroutine of its own reads the stream ahead, as far as two buffers go; it
// ends with the stream, and Join joins it.
type StallReader struct {
	chunks  chan []byte
	free    chan []byte
	rest    []byte
	whole   []byte
	timer   *time.Timer
	patient time.Duration
	err     error // set by the goroutine before it closes chunks
	wg      sync.WaitGroup
}

// NewStallReader returns a reader of r that waits for patience. Whoever made it
// calls Join at the end.
func NewStallReader(r io.Reader, patience time.Duration) *StallReader {
	s := &StallReader{chunks: make(chan []byte), free: make(chan []byte, 2),
		timer: time.NewTimer(patience), patient: patience}
	s.free <- make([]byte, 64<<10)
	s.free <- make([]byte, 64<<10)
	s.wg.Go(func() { s.pump(r) })
	return s
}

func (s *StallReader) pump(r io.Reader) {
	defer close(s.chunks)
	for buf := range s.free {
		n, err := r.Read(buf)
		if n > 0 {
			s.chunks <- buf[:n]
		} else {
			s.free <- buf
		}
		if err != nil {
			s.err = err
			return
		}
	}
}

// Read gives what came. It returns protocol.ErrStalled after the time of
// patience without a byte, and may be called again then.
func (s *StallReader) Read(p []byte) (int, error) {
	if len(s.rest) == 0 {
		s.giveBack()
		s.timer.Reset(s.patient)
		select {
		case chunk, ok := <-s.chunks:
			if !ok {
				return 0, s.err
			}
			s.whole, s.rest = chunk, chunk
		case <-s.timer.C:
			return 0, protocol.ErrStalled
		}
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// giveBack has the buffer that was read filled again.
func (s *StallReader) giveBack() {
	if s.whole != nil {
		s.free <- s.whole[:cap(s.whole)]
		s.whole = nil
	}
}

// Join waits for the end of the stream; what still comes of it is dropped.
func (s *StallReader) Join() {
	s.timer.Stop()
	s.giveBack()
	for chunk := range s.chunks {
		s.free <- chunk[:cap(chunk)]
	}
	s.wg.Wait()
}
