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

// ErrNoPackets means that a stream has text, but neither one whole packet of
// version 2 nor a test of version 1.
var ErrNoPackets = errors.New("no subunit packet in it, of version 2 or 1")

// ErrEmpty means that the streams have nothing in them.
var ErrEmpty = errors.New("there is nothing in the stream")

// Stream is a subunit stream to be loaded.
type Stream struct {
	Name   string // for messages
	Reader io.Reader
}

// Load stores streams, of version 2 or 1, as one run. A single one is stored as it is, but that
// packets without a time get that of the packet before them, or now; of
// several, each packet gets the stream's number as its route and tag, like that
// of a worker. Text beside packets becomes packets. Labels say to which profiles they
// belong. Memory does not grow with the streams.
//
// The end of ctx makes the run an interrupted one; a reader of a stream that
// can't be told to stop may then be left behind, blocked, until its stream
// ends.
func Load(ctx context.Context, r *repo.Repository, streams []Stream, labels Labels, info repo.RunInfo,
	begun func(*repo.RunWriter)) (Result, error) {
	st := &storer{repo: r, info: info, begun: begun}
	read := make(chan error, len(streams)) // room for all: nobody waits for those left behind
	for i, s := range streams {
		go func() {
			sr := streamReader{number: i, several: len(streams) > 1, to: st, labeller: labeller{Labels: labels}}
			err := sr.read(s.Reader)
			if err != nil {
				err = fmt.Errorf("load %s: %w", s.Name, err)
			}
			read <- err
		}()
	}
	var err error
	for range streams {
		select {
		case err = <-read:
		case <-ctx.Done():
		}
		if err != nil || ctx.Err() != nil {
			break
		}
	}
	return st.finish(ctx, err)
}

// storer puts the packets of all streams into one run, which it begins with the
// first packet. Nothing waits in between: a reader goes on when the run has
// taken its packet.
type storer struct {
	repo  *repo.Repository
	info  repo.RunInfo
	begun func(*repo.RunWriter)

	mu     sync.Mutex
	writer *repo.RunWriter // guarded by mu
	over   bool            // nothing is stored any more; guarded by mu
}

// errOver tells whoever reads, or gets instances, that nobody wants more.
var errOver = errors.New("the run is over")

// packet stores a packet of a profile. It is called by the readers of all streams.
func (s *storer) packet(p *protocol.Packet, profile string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return errOver
	}
	if err := s.begin(); err != nil {
		return err
	}
	for p := range event.Storable(p) {
		if err := s.event(event.Event{Kind: event.KindPacket, Profile: profile, Packet: p}); err != nil {
			return err
		}
	}
	return nil
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

func (s *storer) event(e event.Event) error {
	e.Time, e.Worker = time.Now(), event.NoWorker
	return s.writer.Event(e)
}

// finish closes the run, if there is one. What was read before an error or an
// interruption stays.
func (s *storer) finish(ctx context.Context, err error) (Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	interrupted := ctx.Err() != nil
	if s.writer == nil {
		if err == nil && !interrupted {
			err = hint(ErrEmpty, "an empty run would say that nothing fails any more; "+
				"did the command that writes the stream end well?")
		}
		return Result{Interrupted: interrupted}, err
	}
	end := repo.End{State: repo.Finished, Time: time.Now()}
	if interrupted && err == nil {
		err = s.event(event.Event{Kind: event.KindInterrupted, Detail: context.Cause(ctx).Error()})
	}
	switch {
	case err != nil:
		end.State, end.Why = repo.Interrupted, firstLine(err)
	case interrupted:
		end.State, end.Why = repo.Interrupted, context.Cause(ctx).Error()
	}
	res := Result{Run: s.writer.ID(), Recorded: true, Interrupted: interrupted}
	if _, err := s.writer.Close(end); err != nil {
		return res, err // whatever else went wrong came of it
	}
	res.Outcomes = s.writer.Outcomes()
	return res, err
}

// streamReader takes the packets from one stream. Until the first whole packet,
// or the first test of version 1, its text is spooled, since a stream that has none is
// not one of ours.
type streamReader struct {
	number  int
	several bool
	to      *storer
	labeller

	decided bool // a whole packet was there
	held    spool
	damage  *protocol.CorruptError // the first one in what is held
	last    time.Time
}

func (s *streamReader) read(from io.Reader) error {
	defer s.held.close()
	r := protocol.NewAnyReader(from)
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
		if err := s.held.replay(func(text []byte) error { return s.pass(textPacket(text)) }); err != nil {
			return err
		}
		if s.damage != nil {
			s.damage.Data = nil // it is in the text
			if err := s.passAll(event.FromCorrupt(s.damage)); err != nil {
				return err
			}
		}
	}
	return s.pass(p)
}

func (s *streamReader) corrupt(c *protocol.CorruptError) error {
	if !s.decided {
		if s.damage == nil {
			s.damage = c
		}
		return s.held.add(c.Data)
	}
	return s.passAll(event.FromCorrupt(c))
}

func (s *streamReader) passAll(packets []*protocol.Packet) error {
	for _, p := range packets {
		if err := s.pass(p); err != nil {
			return err
		}
	}
	return nil
}

func (s *streamReader) pass(p *protocol.Packet) error {
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
	return s.to.packet(p, s.label(p))
}

func textPacket(text []byte) *protocol.Packet {
	return &protocol.Packet{Has: protocol.HasFile, FileName: protocol.TextName, Content: text, Runnable: true}
}
