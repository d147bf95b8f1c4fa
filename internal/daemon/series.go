package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"

	"testr/internal/api"
	"testr/internal/event"
	"testr/internal/repo"
	"testr/internal/runner"
	"testr/internal/supervisor"
)

// Series is the runs of one job, seen from who has asked for it. It belongs to one
// goroutine, which has to close it; watch is its own, and one for each stream that
// it sends.
type Series struct {
	client   *Client
	values   *api.Values
	listener Listener
	signals  Signals
	streams  []runner.Stream

	messages []Message // that were read and not looked at
	job      int
	stop     context.CancelFunc
	watching sync.WaitGroup
	unread   atomic.Pointer[error] // why one of the streams could not be read
}

// begin asks for a job.
func (c *Client) begin(ctx context.Context, a Asked, streams []runner.Stream, s Signals, l Listener) (*Series, error) {
	// The end of ctx is told to the daemon: the job has to come to its end.
	values, err := c.ask(context.WithoutCancel(ctx), a)
	if err != nil {
		return nil, err
	}
	series := &Series{client: c, values: values, listener: l, signals: s, streams: streams}
	m, err := series.next()
	if err == nil && m.Kind != kindQueued {
		err = fmt.Errorf("the daemon says %q of a job that was asked for", m.Kind)
	}
	if err != nil {
		return nil, errors.Join(err, values.Close())
	}
	series.job = m.Job
	if m.Ahead > 0 && l.Waits != nil {
		l.Waits(m.Job, m.Ahead)
	}
	watched, stop := context.WithCancel(context.WithoutCancel(ctx))
	series.stop = stop
	series.watching.Go(func() { series.watch(ctx, watched) })
	return series, nil
}

// watch tells the daemon what this process is told.
func (s *Series) watch(ctx, watched context.Context) {
	ended, kill, abandon := ctx.Done(), s.signals.Kill, s.signals.Abandon
	for {
		select {
		case <-ended:
			ended = nil
			s.cancel(watched, cancelling{Cause: context.Cause(ctx).Error()})
		case <-kill:
			kill = nil
			s.cancel(watched, cancelling{Cause: context.Cause(ctx).Error(), Kill: true})
		case <-abandon:
			_ = s.values.Close() // the daemon ends the job by itself
			return
		case question := <-s.signals.Inspect:
			var states []supervisor.SlotState
			if s.client.api.Call(watched, http.MethodGet, path(s.job, "slots"), nil, &states) == nil {
				question(states)
			}
		case <-watched.Done():
			return
		}
	}
}

// cancel has the job end. That there is none any more, or no daemon, its end tells.
func (s *Series) cancel(ctx context.Context, c cancelling) {
	if c.Cause == "" {
		c.Cause = "interrupted"
	}
	_ = s.client.api.Call(ctx, http.MethodPost, path(s.job, "cancel"), c, nil)
}

// next returns the next message.
func (s *Series) next() (m Message, err error) {
	for len(s.messages) == 0 {
		s.messages = nil
		if err := s.values.Next(&s.messages); err != nil {
			return m, s.client.ended(err)
		}
	}
	m, s.messages = s.messages[0], s.messages[1:]
	return m, nil
}

// Next waits for the next run's end. begun is called when it has begun, with its
// events, of which all have to be read: what the run came to is told by them. The
// result and the error are those of runner.Runs, but that it is an error if
// somebody else than the end of ctx has interrupted the run.
func (s *Series) Next(ctx context.Context, begun func(repo.Events)) (res runner.Result, err error) {
	var f *folding
	for {
		m, err := s.next()
		if err != nil {
			return f.result(res), err
		}
		switch m.Kind {
		case kindReady:
			s.send()
		case kindBegun:
			events, err := s.client.api.Follow(m.Run, 0)
			if err != nil {
				return res, s.client.ended(err)
			}
			f = &folding{Events: events, outcomes: event.NewOutcomes(), done: make(chan struct{})}
			res = runner.Result{Run: m.Run, Recorded: true}
			begun(f)
		case kindResult:
			res.Interrupted = m.Result.Interrupted
			err := s.explain(m.Result.Failure.err())
			if res.Interrupted && ctx.Err() == nil {
				err = errors.Join(&Failure{Text: m.Result.Why, Status: statusError}, err)
			}
			return f.result(res), err
		default:
			s.tell(m)
		}
	}
}

// explain is why a run was not done: where a stream could not be read, that.
func (s *Series) explain(err error) error {
	if unread := s.unread.Load(); unread != nil && err != nil {
		return *unread
	}
	return err
}

// tell tells the listener what has no other consequence.
func (s *Series) tell(m Message) {
	l := s.listener
	switch {
	case m.Kind == kindSeed && l.Seed != nil:
		l.Seed(m.Seed)
	case m.Kind == kindWarning && l.Warn != nil:
		l.Warn(&Failure{Text: m.Text, Hints: m.Hints})
	case m.Kind == kindProgress && l.Progress != nil:
		l.Progress(m.Instance, m.Text, m.Over)
	case m.Kind == kindAnnounce && l.Announce != nil:
		l.Announce(m.Text)
	case m.Kind == kindLog && l.Log != nil:
		l.Log(m.Text)
	case m.Kind == kindStatus && m.Status != nil && l.Status != nil:
		l.Status(*m.Status)
	}
}

// send sends the streams. A read can't be taken back: what still waits for more of
// its stream when the run is over is left behind.
func (s *Series) send() {
	for i, one := range s.streams {
		from := &reading{Reader: one.Reader, failed: func(err error) {
			err = fmt.Errorf("load %s: %w", one.Name, err)
			s.unread.CompareAndSwap(nil, &err)
		}}
		go func() { // what comes of it the run tells
			_ = s.client.api.Send(context.Background(), path(s.job, "streams/"+strconv.Itoa(i)), from)
		}()
	}
}

// reading tells why a reader could not be read.
type reading struct {
	io.Reader
	failed func(error)
}

func (r *reading) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		r.failed(err)
	}
	return n, err
}

// Close ends the job, if it isn't over.
func (s *Series) Close() error {
	err := s.values.Close()
	s.stop()
	s.watching.Wait()
	return err
}

// folding makes the outcomes of the events that are read.
type folding struct {
	repo.Events
	outcomes *event.Outcomes
	done     chan struct{} // closed when there are none to come
	err      error         // why not all of them came; set before that
}

// Next is that of the events.
func (f *folding) Next(ctx context.Context) ([]event.Event, error) {
	batch, err := f.Events.Next(ctx)
	for _, e := range batch {
		err = errors.Join(err, f.outcomes.Event(e))
	}
	if err != nil {
		f.outcomes.Finish()
		if !errors.Is(err, io.EOF) {
			f.err = err
		}
		close(f.done)
	}
	return batch, err
}

// result adds the outcomes to a result, once all events were read.
func (f *folding) result(res runner.Result) runner.Result {
	if f == nil {
		return res
	}
	<-f.done
	if f.err == nil {
		res.Outcomes = f.outcomes
	}
	return res
}
