package relay

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"testr/internal/instance"
)

// relayInstance is an instance: the relay's machine, and the commands that were started
// through it.
type relayInstance struct {
	client *Client
	id     string

	// mu guards what follows.
	mu      sync.Mutex
	closed  bool
	running map[*Process]struct{}
}

// ID is the name of the relay's machine and a number.
func (i *relayInstance) ID() string { return i.id }

// Path is where files are that Options.Bring brings.
func (i *relayInstance) Path(file string) string {
	if i.client.options.Path == nil {
		return file
	}
	return i.client.options.Path(file)
}

// Start starts a command. It is a *Process. A file as its stdin is read here and
// sent; the goroutine that does it ends with the file or the command, but not
// before a read that is under way. The command's directory is the relay's own
// where Command.Dir is empty, and relative to that otherwise; so are programs
// looked up in the relay's PATH.
func (i *relayInstance) Start(ctx context.Context, cmd instance.Command) (instance.Process, error) {
	if len(cmd.Args) == 0 {
		return nil, errors.New("start a command: it names no program")
	}
	p, err := i.start(ctx, cmd)
	if err != nil {
		return nil, fmt.Errorf("start %q: %w", cmd.Args[0], err)
	}
	return p, nil
}

func (i *relayInstance) start(ctx context.Context, cmd instance.Command) (*Process, error) {
	words := slices.Concat([]string{cmd.Dir}, cmd.Args, cmd.Env)
	if slices.ContainsFunc(words, func(s string) bool { return strings.Contains(s, "\x00") }) {
		return nil, errors.New("an argument, the directory or the environment has a NUL in it")
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case i.closed:
		return nil, instance.ErrClosed
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	}
	bringing, stop := context.WithCancelCause(ctx)
	p := newProcess(i.client, cmd, stop)
	if err := i.client.take(p, func() {
		p.follow(ctx, bringing, cmd)
		stop(nil)
		i.forget(p)
	}); err != nil {
		stop(nil)
		return nil, err
	}
	i.running[p] = struct{}{}
	if len(cmd.Files) == 0 || i.client.options.Bring == nil {
		p.begin(cmd)
	}
	if cmd.Stdin != nil {
		go p.input.copyFrom(cmd.Stdin)
	}
	return p, nil
}

// forget takes a process off the list of those that run.
func (i *relayInstance) forget(p *Process) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.running, p)
}

// follow has what the command needs brought, starts it, and ends it when ctx
// does. It runs in a goroutine of its own, which the command's end ends.
func (p *Process) follow(ctx, bringing context.Context, cmd instance.Command) {
	p.bring(bringing, cmd)
	select {
	case <-p.exited:
		return
	case <-ctx.Done():
	}
	p.order(nameCancel)
	p.client.await(p, "the relay was asked to end a command, and did not")
}

// bring has files brought, if there are any, and starts the command then.
func (p *Process) bring(ctx context.Context, cmd instance.Command) {
	bring := p.client.options.Bring
	if len(cmd.Files) == 0 || bring == nil {
		return
	}
	err := bring(ctx, cmd.Files...)
	switch {
	case err == nil:
		p.begin(cmd)
		return
	case ctx.Err() != nil:
		err = fmt.Errorf("start %q: %w", p.name, context.Cause(ctx))
	default:
		err = fmt.Errorf("start %q: bring what it needs: %w", p.name, err)
		if _, ok := errors.AsType[*instance.LostError](err); !ok {
			err = &instance.LostError{Instance: p.client.options.Name, Err: err}
		}
	}
	p.abort(err)
}

// await waits for the end of a command that the relay was told to end, and
// gives the relay up if it doesn't.
func (c *Client) await(p *Process, otherwise string) {
	timer := time.NewTimer(c.limits.cancel)
	defer timer.Stop()
	select {
	case <-p.exited:
	case <-timer.C:
		c.giveUp(errors.New(otherwise))
	}
}

// Close kills the commands that still run, at once, and returns when they are
// gone. The error is that the relay is stuck, and given up.
func (i *relayInstance) Close() error {
	i.mu.Lock()
	i.closed = true
	running := slices.Collect(maps.Keys(i.running))
	i.mu.Unlock()
	for _, p := range running {
		p.kill()
	}
	for _, p := range running {
		i.client.await(p, "the relay was asked to kill a command, and did not")
	}
	return nil
}
