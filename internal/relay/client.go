package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"testr/internal/instance"
)

// limits are the time that a relay has to do what it does at once if all is well.
// After it the relay is given up.
type limits struct {
	hello  time.Duration // from the start of its process to its saying what it is
	end    time.Duration // from the end of its channel to its own
	cancel time.Duration // from asking it to end a command, which may have 10 s of grace, to the command's end
	ask    time.Duration // from one beat of its pulse to the next; maxSilence of them
}

// Options are what a Client needs to know beside the relay itself. Name and
// Cancel are required.
type Options struct {
	// Name is how a person knows the relay's machine. It begins the ids of
	// instances, and errors name it.
	Name string
	// Cancel ends the context that the relay's process was started with. It is
	// called when a relay doesn't end by itself, does what none does, or is
	// stuck; the process must end then.
	Cancel context.CancelFunc
	// Path is Instance.Path. Nil means that files have the same names there.
	Path func(file string) string
	// Bring brings files to where Path says. It is called before a command that
	// needs some is started, beside the channel, from many goroutines, with every
	// command's files: it has to know what is there already. Nil means that they
	// all are.
	Bring func(ctx context.Context, files ...string) error
	// Hold is called with true when the first command is paused, and with false
	// when none is any more: meanwhile this process may be stopped, too, and what
	// watches over the relay's machine must not take that for its end. Nil means
	// that nothing does.
	Hold func(on bool)
}

// Client is the near end of a relay: a provider of instances on its machine. Its
// methods may be called from several goroutines.
//
// Four goroutines belong to it: follow, started by New, which joins the others
// and is what Close waits for, and one each that reads the channel, writes it,
// and reads the relay's stderr and waits for its process. Each command has one
// more, which is counted in commands.
type Client struct {
	options  Options
	process  instance.Process
	out      *outbox
	stderr   instance.Tail
	greeted  chan struct{} // closed when the relay has said what it is
	hello    Hello         // set before that
	lost     chan struct{} // closed when the relay is gone, for whatever reason
	done     chan struct{} // closed when everything has ended
	commands sync.WaitGroup
	limits   limits
	pulse    pulse // follow's, but for what it counts

	// What the goroutine that reads the channel alone uses.
	partial assembler
	noise   instance.Tail // the end of what came before the relay said what it is
	before  int           // how much that was

	// mu guards what follows.
	mu      sync.Mutex
	closing bool
	err     error // why the relay is gone; set before lost is closed
	slots   map[int]*Process
	made    int // instances

	// holding guards what follows, and is held while Hold is called.
	holding sync.Mutex
	paused  map[*Process]struct{}
}

// Hello is what a relay says of itself.
type Hello struct {
	Version  string // of testr
	PID      int    // on its machine
	Platform string // such as "linux/amd64"
}

// New makes a client of p, which runs "testr relay", and waits until the relay
// has said what it is. From then on p is the client's, which reads and writes its
// three files and waits for it.
//
// The error, of a relay that does not come up within a minute and by the end of
// ctx, speaks another version, or is none, is a *instance.LostError, with the
// relay's stderr. The process has ended then. What the relay needs had better be
// there before its process is started.
func New(ctx context.Context, p instance.Process, o Options) (*Client, error) {
	return newClient(ctx, p, o,
		limits{hello: time.Minute, end: 15 * time.Second, cancel: 40 * time.Second, ask: askEvery})
}

func newClient(ctx context.Context, p instance.Process, o Options, allow limits) (*Client, error) {
	c := &Client{
		options: o,
		process: p,
		out:     newOutbox(),
		greeted: make(chan struct{}),
		lost:    make(chan struct{}),
		done:    make(chan struct{}),
		slots:   make(map[int]*Process),

		limits: allow,
	}
	c.out.put(message(noSlot, nameHello, helloMessage{Relay: speaks}))
	go c.follow()
	limit := time.NewTimer(allow.hello)
	defer limit.Stop()
	select {
	case <-c.greeted:
		return c, nil
	case <-c.lost:
	case <-limit.C:
		c.giveUp(fmt.Errorf("the relay has not said what it is within %v", allow.hello))
	case <-ctx.Done():
		c.giveUp(fmt.Errorf("wait for the relay there: %w", context.Cause(ctx)))
	}
	<-c.done
	return nil, c.err
}

// Hello is what the relay said of itself.
func (c *Client) Hello() Hello { return c.hello }

// follow is the goroutine that all others of the client belong to.
func (c *Client) follow() {
	defer close(c.done)
	var pumps sync.WaitGroup
	pumps.Go(func() { c.out.write(c.pulse.to(c.process.Stdin()), c.unwritten) })
	read, waited := make(chan error, 1), make(chan ending, 1)
	pumps.Go(func() { c.read(read) })
	pumps.Go(func() { waited <- c.wait() })
	if err := c.listen(read); err != nil {
		c.giveUp(err)
	}
	c.out.close()
	timer := time.NewTimer(c.limits.end)
	defer timer.Stop()
	select {
	case e := <-waited:
		c.fail(c.explain(e))
	case <-timer.C:
		c.giveUp(errors.New("the relay's output has ended, and it has not"))
	}
	pumps.Wait()
	c.commands.Wait()
}

// listen waits until the relay has nothing more to say, which is its end, or is
// lost. The error is why it is to be given up.
func (c *Client) listen(read <-chan error) error {
	beat := time.NewTicker(c.limits.ask)
	defer beat.Stop()
	for {
		select {
		case err := <-read:
			return err
		case <-c.lost:
			return nil
		case <-beat.C:
		}
		if !c.knows() {
			continue // New waits for that
		}
		switch ask, over := c.pulse.beat(); {
		case ask:
			c.out.put(message(noSlot, nameAlive, struct{}{}))
			c.pulse.asked = c.out.written()
		case over:
			return fmt.Errorf("the relay has said nothing for %v", maxSilence*c.limits.ask)
		}
	}
}

// ending is how the relay's process ended.
type ending struct {
	status instance.ExitStatus
	err    error
}

// wait reads the relay's stderr and waits for its process.
func (c *Client) wait() ending {
	_, _ = io.Copy(&c.stderr, c.process.Stderr())
	status, err := c.process.Wait()
	return ending{status, err}
}

// explain is why the relay is gone whose output has ended, and that was it.
func (c *Client) explain(e ending) error {
	c.mu.Lock()
	closing := c.closing
	c.mu.Unlock()
	switch noise := strings.TrimSpace(c.noise.String()); {
	case e.err != nil:
		return e.err
	case closing && e.status.Success():
		return instance.ErrClosed
	case noise != "" && !c.knows():
		return fmt.Errorf("no relay is there, but something that ended, %v, and wrote %q", e.status, noise)
	}
	return fmt.Errorf("the relay has ended, %v", e.status)
}

// fail notes that the relay is gone. The first reason counts.
func (c *Client) fail(why error) {
	c.mu.Lock()
	select {
	case <-c.lost:
		c.mu.Unlock()
		return
	default:
	}
	c.err = c.lostBy(why)
	close(c.lost)
	var running []*Process
	for _, p := range c.slots {
		running = append(running, p)
	}
	clear(c.slots)
	c.mu.Unlock()
	for _, p := range running {
		p.lose(c.err)
	}
}

// giveUp is fail for a relay that may not have ended.
func (c *Client) giveUp(why error) {
	c.fail(why)
	c.out.close()
	c.options.Cancel()
}

// lostBy says that the relay was lost, once, and its last words.
func (c *Client) lostBy(why error) error {
	if lost, ok := errors.AsType[*instance.LostError](why); ok { // with its machine
		why = lost.Err
	}
	if words := bounded(c.stderr.String()); words != "" {
		why = fmt.Errorf("%w; on the relay's stderr: %s", why, words)
	}
	return &instance.LostError{Instance: c.options.Name, Err: why}
}

// unwritten is told that the relay takes nothing any more. It ends then, as a
// rule, and how it ended says more.
func (c *Client) unwritten(err error) {
	timer := time.NewTimer(c.limits.end)
	defer timer.Stop()
	select {
	case <-c.lost:
	case <-timer.C:
		c.giveUp(fmt.Errorf("write to the relay: %w", err))
	}
}

// sentPatience is how long pausing a command waits for the relay to be told: who
// pauses is about to be stopped.
const sentPatience = time.Second

// hold notes that a command is paused or not. When it is, it returns when the
// relay was told.
func (c *Client) hold(p *Process, on bool) {
	c.holding.Lock()
	defer c.holding.Unlock()
	before := len(c.paused)
	if on {
		if c.paused == nil {
			c.paused = make(map[*Process]struct{})
		}
		c.paused[p] = struct{}{}
	} else {
		delete(c.paused, p)
	}
	if now := len(c.paused); c.options.Hold != nil && (before == 0) != (now == 0) {
		c.options.Hold(on)
	}
	if !on {
		return
	}
	limit := time.NewTimer(sentPatience)
	defer limit.Stop()
	select {
	case <-c.out.written():
	case <-c.lost:
	case <-limit.C:
	}
}

// Provision makes count instances, all of them the relay's machine.
func (c *Client) Provision(ctx context.Context, count int) ([]instance.Instance, error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("provision instances of %s: %w", c.options.Name, context.Cause(ctx))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closing:
		return nil, instance.ErrClosed
	case c.err != nil:
		return nil, c.err
	}
	var instances []instance.Instance
	for range count {
		instances = append(instances, &relayInstance{client: c, id: c.options.Name + "/" + strconv.Itoa(c.made),
			running: make(map[*Process]struct{})})
		c.made++
	}
	return instances, nil
}

// Close ends the relay, and with it all commands that still run, at once. It
// returns when the relay's process has ended, and may be called twice. The error
// is how the relay ended, unless that was well; that it was lost before is an
// error as well.
func (c *Client) Close() error {
	c.mu.Lock()
	c.closing = true
	c.mu.Unlock()
	c.out.close()
	timer := time.NewTimer(c.limits.end)
	defer timer.Stop()
	select {
	case <-c.done:
	case <-timer.C:
		c.giveUp(errors.New("the relay does not end"))
		<-c.done
	}
	if errors.Is(c.err, instance.ErrClosed) {
		return nil
	}
	return c.err
}

// take gives a process a slot, the lowest that is free, and the goroutine that
// belongs to it.
func (c *Client) take(p *Process, follow func()) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closing:
		return instance.ErrClosed
	case c.err != nil:
		return c.err
	}
	for c.slots[p.slot] != nil {
		p.slot++
	}
	if p.slot >= maxSlots {
		return fmt.Errorf("%d commands run there", maxSlots)
	}
	c.slots[p.slot] = p
	c.commands.Go(follow)
	return nil
}

// release makes the slot of a process free.
func (c *Client) release(p *Process) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.slots[p.slot] == p {
		delete(c.slots, p.slot)
	}
}

// in is the process in a slot, or nil.
func (c *Client) in(slot int) *Process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.slots[slot]
}
