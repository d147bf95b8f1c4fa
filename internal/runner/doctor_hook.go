package runner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"testr/internal/config"
	"testr/internal/instance"
)

// The names of checks of what hooks get, beside those of commands there.
const (
	checkProvision    = "provision"
	checkDispose      = "dispose"
	checkDisposeAgain = "dispose again"
)

// The options of hooks.
const (
	optionProvision = "instance_provision"
	optionExecute   = "instance_execute"
	optionDispose   = "instance_dispose"
)

// examineHook gets one instance, looks at it and gives it back.
func examineHook(ctx context.Context, p *patient) {
	s := p.session
	if s.req.Repo == nil && p.conf.Dispose.Set() {
		fix := "testr init"
		if p.busy != nil {
			fix = "ask again when the run has ended"
		}
		p.problem(checkProvision, optionProvision, fix,
			"the hooks were not tried: what they get has to be noted in the repository, so that it is given back")
		return
	}
	w := &watch{Provider: s.fleet.machine}
	hook := s.fleet.newHook(p.conf)
	hook.Local, hook.Once = w, true
	hook.Warn = func(err error) { p.warn(checkProvision, optionProvision, fixOf(err), "%v", err) }
	if hook.ProvisionTimeout == 0 {
		hook.ProvisionTimeout = config.DefaultProvisionTimeout
	}
	at, ids := p.provision(ctx, hook, w)
	if at != nil {
		p.executes(ctx, place{Instance: at, bare: true, env: p.session.req.Config.Env})
	}
	p.dispose(ctx, hook, ids)
}

// provision gets one instance, and says what the hook printed. The instance is
// nil if there is none, or none worth a look.
func (p *patient) provision(ctx context.Context, hook *instance.Hook, w *watch) (instance.Instance, []string) {
	const (
		option = optionProvision
		purely = "have it print ids and nothing else on its standard output: put >&2 behind what prints other things"
	)
	w.record(true)
	begun := time.Now()
	made, err := hook.Provision(ctx, 1)
	w.record(false)
	if err != nil {
		fix := cmp.Or(fixOf(err), "run it by hand, with a number in the place of $INSTANCE_COUNT")
		if oddWord(w.ids()) != "" {
			fix = purely
		}
		p.problem(checkProvision, option, fix, "%s", failed(err))
		return nil, nil
	}
	ids := w.ids()
	shown := strings.Join(ids[:min(len(ids), saidLines)], " ")
	switch odd := oddWord(ids); {
	case len(ids) > 1 && (odd != "" || strings.Contains(p.conf.Provision.Text, "$INSTANCE_COUNT")):
		p.problem(checkProvision, option, purely,
			"it was asked for 1 instance and printed %d words, each of which is taken for an id: %s", len(ids), shown)
		return nil, ids
	case len(ids) > 1:
		p.warn(checkProvision, option, "use $INSTANCE_COUNT in it",
			"it was asked for 1 instance and printed %d ids: %s", len(ids), shown)
	case odd != "":
		p.warn(checkProvision, option, purely, "what it printed looks like no id: %s", shown)
	default:
		p.ok(checkProvision, "1 instance in %s: %s", short(time.Since(begun)), shown)
	}
	return made[0], ids
}

// failed says how a hook failed, without what is told anyway: which hook that is,
// and what would help.
func failed(err error) string {
	hook, ok := errors.AsType[*instance.HookError](err)
	if !ok {
		return err.Error()
	}
	text := hook.Err.Error()
	if hook.Stdout != "" {
		text += fmt.Sprintf("; it printed %q", hook.Stdout)
	}
	return text + saying(hook.Stderr)
}

// oddWord is the first word that looks like a part of something else: a trace of
// set -x, a message.
func oddWord(words []string) string {
	for _, w := range words {
		if strings.HasPrefix(w, "+") || strings.ContainsAny(w, "\"'`$(){}<>|;&*?!=\\,") ||
			strings.HasSuffix(w, ":") || strings.HasSuffix(w, ".") {
			return w
		}
	}
	return ""
}

// dispose gives back what a hook got, and then once more.
func (p *patient) dispose(ctx context.Context, hook *instance.Hook, ids []string) {
	const option = optionDispose
	begun := time.Now()
	if err := hook.Close(); err != nil {
		fix := "testr instances list shows what is left, testr instances dispose tries again"
		if _, left := errors.AsType[*instance.DisposeError](err); !left {
			fix = fixOf(err)
		}
		p.problem(checkDispose, option, fix, "%v", err)
		return
	}
	if !p.conf.Dispose.Set() || len(ids) == 0 {
		return
	}
	p.ok(checkDispose, "%s given back, in %s", count(len(ids), "instance was", "instances were"), short(time.Since(begun)))
	if ctx.Err() != nil {
		return
	}
	leases := make([]instance.Lease, len(ids))
	for n, id := range ids {
		leases[n] = instance.Lease{Section: p.conf.Name, ID: id, Dispose: p.conf.Dispose.Text, Dir: hook.Dir}
	}
	// Nothing is left by this one: it is not for the journal.
	d := instance.Disposer{Local: hook.Local, Journal: noJournal{}, Env: hook.Env, Timeout: hook.DisposeTimeout}
	for _, disposal := range d.Dispose(ctx, leases) {
		if disposal.Err != nil {
			p.warn(checkDisposeAgain, option, "have it succeed for an instance that is gone: "+
				"it is called again when a run was killed before it could note what it had given back",
				"it fails for what was given back already: %v", disposal.Err)
			return
		}
	}
	p.ok(checkDisposeAgain, "it succeeds for what was given back already")
}

// noJournal forgets everything.
type noJournal struct{}

// Put forgets a lease.
func (noJournal) Put(instance.Lease) (uint64, error) { return 1, nil }

// Remove does nothing.
func (noJournal) Remove(uint64) error { return nil }

// Leases are none.
func (noJournal) Leases() ([]instance.Lease, error) { return nil, nil }

// watch is a provider that keeps what is printed by commands on its instances,
// while it is told to. Any goroutine may use it.
type watch struct {
	instance.Provider

	mu      sync.Mutex
	on      bool // guarded by mu
	printed kept // guarded by mu
}

func (w *watch) record(on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.on = on
}

// ids are the words that were printed.
func (w *watch) ids() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Fields(string(w.printed.bytes))
}

// Write keeps what is printed.
func (w *watch) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.on {
		return len(b), nil
	}
	return w.printed.Write(b)
}

// Provision makes instances that are watched.
func (w *watch) Provision(ctx context.Context, count int) ([]instance.Instance, error) {
	made, err := w.Provider.Provision(ctx, count)
	for n, i := range made {
		made[n] = watchedInstance{i, w}
	}
	return made, err
}

type watchedInstance struct {
	instance.Instance
	by *watch
}

// Start starts a command that is watched.
func (i watchedInstance) Start(ctx context.Context, cmd instance.Command) (instance.Process, error) {
	p, err := i.Instance.Start(ctx, cmd)
	if err != nil {
		return nil, err
	}
	return watchedProcess{p, io.TeeReader(p.Stdout(), i.by)}, nil
}

type watchedProcess struct {
	instance.Process
	out io.Reader
}

// Stdout is the process's.
func (p watchedProcess) Stdout() io.Reader { return p.out }
