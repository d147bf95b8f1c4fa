package relay

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"

	"testr/internal/protocol"
)

// maxWrite is how much of what is written to a command goes into one packet.
const maxWrite = 64 << 10

// stdin is the client's end of a command's standard input.
type stdin struct {
	process *Process
	writing sync.Mutex // held by whoever writes, so that nothing comes between

	// mu guards what follows.
	mu     sync.Mutex
	change *sync.Cond
	window int   // what may be sent
	over   error // why nothing goes there any more
	closed bool
}

func newStdin(p *Process) *stdin {
	s := &stdin{process: p, window: windowSize}
	s.change = sync.NewCond(&s.mu)
	return s
}

// die makes every write fail.
func (s *stdin) die(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over == nil || errors.Is(s.over, os.ErrClosed) {
		s.over = why
	}
	s.change.Broadcast()
}

// grant lets more be sent. The error is the relay's fault.
func (s *stdin) grant(m windowMessage) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.Stream != nameStdin || m.Octets <= 0 || m.Octets > maxGrant || s.window > windowSize-m.Octets {
		return errors.New("a window that makes no sense")
	}
	s.window += m.Octets
	s.change.Broadcast()
	return nil
}

// Write writes octets to the command. It blocks while the command doesn't read,
// until it does or ends, or Close is called. When the command is gone or has
// closed its input, the error is EPIPE.
func (s *stdin) Write(b []byte) (n int, err error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	return s.write(b)
}

func (s *stdin) write(b []byte) (n int, err error) {
	for n < len(b) {
		chunk := b[n:min(len(b), n+maxWrite)]
		if err := s.send(appendControl(nil, s.process.slot, nameStdin, chunk, false)); err != nil {
			return n, err
		}
		n += len(chunk)
	}
	return n, nil
}

// writePacket writes a packet, or the packets that it makes.
func (s *stdin) writePacket(p *protocol.Packet) error {
	pieces, err := protocol.Split(p)
	if err != nil {
		return err
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	for _, piece := range pieces {
		routed := *piece
		enter(&routed, strconv.Itoa(s.process.slot))
		b, err := protocol.AppendPacket(nil, &routed)
		if err == nil {
			err = s.send(b)
		} else if b, err = protocol.AppendPacket(nil, piece); err == nil { // it has no room for the slot
			_, err = s.write(b)
		}
		if err != nil {
			return fmt.Errorf("write packet: %w", err)
		}
	}
	return nil
}

// send sends octets of the channel once it may.
func (s *stdin) send(b []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.window <= 0 && s.over == nil {
		s.change.Wait()
	}
	if s.over != nil {
		return s.over
	}
	s.window -= len(b)
	s.process.send(func() []byte { return b })
	return nil
}

// Close ends the command's input after what was written. Closing it again, or
// after the command has ended, does nothing.
func (s *stdin) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	if s.over == nil {
		s.over = &os.PathError{Op: "write", Path: "standard input", Err: os.ErrClosed}
		s.process.send(func() []byte { return appendControl(nil, s.process.slot, nameStdin, nil, true) })
	}
	s.change.Broadcast()
	return nil
}

// copyFrom gives the command a file as its input.
func (s *stdin) copyFrom(f *os.File) {
	_, _ = io.CopyBuffer(struct{ io.Writer }{s}, struct{ io.Reader }{f}, make([]byte, maxWrite)) // to the end of either
	_ = s.Close()
}
