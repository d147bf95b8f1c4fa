package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"testr/internal/instance"
	"testr/internal/protocol"
)

// checkEntry is one thing of a session, in order: something that was sent or
// that came. One of its fields is set.
type checkEntry struct {
	asked  string // a test was asked for
	back   string // a test was asked back
	packet *protocol.Packet
	damage string // what is wrong with the stream
}

// checkSession is one process of the worker. Its log may be read while the
// process runs.
type checkSession struct {
	process instance.Process
	cancel  context.CancelFunc
	timeout time.Duration
	reading sync.WaitGroup
	changed chan struct{} // room for one: the log has more

	ended   chan struct{} // closed when status and waitErr are set
	status  instance.ExitStatus
	waitErr error

	mu     sync.Mutex // guards what follows
	log    []checkEntry
	stderr []byte
}

// read takes what the worker writes. It is a goroutine of its own, which ends
// with the process.
func (s *checkSession) read(r *protocol.Reader) {
	for {
		p, err := r.ReadPacket()
		var e checkEntry
		corrupt, isCorrupt := errors.AsType[*protocol.CorruptError](err)
		switch {
		case isCorrupt:
			e.damage = fmt.Sprintf("at octet %d: %s (%q)",
				corrupt.Offset, corrupt.Reason, corrupt.Data[:min(len(corrupt.Data), 40)])
		case err != nil:
			return
		case p.Text:
			continue
		default:
			r.Recycle(p)
			e.packet = p
		}
		s.add(e)
	}
}

func (s *checkSession) readStderr() {
	buffer := make([]byte, 4<<10)
	for {
		n, err := s.process.Stderr().Read(buffer)
		s.mu.Lock()
		s.stderr = appendTail(s.stderr, buffer[:n], 1<<10)
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// stderrTail is the last of what the worker wrote there, to be put behind
// something.
func (s *checkSession) stderrTail() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := strings.TrimSpace(string(s.stderr[max(0, len(s.stderr)-500):]))
	if text == "" {
		return ""
	}
	return "; on stderr: " + text
}

func (s *checkSession) add(entries ...checkEntry) {
	s.mu.Lock()
	s.log = append(s.log, entries...)
	s.mu.Unlock()
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// entries is the log as it is now.
func (s *checkSession) entries() []checkEntry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.log)
}

// send writes packets with one write. That somebody reads them is nothing to
// count on: a worker that is gone is noticed when something is waited for.
func (s *checkSession) send(packets ...*protocol.Packet) { s.sendPieces(0, packets...) }

// sendPieces writes packets in pieces, with pauses, so that they are read so.
func (s *checkSession) sendPieces(pause time.Duration, packets ...*protocol.Packet) {
	var stream []byte
	for _, p := range packets {
		switch {
		case p.TestID == "":
		case p.Status == protocol.StatusExists && p.Runnable:
			s.add(checkEntry{asked: p.TestID})
		case p.Status == protocol.StatusSkip:
			s.add(checkEntry{back: p.TestID})
		}
		stream, _ = protocol.AppendPacket(stream, p) // they are the check's own, and right
	}
	cuts := []int{len(stream)}
	if pause > 0 {
		cuts = []int{1, 4, len(stream) / 2, len(stream) - 1, len(stream)}
	}
	from := 0
	for _, cut := range cuts {
		_, _ = s.process.Stdin().Write(stream[from:cut])
		from = cut
		if pause > 0 && cut < len(stream) {
			timer := time.NewTimer(pause)
			select {
			case <-timer.C:
			case <-s.ended:
				timer.Stop()
			}
		}
	}
}

func (s *checkSession) closeStdin() { _ = s.process.Stdin().Close() }

// settled waits until a test has an outcome, or was given back, so many times.
// Else it says why not.
func (s *checkSession) settled(id string, times int) (why string) {
	limit := time.NewTimer(s.timeout)
	defer limit.Stop()
	for {
		gone := false
		select {
		case <-s.ended:
			gone = true
			s.reading.Wait() // all that it wrote is in the log
		default:
		}
		if countSettled(s.entries(), id) >= times {
			return ""
		}
		if gone {
			return fmt.Sprintf("it ended (%s); waited for the outcome of %q%s", s.status, id, s.stderrTail())
		}
		select {
		case <-s.changed:
		case <-s.ended:
		case <-limit.C:
			return fmt.Sprintf("nothing came for %v; waited for the outcome of %q%s", s.timeout, id, s.stderrTail())
		}
	}
}

// allSettled waits for all of them.
func (s *checkSession) allSettled(ids []string) (why string) {
	for _, id := range ids {
		if why := s.settled(id, 1); why != "" {
			return why
		}
	}
	return ""
}

// countSettled counts outcomes of a test, and answers to its being asked back.
func countSettled(log []checkEntry, id string) (n int) {
	back := 0
	for _, e := range log {
		switch {
		case e.back == id && id != "":
			back++
		case e.packet == nil || e.packet.TestID != id:
		case e.packet.Status.Final():
			n++
		case e.packet.Status == protocol.StatusExists && back > 0:
			back--
			n++
		}
	}
	return n
}

// exit waits for the end of the process; ok is false if it doesn't come.
func (s *checkSession) exit() (status instance.ExitStatus, ok bool) {
	limit := time.NewTimer(s.timeout)
	defer limit.Stop()
	select {
	case <-s.ended:
		s.reading.Wait()
		return s.status, true
	case <-limit.C:
		return instance.ExitStatus{}, false
	}
}

// stop ends the process, if it runs, and waits for it.
func (s *checkSession) stop() {
	s.cancel()
	s.closeStdin()
	s.reading.Wait()
}
