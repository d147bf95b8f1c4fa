package sshdial

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
)

// maxAgain is how often a handshake is tried again that the host broke off
// before it had shown its key, which is what sshd does when too many are under
// way.
const maxAgain = 5

// firstPause is how long the first further attempt waits, give or take a half.
// Each one waits twice as long as the one before it.
const firstPause = 250 * time.Millisecond

// loginPatience is how long a host may take for a login, passphrases that a
// person is asked for included. sshd itself has no more patience.
const loginPatience = 2 * time.Minute

// Dial connects to t, through its jump hosts. ctx ends the attempt, whatever it
// is at; the connection then made outlives ctx, and belongs to the caller. The
// error is an *Error, of what jump host it was, if it was one; where ctx has
// ended the attempt it wraps what context.Cause says.
func (t *Target) Dial(ctx context.Context) (*Conn, error) {
	var via *Conn
	if t.jump != nil {
		var err error
		if via, err = t.jump.Dial(ctx); err != nil {
			return nil, t.onTheWay(err)
		}
	}
	conn, err := t.dialVia(ctx, via)
	if err != nil && via != nil {
		_ = via.Close()
	}
	return conn, err
}

// onTheWay is an error about a jump host of t.
func (t *Target) onTheWay(err error) error {
	var jump *Error
	if !errors.As(err, &jump) {
		return err
	}
	told := *jump
	told.Doing += ", on the way to " + t.Alias
	return &told
}

// dialVia connects through a jump host, unless via is nil. It takes via over if
// it returns a connection.
func (t *Target) dialVia(ctx context.Context, via *Conn) (*Conn, error) {
	leave, err := t.o.Shared.enter(ctx, t.way())
	if err != nil {
		return nil, t.fail("connect", nil, err, "")
	}
	defer leave() // only then: who waits to try again is in nobody's way
	pause := firstPause
	for again := 0; ; again++ {
		conn, brokenOff, err := t.connect(ctx, via)
		if err == nil || !brokenOff || again == maxAgain {
			return conn, err
		}
		timer := time.NewTimer(pause/2 + rand.N(pause))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, t.fail("connect", nil, context.Cause(ctx), "")
		}
		pause *= 2
	}
}

// way is the address of t as its jump hosts see it: the same one may be two
// hosts behind two of them.
func (t *Target) way() string {
	if t.jump == nil {
		return t.Address()
	}
	return t.jump.way() + "," + t.Address()
}

// attempt is one attempt to connect. The goroutine of connect has it, but for
// what verify does, which x/crypto/ssh calls from a goroutine of its own.
type attempt struct {
	t     *Target
	keys  *hostKeys
	login *login
	end   context.CancelCauseFunc // ends the attempt

	// mu guards what follows.
	mu      sync.Mutex
	limit   *time.Timer // calls end
	shown   bool        // the host has shown its key, and it was accepted
	refusal error       // why it was refused
}

// allow gives the host time for what it does next.
func (a *attempt) allow(doing string, patience time.Duration) {
	a.limit = time.AfterFunc(patience, func() { a.end(&patienceError{doing, patience}) })
}

// patienceError says that a host took too long.
type patienceError struct {
	doing    string // that it took too long for
	patience time.Duration
}

func (e *patienceError) Error() string {
	return fmt.Sprintf("no %s within %v", e.doing, e.patience)
}

// Timeout says that it is one.
func (e *patienceError) Timeout() bool { return true }

// connect makes one attempt. brokenOff says that another one may succeed.
func (t *Target) connect(ctx context.Context, via *Conn) (conn *Conn, brokenOff bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	a := &attempt{t: t, login: &login{t: t}, end: cancel}
	defer a.finish()
	if a.keys, err = readHostKeys(t); err != nil {
		return nil, false, t.fail("read the known_hosts files", ErrConfiguration, err, "")
	}
	a.allow("answer", t.patience)
	raw, err := t.open(ctx, via)
	if err != nil {
		return nil, errors.Is(err, syscall.ECONNRESET) && ctx.Err() == nil, t.unreachable(ctx, err)
	}
	s := newStream(raw, t.o.limit())
	stop := context.AfterFunc(ctx, func() {
		if via != nil {
			_ = via.Close() // first: the channel through it could be in its way
		}
		_ = raw.Close()
	})
	c, channels, requests, err := ssh.NewClientConn(s, t.Address(), a.config(ctx))
	if !stop() && err == nil { // ctx has ended just now, and is closing it
		_ = c.Close()
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = raw.Close()
		brokenOff, err = a.explain(ctx, s, err)
		return nil, brokenOff, err
	}
	return newConn(t, ssh.NewClient(c, channels, requests), s, under(via, raw)), false, nil
}

// finish lets go of what only the attempt needed.
func (a *attempt) finish() {
	a.end(nil)
	a.login.close()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.limit != nil {
		a.limit.Stop()
	}
}

// under is what a connection goes through, and has to be closed with it.
func under(via *Conn, raw net.Conn) io.Closer {
	if via != nil {
		return via
	}
	if p, ok := raw.(*proxy); ok {
		return p
	}
	return nil
}

// open opens the way to the host.
func (t *Target) open(ctx context.Context, via *Conn) (net.Conn, error) {
	if via != nil {
		conn, err := via.DialContext(ctx, "tcp", t.Address())
		if err != nil {
			return nil, fmt.Errorf("through jump host %s: %w", via.target.Alias, err)
		}
		return conn, nil
	}
	if t.command != "" {
		p, err := startProxy(t.command)
		if err != nil {
			return nil, fmt.Errorf("start the ProxyCommand: %w", err)
		}
		return p, nil
	}
	d := net.Dialer{}
	if t.bind != "" {
		address, err := net.ResolveTCPAddr(t.network, net.JoinHostPort(t.bind, "0"))
		if err != nil {
			return nil, fmt.Errorf("BindAddress: %w", err)
		}
		d.LocalAddr = address
	}
	return d.DialContext(ctx, t.network, t.Address())
}

// unreachable is why there is no way to the host.
func (t *Target) unreachable(ctx context.Context, err error) *Error {
	var late *patienceError
	if cause := context.Cause(ctx); cause != nil && !errors.As(cause, &late) {
		return t.fail("connect", nil, cause, "")
	} else if cause != nil {
		err = cause
	}
	hint := ""
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		hint = fmt.Sprintf("say where it is: write `HostName ADDRESS` under `Host %s` in ~/.ssh/config", t.Alias)
	case errors.Is(err, syscall.ECONNREFUSED):
		hint = fmt.Sprintf("see whether sshd runs there, and on port %s", t.Port)
	}
	return t.fail("connect", ErrUnreachable, undialled(err), hint)
}

// undialled is an error of a dial without what the Error says already.
func undialled(err error) error {
	op, ok := errors.AsType[*net.OpError](err)
	if !ok || op.Op != "dial" || op.Err == nil {
		return err
	}
	if sys, ok := errors.AsType[*os.SyscallError](op.Err); ok {
		return sys.Err
	}
	return op.Err
}

// config is what x/crypto/ssh is to do. ctx ends the attempt.
func (a *attempt) config(ctx context.Context) *ssh.ClientConfig {
	return &ssh.ClientConfig{
		Config:            ssh.Config{Ciphers: ciphers()},
		User:              a.t.User,
		HostKeyAlgorithms: a.keys.algorithms(),
		HostKeyCallback:   func(_ string, _ net.Addr, key ssh.PublicKey) error { return a.verify(key) },
		AuthCallback: func(c *ssh.ClientAuthContext) (ssh.AuthMethod, error) {
			return a.login.method(ctx, c)
		},
		BannerCallback: func(message string) error {
			a.t.o.Log.Debug("banner", "host", a.t.Alias, "text", message[:min(len(message), maxMessage)])
			return nil
		},
	}
}

// ciphers are those of x/crypto/ssh, the fastest one first.
func ciphers() []string {
	rest := slices.DeleteFunc(ssh.SupportedAlgorithms().Ciphers, func(c string) bool { return c == ssh.CipherAES128GCM })
	return append([]string{ssh.CipherAES128GCM}, rest...)
}

// verify checks the host's key, and gives the host time for what comes next.
func (a *attempt) verify(key ssh.PublicKey) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	err := a.keys.verify(key)
	switch {
	case a.shown: // a new exchange of keys on a connection that stands
	case err != nil:
		a.refusal = err
	default:
		a.shown = true
		a.limit.Stop()
		a.allow("end to the login", loginPatience)
	}
	return err
}

// busy is what sshd says instead of who it is when it has no time for us.
var busy = []string{"Exceeded MaxStartups", "Not allowed at this time"}

// explain says why a handshake failed, and whether another one may succeed. The
// connection has been closed.
func (a *attempt) explain(ctx context.Context, s *stream, err error) (brokenOff bool, told error) {
	t := a.t
	proxied, _ := s.Conn.(*proxy)
	if ctx.Err() != nil {
		e := t.unreachable(ctx, err)
		if proxied != nil && e.Kind != nil {
			e.Err = proxied.explain(e.Err)
		}
		return false, e
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.refusal != nil {
		return false, a.keys.refused(a.refusal)
	}
	gone := errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
	if _, network := errors.AsType[*net.OpError](err); a.shown && !gone && !network {
		return false, a.login.explain(err)
	}
	text := strings.TrimPrefix(err.Error(), "ssh: handshake failed: ")
	if errors.Is(err, io.EOF) {
		text = "the host has closed the connection"
	}
	switch line := s.stranger(); {
	case line != "":
		err = fmt.Errorf("%s; it said %.200q", text, line)
		gone = gone && slices.Contains(busy, line)
	case text != err.Error():
		err = &textError{text, err}
	}
	if proxied != nil {
		return false, t.fail("connect", ErrUnreachable, proxied.explain(err), "see what the ProxyCommand needs")
	}
	return gone && !a.shown, t.fail("connect", ErrUnreachable, err, "")
}

// textError is an error in other words.
type textError struct {
	text string
	err  error
}

func (e *textError) Error() string { return e.text }

// Unwrap returns the error in its own words.
func (e *textError) Unwrap() error { return e.err }
