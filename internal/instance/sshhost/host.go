package sshhost

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/crypto/ssh"

	"testr/internal/instance"
)

const (
	defaultGrace   = 10 * time.Second
	defaultSilence = 60 * time.Second
	// connectPatience is how long a host has for everything up to a keeper
	// that is ready.
	connectPatience = 60 * time.Second
	// closePatience is how long a host has to end what runs there, before
	// it counts as lost.
	closePatience = 5 * time.Second
)

// errTooSlow is why an attempt to connect is given up.
var errTooSlow = fmt.Errorf("it was not ready within %v", connectPatience)

// Conn is a connection. Its methods may be called from several goroutines.
type Conn interface {
	// OpenChannel is that of an ssh.Client.
	OpenChannel(name string, data []byte) (ssh.Channel, <-chan *ssh.Request, error)
	// Lost is closed when the connection is gone, whatever the reason. It has to
	// notice a host that says nothing any more: everything here waits for that.
	Lost() <-chan struct{}
	// Err says why, once Lost is closed.
	Err() error
	// RTT is how long a question and its answer take; 0 where that is unknown.
	RTT() time.Duration
	// Close ends the connection, and whatever waits for it. It doesn't block.
	Close() error
}

// Config says what a host is like. Dial is necessary.
type Config struct {
	Name string // of the instance, for people
	Host string // where it is, for people; empty means Name
	// Dial connects. It is called from several goroutines, but only for another
	// connection while there is one already.
	Dial func(context.Context) (Conn, error)

	// Prepare, if set, is called before each life begins, and has to have returned
	// nil before anything runs in it. It may take its time: so a start on a host that
	// was lost is the error of the loss then, and only Connect and Provision begin
	// another life. Its context ends when nobody waits any more, who then doesn't
	// wait for its return either; Close does.
	Prepare func(context.Context) error

	// Directory is where commands run that name no directory of their own, and
	// what a relative Command.Dir is relative to. It is relative to the home
	// directory there, which it is if it is empty.
	Directory string
	// MakeDirectory has Directory be made if it isn't there, which is an error
	// otherwise.
	MakeDirectory bool
	// Setup is shell commands that run before each command, in the shell that
	// becomes it and in its directory: /bin/sh, whatever the login shell is. They
	// have no input, and what they write goes to the command's standard error.
	Setup string
	Env   []string // KEY=VALUE for every command

	// Grace is the time between SIGTERM and SIGKILL for a command that was
	// cancelled; zero means 10 s.
	Grace time.Duration
	// Silence is for how long the host goes on without a sign of life from here;
	// then everything is killed there. It is measured in whole seconds; zero
	// means 60 s.
	Silence time.Duration

	Log hclog.Logger // nil means none
}

// Info is what a host says of itself.
type Info struct {
	OS         string // as uname -s says it: "Linux"
	Machine    string // as uname -m says it: "x86_64"
	Home       string // the home directory
	Processors int    // 0 where that is unknown
	RTT        time.Duration

	// Clock is how far the host's clock is ahead of ours, give or take
	// ClockError.
	Clock      time.Duration
	ClockError time.Duration
}

// Host is a machine that is reached by SSH. Its methods may be called from
// several goroutines.
type Host struct {
	cfg Config
	id  string // what its directories there are called

	provisioned atomic.Int64 // numbers the instances
	started     atomic.Int64 // numbers the commands

	// work counts the goroutines that connect, and that belong to connections.
	// Close waits for them.
	work sync.WaitGroup

	// mu guards what follows.
	mu       sync.Mutex
	closed   bool
	lives    int
	life     *life    // the last one that began well
	attempt  *attempt // to begin one
	base     string   // where its directories are; empty before the first life
	info     Info     // of the last life
	running  map[*process]struct{}
	contents map[string]content // of large files
}

// New makes a host, and does nothing yet.
func New(cfg Config) *Host {
	if cfg.Host == "" {
		cfg.Host = cfg.Name
	}
	if cfg.Grace == 0 {
		cfg.Grace = defaultGrace
	}
	if cfg.Silence == 0 {
		cfg.Silence = defaultSilence
	}
	if cfg.Log == nil {
		cfg.Log = hclog.NewNullLogger()
	}
	cfg.Directory = strings.TrimPrefix(cfg.Directory, "~/")
	if cfg.Directory == "~" {
		cfg.Directory = ""
	}
	return &Host{
		cfg: cfg, id: "testr-" + random(),
		running: make(map[*process]struct{}), contents: make(map[string]content),
	}
}

// random is a name that nobody can guess.
func random() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// attempt is one try to begin a life, which several may wait for. life and err
// are set when done is closed.
type attempt struct {
	done   chan struct{}
	life   *life
	err    error
	cancel context.CancelFunc

	waiting int // guarded by the host's mu
}

// Connect connects, unless the host is connected, and checks that commands can
// run there. It is what starting a command does, too; at the same time only one
// attempt is made, whose error goes to all. The error is an *instance.LostError
// if the host can't be reached or doesn't do what it has to, and another one if
// the configuration is wrong.
func (h *Host) Connect(ctx context.Context) error {
	_, err := h.connect(ctx)
	return err
}

// connect returns the life of the host, a new one if need be.
func (h *Host) connect(ctx context.Context) (*life, error) {
	h.mu.Lock()
	switch {
	case h.closed:
		h.mu.Unlock()
		return nil, instance.ErrClosed
	case h.life != nil && !h.life.over():
		defer h.mu.Unlock()
		return h.life, nil
	}
	a := h.attempt
	if a == nil {
		ctx, cancel := context.WithCancel(context.Background())
		a = &attempt{done: make(chan struct{}), cancel: cancel}
		h.attempt = a
		h.lives++
		number, base := h.lives, h.base
		h.work.Go(func() {
			defer cancel()
			h.begin(ctx, a, number, base)
		})
	}
	a.waiting++
	h.mu.Unlock()
	select {
	case <-a.done:
		return a.life, a.err
	case <-ctx.Done():
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if a.waiting--; a.waiting == 0 {
		a.cancel()
		if h.attempt == a {
			h.attempt = nil
		}
	}
	return nil, context.Cause(ctx)
}

// begin makes an attempt. When it is done, nobody who was waiting is left
// without an answer.
func (h *Host) begin(ctx context.Context, a *attempt, number int, base string) {
	if h.cfg.Prepare != nil {
		a.err = h.cfg.Prepare(ctx)
	}
	if a.err == nil {
		ctx, cancel := context.WithTimeoutCause(ctx, connectPatience, errTooSlow)
		defer cancel()
		a.life, a.err = beginLife(ctx, h, number, base)
	}
	h.mu.Lock()
	switch {
	case a.err != nil:
	case h.closed:
		a.err = instance.ErrClosed
	case h.attempt != a: // nobody waits for it any more
		a.err = context.Canceled
	default:
		h.life, h.base, h.info = a.life, a.life.base, a.life.info
	}
	if h.attempt == a {
		h.attempt = nil
	}
	h.mu.Unlock()
	if a.err != nil && a.life != nil {
		_ = a.life.end() // nobody wants to know
		a.life = nil
	}
	close(a.done)
}

// Info is what the host said when it was connected to last; nothing before that.
func (h *Host) Info() Info {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.info
}

// Provision connects and makes count instances. They share the host, and cost
// it nothing before a command is started on them.
func (h *Host) Provision(ctx context.Context, count int) ([]instance.Instance, error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("provision instances on %s: %w", h.cfg.Name, context.Cause(ctx))
	}
	if err := h.Connect(ctx); err != nil {
		return nil, fmt.Errorf("provision instances on %s: %w", h.cfg.Name, err)
	}
	var instances []instance.Instance
	for range count {
		id := h.cfg.Name + "-" + strconv.FormatInt(h.provisioned.Add(1)-1, 10)
		instances = append(instances, &hostInstance{host: h, id: id})
	}
	return instances, nil
}

// add takes a process on the list of those that run.
func (h *Host) add(p *process) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed:
		return instance.ErrClosed
	case h.cfg.Prepare != nil && h.life != nil && h.life.over():
		return h.life.err
	}
	h.running[p] = struct{}{}
	return nil
}

func (h *Host) forget(p *process) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.running, p)
}

// kill ends those commands that still run and that it is asked of, at once, and
// returns when they are gone. If that takes too long the host is lost.
func (h *Host) kill(whose func(*process) bool) {
	h.mu.Lock()
	running := slices.DeleteFunc(slices.Collect(maps.Keys(h.running)), func(p *process) bool { return !whose(p) })
	h.mu.Unlock()
	for _, p := range running {
		p.kill()
	}
	limit := time.NewTimer(closePatience)
	defer limit.Stop()
	for _, p := range running {
		select {
		case <-p.done:
			continue
		case <-limit.C:
		}
		h.mu.Lock()
		l := h.life
		h.mu.Unlock()
		if l != nil {
			l.fail(fmt.Errorf("it has not ended its commands within %v", closePatience))
		}
		<-p.done
		limit.Reset(0) // there is no need to wait again
	}
}

// Hold says that this process may be stopped from now on, or that this is over:
// until then silence means nothing to the host. Pausing a command does that by
// itself. It returns when the host was told, or is lost, or after a second.
func (h *Host) Hold(on bool) {
	h.mu.Lock()
	l := h.life
	h.mu.Unlock()
	if l == nil || l.over() {
		return
	}
	if !on {
		l.keeper.hold(-1)
		return
	}
	l.keeper.hold(1)
	l.keeper.flush()
}

// Close kills what still runs on the host, and whatever commands have left
// behind there, and closes the connections. It returns when that is done, or
// after some seconds if the host doesn't answer, which the error says then: the
// host ends everything by itself. It may be called twice; a command that is
// started afterwards gives instance.ErrClosed.
func (h *Host) Close() error {
	h.mu.Lock()
	h.closed = true
	a := h.attempt
	h.mu.Unlock()
	if a != nil {
		a.cancel()
		<-a.done
	}
	h.kill(func(*process) bool { return true })
	h.mu.Lock()
	l := h.life
	h.life = nil
	h.mu.Unlock()
	var err error
	if l != nil {
		err = l.end()
	}
	h.work.Wait()
	if err != nil {
		return fmt.Errorf("end what instance %s has left on %s: %w", h.cfg.Name, h.cfg.Host, err)
	}
	return nil
}

// lost says that the host is to blame, once.
func (h *Host) lost(err error) error {
	var lost *instance.LostError
	if errors.As(err, &lost) || errors.Is(err, instance.ErrClosed) {
		return err
	}
	return &instance.LostError{Instance: h.cfg.Name, Err: err}
}
