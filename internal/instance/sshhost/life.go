package sshhost

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"testr/internal/instance"
)

const (
	// maxDials is how many further connections are made at once: a server
	// begins to refuse at ten that have not logged in.
	maxDials = 4
	// afterEnd is for how long, after a session has ended, a server may still
	// count it.
	afterEnd = 500 * time.Millisecond
	// openAgain is how long a refused session waits then, to be tried again.
	openAgain = 10 * time.Millisecond
)

// life is a host between a connect and a loss: its connections, the first of
// which has the keeper. When one of them is lost, all are closed.
//
// For each connection one goroutine waits for its end, and some dial further
// ones; they belong to the host's work and end with the life.
type life struct {
	host   *Host
	name   string // of its directory
	token  string
	keeper *keeper

	// These are what the keeper said, and don't change.
	base string // directory
	run  string // directory below base
	info Info

	lost chan struct{} // closed when it is over
	err  error         // why; set before lost is closed

	// mu guards what follows.
	mu          sync.Mutex
	connections []*connection
	dials       int            // going on
	waiting     []chan<- error // of those that want a session; each is told once: try again, or why not
	transfers   map[string]*transfer
}

// connection is one of a life's. The life's mu guards all but conn.
type connection struct {
	conn  Conn
	open  int       // sessions that are open, or being opened
	limit int       // how many there can be, as far as is known; 0 before a session was refused
	full  bool      // limit is known
	ever  bool      // there has been a session
	ended time.Time // when the command of a session, or a session, ended last
}

// session is a channel on a connection.
type session struct {
	ssh.Channel
	requests <-chan *ssh.Request
	on       *connection
}

// beginLife connects to a host and has a keeper started there. If base isn't
// empty the keeper's directory is below it.
func beginLife(ctx context.Context, h *Host, number int, base string) (*life, error) {
	l := &life{
		host: h, name: fmt.Sprintf("%s.%06d", h.id, number), token: random(),
		lost: make(chan struct{}), transfers: make(map[string]*transfer),
	}
	err := checkEnv(h.cfg.Env)
	if err != nil {
		return nil, fmt.Errorf("instance %s: %w", h.cfg.Name, err)
	}
	conn, err := h.cfg.Dial(ctx)
	if err != nil {
		return nil, h.lost(err)
	}
	l.connect(conn)
	stop := context.AfterFunc(ctx, func() { l.fail(context.Cause(ctx)) })
	l.keeper, err = l.startKeeper(ctx, base)
	if !stop() || err != nil {
		err = l.why(l.connections[0].reason(err))
		l.fail(err)
		return nil, err
	}
	return l, nil
}

// why is err, or what ended the life if that was first: it is the reason then.
func (l *life) why(err error) error {
	if _, ok := errors.AsType[*directoryError](err); ok {
		return err
	}
	select {
	case <-l.lost:
		return l.err
	default:
		return l.host.lost(err)
	}
}

// over says that the life is over.
func (l *life) over() bool {
	select {
	case <-l.lost:
		return true
	default:
		return false
	}
}

// fail ends the life, if it isn't over: for whatever runs, the host is lost.
func (l *life) fail(err error) {
	if err == nil {
		err = errors.New("the connection has ended")
	}
	l.mu.Lock()
	if l.over() { // err is set
		l.mu.Unlock()
		return
	}
	l.err = l.host.lost(err)
	close(l.lost)
	connections := slices.Clone(l.connections)
	l.wake(l.err)
	l.mu.Unlock()
	for _, c := range connections {
		_ = c.conn.Close()
	}
}

// end has the keeper end everything, and ends the life.
func (l *life) end() error {
	err := l.keeper.end()
	l.fail(instance.ErrClosed)
	return err
}

// connect adds a connection.
func (l *life) connect(conn Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over() {
		_ = conn.Close()
		return
	}
	l.connections = append(l.connections, &connection{conn: conn})
	l.host.work.Go(func() {
		select {
		case <-conn.Lost():
			l.fail(conn.Err())
		case <-l.lost:
		}
	})
}

// wake tells those that wait for a session; mu is held.
func (l *life) wake(err error) {
	for _, w := range l.waiting {
		w <- err
	}
	l.waiting = nil
}

// openSession opens a session on whichever connection has room for one, or on
// a new one. How many a server allows is learned when it refuses one.
func (l *life) openSession(ctx context.Context) (*session, error) {
	for {
		c, wait, err := l.room()
		if err != nil {
			return nil, err
		}
		if c == nil {
			select {
			case err := <-wait:
				if err != nil {
					return nil, err
				}
			case <-ctx.Done():
				return nil, context.Cause(ctx) // wait has room for what nobody reads
			}
			continue
		}
		channel, requests, err := c.conn.OpenChannel("session", nil)
		if err == nil {
			l.mu.Lock()
			c.ever = true
			l.mu.Unlock()
			return &session{Channel: channel, requests: requests, on: c}, nil
		}
		again, err := l.refused(c, err)
		if err != nil {
			return nil, err
		}
		if again {
			select {
			case <-time.After(openAgain):
			case <-l.lost:
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		}
	}
}

// room takes a session on a connection; or tells where one will be told to look
// again, and sees to it that there will be one.
func (l *life) room() (*connection, <-chan error, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over() {
		return nil, nil, l.err
	}
	for _, c := range l.connections {
		if !c.full || c.open < c.limit {
			c.open++
			return c, nil, nil
		}
	}
	wait := make(chan error, 1)
	l.waiting = append(l.waiting, wait)
	each := max(1, l.connections[0].limit) // what is known of one will hold for others
	for l.dials < maxDials && l.dials*each < len(l.waiting) {
		l.dials++
		l.host.work.Go(l.dial)
	}
	return nil, wait, nil
}

// dial makes a further connection.
func (l *life) dial() {
	ctx, cancel := context.WithTimeoutCause(context.Background(), connectPatience, errTooSlow)
	defer cancel()
	dialled := make(chan struct{})
	l.host.work.Go(func() {
		select {
		case <-l.lost:
			cancel()
		case <-dialled:
		}
	})
	conn, err := l.host.cfg.Dial(ctx)
	close(dialled)
	if err == nil {
		l.connect(conn)
	} else {
		err = l.host.lost(fmt.Errorf("make another connection, because the server allows no more sessions on one: %w", err))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dials--
	if err == nil || l.dials == 0 {
		l.wake(err)
	}
}

// refused takes a session back that could not be opened. A server that has
// just ended one may not know yet that there is room again.
func (l *life) refused(c *connection, err error) (again bool, _ error) {
	if _, ok := errors.AsType[*ssh.OpenChannelError](err); !ok {
		l.fail(c.reason(err))
		return false, l.err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	c.open--
	if time.Since(c.ended) < afterEnd {
		return true, nil
	}
	if !c.ever && c.open == 0 {
		return false, l.host.lost(fmt.Errorf("the server refuses sessions: %w", err))
	}
	if !c.full || c.open < c.limit {
		c.full, c.limit = true, c.open
		l.host.cfg.Log.Debug("learned how many sessions a connection can have", "instance", l.host.cfg.Name,
			"sessions", c.limit)
	}
	return false, nil
}

// reason is why something on a connection has failed: the loss of the
// connection, if there is one, says it better than err.
func (c *connection) reason(err error) error {
	select {
	case <-c.conn.Lost():
		return c.conn.Err()
	default:
		return err
	}
}

// ending says that a session ends: soon there will be room.
func (l *life) ending(s *session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s.on.ended = time.Now()
}

// closed gives a session back that has ended.
func (l *life) closed(s *session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s.on.open--
	s.on.ended = time.Now()
	l.wake(nil)
}

// directory is where a program runs there.
func (l *life) directory(dir string) string {
	if path.IsAbs(dir) {
		return dir
	}
	return l.info.Home + "/" + dir
}
