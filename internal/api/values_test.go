package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"testr/internal/repo"
)

// serveHandlers answers with these in a repository of its own.
func serveHandlers(t *testing.T, handlers map[string]http.Handler) (*Client, *Server) {
	t.Helper()
	dir := t.TempDir()
	r := newRepo(t, dir)
	s, err := Serve(Config{Dir: dir, Queries: r, Handlers: handlers})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return dial(t, dir), s
}

// TestValues: a stream of values has them as they are, and ends with its reason.
func TestValues(t *testing.T) {
	type value struct{ Text string }
	want := []value{{"a"}, {"\xff\n"}, {string(bytes.Repeat([]byte("long"), 50_000))}}
	sent := map[string]chan value{"well": make(chan value), "ill": make(chan value), "cut": make(chan value)}
	c, _ := serveHandlers(t, map[string]http.Handler{
		"POST /v1/values": http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			var end string
			if err := Body(w, req, &end); err != nil {
				t.Error(err)
			}
			StreamValues(w, req, func(context.Context) (any, error) {
				if v, ok := <-sent[end]; ok {
					return v, nil
				}
				switch end {
				case "well":
					return nil, io.EOF
				case "cut":
					panic(http.ErrAbortHandler)
				}
				return nil, repo.ErrNoRun
			})
		})})
	for end, check := range map[string]func(error) bool{
		"well": func(err error) bool { return errors.Is(err, io.EOF) && !Gone(err) },
		"ill":  func(err error) bool { return errors.Is(err, repo.ErrNoRun) && !Gone(err) },
		"cut":  Gone,
	} {
		values, err := c.Values(t.Context(), http.MethodPost, "/v1/values", end)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range want {
			sent[end] <- v // and not before the one before was asked for
			var got value
			if err := values.Next(&got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(v, got); diff != "" {
				t.Errorf("a value (-want +got):\n%s", diff)
			}
		}
		close(sent[end])
		if err := values.Next(&value{}); !check(err) {
			t.Errorf("%s: got %v at the end", end, err)
		}
		if err := values.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := c.Values(t.Context(), http.MethodPost, "/v1/nonsense", nil); err == nil {
		t.Error("got no error of a request that nobody answers")
	}
}

// TestValuesClosed: the server learns at once that nobody reads any more, and the
// client that there is no server.
func TestValuesClosed(t *testing.T) {
	gone := make(chan struct{})
	begun := make(chan struct{}, 2)
	c, s := serveHandlers(t, map[string]http.Handler{
		"POST /v1/values": http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			begun <- struct{}{}
			StreamValues(w, req, func(ctx context.Context) (any, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			})
			gone <- struct{}{}
		})})
	values, err := c.Values(t.Context(), http.MethodPost, "/v1/values", nil)
	if err != nil {
		t.Fatal(err)
	}
	<-begun
	if err := values.Close(); err != nil {
		t.Error(err)
	}
	<-gone

	if values, err = c.Values(t.Context(), http.MethodPost, "/v1/values", nil); err != nil {
		t.Fatal(err)
	}
	<-begun
	go func() { <-gone }()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := values.Next(&struct{}{}); !Gone(err) {
		t.Errorf("got %v of a server that was closed; want it gone", err)
	}
	_ = values.Close()
}

// TestSend: a body arrives as it is, and while there is more to come.
func TestSend(t *testing.T) {
	got := make(chan byte)
	c, _ := serveHandlers(t, map[string]http.Handler{
		"POST /v1/bytes": http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			for one := make([]byte, 1); ; {
				if _, err := io.ReadFull(req.Body, one); err != nil {
					close(got)
					Reply(w, struct{}{})
					return
				}
				got <- one[0]
			}
		})})
	r, w := io.Pipe()
	sent := make(chan error, 1)
	go func() { sent <- c.Send(t.Context(), "/v1/bytes", r) }()
	for _, b := range []byte("a\x00\xff") {
		if _, err := w.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
		if g := <-got; g != b {
			t.Errorf("got %#x; want %#x", g, b)
		}
	}
	if err := errors.Join(w.Close(), <-sent); err != nil {
		t.Error(err)
	}
	if b, more := <-got; more {
		t.Errorf("got %#x after the end", b)
	}
	if err := c.Send(t.Context(), "/v1/nonsense", bytes.NewReader(nil)); err == nil {
		t.Error("got no error of a request that nobody answers")
	}
}
