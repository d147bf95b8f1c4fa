package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"testr/internal/event"
	"testr/internal/repo"
)

const (
	// unanswered is how long somebody who writes a run may not answer, and settling
	// anybody else: they have just come, are about to go, or close a run that was cut
	// short, one after the other where many want to.
	unanswered = time.Second
	settling   = 10 * time.Second
	// retryAfter is how long a Reader waits at most before it looks again, the first
	// time; then twice as long each time, up to retryAtMost.
	retryAfter  = 10 * time.Millisecond
	retryAtMost = 200 * time.Millisecond
	// maxMoves is how often a question is asked again because who was asked has
	// ended.
	maxMoves = 20
)

// Reader answers questions about a repository: it asks the process that has it
// open for writing or, where none has, opens the file. Where the one ends while it is
// asked, the other goes on, so that nothing is missing and nothing comes twice.
// Its methods may be called by several goroutines at once.
type Reader struct {
	dir  string
	stop func() bool   // has the end of Open's context end nothing any more
	done chan struct{} // closed by end

	mu     sync.Mutex
	source source // guarded by mu
	ended  error  // why nothing is answered any more; guarded by mu
}

// source is who answers.
type source interface {
	repo.Queries
	Close() error
}

var _ repo.Queries = (*Reader)(nil)

// Open finds out who answers questions about the repository in dir. When ctx ends,
// what is asked then and later ends with its cause. A process that writes a run and
// doesn't answer within about a second is a *repo.BusyError, as is another one after
// ten; a socket of somebody else's a *ForeignError besides; other errors are those of
// repo.OpenReadOnly.
func Open(ctx context.Context, dir string) (*Reader, error) {
	r := &Reader{dir: dir, done: make(chan struct{})}
	var err error
	if r.source, err = r.find(ctx); err != nil {
		return nil, err
	}
	r.stop = context.AfterFunc(ctx, func() { _ = r.end(context.Cause(ctx)) })
	return r, nil
}

// find finds out who answers now.
func (r *Reader) find(ctx context.Context) (source, error) {
	begin := time.Now()
	for wait := retryAfter; ; wait = min(2*wait, retryAtMost) {
		c, dialErr := Dial(ctx, r.dir)
		if dialErr == nil {
			return c, nil
		}
		file, err := repo.TryReadOnly(r.dir)
		if err == nil {
			return file, nil
		}
		busy, ok := errors.AsType[*repo.BusyError](err)
		if !ok {
			return nil, err
		}
		if !Gone(dialErr) { // else that nobody answers says no more than that it is busy
			err = errors.Join(err, dialErr)
		}
		if waited := time.Since(begin); waited > settling || waited > unanswered && busy.Run >= 0 {
			return nil, err
		}
		// Who looks into a file with a run that was cut short keeps others from closing
		// that: so they don't all look at the same times.
		again := time.NewTimer(rand.N(wait))
		select {
		case <-again.C:
			continue
		case <-ctx.Done():
			err = context.Cause(ctx)
		case <-r.done:
			err = repo.ErrClosed // move knows better
		}
		again.Stop()
		return nil, err
	}
}

// Close closes the file or the connection, and ends what is asked at the moment,
// with an error. It may be called by any goroutine, and more than once.
func (r *Reader) Close() error {
	r.stop()
	return r.end(repo.ErrClosed)
}

// end has every question end with a reason.
func (r *Reader) end(reason error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended != nil {
		return nil
	}
	r.ended = reason
	close(r.done)
	return r.source.Close()
}

// now returns who answers.
func (r *Reader) now() (source, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.source, r.ended
}

// move finds somebody else in the place of who is gone.
func (r *Reader) move(ctx context.Context, gone source) error {
	if now, err := r.now(); err != nil || now != gone { // somebody else did
		return err
	}
	found, err := r.find(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err == nil && r.ended == nil && r.source == gone:
		r.source = found
		return gone.Close()
	case err == nil:
		err = found.Close()
	}
	if r.ended != nil {
		return r.ended
	}
	return err
}

// try asks until somebody answers who doesn't end meanwhile.
func (r *Reader) try(ctx context.Context, ask func(repo.Queries) error) error {
	for moves := 0; ; moves++ {
		q, err := r.now()
		if err != nil {
			return err
		}
		err = ask(q)
		if _, ended := r.now(); err != nil && ended != nil {
			return ended // and what was asked with it
		}
		if _, client := q.(*Client); !client || !Gone(err) {
			return err
		}
		if moves == maxMoves {
			return fmt.Errorf("ask who has the repository: %w", err)
		}
		if err := r.move(ctx, q); err != nil {
			return err
		}
	}
}

// answered is try for a question that has one answer.
func answered[A any](r *Reader, ask func(repo.Queries) (A, error)) (answer A, err error) {
	err = r.try(context.Background(), func(q repo.Queries) (err error) {
		answer, err = ask(q)
		return err
	})
	return answer, err
}

// Latest is as for *repo.Repository.
func (r *Reader) Latest() (repo.RunInfo, error) { return answered(r, repo.Queries.Latest) }

// Current is as for *repo.Repository.
func (r *Reader) Current() (repo.RunInfo, error) { return answered(r, repo.Queries.Current) }

// Run is as for *repo.Repository.
func (r *Reader) Run(id int) (repo.RunInfo, error) {
	return answered(r, func(q repo.Queries) (repo.RunInfo, error) { return q.Run(id) })
}

// Runs is as for *repo.Repository.
func (r *Reader) Runs() ([]repo.RunInfo, error) { return answered(r, repo.Queries.Runs) }

// Tests is as for *repo.Repository.
func (r *Reader) Tests(run int, profile string, choose repo.Choice) ([]*event.Test, error) {
	return answered(r, func(q repo.Queries) ([]*event.Test, error) { return q.Tests(run, profile, choose) })
}

// Ran is as for *repo.Repository.
func (r *Reader) Ran(run int, profile string) (repo.Ran, error) {
	return answered(r, func(q repo.Queries) (repo.Ran, error) { return q.Ran(run, profile) })
}

// Slowest is as for *repo.Repository.
func (r *Reader) Slowest(run int, profile string, limit int) ([]*event.Test, error) {
	return answered(r, func(q repo.Queries) ([]*event.Test, error) { return q.Slowest(run, profile, limit) })
}

// Failing is as for *repo.Repository.
func (r *Reader) Failing(profile string) ([]repo.Failing, error) {
	return answered(r, func(q repo.Queries) ([]repo.Failing, error) { return q.Failing(profile) })
}

// Timing is as for *repo.Repository.
func (r *Reader) Timing(profile string) (map[string]time.Duration, error) {
	return answered(r, func(q repo.Queries) (map[string]time.Duration, error) { return q.Timing(profile) })
}

// Listing is as for *repo.Repository.
func (r *Reader) Listing(profile string) ([]string, error) {
	return answered(r, func(q repo.Queries) ([]string, error) { return q.Listing(profile) })
}

// Schedule is as for *repo.Repository.
func (r *Reader) Schedule(run int, profile, route string) ([]string, error) {
	return answered(r, func(q repo.Queries) ([]string, error) { return q.Schedule(run, profile, route) })
}

// Left is as for *repo.Repository.
func (r *Reader) Left(run int, profile string) (repo.Left, error) {
	return answered(r, func(q repo.Queries) (repo.Left, error) { return q.Left(run, profile) })
}

// Profiles is as for *repo.Repository.
func (r *Reader) Profiles() ([]repo.Profile, error) { return answered(r, repo.Queries.Profiles) }

// Leases is as for *repo.Repository.
func (r *Reader) Leases() ([]repo.Lease, error) { return answered(r, repo.Queries.Leases) }

// Stats is as for *repo.Repository.
func (r *Reader) Stats() (repo.Stats, error) { return answered(r, repo.Queries.Stats) }

// Flaky is as for *repo.Repository.
func (r *Reader) Flaky(profile string) ([]repo.FlakyTest, error) {
	return answered(r, func(q repo.Queries) ([]repo.FlakyTest, error) { return q.Flaky(profile) })
}

// Outcomes is as for *repo.Repository.
func (r *Reader) Outcomes(profile, id string) ([]repo.TestOutcome, error) {
	return answered(r, func(q repo.Queries) ([]repo.TestOutcome, error) { return q.Outcomes(profile, id) })
}

// Excerpt is as for *repo.Repository. What each was given once it isn't given again.
func (r *Reader) Excerpt(run int, want repo.Wanted, each func(event.Event) error) error {
	next := uint64(0)
	var own error // each's, which is not about who was asked
	err := r.try(context.Background(), func(q repo.Queries) error {
		err := q.Excerpt(run, want, func(e event.Event) error {
			if e.Seq < next {
				return nil
			}
			next = e.Seq + 1
			own = each(e)
			return own
		})
		if own != nil {
			return nil
		}
		return err
	})
	if own != nil {
		return own
	}
	return err
}

// Follow is as for *repo.Repository. When who writes the run is killed, its events
// end with those that were stored.
func (r *Reader) Follow(run int, from uint64) (repo.Events, error) {
	f := &followed{r: r, run: run, next: from}
	if err := r.try(context.Background(), f.begin); err != nil {
		return nil, err
	}
	return f, nil
}

// followed is events that come from one source after the other.
type followed struct {
	r      *Reader
	run    int
	next   uint64
	from   repo.Queries // whose events are
	events repo.Events
	err    error // how they have ended
}

// begin asks for the events that are still to come.
func (f *followed) begin(q repo.Queries) error {
	events, err := q.Follow(f.run, f.next)
	if err == nil {
		f.from, f.events = q, events
	}
	return err
}

// Next is as for *repo.Cursor.
func (f *followed) Next(ctx context.Context) (batch []event.Event, err error) {
	if f.err != nil {
		return nil, f.err
	}
	err = f.r.try(ctx, func(q repo.Queries) error {
		if f.from != q {
			if err := f.begin(q); err != nil {
				return err
			}
		}
		batch, err = f.events.Next(ctx)
		return err
	})
	if err != nil {
		if f.err = err; ctx.Err() != nil && !errors.Is(err, io.EOF) {
			f.err = context.Cause(ctx)
		}
		return nil, f.err
	}
	f.next = batch[len(batch)-1].Seq + 1
	return batch, nil
}
