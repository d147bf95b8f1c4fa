package runner

import (
	"errors"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"testr/internal/config"
	"testr/internal/instance"
	"testr/internal/instance/sshdial"
	"testr/internal/repo"
	"testr/internal/supervisor"
)

// FleetConfig is what a Fleet needs to know beside the requests of its runs.
type FleetConfig struct {
	Repo *repo.Repository // as in Request, and in all requests the same
	Root string           // the directory where hooks run
	Self string           // the testr program
	Log  hclog.Logger
	// Warn is told of what went wrong while no run of the fleet is asked for; else
	// that request's is. It may be called from several goroutines.
	Warn func(error)
	// Passphrase and Abandon are as in Request; those of requests have no effect.
	Passphrase func(prompt string) ([]byte, error)
	Abandon    <-chan struct{}
}

// Fleet has the instances that runs have, and keeps them from one request to the
// next. It is used by one Runs at a time; whoever makes the Runs has to close the
// last one before. Instances may be called from any goroutine at any time, and
// the other methods from one.
type Fleet struct {
	cfg     FleetConfig
	begun   time.Time
	machine *instance.Local // this machine, where hooks run
	stays   bool            // for more than one request
	shared  sshdial.Shared  // by all connections to hosts
	session atomic.Pointer[session]

	mu   sync.Mutex
	kept []*keeping // one a section; guarded by mu
}

// keeping is what is kept of a section of the configuration. One goroutine at a time
// gets instances with it.
type keeping struct {
	fleet  *Fleet
	conf   config.Instance // without what instances don't depend on
	hook   *instance.Hook  // or
	remote *remote

	mu   sync.Mutex
	made []instance.Instance // that are there; guarded by mu
}

// NewFleet makes a fleet that has nothing yet.
func NewFleet(cfg FleetConfig) *Fleet {
	f := &Fleet{cfg: cfg, begun: time.Now()}
	f.machine = &instance.Local{Dir: cfg.Root, Guardian: []string{cfg.Self, "guardian"}}
	return f
}

// fleetOf is the fleet of one request.
func fleetOf(req Request) *Fleet {
	return NewFleet(FleetConfig{Repo: req.Repo, Root: req.Config.Root, Self: req.Self, Log: req.Log, Warn: req.Warn,
		Passphrase: req.Passphrase, Abandon: req.Abandon})
}

// Runs makes runs on the fleet's instances; see NewRuns. What the fleet has of
// sections that the request's configuration doesn't have any more, or has
// otherwise, is given back with the first run, and source trees are brought again.
func (f *Fleet) Runs(req Request) (*Runs, error) {
	f.stays = true
	s, err := newSession(req, f)
	if err != nil {
		return nil, err
	}
	return &Runs{session: s}, nil
}

// Close gives everything back, for good. What could not be given back is told to
// the configuration's Warn; the error is about other trouble. Closing again does
// nothing.
func (f *Fleet) Close() error {
	err := f.giveBack(func(*keeping) bool { return true })
	return errors.Join(err, CloseMachine(f.machine, f.cfg.Log))
}

// use has the fleet be a session's; nil means nobody's.
func (f *Fleet) use(s *session) {
	f.session.Store(s)
	if s != nil {
		f.machine.Inherit(s.req.Environ)
	}
}

// warn tells of what went wrong and changes no verdict.
func (f *Fleet) warn(err error) {
	switch s := f.session.Load(); {
	case s != nil:
		s.warn(err)
	case f.cfg.Warn != nil:
		f.cfg.Warn(err)
	default:
		f.cfg.Log.Warn(err.Error())
	}
}

// getenv looks up a variable of whoever asked for the run.
func (f *Fleet) getenv(name string) string {
	s := f.session.Load()
	if s == nil || s.req.Environ == nil {
		return os.Getenv(name)
	}
	for _, variable := range slices.Backward(s.req.Environ) {
		if value, ok := strings.CutPrefix(variable, name+"="); ok {
			return value
		}
	}
	return ""
}

// basis is what instances depend on in a section: not how many there are to be,
// nor where in the file it stands.
func basis(c config.Instance) config.Instance {
	c.Line, c.Slots, c.Profiles = 0, 0, nil
	for _, v := range []*config.Value{&c.Setup, &c.Provision, &c.Execute, &c.Dispose} {
		v.Line = 0
	}
	return c
}

// keep is what is kept of a section, from now on if there was nothing.
func (f *Fleet) keep(c config.Instance) *keeping {
	want := basis(c)
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, k := range f.kept {
		if reflect.DeepEqual(k.conf, want) {
			return k
		}
	}
	k := &keeping{fleet: f, conf: want}
	if c.Type == config.InstanceHook {
		k.hook = f.newHook(c)
	} else {
		k.remote = &remote{fleet: f, kept: k, conf: c}
	}
	f.kept = append(f.kept, k)
	return k
}

// match gives back what the fleet has of sections that are not in the
// configuration as they were.
func (f *Fleet) match(c *config.Config) {
	var sections []config.Instance
	for _, i := range c.All() {
		sections = append(sections, basis(i))
	}
	err := f.giveBack(func(k *keeping) bool {
		return !slices.ContainsFunc(sections, func(i config.Instance) bool { return reflect.DeepEqual(i, k.conf) })
	})
	if err != nil {
		f.warn(err)
	}
}

// giveBack gives some of it back: hosts all at once, each of which may be far
// away, and then what hooks got.
func (f *Fleet) giveBack(which func(*keeping) bool) error {
	f.mu.Lock()
	all := f.kept
	f.kept = nil
	var going []*keeping
	for _, k := range all {
		if which(k) {
			going = append(going, k)
		} else {
			f.kept = append(f.kept, k)
		}
	}
	f.mu.Unlock()
	var left sync.WaitGroup
	for _, k := range going {
		if k.remote == nil || k.remote.host == nil {
			continue
		}
		left.Go(func() {
			if err := k.remote.leave(); err != nil { // the tests' verdict stands, and hosts end everything by themselves
				f.warn(err)
			}
		})
	}
	left.Wait()
	var errs []error
	for _, k := range slices.Backward(going) {
		if k.hook == nil {
			continue
		}
		err := k.hook.Close()
		if _, ok := errors.AsType[*instance.DisposeError](err); ok {
			f.warn(err) // the tests' verdict stands: what is left is in the journal
			continue
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// holds reports whether a lease is of an instance that the fleet has.
func (f *Fleet) holds(l repo.Lease) bool {
	if l.PID != os.Getpid() || l.Since.Before(f.begun) {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.ContainsFunc(f.kept, func(k *keeping) bool { return k.hook != nil && k.conf.Name == l.Section })
}

// Kept are instances of one section that a Fleet has.
type Kept struct {
	Section string   // empty for the hooks of [DEFAULT]
	Host    string   // of instances that are reached by SSH
	IDs     []string // of the instances
}

// Instances are those that the fleet has, by section.
func (f *Fleet) Instances() (all []Kept) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, k := range f.kept {
		one := Kept{Section: k.conf.Name, Host: k.conf.Host}
		k.mu.Lock()
		for _, i := range k.made {
			one.IDs = append(one.IDs, i.ID())
		}
		k.mu.Unlock()
		if one.IDs != nil {
			all = append(all, one)
		}
	}
	return all
}

// Spoils reports whether a run's error says that its instances had better not be
// kept for another one.
func Spoils(err error) bool {
	return errors.Is(err, supervisor.ErrNoWorkers) || errors.Is(err, errNone)
}
