package relay

import (
	"errors"
	"io"
	"sync"

	"testr/internal/protocol"
)

// errOrder says that a stream is read in two ways.
var errOrder = errors.New("stdout is read as packets or as octets, not both")

// piece is what came of a stream: a packet, damage, or octets.
type piece struct {
	packet  *protocol.Packet
	corrupt *protocol.CorruptError
	octets  []byte
	cost    int // octets of the channel that it took
}

// stream is a command's stdout or stderr at the client's end: what came and was
// not read yet. One goroutine reads it; the client's puts there what comes, and
// never waits.
type stream struct {
	// grant lets the relay send more. It is called with mu held.
	grant func(windowMessage)
	name  string

	mu      sync.Mutex
	change  *sync.Cond // of what follows
	as      string     // how it is read; empty until it is
	queue   []piece
	allowed int   // what the relay may still send
	dealt   int   // what was read and is not granted again
	end     error // what comes after queue; nil while more may come
	rest    []byte
}

func newStream(name string, grant func(windowMessage)) *stream {
	s := &stream{name: name, grant: grant}
	s.change = sync.NewCond(&s.mu)
	return s
}

// put takes what came. The error is the relay's fault.
func (s *stream) put(p piece) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.end != nil:
		return errors.New("more of a stream that has ended: " + s.name)
	case s.allowed <= 0:
		return errors.New("more of a stream than was asked for: " + s.name)
	case (s.as == asPackets) != (p.octets == nil):
		return errors.New("a stream in another way than it was asked for: " + s.name)
	}
	s.allowed -= p.cost
	s.queue = append(s.queue, p)
	s.change.Signal()
	return nil
}

// finish ends the stream, if it has not ended: io.EOF, or why it was cut off.
func (s *stream) finish(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end == nil {
		s.end = err
		s.change.Broadcast()
	}
}

// ended reports whether the stream has ended.
func (s *stream) ended() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end != nil
}

// next waits for what comes next. It asks for the stream when it is called
// first. It is called with mu held, by the one who reads.
func (s *stream) next(as string) (piece, error) {
	switch s.as {
	case as:
	case "":
		s.as = as
		s.allowed = windowSize
		m := windowMessage{Stream: s.name, Octets: windowSize}
		if s.name == nameStdout {
			m.As = as
		}
		s.grant(m)
	default:
		return piece{}, errOrder
	}
	for len(s.queue) == 0 && s.end == nil {
		s.change.Wait()
	}
	if len(s.queue) == 0 {
		return piece{}, s.end
	}
	p := s.queue[0]
	s.queue[0] = piece{}
	s.queue = s.queue[1:]
	if s.dealt += p.cost; s.dealt >= windowSize/4 && s.end == nil {
		s.allowed += s.dealt
		s.grant(windowMessage{Stream: s.name, Octets: s.dealt})
		s.dealt = 0
	}
	return p, nil
}

// readPacket is protocol.Reader's.
func (s *stream) readPacket() (*protocol.Packet, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.next(asPackets)
	switch {
	case err != nil:
		return nil, err
	case p.corrupt != nil:
		return nil, p.corrupt
	}
	return p.packet, nil
}

// Read is io.Reader's.
func (s *stream) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.rest) == 0 {
		p, err := s.next(asOctets)
		if err != nil {
			return 0, err
		}
		s.rest = p.octets
	}
	n := copy(b, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

var _ io.Reader = (*stream)(nil)
