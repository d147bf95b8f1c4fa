package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"testr/internal/repo"
)

// TestHandlers: what is no question has a handler of its own, which replies, fails
// or streams events.
func TestHandlers(t *testing.T) {
	dir := t.TempDir()
	r := newRepo(t, dir)
	w, err := r.Begin(repo.RunInfo{})
	if err != nil {
		t.Fatal(err)
	}
	type job struct{ Name string }
	s, err := Serve(Config{Dir: dir, Queries: r, Handlers: map[string]http.Handler{
		"POST /v1/jobs": http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			var j job
			if err := Body(w, req, &j); err != nil {
				Fail(w, err)
				return
			}
			Reply(w, job{j.Name + "\xff"})
		}),
		"GET /v1/jobs/{id}": http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			Fail(w, &repo.BusyError{Run: len(req.PathValue("id"))})
		}),
		"GET /v1/jobs/{id}/events": http.HandlerFunc(func(res http.ResponseWriter, req *http.Request) {
			StreamEvents(res, req, w.Follow())
		}),
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	c := dial(t, dir)
	var got job
	err = c.Call(t.Context(), http.MethodPost, "/v1/jobs", job{"a\xfe"}, &got)
	if want := (job{"a\xfe\xff"}); err != nil || got != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	var busy *repo.BusyError
	if err := c.Call(t.Context(), http.MethodGet, "/v1/jobs/abc", nil, nil); !errors.As(err, &busy) || busy.Run != 3 {
		t.Errorf("got %v; want that run 3 is busy", err)
	}
	for path, want := range map[string]string{
		"/v2/latest":       `there is no GET "/v2/latest"`,
		"/v1/run?run=x":    `argument "run": strconv.Atoi: parsing "x": invalid syntax`,
		"/v1/run?runs=1":   `argument "runs": unknown argument "runs"`,
		"/v1/run?from=-1":  `argument "from": strconv.ParseUint: parsing "-1": invalid syntax`,
		"/v1/../etc":       `there is no GET "/etc"`,
		"/v1/excerpt?run=": `there is no GET "/v1/excerpt"`,
	} {
		var failure *Failure
		err := c.Call(t.Context(), http.MethodGet, path, nil, nil)
		if !errors.As(err, &failure) || failure.Message != want || Gone(err) {
			t.Errorf("%s: got %v; want %s", path, err, want)
		}
	}

	events, err := c.Stream(t.Context(), http.MethodGet, "/v1/jobs/1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range aRun() {
		if err := w.Event(e); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := events.Next(t.Context()); err != nil { // before the run is over
		t.Error(err)
	}
	if _, err := w.Close(repo.End{State: repo.Finished}); err != nil {
		t.Fatal(err)
	}
	again, err := c.Follow(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	want, err := following(0, 0)(r)
	if err != nil {
		t.Fatal(err)
	}
	gotEvents, err := all(t.Context(), again)
	if diff := cmp.Diff(want, any(gotEvents)); err != nil || diff != "" {
		t.Errorf("%v -want +got:\n%s", err, diff)
	}
	if _, err := all(t.Context(), events); err != nil {
		t.Error(err)
	}
	if _, err := events.Next(t.Context()); !errors.Is(err, io.EOF) {
		t.Errorf("after the end: got %v; want EOF", err)
	}
}

// TestContexts: a question and a stream end with their contexts, and then nobody
// is said to be gone.
func TestContexts(t *testing.T) {
	dir := t.TempDir()
	r := newRepo(t, dir)
	w, err := r.Begin(repo.RunInfo{})
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan struct{}, 2)
	s, err := Serve(Config{Dir: dir, Queries: r, Handlers: map[string]http.Handler{
		"GET /v1/never": http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
			asked <- struct{}{}
			<-req.Context().Done()
		})}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	c := dial(t, dir)
	cause := errors.New("interrupted")
	for name, call := range map[string]func(context.Context) error{
		"call": func(ctx context.Context) error { return c.Call(ctx, http.MethodGet, "/v1/never", nil, nil) },
		"stream": func(ctx context.Context) error {
			_, err := c.Stream(ctx, http.MethodGet, "/v1/never", nil)
			return err
		},
		"next": func(ctx context.Context) error {
			events, err := c.Follow(0, 0)
			if err != nil {
				return err
			}
			asked <- struct{}{}
			_, err = events.Next(ctx)
			return err
		},
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		got := make(chan error, 1)
		go func() { got <- call(ctx) }()
		<-asked
		cancel(cause)
		if err := <-got; !errors.Is(err, cause) || Gone(err) {
			t.Errorf("%s: got %v; want the reason for which it was ended", name, err)
		}
	}
	if _, err := w.Close(repo.End{State: repo.Finished}); err != nil {
		t.Fatal(err)
	}
}
