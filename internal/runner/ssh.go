package runner

import (
	"context"
	"errors"
	"fmt"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"testr/internal/config"
	"testr/internal/instance"
	"testr/internal/instance/sshdial"
	"testr/internal/instance/sshhost"
	"testr/internal/instance/tree"
	"testr/internal/relay"
	"testr/internal/supervisor"
)

// remote is a host of the configuration that is reached by SSH. It is used by
// one goroutine at a time: that which gets the places of its group.
type remote struct {
	fleet  *Fleet
	kept   *keeping // to which this belongs
	conf   config.Instance
	target atomic.Pointer[sshdial.Target] // nil before it was looked up
	host   *sshhost.Host                  // nil before it was needed
	client *relay.Client                  // the last one; nil without a relay
	relays []func()                       // end that one, and those that were lost before it
	made   []instance.Instance            // of the client, or else of the host
	dials  atomic.Int64                   // connections that were begun, of all its hosts

	syncing sync.Mutex // held by whoever brings the tree
	syncs   int        // how often it was brought; guarded by syncing
}

// visit is what one session has of a host.
type visit struct {
	*remote
	session *session
	looked  bool // the host was looked up
	synced  bool // the tree was brought for the session
	related bool // the client is of use to the session
	reached bool // there were places on the host
}

// sshGroup is a host that is reached by SSH.
func (s *session) sshGroup(c config.Instance) *group {
	r := &visit{remote: s.fleet.keep(c).remote, session: s}
	return &group{name: c.Name, count: max(c.Slots, 1), relay: c.Relay,
		provide: func(ctx context.Context, count int) ([]supervisor.Place, error) {
			places, err := r.reach(ctx, count)
			if err != nil && ctx.Err() == nil {
				err = absent(c.Name, err)
			}
			return places, err
		}}
}

// absent is the error of an instance that can't be had, by its name in the
// configuration and with the remedy where that is known: it may end up as a line
// among others. It is a *supervisor.AbsentError if what is wrong may pass.
func absent(name string, err error) error {
	text := err.Error()
	if lost, ok := errors.AsType[*instance.LostError](err); ok { // it was never there, or that it was lost is known
		text = strings.Replace(text, lost.Error(), lost.Err.Error(), 1)
	}
	if prefix := "instance " + name + ": "; !strings.HasPrefix(text, prefix) {
		text = prefix + text
	}
	var ssh *sshdial.Error
	if errors.As(err, &ssh) && ssh.Hint != "" {
		text += "\nhint: " + ssh.Hint
	}
	told := &toldError{text, err}
	if passing(err) {
		return &supervisor.AbsentError{Err: told}
	}
	return told
}

// toldError is an error in other words.
type toldError struct {
	text string
	err  error
}

func (e *toldError) Error() string { return e.text }

// Unwrap returns the error in its own words.
func (e *toldError) Unwrap() error { return e.err }

// reach gets as many places on a host as there are to be, or gets to them again
// after they were lost.
func (r *visit) reach(ctx context.Context, count int) (places []supervisor.Place, err error) {
	if err := r.prepare(ctx); err != nil {
		return nil, err
	}
	if err := r.connect(ctx); err != nil {
		return nil, err
	}
	if r.session.served() || r.conf.Relay {
		if err := fits(r.host.Info()); err != nil {
			return nil, err
		}
	}
	if r.conf.Relay {
		err = r.relate(ctx)
	}
	if more := count - len(r.made); err == nil && more > 0 {
		err = r.add(ctx, more)
	}
	if err != nil {
		return nil, err
	}
	if !r.reached {
		r.reached = true
		r.session.atEnd(r.tidy)
	}
	for _, m := range r.made[:count] {
		places = append(places, supervisor.Place{Instance: place{Instance: m}, Host: r.conf.Host})
	}
	return places, nil
}

// relate has a relay be there: one from before, if it is there still, or after
// all that the session knows of it another one.
func (r *visit) relate(ctx context.Context) error {
	known := r.related
	r.related = true
	if r.client != nil && !known {
		if _, err := r.client.Provision(ctx, 0); err == nil {
			return nil
		}
	}
	r.keep(nil)
	return r.startRelay(ctx)
}

// add makes more instances on the host.
func (r *visit) add(ctx context.Context, more int) error {
	provision := r.host.Provision
	if r.conf.Relay {
		provision = r.client.Provision
	}
	made, err := provision(ctx, more)
	if err == nil {
		r.keep(append(r.made, made...))
	}
	return err
}

// keep notes which instances there are.
func (r *remote) keep(made []instance.Instance) {
	r.made = made
	r.kept.mu.Lock()
	defer r.kept.mu.Unlock()
	r.kept.made = slices.Clone(made)
}

// prepare does what is done once.
func (r *visit) prepare(ctx context.Context) (err error) {
	if !r.looked {
		target, err := sshdial.Resolve(ctx, r.conf.Host, r.fleet.dialing())
		if err != nil {
			return err
		}
		r.target.Store(target)
		r.looked = true
		if r.conf.Sync {
			r.session.atEnd(func() error {
				r.brought() // so that nothing of it is left
				return nil
			})
		}
	}
	if r.host == nil {
		cfg := r.hostConfig(r.conf.Directory, r.conf.Setup.Text, r.conf.Env)
		if r.conf.Sync {
			cfg.Prepare = r.sync
		}
		r.host = sshhost.New(cfg)
	}
	return nil
}

// connect connects to the host, which has the source tree then, if it is to have
// it: that is brought whenever the host is connected anew, since nobody knows what
// became of it meanwhile, and once in a session to a host that was there already.
func (r *visit) connect(ctx context.Context) error {
	before := r.brought()
	if err := r.host.Connect(ctx); err != nil || !r.conf.Sync || r.synced {
		return err
	}
	if r.brought() == before {
		if err := r.sync(ctx); err != nil {
			return err
		}
	}
	r.synced = true
	return nil
}

// brought is how often the tree was brought, once nobody is about it.
func (r *remote) brought() int {
	r.syncing.Lock()
	defer r.syncing.Unlock()
	return r.syncs
}

// leavePatience is how long the relays of a host have to end, before what is there
// is ended without them.
const leavePatience = 5 * time.Second

// leave ends what is on the host. Whether the relays end well, and were there
// still, doesn't matter: what they leave the host ends.
func (r *remote) leave() error {
	var relays sync.WaitGroup
	ended := make(chan struct{})
	for _, end := range r.relays {
		relays.Go(end)
	}
	go func() {
		defer close(ended)
		relays.Wait()
	}()
	patience := time.NewTimer(leavePatience)
	defer patience.Stop()
	select {
	case <-ended:
	case <-patience.C:
	}
	err := r.host.Close()
	<-ended // which they have with the host
	return err
}

// dialing is what connections need to know of the user.
func (f *Fleet) dialing() sshdial.Options {
	return sshdial.Options{Passphrase: f.cfg.Passphrase, Shared: &f.shared, Getenv: f.getenv, Log: f.cfg.Log.Named("ssh")}
}

func (r *remote) newHost(dir, setup string, env []string) *sshhost.Host {
	return sshhost.New(r.hostConfig(dir, setup, env))
}

func (r *remote) hostConfig(dir, setup string, env []string) sshhost.Config {
	return sshhost.Config{
		Name: r.conf.Name, Host: r.conf.Host, Directory: dir, Setup: setup, Env: env,
		Dial: func(ctx context.Context) (sshhost.Conn, error) {
			r.dials.Add(1)
			c, err := r.target.Load().Dial(ctx)
			if err != nil {
				return nil, err // and no nil in an interface
			}
			return c, nil
		},
		Log: r.fleet.cfg.Log.Named("ssh"),
	}
}

// passing reports whether what is wrong with a host may pass by itself.
func passing(err error) bool {
	if _, ok := errors.AsType[*instance.LostError](err); !ok {
		return false
	}
	for _, lasting := range []error{sshdial.ErrHostKeyUnknown, sshdial.ErrHostKeyChanged,
		sshdial.ErrAuthentication, sshdial.ErrConfiguration} {
		if errors.Is(err, lasting) {
			return false
		}
	}
	return true
}

// fits reports whether this program could run on a host.
func fits(there sshhost.Info) error {
	machine := map[string]string{"amd64": "x86_64", "arm64": "aarch64", "386": "i686", "riscv64": "riscv64"}
	want := machine[runtime.GOARCH]
	if !strings.EqualFold(there.OS, runtime.GOOS) || want != "" && there.Machine != want {
		return fmt.Errorf("testr has to run there, and can't: it is made for %s %s, the host is %s %s",
			runtime.GOOS, runtime.GOARCH, there.OS, there.Machine)
	}
	return nil
}

// sync brings the source tree over, for the session that has the fleet. Setup may
// need what comes with it, so that is no part of this.
func (r *remote) sync(ctx context.Context) error {
	r.syncing.Lock()
	defer r.syncing.Unlock()
	s := r.fleet.session.Load()
	if s == nil || s.provisioning.Err() != nil {
		return errOver
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(s.provisioning, func() { cancel(context.Cause(s.provisioning)) })()
	h := r.newHost("", "", nil)
	defer func() { _ = h.Close() }() // what was brought is there
	if err := h.Connect(ctx); err != nil {
		return err
	}
	made, err := h.Provision(ctx, 1)
	if err != nil {
		return err
	}
	stats, err := tree.Sync(ctx, made[0], r.conf.Directory, tree.Options{
		Root: s.req.Config.Root, Exclude: r.conf.SyncExclude, TempDir: s.temp,
		Rsh:      []string{s.req.Self, "rsh"},
		Progress: func(p tree.Progress) { s.progress(r.conf.Name, syncing(p), false) },
	})
	if err != nil {
		return err
	}
	for _, w := range stats.Warnings {
		s.warn(fmt.Errorf("instance %s: bring the source tree: %s", r.conf.Name, w))
	}
	s.progress(r.conf.Name, synced(stats), true)
	r.syncs++
	return nil
}

// startRelay starts testr there, to serve all of the host's workers.
func (r *remote) startRelay(ctx context.Context) error {
	made, err := r.host.Provision(ctx, 1)
	if err != nil {
		return err
	}
	self := r.fleet.cfg.Self
	if err := r.host.Bring(ctx, self); err != nil { // which takes its time
		return err
	}
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	p, err := made[0].Start(life, instance.Command{Args: []string{r.host.Path(self), "relay"}, Files: []string{self}})
	if err != nil {
		end()
		return err
	}
	client, err := relay.New(ctx, p, relay.Options{Name: r.conf.Name, Cancel: end, Path: r.host.Path,
		Bring: r.host.Bring, Hold: r.host.Hold})
	if err != nil {
		end()
		return err
	}
	r.relays = append(r.relays, func() {
		_ = client.Close()
		end()
	})
	r.client = client
	return nil
}

// tidyPatience is how long a host may take to remove what a session brought there.
const tidyPatience = 10 * time.Second

// tidying leaves nothing in the directory $1 but $2.
const tidying = `cd -- "$1" || exit 0
for d in *; do [ "$d" = "$2" ] || rm -rf -- "$d"; done`

// tidy removes what was brought to the host for the session that ends, and built
// there, if the host is kept for others: they bring what they need. testr itself
// stays. What can't be removed the host removes in the end.
func (r *visit) tidy() error {
	if !r.fleet.stays {
		return nil
	}
	self := path.Dir(r.host.Path(r.fleet.cfg.Self))
	ctx, cancel := context.WithTimeout(context.Background(), tidyPatience)
	defer cancel()
	made, err := r.host.Provision(ctx, 1)
	if err == nil {
		_, err = output(ctx, made[0], instance.Command{
			Args: []string{"/bin/sh", "-c", tidying, "testr", path.Dir(self), path.Base(self)}})
	}
	if err != nil {
		r.fleet.cfg.Log.Debug("what was brought is not removed", "instance", r.conf.Name, "error", err)
	}
	return nil
}
