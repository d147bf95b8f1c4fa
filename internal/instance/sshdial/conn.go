package sshdial

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// Conn is a connection to a host. Its *ssh.Client is for sessions; its methods
// may be called from any goroutine. Whoever got it closes it, lost or not.
//
// One goroutine belongs to it, watch, which Close joins. It asks whether the
// host is there, ends the connection when it is not, and joins those that it
// starts for what x/crypto/ssh can only wait for.
type Conn struct {
	*ssh.Client
	target *Target
	stream *stream
	under  io.Closer // what the stream goes through and ends with; nil for none

	lost chan struct{} // closed when cause is set, for good
	once sync.Once
	// cause is why the connection is gone, as it was found.
	cause error

	shortest atomic.Int64   // the shortest round trip; 0 before one
	children sync.WaitGroup // what watch has started, and waits for
	done     chan struct{}  // closed when watch has ended
}

// errClosed is why a connection is gone that was closed here.
var errClosed = errors.New("it was closed")

// newConn takes over what belongs to a connection, and starts to watch it.
func newConn(t *Target, client *ssh.Client, s *stream, under io.Closer) *Conn {
	c := &Conn{
		Client: client, target: t, stream: s, under: under,
		lost: make(chan struct{}), done: make(chan struct{}),
	}
	s.owner.Store(c)
	go c.watch()
	return c
}

// Target is what the connection was made to.
func (c *Conn) Target() *Target { return c.target }

// Lost is closed when the connection is gone, whatever the reason. When the
// network or the host's end of the connection is the reason, it is closed
// before anything that used the connection gets an error.
func (c *Conn) Lost() <-chan struct{} { return c.lost }

// Err says why the connection is gone: an *Error of ErrLost. It is nil before
// Lost is closed.
func (c *Conn) Err() error {
	select {
	case <-c.lost:
	default:
		return nil
	}
	cause := c.cause
	switch {
	case errors.Is(cause, io.EOF):
		cause = errors.New("the host has closed the connection")
	case errors.Is(cause, errClosed):
		return c.target.fail("stay connected", ErrLost, cause, "")
	}
	switch under := c.under.(type) {
	case *Conn:
		if err := under.Err(); err != nil && !errors.Is(err, errClosed) {
			cause = fmt.Errorf("the way there is gone: %w", err)
		}
	case *proxy:
		cause = under.explain(cause)
	}
	return c.target.fail("stay connected", ErrLost, cause, "")
}

// RTT is the shortest round trip of a keepalive; 0 before the first one has
// come back.
func (c *Conn) RTT() time.Duration { return time.Duration(c.shortest.Load()) }

// Close ends the connection, and everything that uses it. It doesn't wait for
// the host, and may be called again.
func (c *Conn) Close() error {
	c.lose(errClosed)
	<-c.done
	return nil
}

// lose says why the connection is gone. The first reason counts.
func (c *Conn) lose(cause error) {
	c.once.Do(func() {
		c.cause = cause
		close(c.lost)
	})
}

// joinPatience is how long watch waits for x/crypto/ssh when the connection is
// gone: a session whose requests nobody takes holds it up for ever.
const joinPatience = time.Second

// watch runs in a goroutine of its own until the connection is gone.
func (c *Conn) watch() {
	defer close(c.done)
	k := &keepalive{
		interval: c.target.o.Keepalive, limit: c.target.o.limit(),
		heard: c.stream.lastHeard, ask: c.ask, start: c.children.Go,
	}
	c.children.Go(func() { c.lose(c.Wait()) })
	if err := k.run(c.lost); err != nil {
		c.lose(err)
	}
	c.shut()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.children.Wait()
	}()
	patience := time.NewTimer(joinPatience)
	defer patience.Stop()
	select {
	case <-ended:
	case <-patience.C:
	}
}

// shut closes what the connection consists of, from below: what is below can't
// be held up by anybody, and holds nobody up when it is closed.
func (c *Conn) shut() {
	if c.under != nil {
		_ = c.under.Close()
	}
	_ = c.stream.Close()
}

// ask asks the host whether it is there. Any answer will do.
func (c *Conn) ask() {
	began := time.Now()
	if _, _, err := c.SendRequest("keepalive@openssh.com", true, nil); err != nil {
		return // whoever has found it out tells
	}
	trip := max(int64(time.Since(began)), 1)
	for {
		shortest := c.shortest.Load()
		if shortest != 0 && shortest <= trip || c.shortest.CompareAndSwap(shortest, trip) {
			return
		}
	}
}
