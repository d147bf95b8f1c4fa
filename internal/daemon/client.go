package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"testr/internal/api"
	"testr/internal/repo"
	"testr/internal/runner"
	"testr/internal/supervisor"
)

// Client asks a daemon to do things. Its methods may be called by several
// goroutines at once.
type Client struct {
	api  *api.Client
	dir  string
	pid  int
	here bool // pid is what its process is called here
}

// Find returns a client of the daemon that has the repository in dir, or nil if
// none has.
func Find(ctx context.Context, dir string) (*Client, error) {
	c, err := api.Dial(ctx, dir)
	if err != nil {
		return nil, unlessNobody(err)
	}
	var s State
	if err := c.Call(ctx, http.MethodGet, pathDaemon, nil, &s); err != nil {
		_ = c.Close()
		var failed *api.Failure
		if errors.As(err, &failed) && !api.Gone(err) { // a run has it, which answers questions alone
			err = nil
		}
		return nil, unlessNobody(err)
	}
	if pid := c.Peer(); pid != 0 {
		return &Client{c, dir, pid, true}, nil
	}
	return &Client{c, dir, s.PID, false}, nil
}

// unlessNobody forgets that nobody is there. What is somebody else's is no daemon
// of ours, and whether the repository is in use the file tells.
func unlessNobody(err error) error {
	var foreign *api.ForeignError
	var none *repo.NotFoundError
	if err == nil || api.Gone(err) || errors.As(err, &foreign) || errors.As(err, &none) {
		return nil
	}
	return fmt.Errorf("look for a daemon: %w", err)
}

// Edits are what the daemon does to the repository.
func (c *Client) Edits() api.Edits { return c.api }

// Close ends all that the client has going on.
func (c *Client) Close() error { return c.api.Close() }

// PID is the daemon's process id; where it has none here, as from within a container,
// what it says itself.
func (c *Client) PID() int { return c.pid }

// State is what the daemon does.
func (c *Client) State(ctx context.Context) (s State, err error) {
	err = c.api.Call(ctx, http.MethodGet, pathDaemon, nil, &s)
	return s, err
}

// tick is how often Stop looks whether it has to wait any longer.
const tick = 100 * time.Millisecond

// Stop asks the daemon to end, and waits until its process has or, where that can't
// be watched from here, until it doesn't answer any more. When ctx ends it waits no
// longer.
func (c *Client) Stop(ctx context.Context) error {
	if !c.here {
		if err := c.tellStop(ctx); err != nil {
			return err
		}
		return c.awaitSilence(ctx)
	}
	// From before it is asked: the number may be another one's later.
	fd, err := unix.PidfdOpen(c.pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return c.tellStop(ctx)
	}
	if err != nil {
		return fmt.Errorf("watch process %d: %w", c.pid, err)
	}
	defer func() { _ = unix.Close(fd) }()
	if err := c.tellStop(ctx); err != nil {
		return err
	}
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(tick.Milliseconds()))
		switch {
		case n > 0:
			return nil
		case err != nil && !errors.Is(err, unix.EINTR):
			return fmt.Errorf("wait for the end of process %d: %w", c.pid, err)
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
	}
}

// tellStop asks the daemon to end. That it has already is fine.
func (c *Client) tellStop(ctx context.Context) error {
	if err := c.api.Call(ctx, http.MethodPost, pathStop, nil, nil); err != nil && !api.Gone(err) {
		return err
	}
	return nil
}

// awaitSilence waits until the daemon doesn't answer any more.
func (c *Client) awaitSilence(ctx context.Context) error {
	again := time.NewTicker(tick)
	defer again.Stop()
	for {
		there, err := Find(ctx, c.dir)
		if err != nil || there == nil {
			return err
		}
		pid := there.PID()
		if err := there.Close(); err != nil || pid != c.pid {
			return err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Signals are what a client does to its job while that goes on.
type Signals struct {
	Kill    <-chan struct{} // once closed, ends its workers at once
	Abandon <-chan struct{} // once closed, ends waiting for it; the daemon brings it to its end by itself
	Inspect <-chan func([]supervisor.SlotState)
}

// Listener is told of a job. Its functions are called by whoever calls
// Series.Next, and may be nil.
type Listener struct {
	Waits    func(job, ahead int) // it is in the queue, and not the first
	Seed     func(uint64)
	Warn     func(error)
	Progress func(instance, text string, over bool)
	Announce func(command string)
	Log      func(lines string)
	Status   func(supervisor.Status)
}

// Wanted is what is to be run.
type Wanted struct {
	runner.Request         // of it what Asked has
	Seed           *uint64 // nil for any; only with Random
	Plan           *Plan   // instead of Segments
	UntilFailure   bool
	Draws          bool // Listener.Status wants to know
}

// WantedLoad is what is to be loaded.
type WantedLoad struct {
	Command []string
	Partial bool
	Streams []runner.Stream
	Labels
}

// asked is what of it goes over the socket.
func (w *Wanted) asked() Asked {
	a := ask(w.Request)
	a.Run.Seed, a.Run.Plan, a.Run.UntilFailure, a.Draws = w.Seed, w.Plan, w.UntilFailure, w.Draws
	return a
}

// Run asks for a run, or for several until one fails.
func (c *Client) Run(ctx context.Context, w Wanted, s Signals, l Listener) (*Series, error) {
	return c.begin(ctx, w.asked(), nil, s, l)
}

// Load asks for streams to be stored as a run. They are read until that is over.
func (c *Client) Load(ctx context.Context, w WantedLoad, s Signals, l Listener) (*Series, error) {
	a := Asked{Command: w.Command, Partial: w.Partial, Load: &AskedLoad{Labels: w.Labels}}
	for _, one := range w.Streams {
		a.Load.Streams = append(a.Load.Streams, one.Name)
	}
	return c.begin(ctx, a, w.Streams, s, l)
}

// Taken says what has become of a run that nobody waits for.
type Taken struct {
	Job, Ahead int // its number in the queue, and how many are before it
	Run        int // its number, if it has begun; else -1
}

// Detach asks for a run, and returns when it has begun, or is certain to wait. If
// ctx ends before, there is to be none.
func (c *Client) Detach(ctx context.Context, w Wanted) (t Taken, err error) {
	a := w.asked()
	a.Detach, a.Draws = true, false
	t.Run = -1
	values, err := c.ask(ctx, a)
	if err != nil {
		return t, err
	}
	defer func() { _ = values.Close() }()
	for {
		var batch []Message
		if err := values.Next(&batch); err != nil {
			return t, c.ended(err, false)
		}
		for _, m := range batch {
			switch m.Kind {
			case kindQueued:
				if t.Job, t.Ahead = m.Job, m.Ahead; m.Ahead > 0 {
					return t, nil
				}
			case kindBegun:
				t.Run = m.Run
				return t, nil
			case kindResult:
				err := m.Result.Failure.err()
				if m.Result.Interrupted {
					err = errors.Join(&Failure{Text: m.Result.Why, Status: statusError}, err)
				}
				return t, err
			}
		}
	}
}

// ask makes the request that a job begins with.
func (c *Client) ask(ctx context.Context, a Asked) (*api.Values, error) {
	a.PID = unix.Getpid()
	values, err := c.api.Values(ctx, http.MethodPost, pathJobs, a)
	if err != nil {
		return nil, c.ended(err, false)
	}
	return values, nil
}

// ended puts the error of a daemon that is there no more into words; begun says
// whether it has told of a run.
func (c *Client) ended(err error, begun bool) error {
	switch {
	case err == nil || !api.Gone(err):
		return err
	case !begun:
		return fmt.Errorf("the daemon, process %d, has ended before the run began: %w", c.pid, err)
	}
	return &runner.HintError{Err: fmt.Errorf("the daemon, process %d, has ended before the run did: %w", c.pid, err),
		Hint: "testr last shows what is stored of the run"}
}

// path is where to ask about a job.
func path(job int, what string) string { return pathJobs + "/" + strconv.Itoa(job) + "/" + what }
