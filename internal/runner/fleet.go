package runner

import (
	"context"
	"errors"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"testr/internal/config"
	"testr/internal/instance"
	"testr/internal/supervisor"
)

// group is where some slots are: on an instance of the configuration, on those
// that hooks get, or on this machine.
type group struct {
	name  string // of the instance in the configuration; empty for this machine
	count int    // slots; written with mu held
	relay bool   // they share a route
	// bounded says that there need not be more of them than there are tests.
	bounded bool
	local   bool // they are on this machine, and there at once
	bare    bool // commands become part of a hook's
	// provide gets the places, one a slot, or perhaps fewer. What it gets is the
	// fleet's to give back, or, on this machine, given back after the run. It is called
	// again when the places were lost, but never twice at once.
	provide func(ctx context.Context, count int) ([]supervisor.Place, error)

	mu      sync.Mutex
	attempt *attempt // the last one to get the places; guarded by mu
}

// attempt is one try to get the places of a group. places and err are set when
// done is closed, for good.
type attempt struct {
	done   chan struct{}
	places []supervisor.Place
	err    error
}

// over reports whether an attempt has come to something.
func (a *attempt) over() bool {
	select {
	case <-a.done:
		return true
	default:
		return false
	}
}

// get returns the places of a group, which it gets if nobody has done so yet, or
// if lost is how they were got before they were lost, or not got. When ctx ends it
// returns at once, and whatever is going on goes on until the session is closed.
func (s *session) get(ctx context.Context, g *group, lost *attempt) (*attempt, error) {
	g.mu.Lock()
	a := g.attempt
	if a == nil || a == lost && a.over() {
		a = &attempt{done: make(chan struct{})}
		g.attempt = a
		count := g.count
		s.providing.Go(func() {
			defer close(a.done)
			a.places, a.err = g.provide(s.provisioning, count)
		})
	}
	g.mu.Unlock()
	select {
	case <-a.done:
	case <-ctx.Done():
		if !a.over() { // what is known by now is told
			return a, context.Cause(ctx)
		}
	}
	return a, a.err
}

// forget forgets the places that end with the run, and those that could not be had.
func (g *group) forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if a := g.attempt; a != nil && a.over() && (g.local || a.err != nil) {
		g.attempt = nil
	}
}

// form settles which groups there are. Without --parallel it is the first slot
// of the first.
func (s *session) form(ctx context.Context, several bool) error {
	if err := s.formAll(ctx, several); err != nil {
		return err
	}
	if !several {
		s.groups = s.groups[:1]
		s.groups[0].count = 1
	}
	limit := s.req.Concurrency
	for i, g := range s.groups {
		if limit > 0 && limit <= g.count {
			g.count, s.groups = limit, s.groups[:i+1]
			break
		}
		limit -= g.count
	}
	return nil
}

func (s *session) formAll(ctx context.Context, several bool) error {
	c := s.req.Config
	for _, i := range c.Instances {
		s.groups = append(s.groups, s.section(i))
	}
	if c.Hooks == nil && len(s.groups) > 0 {
		return nil
	}
	count := 1
	if several {
		var err error
		if count, err = s.concurrency(ctx); err != nil {
			return err
		}
	}
	first := s.localGroup(config.Instance{Slots: count})
	if c.Hooks != nil {
		hooks := *c.Hooks
		hooks.Slots = count
		first = s.hookGroup(hooks)
	}
	first.bounded = true
	s.groups = slices.Insert(s.groups, 0, first)
	return nil
}

// section makes a group of a section [instance NAME].
func (s *session) section(c config.Instance) *group {
	switch c.Type {
	case config.InstanceLocal:
		return s.localGroup(c)
	case config.InstanceHook:
		return s.hookGroup(c)
	}
	return s.sshGroup(c)
}

// localGroup is this machine, with or without a section that says so. What workers
// leave behind here ends with their run.
func (s *session) localGroup(c config.Instance) *group {
	dir := c.Directory
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(s.req.Config.Root, dir)
	}
	count := c.Slots
	if count == 0 {
		count = runtime.GOMAXPROCS(0)
	}
	provide := func(ctx context.Context, count int) (places []supervisor.Place, err error) {
		machine := s.newMachine(dir, c.Env)
		made, err := machine.Provision(ctx, count)
		s.afterRun(func() error { return CloseMachine(machine, s.req.Log) })
		for _, i := range made {
			s.afterRun(i.Close)
			places = append(places, supervisor.Place{Instance: place{Instance: i, setup: c.Setup.Text}})
		}
		return places, err
	}
	return &group{name: c.Name, count: count, local: true, provide: provide}
}

// atEnd has something be done when the session is closed: what was said last
// comes first.
func (s *session) atEnd(do func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ending = append(s.ending, do)
}

// afterRun has something be done when the run is over, likewise.
func (s *session) afterRun(do func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.parting = append(s.parting, do)
}

// where is a group, and an instance of it, on which something is done that any of
// them could do, such as listing: this machine if tests run here, too, else the
// first of the others that is there. Those in without are no choice.
func (s *session) where(ctx context.Context, without []*group) (*group, instance.Instance, error) {
	var groups []*group
	for _, g := range s.groups {
		if slices.Contains(without, g) {
			continue
		}
		if g.local {
			a, err := s.get(ctx, g, nil)
			if err != nil {
				return nil, nil, err
			}
			return g, a.places[0].Instance, nil
		}
		groups = append(groups, g)
	}
	return s.firstThere(ctx, groups)
}

// insist is get for who can't do without the group: it gives it as much time to
// come as a run does that has nothing else.
func (s *session) insist(ctx context.Context, g *group) (a *attempt, err error) {
	for missed := supervisor.Absence(0); ; {
		begun := time.Now()
		a, err = s.get(ctx, g, a)
		missed.Miss(time.Since(begun))
		var absent *supervisor.AbsentError
		if err == nil || missed.Enough() || ctx.Err() != nil || !errors.As(err, &absent) {
			return a, err
		}
		pause := time.NewTimer(missed.Pause())
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return a, context.Cause(ctx)
		}
	}
}

// local is the first group that is on this machine, or nil.
func (s *session) local() *group {
	for _, g := range s.groups {
		if g.local {
			return g
		}
	}
	return nil
}

// firstThere waits for the first group that is there, or for all to be none.
func (s *session) firstThere(ctx context.Context, groups []*group) (*group, instance.Instance, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type answer struct {
		group *group
		*attempt
		err error
	}
	answers := make(chan answer, len(groups))
	for _, g := range groups {
		s.providing.Go(func() {
			a, err := s.insist(ctx, g)
			answers <- answer{g, a, err}
		})
	}
	none := &noneError{}
	for range groups {
		a := <-answers
		if a.err == nil {
			return a.group, a.places[0].Instance, nil
		}
		none.errs = append(none.errs, a.err)
	}
	if ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	}
	return nil, nil, none
}

// errNone says that none of the instances is there.
var errNone = errors.New("no instance is there")

// noneError says why none of the instances is there.
type noneError struct{ errs []error }

// Error has a line for each of them.
func (e *noneError) Error() string { return errNone.Error() + ":\n" + errors.Join(e.errs...).Error() }

// Unwrap returns the reasons.
func (e *noneError) Unwrap() []error { return e.errs }
