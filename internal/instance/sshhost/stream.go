package sshhost

import (
	"bytes"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	pieceSize = 32 << 10
	// maxNoise is how much a login shell may write before the command, and
	// still all of it is held back.
	maxNoise = 64 << 10

	// After the end of a command its streams are at their ends when the server
	// says so. Something that the command has started may hold them, though; then
	// they end when nothing has come for quietLooks looks, between which the
	// server has answered each time, or after maxLooks with something new every
	// time, or when there has been more than can have been on its way: what fits
	// a window, what the server reads on for the next, and a pipe. A server that is
	// very busy may answer and not get to the pipe for a while, and 2 MiB take 16 s
	// at a megabit a second.
	lookTime   = 50 * time.Millisecond
	quietLooks = 20
	maxLooks   = 400
	maxOnWay   = 6 << 20
)

// stream is a command's output, from the line that its shell begins it with.
//
// Its pump, which is a goroutine of the process, reads a piece and hands it to
// the reader, and reads no further before it is taken: the rest waits with the
// server, or in the connection's window.
type stream struct {
	pieces chan []byte   // to the reader, who owns a piece until it says taken
	taken  chan struct{} // has one when the last piece is the pump's again
	ended  chan struct{} // closed when the pump has ended
	over   chan struct{} // closed when nothing more is the command's
	cut    func()        // closes over

	reading atomic.Bool  // the pump waits for the server
	reads   atomic.Int64 // how often it has heard something
	bytes   atomic.Int64

	rest []byte // the reader's: what it has left of a piece
}

func newStream() *stream {
	s := &stream{
		pieces: make(chan []byte), taken: make(chan struct{}, 1),
		ended: make(chan struct{}), over: make(chan struct{}),
	}
	s.cut = sync.OnceFunc(func() { close(s.over) })
	return s
}

// Read reads what the command wrote, and gives io.EOF when there will be no
// more of it.
func (s *stream) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	if len(s.rest) == 0 {
		select {
		case <-s.over: // for good, whatever the pump has still in its hands
			return 0, io.EOF
		default:
		}
		select {
		case <-s.over:
			return 0, io.EOF
		case piece, ok := <-s.pieces:
			if !ok {
				return 0, io.EOF
			}
			s.rest = piece
		}
	}
	n := copy(b, s.rest)
	s.rest = s.rest[n:]
	if len(s.rest) == 0 {
		s.taken <- struct{}{}
	}
	return n, nil
}

// end says that nothing more comes. The pump calls it, or who starts none.
func (s *stream) end() {
	close(s.pieces)
	close(s.ended)
}

// pump reads r until its end, or until the stream was cut. heed gets what the
// line with token says; nil means that nothing before it is delivered.
func (s *stream) pump(r io.Reader, token string, heed func(string)) {
	defer s.end()
	from := &opening{token: token, keep: heed != nil}
	for buffer := make([]byte, pieceSize); ; {
		s.reading.Store(true)
		n, err := r.Read(buffer)
		s.reading.Store(false)
		s.reads.Add(1)
		s.bytes.Add(int64(n))
		piece := buffer[:n]
		if !from.found {
			if piece = from.take(piece); from.found && heed != nil {
				heed(from.text)
			}
		}
		if err != nil {
			piece = append(slices.Clip(piece), from.left()...)
		}
		if len(piece) > 0 && !s.deliver(piece) || err != nil {
			return
		}
	}
}

// deliver hands a piece over and waits until it is taken. It is false if the
// stream was cut: then the piece is the reader's for good.
func (s *stream) deliver(piece []byte) bool {
	select {
	case s.pieces <- piece:
	case <-s.over:
		return false
	}
	select {
	case <-s.taken:
		return true
	case <-s.over:
		return false
	}
}

// opening finds the line with which a command begins a stream, behind whatever
// a login shell has written.
type opening struct {
	token string
	keep  bool   // what stands before the line is delivered
	held  []byte // seen, and not decided yet
	found bool
	text  string // what stood behind token
}

// take takes a piece, and gives what is to be delivered.
func (o *opening) take(piece []byte) []byte {
	o.held = append(o.held, piece...)
	before, after, ok := bytes.Cut(o.held, []byte(o.token))
	if ok {
		line, rest, whole := bytes.Cut(after, []byte("\n"))
		if whole || len(line) > maxLine {
			o.found, o.text = true, string(bytes.TrimSpace(line[:min(len(line), maxLine)]))
			o.held = nil
			if o.keep {
				return append(slices.Clip(before), rest...)
			}
			return rest
		}
	}
	if ok || len(o.held) <= maxNoise {
		return nil
	}
	// Too much to hold; but its end may be the beginning of the token.
	noise := o.held[:len(o.held)-len(o.token)]
	o.held = bytes.Clone(o.held[len(noise):])
	if o.keep {
		return noise
	}
	return nil
}

// left is what was held back of a stream that has ended without the line: it
// says, perhaps, why there was no command.
func (o *opening) left() []byte {
	if o.found {
		return nil
	}
	return o.held
}

// look is how far a stream was at some moment.
type look struct {
	reading      bool
	reads, bytes int64
}

func (s *stream) look() look { return look{s.reading.Load(), s.reads.Load(), s.bytes.Load()} }

// through says that nothing more comes of a stream.
func (s *stream) through() bool {
	select {
	case <-s.ended:
		return true
	case <-s.over:
		return true
	default:
		return false
	}
}

// drained watches a stream after its command's end.
type drained struct {
	*stream
	last         look
	limit        int64 // of bytes
	quiet, looks int
}

// judge cuts the stream if nothing more can be the command's. The server has
// answered since the last time.
func (d *drained) judge() {
	now := d.look()
	waited := now.reading && d.last.reading // the reader has all there was
	switch {
	case waited && now.reads == d.last.reads:
		d.quiet++
		d.looks++
	case waited:
		d.quiet = 0
		d.looks++
	default:
		d.quiet = 0
	}
	d.last = now
	if d.quiet >= quietLooks || d.looks >= maxLooks || now.bytes > d.limit {
		d.cut()
	}
}

// drain waits until the streams of a command that has ended are at their ends.
// Who reads them gets all that the command wrote.
func (p *process) drain(s *session) {
	streams := []*drained{{stream: p.stdout}, {stream: p.stderr}}
	for _, d := range streams {
		d.last = d.look()
		d.limit = d.last.bytes + maxOnWay
	}
	tick := time.NewTicker(lookTime)
	defer tick.Stop()
	for {
		open := false
		for _, d := range streams {
			select {
			case <-d.ended:
				continue
			case <-d.over:
				continue
			default:
			}
			select {
			case <-d.ended:
			case <-tick.C:
				open = true
			}
		}
		if !open && p.stdout.through() && p.stderr.through() {
			return
		}
		if p.stdout.reading.Load() || p.stderr.reading.Load() {
			// The server reads its pipes before it answers the next question.
			_, _ = s.SendRequest("keepalive@openssh.com", true, nil)
		}
		for _, d := range streams {
			if !d.through() {
				d.judge()
			}
		}
	}
}
