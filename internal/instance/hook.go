package instance

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// defaultDisposeTimeout is how long instance_dispose has unless it is told.
const defaultDisposeTimeout = time.Minute

// HookCommands are the commands of a hook, for /bin/sh, with the tokens that
// testrepository's instance_ options have.
type HookCommands struct {
	// Provision gets $INSTANCE_COUNT instances and prints their ids, apart by
	// white space.
	Provision string
	// Execute runs $COMMAND on the instance $INSTANCE_ID, to which it brings
	// $FILES first. If it is empty, commands run on this machine, with INSTANCE_ID
	// in their environment.
	Execute string
	// Dispose gives $INSTANCE_IDS back. It may be empty.
	Dispose string
}

// Hook provides instances that shell commands get, use and give back. Its fields
// are not to be changed once Provision was called; its methods may be called
// from several goroutines.
//
// An instance has a lease in the journal from the moment that its id is known
// until it was given back, and so has a hook that is at work. Nothing is in the
// journal for a hook without a dispose command.
//
// The hooks are run by instances of Local. With a guardian, what a provision hook
// leaves running on this machine lives until the Local is closed; without, as
// long as it likes, if it has a session of its own. What stays in the hook's
// process group ends with the hook.
type Hook struct {
	Section  string // of the configuration; empty for [DEFAULT]
	Commands HookCommands
	// Dir is the directory where hooks run, and that a relative Command.Dir is
	// relative to.
	Dir string
	// Env holds KEY=VALUE for all hooks, over what Local gives its commands.
	Env []string
	// ProvisionTimeout is how long one call of the provision hook may take; zero
	// means as long as it likes. DisposeTimeout is how long disposing may take;
	// zero means a minute.
	ProvisionTimeout time.Duration
	DisposeTimeout   time.Duration
	// Once has Provision not try again what has failed.
	Once bool

	// Abandon, once closed, ends giving back, as a failure: what is left stays in
	// the journal. Nil means that nobody does that.
	Abandon <-chan struct{}

	// Local provides instances that are this machine. It outlives the Hook.
	Local Provider
	// Journal keeps the leases. It may be nil without a dispose command.
	Journal Journal
	// Warn is told of what went wrong and stopped nobody: that there are fewer
	// instances than were asked for, a *HookError or *DisposeError in it, that
	// what a failed hook had got could not be given back. It is called by the
	// goroutine that provisions. Nil means that nobody wants to know.
	Warn func(error)

	// mu guards what follows.
	mu     sync.Mutex
	closed bool
	active map[*provisioning]context.CancelCauseFunc // calls of Provision that are under way
	calls  sync.WaitGroup                            // those calls
	held   map[string]Lease                          // by id: what was got and not given back
	leaked map[string]Lease                          // by id: what could not be given back
	spares []string                                  // ids that a hook gave beyond what it was asked for
	open   []*hookInstance                           // all that were made
}

// Provision makes count instances. A hook that gives fewer is asked again for
// the rest, as long as it gives at least one. If it gives none, fails or takes
// too long, it is tried again, three times in all; what it had got is given back.
// If there are some instances by then, Provision is content with fewer than
// count, but never with none. The error has a *HookError in it.
func (h *Hook) Provision(ctx context.Context, count int) ([]Instance, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("provision instances: %w", context.Cause(ctx))
	}
	p := &provisioning{hook: h}
	ctx, leave, err := h.enter(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("provision instances: %w", err)
	}
	defer leave()
	ids, err := p.provision(ctx, count)
	if err != nil {
		return nil, fmt.Errorf("provision instances: %w", err)
	}
	return h.instances(ctx, ids)
}

// enter notes that a call of Provision is under way, which Close will end.
func (h *Hook) enter(ctx context.Context, p *provisioning) (context.Context, func(), error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, nil, ErrClosed
	}
	if h.held == nil {
		h.active = make(map[*provisioning]context.CancelCauseFunc)
		h.held, h.leaked = make(map[string]Lease), make(map[string]Lease)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	h.active[p] = cancel
	h.calls.Add(1)
	return ctx, func() {
		cancel(nil)
		h.mu.Lock()
		delete(h.active, p)
		h.mu.Unlock()
		h.calls.Done()
	}, nil
}

// instances are those with these ids.
func (h *Hook) instances(ctx context.Context, ids []string) ([]Instance, error) {
	places, err := h.Local.Provision(ctx, len(ids))
	if err != nil {
		return nil, errors.Join(err, h.giveBack(ids))
	}
	instances := make([]Instance, len(ids))
	h.mu.Lock()
	defer h.mu.Unlock()
	for n, id := range ids {
		i := &hookInstance{hook: h, id: id, place: places[n]}
		h.open = append(h.open, i)
		instances[n] = i
	}
	return instances, nil
}

// lease is one as it stands in the journal, with an id or, for a hook at work,
// without.
func (h *Hook) lease(id string) Lease {
	dir, err := filepath.Abs(h.Dir) // another testr, elsewhere, may have to go there
	if err != nil {
		dir = h.Dir
	}
	return newLease(h.Section, id, h.Commands.Dispose, dir)
}

// journals reports whether anything is to be given back.
func (h *Hook) journals() bool { return h.Commands.Dispose != "" }

// warn tells of an error that stops nobody.
func (h *Hook) warn(err error) {
	if err != nil && h.Warn != nil {
		h.Warn(err)
	}
}

// Close ends what runs on the instances and the calls of Provision that are
// under way, and gives all instances back, in one call of the dispose hook. It
// returns within DisposeTimeout, whatever the hook does, and some seconds. A
// *DisposeError in its error says what may still be there; that stays in the
// journal. It may be called twice: what could not be given back is tried again.
func (h *Hook) Close() error {
	h.mu.Lock()
	h.closed = true
	for _, cancel := range h.active {
		cancel(ErrClosed)
	}
	h.mu.Unlock()
	h.calls.Wait()
	h.mu.Lock()
	open := h.open
	h.open, h.spares = nil, nil
	h.mu.Unlock()
	var errs []error
	for _, i := range open {
		errs = append(errs, i.place.Close())
	}
	h.mu.Lock()
	leaked := slices.Sorted(maps.Keys(h.leaked)) // which may be what keeps the hook from giving others back
	held := slices.Sorted(maps.Keys(h.held))
	h.mu.Unlock()
	errs = append(errs, h.giveBack(held), h.giveBack(leaked))
	return errors.Join(errs...)
}

// errAbandoned is why giving back was ended.
var errAbandoned = errors.New("it was ended because nobody waits for it any more")

// bounded is the context of giving back, which Abandon ends.
func (h *Hook) bounded() (ctx context.Context, done func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case <-h.Abandon:
			cancel(errAbandoned)
		case <-ctx.Done():
		}
	})
	return ctx, func() {
		cancel(nil)
		watch.Wait()
	}
}

// giveBack gives instances back that are held or leaked.
func (h *Hook) giveBack(ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	leases := make([]Lease, len(ids))
	h.mu.Lock()
	for n, id := range ids {
		lease, ok := h.held[id]
		if !ok {
			lease = h.leaked[id]
		}
		leases[n] = lease
		delete(h.held, id)
		delete(h.leaked, id)
	}
	h.mu.Unlock()
	if !h.journals() {
		return nil
	}
	d := Disposer{Local: h.Local, Journal: h.Journal, Env: h.Env, Timeout: h.DisposeTimeout}
	ctx, done := h.bounded()
	defer done()
	err := d.dispose(ctx, leases)
	if failed, ok := errors.AsType[*DisposeError](err); ok {
		h.mu.Lock()
		for _, lease := range failed.Leases {
			h.leaked[lease.ID] = lease
		}
		h.mu.Unlock()
	}
	return err
}

// hookInstance is something that a hook got, and the place on this machine
// where the commands run that get to it.
type hookInstance struct {
	hook  *Hook
	id    string
	place Instance
}

// ID is what the provision hook printed.
func (i *hookInstance) ID() string { return i.id }

// Path is the file itself: the execute hook brings $FILES to where they are here.
func (i *hookInstance) Path(file string) string { return file }

// Start starts the execute hook, in the directory and with the environment of
// the command: what of that reaches the instance is up to the hook. The process
// is the hook's.
//
// A command {"/bin/sh", "-c", LINE} becomes the LINE, unquoted, as a
// test_command does in testrepository; another one's words are quoted.
func (i *hookInstance) Start(ctx context.Context, command Command) (Process, error) {
	if len(command.Args) == 0 {
		return nil, errors.New("start a command: it names no program")
	}
	args := command.Args
	env := slices.Concat(i.hook.Env, []string{"TESTR_INSTANCE_ID=" + i.id}, command.Env)
	if i.hook.Commands.Execute == "" {
		env = append(env, "INSTANCE_ID="+i.id)
	} else {
		line, err := i.line(command)
		if err != nil {
			return nil, fmt.Errorf("start %q by %s: %w", args[0], optionName(i.hook.Section, "instance_execute"), err)
		}
		args = []string{"/bin/sh", "-c", shellWaits + line}
	}
	dir := command.Dir
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(i.hook.Dir, dir)
	}
	return i.place.Start(ctx, Command{Args: args, Dir: dir, Env: env, Stdin: command.Stdin})
}

// shellWaits has a shell that gets a SIGTERM wait for the end of the command that
// it runs, which got it as well, and end with that one's status. Otherwise the
// shell would end first, and with it the command's time of grace.
const shellWaits = "trap 'exit $?' TERM\n"

// line is the execute hook for a command.
func (i *hookInstance) line(command Command) (string, error) {
	cmd := token{name: tokenCommand, words: command.Args}
	if len(command.Args) == 3 && command.Args[0] == "/bin/sh" && command.Args[1] == "-c" && command.Args[2] != "" {
		cmd = token{name: tokenCommand, shell: command.Args[2]}
	}
	line, err := expand(i.hook.Commands.Execute, token{name: tokenID, words: []string{i.id}}, cmd,
		token{name: tokenFiles, words: command.Files})
	if err == nil && strings.TrimSpace(line) == "" {
		err = errors.New("the command is empty")
	}
	return line, err
}

// Close kills the commands that still run on the instance. The instance is given
// back with the others, when its Hook is closed.
func (i *hookInstance) Close() error { return i.place.Close() }
