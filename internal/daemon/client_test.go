package daemon

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"testr/internal/api"
	"testr/internal/repo"
	"testr/internal/runner"
)

// double is a daemon of which a test says what it answers.
func double(t *testing.T, handlers map[string]http.HandlerFunc) *Client {
	t.Helper()
	h := newHouse(t, batches)
	h.close()
	r, err := repo.Open(h.dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]http.Handler{"GET " + pathDaemon: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		api.Reply(w, State{Version: 1, PID: 4711})
	})}
	for pattern, handler := range handlers {
		all[pattern] = handler
	}
	s, err := api.Serve(api.Config{Dir: h.dir, Queries: r, Handlers: all})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(s.Close(), r.Close()); err != nil {
			t.Error(err)
		}
	})
	return h.client()
}

// telling answers with messages, and has then nothing more to tell until end.
func telling(end <-chan struct{}, last func() Message, first ...Message) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		batches := [][]Message{first}
		api.StreamValues(w, req, func(ctx context.Context) (any, error) {
			if len(batches) > 0 {
				batch := batches[0]
				batches = nil
				return batch, nil
			}
			select {
			case <-end:
				end = nil
				return []Message{last()}, nil
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		})
	}
}

// hanging takes a request, says so, and never answers it.
func hanging(taken chan<- struct{}) http.HandlerFunc {
	return func(_ http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body) // else nobody learns that the client is gone
		taken <- struct{}{}
		<-req.Context().Done()
	}
}

// TestAbandon: a daemon that doesn't answer is told what there is to tell all the
// same, and whoever has had enough of it doesn't wait for it.
func TestAbandon(t *testing.T) {
	told := make(chan struct{}, 2)
	c := double(t, map[string]http.HandlerFunc{
		"POST " + pathJobs:               telling(nil, nil, Message{Kind: kindQueued, Job: 1}),
		"POST " + pathJobs + "/1/cancel": hanging(told),
	})
	ctx, cancel := context.WithCancelCause(t.Context())
	kill, abandon := make(chan struct{}), make(chan struct{})
	h := &house{t: t, dir: c.dir}
	s, err := c.Run(ctx, h.wanted("ann", "a"), Signals{Kill: kill, Abandon: abandon}, Listener{})
	if err != nil {
		t.Fatal(err)
	}
	result := make(chan ended, 1)
	go func() { result <- h.follow(ctx, s) }()
	begun := time.Now()
	cancel(errors.New("by SIGINT"))
	h.received("the first request", told)
	close(kill)
	h.received("the second request", told)
	close(abandon)
	got := <-result
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("got the end after %v; want it at once", took)
	}
	var hint *runner.HintError
	if !got.Interrupted || !errors.As(got.err, &hint) || !strings.Contains(got.err.Error(), "has not ended the run yet") {
		t.Errorf("got %+v, %v; want it interrupted, and to be told of the daemon", got.Result, got.err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestPID: a daemon is watched by what its process is called here, which is not what
// one in a container says; and where it has no name here, by whether it answers.
func TestPID(t *testing.T) {
	stopped := make(chan struct{})
	c := double(t, map[string]http.HandlerFunc{"POST " + pathStop: func(w http.ResponseWriter, _ *http.Request) {
		api.Reply(w, State{})
		close(stopped)
	}})
	if c.PID() != os.Getpid() || !c.here {
		t.Errorf("got process %d; want this one, %d", c.PID(), os.Getpid())
	}
	c.pid, c.here = 1, false // which doesn't end
	if err := c.Stop(t.Context()); err != nil {
		t.Errorf("got %v; want the end of one that is somebody else by now", err)
	}
	<-stopped
}

// received waits for something that a test is told.
func (h *house) received(what string, from <-chan struct{}) {
	h.t.Helper()
	h.await(what, func() bool {
		select {
		case <-from:
			return true
		default:
			return false
		}
	})
}

// TestEndedWhileAsking: that a run is not wanted any more is not the daemon's end.
func TestEndedWhileAsking(t *testing.T) {
	asked := make(chan struct{}, 1)
	c := double(t, map[string]http.HandlerFunc{"POST " + pathJobs: hanging(asked)})
	h := &house{t: t, dir: c.dir}
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("by SIGINT")
	go func() {
		<-asked
		cancel(cause)
	}()
	begun := time.Now()
	if _, err := c.Run(ctx, h.wanted("ann", "a"), Signals{}, Listener{}); !errors.Is(err, cause) || api.Gone(err) {
		t.Errorf("got %v; want %v", err, cause)
	}
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("got the end after %v; want it at once", took)
	}
}

// TestUnsent: a stream that doesn't get to the daemon ends the load.
func TestUnsent(t *testing.T) {
	cancelled := make(chan struct{})
	var cause cancelling
	c := double(t, map[string]http.HandlerFunc{
		"POST " + pathJobs: telling(cancelled, func() Message {
			return Message{Kind: kindResult, Result: &Result{Interrupted: true, Why: cause.Cause}}
		}, Message{Kind: kindQueued, Job: 1}, Message{Kind: kindReady}),
		"POST " + pathJobs + "/1/streams/0": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"POST " + pathJobs + "/1/cancel": func(w http.ResponseWriter, req *http.Request) {
			if err := api.Body(w, req, &cause); err != nil {
				t.Error(err)
			}
			close(cancelled)
			api.Reply(w, struct{}{})
		},
	})
	h := &house{t: t, dir: c.dir}
	s, err := c.Load(t.Context(), WantedLoad{Streams: []runner.Stream{{Name: "one", Reader: strings.NewReader("")}}},
		Signals{}, Listener{})
	if err != nil {
		t.Fatal(err)
	}
	if e := h.follow(t.Context(), s); e.err == nil || !strings.HasPrefix(e.err.Error(), "load one: ") {
		t.Errorf("got %v; want to be told which stream it was", e.err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestInTurns: so many are done at a time, and no more are begun than are wanted.
func TestInTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var begun atomic.Int32
		next, stop, returned := make(chan struct{}), make(chan struct{}), make(chan struct{})
		go func() {
			defer close(returned)
			inTurns(3*maxSending, stop, func(int) {
				begun.Add(1)
				<-next
			})
		}()
		for n := int32(maxSending); n <= maxSending+1; n++ {
			synctest.Wait()
			if got := begun.Load(); got != n {
				t.Errorf("got %d that have begun; want %d", got, n)
			}
			next <- struct{}{}
		}
		synctest.Wait()
		close(stop)
		<-returned
		close(next)
		synctest.Wait()
		if got := begun.Load(); got != maxSending+2 {
			t.Errorf("got %d that have begun in all; want %d", got, maxSending+2)
		}
	})
}
