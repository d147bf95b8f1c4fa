package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync"
	"time"

	"testr/internal/event"
	"testr/internal/protocol"
	"testr/internal/repo"
)

// ErrNoPackets means that a stream has text, but not one whole packet of
// version 2.
var ErrNoPackets = errors.New("no subunit version 2 packet in it")

// Stream is a subunit stream to be loaded.
type Stream struct {
	Name   string // for messages
	Reader io.Reader
}

// loaded is what a stream's goroutine gives to the one that stores.
type loaded struct {
	packet *protocol.Packet
	err    error
}

// Load stores streams as one run. A single one is stored as it is, but that
// packets without a time get that of the packet before them, or now; of
// several, each packet gets the stream's number as its route and tag, like that
// of a worker. Text beside packets becomes packets. Memory does not grow with
// the streams.
//
// The end of ctx makes the run an interrupted one; a reader of a stream that
// can't be told to stop may then be left behind, blocked, until its stream
// ends.
func Load(ctx context.Context, r *repo.Repository, streams []Stream, info repo.RunInfo,
	begun func(*repo.RunWriter)) (Result, error) {
	reading, cancel := context.WithCancel(ctx)
	defer cancel()
	packets := make(chan loaded, 256)
	var wg sync.WaitGroup
	for i, s := range streams {
		wg.Go(func() {
			sr := streamReader{done: reading.Done(), number: i, several: len(streams) > 1, to: packets}
			if err := sr.read(s.Reader); err != nil {
				sr.send(loaded{err: fmt.Errorf("load %s: %w", s.Name, err)})
			}
		})
	}
	go func() { // ends with the readers
		wg.Wait()
		close(packets)
	}()
	st := storer{repo: r, info: info, begun: begun, outcomes: event.NewOutcomes()}
	return st.finish(ctx, st.store(ctx, packets))
}

// storer puts the packets of all streams into one run, which it begins with the
// first packet.
type storer struct {
	repo     *repo.Repository
	info     repo.RunInfo
	begun    func(*repo.RunWriter)
	outcomes *event.Outcomes
	writer   *repo.RunWriter
	seq      uint64
}

func (s *storer) store(ctx context.Context, packets <-chan loaded) error {
	for {
		select {
		case l, ok := <-packets:
			if !ok {
				return s.begin()
			}
			if l.err != nil {
				return l.err
			}
			if err := s.packet(l.packet); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *storer) begin() (err error) {
	if s.writer != nil {
		return nil
	}
	if s.writer, err = s.repo.Begin(s.info); err != nil {
		return err
	}
	s.begun(s.writer)
	return nil
}

func (s *storer) packet(p *protocol.Packet) error {
	if err := s.begin(); err != nil {
		return err
	}
	return s.event(event.Event{Kind: event.KindPacket, Packet: p})
}

func (s *storer) event(e event.Event) error {
	e.Seq, e.Time, e.Worker = s.seq, time.Now(), event.NoWorker
	if err := s.writer.Event(e); err != nil {
		return err
	}
	s.seq++
	return s.outcomes.Event(e)
}

// finish closes the run, if there is one. What was read before an error or an
// interruption stays.
func (s *storer) finish(ctx context.Context, err error) (Result, error) {
	if s.writer == nil {
		return Result{Interrupted: ctx.Err() != nil}, err
	}
	end := repo.End{State: repo.Finished, Partial: s.info.Partial, Time: time.Now()}
	interrupted := ctx.Err() != nil
	if interrupted && err == nil {
		err = s.event(event.Event{Kind: event.KindInterrupted, Detail: context.Cause(ctx).Error()})
	}
	if err != nil || interrupted {
		end.State, end.Partial = repo.Interrupted, true
	}
	s.outcomes.Finish()
	_, closeErr := s.writer.Close(end)
	err = errors.Join(err, closeErr)
	return Result{Run: s.writer.ID(), Recorded: true, Outcomes: s.outcomes, Interrupted: interrupted}, err
}

// streamReader takes the packets from one stream. Until the first whole packet
// its text is spooled, since a stream that has none is not one of ours.
type streamReader struct {
	done    <-chan struct{} // closed when nobody wants more
	number  int
	several bool
	to      chan<- loaded

	decided bool // a whole packet was there
	held    spool
	damage  *protocol.CorruptError // the first one in what is held
	last    time.Time
}

func (s *streamReader) send(l loaded) {
	select {
	case s.to <- l:
	case <-s.done:
	}
}

func (s *streamReader) read(from io.Reader) error {
	defer s.held.close()
	r := protocol.NewReader(from)
	for {
		p, err := r.ReadPacket()
		var corrupt *protocol.CorruptError
		switch {
		case errors.As(err, &corrupt):
			err = s.corrupt(corrupt)
		case errors.Is(err, io.EOF):
			if !s.decided && s.held.size > 0 {
				return ErrNoPackets
			}
			return nil
		case err == nil && p.Text && !s.decided:
			err = s.held.add(p.Content)
		case err == nil:
			err = s.packet(p)
		}
		if err != nil {
			return err
		}
	}
}

// packet sends a packet, and what was held before the first one.
func (s *streamReader) packet(p *protocol.Packet) error {
	if !s.decided {
		s.decided = true
		if err := s.held.replay(func(text []byte) { s.pass(textPacket(text)) }); err != nil {
			return err
		}
		if s.damage != nil {
			s.damage.Data = nil // it is in the text
			for _, p := range event.FromCorrupt(s.damage) {
				s.pass(p)
			}
		}
	}
	s.pass(p)
	return nil
}

func (s *streamReader) corrupt(c *protocol.CorruptError) error {
	if !s.decided {
		if s.damage == nil {
			s.damage = c
		}
		return s.held.add(c.Data)
	}
	for _, p := range event.FromCorrupt(c) {
		s.pass(p)
	}
	return nil
}

func (s *streamReader) pass(p *protocol.Packet) {
	p.Text = false
	if p.Has&protocol.HasTime == 0 {
		if s.last.IsZero() {
			s.last = time.Now().UTC().Round(0)
		}
		p.Time, p.Has = s.last, p.Has|protocol.HasTime
	}
	s.last = p.Time
	if s.several {
		number := strconv.Itoa(s.number)
		p.Route, p.Has = protocol.PrefixRoute(number, p.Route), p.Has|protocol.HasRoute
		if tag := "worker-" + number; p.Has&protocol.HasTestID != 0 && !slices.Contains(p.Tags, tag) {
			p.Tags, p.Has = append(p.Tags, tag), p.Has|protocol.HasTags
		}
	}
	s.send(loaded{packet: p})
}

func textPacket(text []byte) *protocol.Packet {
	return &protocol.Packet{Has: protocol.HasFile, FileName: protocol.TextName, Content: text, Runnable: true}
}
