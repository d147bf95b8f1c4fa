package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"testr/internal/event"
	"testr/internal/repo"
)

// dialTimeout is how long it may take to connect, and patience how long to begin
// with an answer: whoever takes longer is stopped, or as good as that.
const (
	dialTimeout = 5 * time.Second
	patience    = 30 * time.Second
)

// errNobody says that there is no socket, or nobody who listens to it.
var errNobody = errors.New("nobody answers questions about the repository")

// Client asks who has a repository open for writing. Its methods may be called by
// several goroutines at once, and fulfil repo.Queries: their errors are of the same
// types, wrapped in a *Failure, or Gone reports that nobody answers.
type Client struct {
	place place
	http  *http.Client
	peer  int // who answered Dial

	mu     sync.Mutex
	first  net.Conn              // the connection of Dial, for the first request; guarded by mu, as all that follows
	conns  map[net.Conn]struct{} // those that are open
	closed bool
}

var _ repo.Queries = (*Client)(nil)

// Dial connects to whoever has the repository in dir open for writing. Gone
// reports of the error that nobody is there; a *ForeignError says that somebody else is.
func Dial(ctx context.Context, dir string) (*Client, error) {
	all, err := places(dir)
	if err != nil {
		return nil, err
	}
	errs := []error{errNobody}
	for _, p := range all {
		c := &Client{place: p, conns: map[net.Conn]struct{}{}}
		conn, peer, err := c.dial(ctx)
		if err == nil {
			c.first, c.peer = conn, peer
			c.http = &http.Client{Transport: &http.Transport{
				DialContext:           c.connection,
				DisableCompression:    true,
				ResponseHeaderTimeout: patience,
				IdleConnTimeout:       idleTimeout / 2,
			}}
			return c, nil
		}
		if _, ok := errors.AsType[*ForeignError](err); ok {
			errs[0] = err
		} else if !absent(err) {
			errs = append(errs, err)
		}
	}
	return nil, fmt.Errorf("connect to who has the repository: %w", errors.Join(errs...))
}

// absent reports whether an error says that nobody listens.
func absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)
}

// Peer is the process that answers, by its number here: what it has for its own may be
// another one's. It is 0 if it has none here.
func (c *Client) Peer() int { return c.peer }

// dial makes a connection, and checks who is at its other end.
func (c *Client) dial(ctx context.Context) (conn net.Conn, peer int, err error) {
	if err := c.place.checkSocket(); err != nil {
		return nil, 0, err
	}
	d := net.Dialer{Timeout: dialTimeout}
	conn, err = d.DialContext(ctx, "unix", c.place.path())
	if err != nil {
		return nil, 0, err
	}
	u, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, 0, errors.Join(fmt.Errorf("connect to %s: %T", c.place.path(), conn), conn.Close())
	}
	if peer, err = checkPeer(u); err != nil {
		return nil, 0, errors.Join(err, conn.Close())
	}
	t := &tracked{UnixConn: u, client: c}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, 0, errors.Join(net.ErrClosed, u.Close())
	}
	c.conns[t] = struct{}{}
	return t, peer, nil
}

// connection is the one that Dial made, for the first time, and else a new one.
func (c *Client) connection(ctx context.Context, _, _ string) (net.Conn, error) {
	c.mu.Lock()
	first := c.first
	c.first = nil
	c.mu.Unlock()
	if first != nil {
		return first, nil
	}
	conn, _, err := c.dial(ctx)
	return conn, err
}

// tracked is a connection that its client knows of.
type tracked struct {
	*net.UnixConn
	client *Client
}

// Close closes the connection, and has the client forget it.
func (t *tracked) Close() error {
	t.client.mu.Lock()
	delete(t.client.conns, t)
	t.client.mu.Unlock()
	return t.UnixConn.Close()
}

// Close ends all connections, and with them what is asked at the moment: then Gone
// reports true of its error. It may be called by any goroutine, and more than once.
func (c *Client) Close() error {
	c.mu.Lock()
	c.closed, c.first = true, nil
	var open []net.Conn
	for conn := range c.conns {
		open = append(open, conn)
	}
	c.mu.Unlock()
	for _, conn := range open {
		_ = conn.Close()
	}
	c.http.CloseIdleConnections()
	return nil
}

// Call makes a request: in, unless it is nil, is sent as JSON, and the answer is
// read into out, a pointer, unless that is nil.
func (c *Client) Call(ctx context.Context, method, path string, in, out any) error {
	res, err := c.do(ctx, method, path, in)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err == nil && out != nil {
		err = decode(text, out)
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, cut(err))
	}
	return nil
}

// do makes a request, and returns an answer that is no error. The caller closes
// its body.
func (c *Client) do(ctx context.Context, method, path string, in any) (*http.Response, error) {
	var body io.Reader
	if in != nil {
		text, err := encode(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	return c.send(ctx, method, path, body)
}

// send is do for a body as it is.
func (c *Client) send(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://testr"+path, body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	res, err := c.http.Do(req)
	switch {
	case err != nil && ctx.Err() != nil: // it is about who asks, and not about who is asked
		return nil, fmt.Errorf("%s %s: %w", method, path, context.Cause(ctx))
	case err != nil:
		return nil, err // which says method and path
	}
	if res.StatusCode < http.StatusBadRequest {
		return res, nil
	}
	defer func() { _ = res.Body.Close() }()
	var answer struct {
		Error *wireError `json:"error"`
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, maxLine))
	if err == nil {
		err = decode(text, &answer)
	}
	if err != nil || answer.Error == nil {
		return nil, errors.Join(fmt.Errorf("%s %s: %s", method, path, res.Status), cut(err))
	}
	return nil, fromWire(*answer.Error)
}

// Stream makes a request, as Call does, whose answer is a stream of events: what
// StreamEvents writes. The caller closes it.
func (c *Client) Stream(ctx context.Context, method, path string, in any) (*Stream, error) {
	// The stream outlives ctx, which is about the request alone.
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	unlink := context.AfterFunc(ctx, cancel)
	res, err := c.do(own, method, path, in)
	if !unlink() {
		if err == nil {
			_ = res.Body.Close()
		}
		err = fmt.Errorf("%s %s: %w", method, path, context.Cause(ctx))
	}
	if err != nil {
		cancel()
		return nil, err
	}
	return &Stream{body: res.Body, cancel: cancel, lines: newLines(res.Body)}, nil
}

// Stream is events that come from a server. It is a repo.Events, and belongs to
// one goroutine.
type Stream struct {
	body   io.Closer
	cancel context.CancelFunc // ends the request
	lines  *lines
}

// Next returns the next events, one at least, and waits for them. The error is
// io.EOF when there are none to come, the context's, with which the stream ends,
// or what went wrong at the other end; or Gone reports that nobody is there any more.
func (s *Stream) Next(ctx context.Context) ([]event.Event, error) {
	stop := context.AfterFunc(ctx, s.cancel)
	defer stop()
	events, err := s.lines.batch()
	if err != nil {
		_ = s.Close()
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
	}
	return events, err
}

// Close ends the stream, whether it is over or not.
func (s *Stream) Close() error {
	s.cancel()
	return s.body.Close()
}
