package api

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"testr/internal/repo"
)

func connect(t *testing.T, s *Server) net.Conn {
	t.Helper()
	c, err := net.Dial("unix", s.Path())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestManyConnections is S13: connections that ask nothing make room for those that
// do; and where all are busy, one more is closed at once instead of waiting.
func TestManyConnections(t *testing.T) {
	dir := t.TempDir()
	r := newRepo(t, dir)
	s := serve(t, dir, r)
	w, err := r.Begin(repo.RunInfo{})
	if err != nil {
		t.Fatal(err)
	}
	var idle []net.Conn
	for range 4 * maxConns {
		idle = append(idle, connect(t, s))
	}
	wantRun := func() {
		t.Helper()
		if info, err := dial(t, dir).Current(); err != nil || info.ID != 0 {
			t.Errorf("got %+v, %v; want run 0", info, err)
		}
	}
	wantRun()
	if n, err := idle[0].Read(make([]byte, 1)); err == nil {
		t.Errorf("the oldest connection: got %d bytes; want that it was closed", n)
	}
	// Each of these waits for an event.
	for range maxConns {
		events, err := dial(t, dir).Follow(0, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = events.(*Stream).Close() }()
	}
	if _, err := dial(t, dir).Current(); !Gone(err) {
		t.Errorf("one more: got %v; want that it was closed", err)
	}
	s.listener.mu.Lock()
	if n := len(s.listener.conns); n > maxConns {
		t.Errorf("got %d connections; want %d at most", n, maxConns)
	}
	s.listener.mu.Unlock()
	if _, err := w.Close(repo.End{State: repo.Finished}); err != nil {
		t.Fatal(err)
	}
}

// TestGarbage: whatever is sent that is no request has an error for an answer or
// none, and the next client has its own.
func TestGarbage(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, dir, newRepo(t, dir))
	for name, request := range map[string]string{
		"no HTTP":     "\x00\xff\xb3garbage\r\n\r\n",
		"a long head": "GET /v1/stats HTTP/1.1\r\nHost: testr\r\nX: " + strings.Repeat("x", 1<<20) + "\r\n\r\n",
		"a long URL":  "GET /v1/failing?profile=" + strings.Repeat("%41", 1<<20) + " HTTP/1.1\r\nHost: testr\r\n\r\n",
		"no JSON":     "POST /v1/excerpt?run=0 HTTP/1.1\r\nHost: testr\r\nConnection: close\r\nContent-Length: 3\r\n\r\n{]}",
		"a huge number": "POST /v1/excerpt HTTP/1.1\r\nHost: testr\r\nConnection: close\r\nContent-Length: 32\r\n\r\n" +
			`{"Tests":[{"First":1e999999999}]}`[:32],
		"a body without end": "POST /v1/excerpt HTTP/1.1\r\nHost: testr\r\nTransfer-Encoding: chunked\r\n\r\n" +
			"ffffffffffffffff\r\nx",
		"a huge body": "POST /v1/excerpt HTTP/1.1\r\nHost: testr\r\nContent-Length: 999999999999\r\n\r\n" +
			strings.Repeat("[", 1<<20),
		"deep JSON": "POST /v1/excerpt HTTP/1.1\r\nHost: testr\r\nConnection: close\r\nContent-Length: 100000\r\n\r\n" +
			strings.Repeat("[", 100000),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := connect(t, s)
			go func() { _, _ = c.Write([]byte(request)) }() // it may be cut
			answer, _ := io.ReadAll(c)                      // to its end: nobody waits for more for ever
			if len(answer) > 0 && !bytes.HasPrefix(answer, []byte("HTTP/1.1 4")) {
				t.Errorf("got %.100q; want nothing, or status 400 or the like", answer)
			}
			if _, err := dial(t, dir).Stats(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestSlowRequest is S13: a request that comes byte by byte is cut in the end.
func TestSlowRequest(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := connect(t, serve(t, dir, newRepo(t, dir)))
	over := make(chan struct{})
	go func() {
		defer close(over)
		for _, b := range []byte(strings.Repeat("GET ", 1000)) {
			if _, err := c.Write([]byte{b}); err != nil {
				return
			}
			<-time.After(100 * time.Millisecond)
		}
		t.Error("nobody has ended the request")
	}()
	if _, err := io.ReadAll(c); err != nil && strings.Contains(err.Error(), "timeout") {
		t.Error(err)
	}
	<-over
}

// TestCutStream: a stream without its last line was cut, wherever that was; one
// with a line of any length is read within bounds.
func TestCutStream(t *testing.T) {
	line, err := AppendEvent(nil, aRun()[3])
	if err != nil {
		t.Fatal(err)
	}
	for n := range line {
		l := newLines(bytes.NewReader(append(bytes.Clone(line), line[:n]...)))
		if events, err := l.batch(); err != nil || len(events) != 1 {
			t.Fatalf("got %d events, %v; want the whole one", len(events), err)
		}
		if _, err := l.batch(); !Gone(err) || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut after %d bytes: got %v; want that somebody is gone", n, err)
		}
	}
	endless := io.MultiReader(strings.NewReader(`{"kind":"`), io.LimitReader(xs{}, maxLine+1<<20))
	if _, err := newLines(endless).batch(); err == nil || !strings.Contains(err.Error(), "a line of more than") {
		t.Errorf("got %v; want that the line is too long", err)
	}
}

// xs is a reader of as many x as somebody wants.
type xs struct{}

func (xs) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 'x'
	}
	return len(b), nil
}
