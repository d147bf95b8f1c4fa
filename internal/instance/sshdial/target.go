package sshdial

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// Target is how to reach a host. It doesn't change, and may be used from
// several goroutines.
type Target struct {
	Alias    string // what was looked up, without a user
	HostName string // where it is
	Port     string
	User     string
}

// Shared is what Targets have in common. Its zero value is ready.
type Shared struct {
	mu sync.Mutex
}

// Conn is a connection.
type Conn struct {
	*ssh.Client
}

// Resolve looks alias up in the user's ssh configuration.
func Resolve(ctx context.Context, alias string, o Options) (*Target, error) {
	return nil, errors.ErrUnsupported
}

// Dial connects.
func (t *Target) Dial(ctx context.Context) (*Conn, error) { return nil, errors.ErrUnsupported }

// Lost is closed when the connection is gone, whatever the reason.
func (c *Conn) Lost() <-chan struct{} { return nil }

// Err says why, once Lost is closed; nil before.
func (c *Conn) Err() error { return nil }

// Close ends the connection. It never blocks.
func (c *Conn) Close() error { return nil }

// RTT is the shortest keepalive round trip; 0 before there was one.
func (c *Conn) RTT() time.Duration { return 0 }
