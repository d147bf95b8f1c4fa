package instance

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// ErrClosed is the error of starting a command on an instance that was given
// back.
var ErrClosed = errors.New("the instance was given back")

// defaultGrace is how long a command has to end after SIGTERM.
const defaultGrace = 10 * time.Second

// Local provides instances that are this machine. Its fields are not to be
// changed once Provision was called; its methods may be called from several
// goroutines.
type Local struct {
	// Dir is where commands run that name no directory of their own, and what
	// a relative Command.Dir is relative to. Empty means testr's own.
	Dir string
	// Env holds KEY=VALUE over testr's own environment, which every command
	// inherits, or over that of Inherit.
	Env []string
	// Grace is the time between SIGTERM and SIGKILL for a command that was
	// cancelled; zero means 10 s.
	Grace time.Duration
	// Nested leaves commands in the process group of this process, and signals
	// them alone. It is for a worker that testr itself started, in a group that
	// testr ends: what the worker runs ends with it, even by SIGKILL. What a
	// command leaves behind lives until then.
	Nested bool

	// Guardian is a program, with its arguments, that does nothing but call
	// RunGuardian. It then starts the commands, one process for all of them, and
	// nothing that they start outlives it: what goes into a session of its own
	// lives until Close, or until this process has ended in whatever way. Nil
	// means that commands are started directly, and such things live on. With
	// Nested it has no effect.
	Guardian []string

	provisioned atomic.Int64 // numbers the instances

	inherited atomic.Pointer[[]string] // what Inherit was told; nil before that

	// mu guards what follows. It is held while a guardian is being started.
	mu       sync.Mutex
	guardian *guardian // nil before the first command
	closed   bool
}

// Provision makes count instances. They cost nothing until a command is
// started on them. It marks every file descriptor of testr but the standard
// ones as closed on exec.
func (l *Local) Provision(ctx context.Context, count int) ([]Instance, error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("provision local instances: %w", context.Cause(ctx))
	}
	dir := l.Dir
	if dir != "" {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return nil, fmt.Errorf("provision local instances: find %s: %w", dir, err)
		}
		dir = abs
	}
	grace := l.Grace
	if grace == 0 {
		grace = defaultGrace
	}
	closeInheritedOnExec()
	var instances []Instance
	for range count {
		instances = append(instances, &localInstance{
			local:   l,
			id:      "local-" + strconv.FormatInt(l.provisioned.Add(1)-1, 10),
			dir:     dir,
			grace:   grace,
			running: make(map[*localProcess]struct{}),
		})
	}
	return instances, nil
}

// Inherit has commands that are started from now on inherit env, in the place of
// testr's own environment; nil means testr's own again. Nobody may change env
// afterwards.
func (l *Local) Inherit(env []string) {
	if env == nil {
		l.inherited.Store(nil)
		return
	}
	l.inherited.Store(&env)
}

// environ is what commands inherit.
func (l *Local) environ() []string {
	if env := l.inherited.Load(); env != nil {
		return *env
	}
	return os.Environ()
}

// environOf is what commands inherit on a provider's instances, as far as that is
// known here.
func environOf(p Provider) []string {
	if l, ok := p.(*Local); ok {
		return l.environ()
	}
	return os.Environ()
}

// start starts a program in the way that l is set up for.
func (l *Local) start(p *program, files [3]*os.File) (child, error) {
	if len(l.Guardian) == 0 || l.Nested {
		return startDirect(p, files, l.Nested)
	}
	g, err := l.guard()
	if err != nil {
		return nil, err
	}
	return g.start(p, files)
}

// guard returns the guardian that is there, or a new one if there is none or
// it was killed.
func (l *Local) guard() (*guardian, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, ErrClosed
	}
	if l.guardian == nil || l.guardian.gone() {
		g, err := startGuardian(l.Guardian)
		if err != nil {
			return nil, fmt.Errorf("start the guardian of local processes: %w", err)
		}
		l.guardian = g
	}
	return l.guardian, nil
}

// Close kills what commands have left behind, wherever it went, and says what
// that was. Close the instances first: what still runs on them is killed too. A
// command that is started afterwards gives ErrClosed. Without a guardian
// nothing is known of leftovers, and nothing happens.
//
// The error says that some could not be killed, or, if the guardian was killed
// itself, that nobody knows.
func (l *Local) Close() (Leftovers, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.guardian == nil {
		return Leftovers{}, nil
	}
	left, err := l.guardian.close()
	l.guardian = nil
	if err != nil {
		return left, fmt.Errorf("end what local commands left behind: %w", err)
	}
	return left, nil
}

// localInstance is this machine, and the commands that were started on it.
type localInstance struct {
	local *Local
	id    string
	dir   string // absolute, or empty
	grace time.Duration

	// mu guards what follows. It is held while a command is being started, so
	// that Close misses none.
	mu      sync.Mutex
	closed  bool
	running map[*localProcess]struct{}
}

// ID is "local-" and a number.
func (i *localInstance) ID() string { return i.id }

// Path is the file itself: it is here.
func (i *localInstance) Path(file string) string { return file }

// Start starts a command, in a process group of its own unless nested. Beside its three pipes
// it inherits no file descriptor.
func (i *localInstance) Start(ctx context.Context, command Command) (Process, error) {
	if len(command.Args) == 0 {
		return nil, errors.New("start a command: it names no program")
	}
	p, err := i.start(ctx, command)
	if err != nil {
		return nil, fmt.Errorf("start %q: %w", command.Args[0], err)
	}
	return p, nil
}

func (i *localInstance) start(ctx context.Context, command Command) (*localProcess, error) {
	program, err := i.prepare(command)
	if err != nil {
		return nil, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case i.closed:
		return nil, ErrClosed
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	}
	p, err := startProcess(program, command.Stdin, i.local.start)
	if err != nil {
		return nil, explainStart(err, program)
	}
	i.running[p] = struct{}{}
	p.wait(ctx, i.grace, func() { i.forget(p) })
	return p, nil
}

// prepare resolves what command leaves open: directory, environment, program.
func (i *localInstance) prepare(command Command) (*program, error) {
	dir := i.dir
	if command.Dir != "" {
		dir = command.Dir
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(i.dir, dir)
		}
		abs, err := filepath.Abs(dir)
		if err != nil {
			return nil, fmt.Errorf("find %s: %w", dir, err)
		}
		dir = abs
	}
	env := slices.Concat(i.local.environ(), i.local.Env, command.Env)
	if dir != "" {
		env = append(env, "PWD="+dir)
	}
	path, err := lookPath(command.Args[0], env)
	if err != nil {
		return nil, err
	}
	words := slices.Concat([]string{path, dir}, command.Args, env)
	if slices.ContainsFunc(words, func(s string) bool { return strings.Contains(s, "\x00") }) {
		return nil, errors.New("an argument, the directory or the environment has a NUL in it")
	}
	env = (&exec.Cmd{Env: env}).Environ() // which leaves one of each variable, the last
	return &program{path: path, args: command.Args, env: env, dir: dir}, nil
}

// forget takes a process off the list of those that run.
func (i *localInstance) forget(p *localProcess) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.running, p)
}

// Close kills the commands that still run, at once, and returns when they are
// gone. To end them gently, cancel their contexts and wait for them first.
func (i *localInstance) Close() error {
	i.mu.Lock()
	i.closed = true
	running := slices.Collect(maps.Keys(i.running))
	i.mu.Unlock()
	for _, p := range running {
		p.child.signal(syscall.SIGKILL)
	}
	for _, p := range running {
		<-p.done
	}
	return nil
}
