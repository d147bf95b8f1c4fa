package legacy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"testr/internal/event"
	"testr/internal/protocol"
)

// errTooLarge says that a stream has more than maxStream.
var errTooLarge = errors.New("it has more than 4 GiB")

// stream is the stream of a run, or of the failing tests, as it is read.
type stream struct {
	file     *os.File
	reader   *protocol.AnyReader
	modified time.Time // for packets before the first that has a time
	last     time.Time // that of the last packet, once there was one
	queue    []*protocol.Packet
}

// openStream opens a stream of the directory. limit is how much is read of it.
func (d *Directory) openStream(ctx context.Context, name string, limit int64) (*stream, error) {
	f, info, err := d.open(name)
	if err != nil {
		return nil, err
	}
	return &stream{file: f, reader: protocol.NewAnyReader(&source{ctx, f, limit}), modified: info.ModTime().UTC()}, nil
}

func (s *stream) close() { _ = s.file.Close() }

// source reads a file up to a limit, until a context ends.
type source struct {
	ctx  context.Context //nolint:containedctx // it lives as long as the read that it can end
	file *os.File
	left int64
}

// Read returns errTooLarge where the limit is.
func (s *source) Read(b []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, context.Cause(s.ctx)
	}
	if s.left <= 0 {
		b = b[:min(len(b), 1)]
	} else {
		b = b[:min(int64(len(b)), s.left)]
	}
	n, err := s.file.Read(b)
	if n > 0 && s.left <= 0 {
		return 0, errTooLarge
	}
	s.left -= int64(n)
	return n, err //nolint:wrapcheck // the reader of the stream wraps it
}

// next returns the next packet in a form that can be stored. Text and damage are
// packets, and each has a time. The error is io.EOF at the end.
func (s *stream) next() (*protocol.Packet, error) {
	for len(s.queue) == 0 {
		p, err := s.reader.ReadPacket()
		var corrupt *protocol.CorruptError
		packets := []*protocol.Packet{p}
		switch {
		case errors.As(err, &corrupt):
			packets = event.FromCorrupt(corrupt)
		case err != nil:
			return nil, err //nolint:wrapcheck // it says that it is about reading a stream
		}
		for _, p := range packets {
			s.stamp(p)
			s.queue = slices.AppendSeq(s.queue, event.Storable(p))
		}
	}
	p := s.queue[0]
	s.queue = slices.Delete(s.queue, 0, 1)
	return p, nil
}

// stamp gives a packet that has no time that of the one before it.
func (s *stream) stamp(p *protocol.Packet) {
	p.Text = false
	if p.Has&protocol.HasTime == 0 {
		p.Has |= protocol.HasTime
		if p.Time = s.last; s.last.IsZero() {
			p.Time = s.modified
		}
	}
	s.last = p.Time
}

// failingTests returns the ids of the tests that fail, by the directory's own
// record, each once.
func (d *Directory) failingTests(ctx context.Context) ([]string, error) {
	s, err := d.openStream(ctx, failingFile, maxStream)
	if err != nil {
		return nil, err
	}
	defer s.close()
	var ids []string
	for {
		p, err := s.next()
		switch {
		case errors.Is(err, io.EOF):
			slices.Sort(ids)
			return slices.Compact(ids), nil
		case err != nil:
			return nil, fmt.Errorf("read %s: %w", failingFile, err)
		case p.Status != protocol.StatusFail && p.Status != protocol.StatusUxSuccess, event.Pseudo(p.TestID):
		default:
			ids = append(ids, p.TestID)
		}
	}
}
