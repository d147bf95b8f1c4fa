package lab

import (
	"net"
	"sync"
	"time"
)

// lineLimit is how many bytes may be under way in one direction.
const lineLimit = 4 << 20

// gate holds up whoever comes to it while it is shut. Any goroutine may call
// its methods.
type gate struct {
	mu     sync.Mutex
	opened chan struct{} // nil while open; closed when a shut gate opens
}

// set shuts or opens the gate.
func (g *gate) set(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case shut && g.opened == nil:
		g.opened = make(chan struct{})
	case !shut && g.opened != nil:
		close(g.opened)
		g.opened = nil
	}
}

// wait returns when the gate is open or closed is.
func (g *gate) wait(closed <-chan struct{}) {
	g.mu.Lock()
	opened := g.opened
	g.mu.Unlock()
	if opened == nil {
		return
	}
	select {
	case <-opened:
	case <-closed:
	}
}

// shapedConn is a connection through a gate, whose bytes may be late. With a
// delay, two goroutines belong to it, started by shape; both end soon after
// abort:
//
//	receive  reads the connection, into in
//	send     writes to the connection what is due in out
type shapedConn struct {
	net.Conn
	gate    *gate
	closed  chan struct{} // closed by abort
	once    sync.Once     // of abort
	in, out *delayLine    // nil without a delay
}

// shape puts conn behind g and delays what goes either way; start starts the
// goroutines that this needs.
func shape(conn net.Conn, g *gate, delay time.Duration, start func(func())) *shapedConn {
	c := &shapedConn{Conn: conn, gate: g, closed: make(chan struct{})}
	if delay > 0 {
		c.in, c.out = newDelayLine(delay, c.closed), newDelayLine(delay, c.closed)
		start(c.receive)
		start(c.send)
	}
	return c
}

func (c *shapedConn) receive() {
	buffer := make([]byte, 32<<10)
	for {
		n, err := c.Conn.Read(buffer)
		if putErr := c.in.put(buffer[:n]); putErr != nil {
			return
		}
		if err != nil {
			c.in.end(err)
			return
		}
	}
}

func (c *shapedConn) send() {
	defer c.abort()
	buffer := make([]byte, 32<<10)
	for {
		n, err := c.out.take(buffer)
		if err != nil {
			return
		}
		if _, err := c.Conn.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func (c *shapedConn) Read(p []byte) (n int, err error) {
	if c.in != nil {
		n, err = c.in.take(p)
	} else {
		n, err = c.Conn.Read(p)
	}
	c.gate.wait(c.closed)
	return n, err
}

func (c *shapedConn) Write(p []byte) (int, error) {
	c.gate.wait(c.closed)
	if c.out == nil {
		return c.Conn.Write(p)
	}
	if err := c.out.put(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Close closes the connection when all that was written is on its way.
func (c *shapedConn) Close() error {
	if c.out == nil {
		c.abort()
	} else {
		c.out.end(net.ErrClosed)
	}
	return nil
}

// abort closes the connection now.
func (c *shapedConn) abort() {
	c.once.Do(func() {
		close(c.closed)
		_ = c.Conn.Close()
	})
}

// delayLine is a pipe whose bytes come out a fixed time after they went in, in
// their order. One goroutine puts, one takes.
type delayLine struct {
	delay  time.Duration
	closed <-chan struct{}

	// mu guards what follows.
	mu      sync.Mutex
	queue   []chunk
	size    int           // bytes in queue
	err     error         // what comes after the queue's last byte
	changed chan struct{} // closed, and replaced, when anything above changes
}

type chunk struct {
	bytes []byte
	due   time.Time
}

func newDelayLine(delay time.Duration, closed <-chan struct{}) *delayLine {
	return &delayLine{delay: delay, closed: closed, changed: make(chan struct{})}
}

// change tells whoever waits; the caller holds mu.
func (l *delayLine) change() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// put takes a copy of p. It waits while the line is full.
func (l *delayLine) put(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	due := time.Now().Add(l.delay)
	for {
		l.mu.Lock()
		if l.err != nil {
			defer l.mu.Unlock()
			return l.err
		}
		if l.size < lineLimit {
			l.queue = append(l.queue, chunk{bytes: append([]byte(nil), p...), due: due})
			l.size += len(p)
			l.change()
			l.mu.Unlock()
			return nil
		}
		changed := l.changed
		l.mu.Unlock()
		select {
		case <-changed:
		case <-l.closed:
			return net.ErrClosed
		}
	}
}

// end has take return err after what is in the line.
func (l *delayLine) end(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = err
		l.change()
	}
}

// take waits for bytes that are due.
func (l *delayLine) take(p []byte) (int, error) {
	for {
		l.mu.Lock()
		wait := time.Duration(-1)
		switch {
		case len(l.queue) > 0:
			first := &l.queue[0]
			wait = time.Until(first.due)
			if wait <= 0 {
				n := copy(p, first.bytes)
				if first.bytes = first.bytes[n:]; len(first.bytes) == 0 {
					l.queue = l.queue[1:]
				}
				l.size -= n
				l.change()
				l.mu.Unlock()
				return n, nil
			}
		case l.err != nil:
			defer l.mu.Unlock()
			return 0, l.err
		}
		changed := l.changed
		l.mu.Unlock()
		if err := l.await(wait, changed); err != nil {
			return 0, err
		}
	}
}

// await waits for a change, for wait unless negative, or for the connection's end.
func (l *delayLine) await(wait time.Duration, changed <-chan struct{}) error {
	var due <-chan time.Time
	if wait >= 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-changed:
	case <-due:
	case <-l.closed:
		return net.ErrClosed
	}
	return nil
}
