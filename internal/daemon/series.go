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
// goroutine, which has to close it; watch is its own, with one for each thing that
// is told the daemon, and those that send its streams.
type Series struct {
	client   *Client
	values   *api.Values
	queries  *api.Reader
	listener Listener
	signals  Signals
	streams  []runner.Stream

	messages []Message // that were read and not looked at
	job      int
	stop     context.CancelFunc // ends all that is asked
	closed   <-chan struct{}    // closed with that
	watching sync.WaitGroup
	unsent   atomic.Pointer[error] // why one of the streams could not be read, or sent
}

// begin asks for a job. If ctx ends before there is one, there is to be none.
func (c *Client) begin(ctx context.Context, a Asked, streams []runner.Stream, s Signals, l Listener) (*Series, error) {
	// Later the end of ctx is told to the daemon: the job has to come to its end.
	own, stop := context.WithCancel(context.WithoutCancel(ctx))
	unlink := context.AfterFunc(ctx, stop)
	series := &Series{client: c, listener: l, signals: s, streams: streams, stop: stop, closed: own.Done()}
	ahead, err := series.ask(own, a)
	if !unlink() {
		err = context.Cause(ctx)
	}
	if err == nil {
		// Who has it when the daemon has ended can tell what is stored.
		series.queries, err = api.Open(context.WithoutCancel(ctx), c.dir)
	}
	if err != nil {
		return nil, errors.Join(err, series.Close())
	}
	if ahead > 0 && l.Waits != nil {
		l.Waits(series.job, ahead)
	}
	series.watching.Go(func() { series.watch(ctx, own) })
	return series, nil
}

// ask asks for a job, and returns how many are before it.
func (s *Series) ask(ctx context.Context, a Asked) (ahead int, err error) {
	if s.values, err = s.client.ask(ctx, a); err != nil {
		return 0, err
	}
	m, err := s.next()
	err = s.client.ended(err, false)
	if err == nil && m.Kind != kindQueued {
		err = fmt.Errorf("the daemon says %q of a job that was asked for", m.Kind)
	}
	s.job = m.Job
	return m.Ahead, err
}

// watch tells the daemon what this process is told. It waits for no answer: there
// may be more to tell.
func (s *Series) watch(ctx, own context.Context) {
	var told sync.WaitGroup
	defer told.Wait()
	ended, kill, abandon := ctx.Done(), s.signals.Kill, s.signals.Abandon
	for {
		select {
		case <-ended:
			ended = nil
			told.Go(func() { s.cancel(own, cancelling{Cause: context.Cause(ctx).Error()}) })
		case <-kill:
			kill = nil
			told.Go(func() { s.cancel(own, cancelling{Cause: context.Cause(ctx).Error(), Kill: true}) })
		case <-abandon:
			s.stop()
			_ = s.queries.Close() // ends the events
			return
		case question := <-s.signals.Inspect:
			told.Go(func() {
				var states []supervisor.SlotState
				if s.client.api.Call(own, http.MethodGet, path(s.job, "slots"), nil, &states) == nil {
					question(states)
				}
			})
		case <-own.Done():
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
			return m, err
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
			return s.broken(f.result(res, s.client.ended(err, res.Recorded)))
		}
		switch m.Kind {
		case kindReady:
			go s.send()
		case kindBegun:
			events, err := s.queries.Follow(m.Run, 0)
			if err != nil {
				return s.broken(res, s.client.ended(err, true))
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
			return f.result(res, err)
		default:
			s.tell(m)
		}
	}
}

// broken is what a run comes to of which the daemon tells nothing more.
func (s *Series) broken(res runner.Result, err error) (runner.Result, error) {
	select {
	case <-s.signals.Abandon:
		res.Interrupted = true
		err = &runner.HintError{Err: fmt.Errorf("the daemon, process %d, has not ended the run yet", s.client.pid),
			Hint: "testr daemon status tells how far it is"}
	default:
	}
	return res, err
}

// explain is why a run was not done: where a stream could not be read, or sent, that.
func (s *Series) explain(err error) error {
	if unsent := s.unsent.Load(); unsent != nil && err != nil {
		return *unsent
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
func (s *Series) send() { inTurns(len(s.streams), s.closed, s.sendOne) }

// maxSending is how many streams are sent at a time: each of them takes one of the
// connections that the daemon has for everybody.
const maxSending = 100

// inTurns does something n times, maxSending of them at a time, and returns when
// the last one has begun. Once stop is closed it begins no more of them.
func inTurns(n int, stop <-chan struct{}, do func(int)) {
	turns := make(chan struct{}, maxSending)
	for i := range n {
		select {
		case turns <- struct{}{}:
		case <-stop:
			return
		}
		go func() {
			defer func() { <-turns }()
			do(i)
		}()
	}
}

// sendOne sends a stream. What comes of it the run tells, unless the daemon can't
// know of it.
func (s *Series) sendOne(i int) {
	one := s.streams[i]
	failed := func(err error) (first bool) {
		err = fmt.Errorf("load %s: %w", one.Name, err)
		return s.unsent.CompareAndSwap(nil, &err)
	}
	from := &reading{Reader: one.Reader, failed: func(err error) { failed(err) }}
	ctx := context.Background()
	err := s.client.api.Send(ctx, path(s.job, "streams/"+strconv.Itoa(i)), from)
	var answer *api.Failure
	if err != nil && !errors.As(err, &answer) && failed(err) {
		s.cancel(ctx, cancelling{Cause: (*s.unsent.Load()).Error()})
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

// Queries are who answers what is to be told of the runs, until the series is
// closed: the daemon or, once that has ended, who has the repository then.
func (s *Series) Queries() repo.Queries { return s.queries }

// Close ends the job, if it isn't over. It may be called twice.
func (s *Series) Close() (err error) {
	s.stop()
	s.watching.Wait()
	if s.values != nil {
		err = s.values.Close()
	}
	if s.queries != nil {
		err = errors.Join(err, s.queries.Close())
	}
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

// result adds the outcomes to a result, once all events were read, or why not all
// were to the error.
func (f *folding) result(res runner.Result, err error) (runner.Result, error) {
	if f == nil {
		return res, err
	}
	<-f.done
	if f.err != nil {
		return res, errors.Join(err, f.err)
	}
	res.Outcomes = f.outcomes
	return res, err
}
