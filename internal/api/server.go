package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"testr/internal/event"
	"testr/internal/repo"
)

const (
	// headerTimeout is how long a client may take for its request, and idleTimeout
	// for its next one.
	headerTimeout = 5 * time.Second
	idleTimeout   = 30 * time.Second
	// answerTimeout is how long a client may take to read an answer; streams of
	// events are as long as they are.
	answerTimeout = 30 * time.Second
	// maxRequest is how long the body of a request may be.
	maxRequest = 64 << 20
	// grace is how long answers that are under way have once the server ends.
	grace = 500 * time.Millisecond
	// flushAt is how much of a stream is written at a time.
	flushAt = 64 << 10
)

// Config is what a Server is made of.
type Config struct {
	Dir     string       // where the repository is; it is open for writing in this process
	Queries repo.Queries // answers
	Edits   Edits        // does what changes something; nil refuses that
	// Handlers are requests besides the questions, by patterns of http.ServeMux:
	// "POST /v1/jobs". They are called by several goroutines at once, have all that
	// they return written by Reply, Fail or StreamEvents, and end when their
	// request's context does.
	Handlers map[string]http.Handler
}

// Server answers on the socket of a repository. Its goroutines are one that
// accepts connections, and one for each of these; Close joins all.
type Server struct {
	listener *listener
	http     *http.Server
	cancel   context.CancelFunc // ends the contexts of all requests
	accepts  chan struct{}      // closed when nothing is accepted any more

	mu      sync.Mutex
	closing bool           // guarded by mu
	answers sync.WaitGroup // requests that are being answered; nothing is added once closing is set
}

// Serve makes the socket and begins to answer. Only the process that has the
// repository open for writing may call it, and it has to call Close before it
// closes that.
func Serve(cfg Config) (*Server, error) {
	l, err := listen(cfg.Dir)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{listener: l, cancel: cancel, accepts: make(chan struct{})}
	s.http = &http.Server{
		Handler:           s.counted(newMux(cfg)),
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          log.New(io.Discard, "", 0), // clients that misbehave are not worth a word
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnState:         l.changed,
	}
	go func() {
		defer close(s.accepts)
		_ = s.http.Serve(l) // Close ends it, and nothing else does
	}()
	return s, nil
}

// Path is where the socket is.
func (s *Server) Path() string { return s.listener.place.path() }

// Lost reports whether nobody finds the socket any more: it was removed, or the
// repository with it.
func (s *Server) Lost() bool {
	there, err := s.listener.there()
	return err == nil && !there
}

// Close removes the socket and ends. Answers that are under way have half a second
// for their ends; then they are cut, as are streams of events. Clients go on with
// the file, or with who has it next. When Close returns nobody asks Config.Queries
// anything any more.
func (s *Server) Close() error {
	err := s.listener.Close()
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		s.cancel()
		_ = s.http.Close()
	}
	s.cancel()
	<-s.accepts
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	s.answers.Wait()
	if err != nil {
		return fmt.Errorf("remove the socket: %w", err)
	}
	return nil
}

// counted has Close wait for what a handler does.
func (s *Server) counted(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		s.mu.Lock()
		if s.closing {
			s.mu.Unlock()
			Fail(w, repo.ErrClosed)
			return
		}
		s.answers.Add(1)
		s.mu.Unlock()
		defer s.answers.Done()
		h.ServeHTTP(w, req)
	})
}

func newMux(cfg Config) *http.ServeMux {
	mux := http.NewServeMux()
	for name, answer := range questions {
		mux.HandleFunc("GET /v1/"+name, asked(func(w http.ResponseWriter, _ *http.Request, a Question) error {
			v, err := answer(cfg.Queries, a)
			if err == nil {
				Reply(w, v)
			}
			return err
		}))
	}
	mux.HandleFunc("GET /v1/events", asked(func(w http.ResponseWriter, req *http.Request, a Question) error {
		events, err := cfg.Queries.Follow(a.Run, a.From)
		if err == nil {
			streamEvents(w, req, events, packetForms[a.Packets])
		}
		return err
	}))
	mux.HandleFunc("GET /v1/subunit", asked(func(w http.ResponseWriter, req *http.Request, a Question) error {
		events, err := cfg.Queries.Follow(a.Run, a.From)
		if err == nil {
			streamPackets(w, req, events)
		}
		return err
	}))
	mux.HandleFunc("POST /v1/excerpt", asked(func(w http.ResponseWriter, req *http.Request, a Question) error {
		var want repo.Wanted
		if err := Body(w, req, &want); err != nil {
			return err
		}
		streamExcerpt(w, cfg.Queries, a, want)
		return nil
	}))
	for _, handlers := range []map[string]http.Handler{edits(cfg.Edits), cfg.Handlers} {
		for pattern, h := range handlers {
			mux.Handle(pattern, h)
		}
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, req *http.Request) {
		Fail(w, BadRequest(fmt.Errorf("there is no %s %.200q", req.Method, req.URL.Path)))
	})
	return mux
}

// asked makes a handler of one that wants the arguments of a question.
func asked(h func(http.ResponseWriter, *http.Request, Question) error) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		a, err := parseQuestion(req.URL.Query())
		if err == nil {
			err = h(w, req, a)
		}
		if err != nil {
			Fail(w, err)
		}
	}
}

// Body reads the JSON that a request has for a body, within limits, into v.
func Body(w http.ResponseWriter, req *http.Request, v any) error {
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Now().Add(headerTimeout)) // the connection has deadlines
	text, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxRequest))
	_ = c.SetReadDeadline(time.Time{})
	if err == nil && len(text) > 0 {
		err = decode(text, v)
	}
	if err != nil {
		return BadRequest(fmt.Errorf("read a request: %w", err))
	}
	return nil
}

// Reply answers a request with a value as JSON.
func Reply(w http.ResponseWriter, v any) {
	text, err := encode(v)
	if err != nil {
		Fail(w, err)
		return
	}
	write(w, http.StatusOK, text)
}

// Fail answers a request with an error. The client gets one of the same text, and
// of the same type if that is one of those that both ends know.
func Fail(w http.ResponseWriter, err error) {
	e, status := toWire(err)
	text, err := encode(map[string]wireError{"error": e})
	if err != nil { // it has texts only
		status = http.StatusInternalServerError
	}
	write(w, status, text)
}

// write writes a whole answer. A client that doesn't read it is cut, later.
func write(w http.ResponseWriter, status int, text []byte) {
	w.Header().Set("Content-Type", "application/json")
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTimeout))
	w.WriteHeader(status)
	if _, err := w.Write(text); err == nil {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
	}
}

// StreamEvents answers a request with events, a line of JSON each, to their end or
// that of the request. A client that reads slowly is waited for, with no more in
// memory than one batch of them, and holds up nobody.
func StreamEvents(w http.ResponseWriter, req *http.Request, events repo.Events) {
	streamEvents(w, req, events, AppendEvent)
}

func streamEvents(w http.ResponseWriter, req *http.Request, events repo.Events,
	encode func([]byte, event.Event) ([]byte, error)) {
	s := newStream(w, "application/x-ndjson")
	err := s.all(req.Context(), events, encode)
	if req.Context().Err() == nil {
		s.end(err)
	}
}

// streamPackets answers with the packets of events, as a subunit stream. Its end is
// that of the answer; if something goes wrong the answer is cut.
func streamPackets(w http.ResponseWriter, req *http.Request, events repo.Events) {
	s := newStream(w, "application/vnd.subunit")
	if err := s.all(req.Context(), events, appendPacket); err != nil {
		panic(http.ErrAbortHandler) // this is how a handler cuts its answer
	}
}

// streamExcerpt answers with an excerpt of a run. Nothing of the repository is held
// while it is written.
func streamExcerpt(w http.ResponseWriter, q repo.Queries, a Question, want repo.Wanted) {
	s := newStream(w, "application/x-ndjson")
	encode := packetForms[a.Packets]
	s.end(q.Excerpt(a.Run, want, func(e event.Event) error { return s.event(e, encode) }))
}

// stream writes an answer that has no end yet.
type stream struct {
	w      http.ResponseWriter
	flush  func() error
	buf    []byte
	failed error // of writing
}

func newStream(w http.ResponseWriter, mime string) *stream {
	w.Header().Set("Content-Type", mime)
	w.WriteHeader(http.StatusOK)
	s := &stream{w: w, flush: http.NewResponseController(w).Flush}
	s.failed = s.flush() // the client learns that there is an answer
	return s
}

// all writes events until there are none to come.
func (s *stream) all(ctx context.Context, events repo.Events,
	encode func([]byte, event.Event) ([]byte, error)) error {
	for s.failed == nil {
		batch, err := events.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, e := range batch {
			if err := s.event(e, encode); err != nil {
				return err
			}
		}
		if err := s.write(); err != nil {
			return err
		}
	}
	return s.failed
}

func (s *stream) event(e event.Event, encode func([]byte, event.Event) ([]byte, error)) (err error) {
	if s.failed != nil {
		return s.failed
	}
	if s.buf, err = encode(s.buf, e); err != nil || len(s.buf) < flushAt {
		return err
	}
	return s.write()
}

// write hands over what there is.
func (s *stream) write() error {
	if s.failed == nil && len(s.buf) > 0 {
		_, s.failed = s.w.Write(s.buf)
		if s.buf = s.buf[:0]; cap(s.buf) > 16*flushAt {
			s.buf = nil // an event was large
		}
	}
	if s.failed == nil {
		s.failed = s.flush()
	}
	return s.failed
}

// end writes the last line, which tells why the stream ends.
func (s *stream) end(err error) {
	if s.failed == nil {
		s.buf = appendEnd(s.buf, err)
		_ = s.write()
	}
}
