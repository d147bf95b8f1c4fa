package runner

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"testr/internal/config"
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
	// profiles are the names of those that can run there; nil for all.
	profiles []string
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

// lose has the places of a group be got once more, of which one was lost.
func (g *group) lose(a *attempt) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.attempt == a { // else somebody has done so
		g.attempt = nil
	}
}

// form settles which groups there are. Without --parallel it is the first slot
// of the first that can run all profiles.
func (s *session) form(ctx context.Context) error {
	several := s.several()
	if err := s.formAll(ctx, several); err != nil {
		return err
	}
	if !several {
		at := slices.IndexFunc(s.groups, func(g *group) bool {
			return !slices.ContainsFunc(s.profiles, func(p *profile) bool { return !p.able(g) })
		})
		if at >= 0 {
			s.groups = s.groups[at : at+1]
			s.groups[0].count = 1
		}
		return s.checkGroups(at >= 0)
	}
	s.groups = slices.DeleteFunc(s.groups, func(g *group) bool {
		return !slices.ContainsFunc(s.profiles, func(p *profile) bool { return p.able(g) })
	})
	limit := s.req.Concurrency
	for i, g := range s.groups {
		if limit > 0 && limit <= g.count {
			g.count, s.groups = limit, s.groups[:i+1]
			break
		}
		limit -= g.count
	}
	return s.checkGroups(true)
}

// checkGroups reports a profile that none of the groups can run. together says whether
// one of them can run all.
func (s *session) checkGroups(together bool) error {
	c := s.req.Config
	for _, p := range s.profiles {
		if s.able(p) > 0 {
			continue
		}
		err := &config.Error{File: c.File, Line: p.Line, Msg: fmt.Sprintf("no instance can run profile %s", p.Name),
			Hint: "add it to an instance's profiles, or choose others with --profile"}
		if s.req.Concurrency > 0 {
			err.Msg += fmt.Sprintf(", of the first %d slots", s.req.Concurrency)
			err.Hint += ", or allow a higher --concurrency"
		}
		return config.Errors{err}
	}
	if !together {
		return config.Errors{{File: c.File,
			Msg:  "no instance can run all of these profiles: " + strings.Join(names(s.profiles), ", "),
			Hint: "run them with --parallel, or choose some with --profile"}}
	}
	return nil
}

// formToList has one slot of each group that is the first to be able to list some
// profile.
func (s *session) formToList(ctx context.Context) error {
	if err := s.formAll(ctx, false); err != nil {
		return err
	}
	var groups []*group
	for _, p := range s.profiles {
		if at := slices.IndexFunc(s.groups, p.able); at >= 0 && !slices.Contains(groups, s.groups[at]) {
			s.groups[at].count = 1
			groups = append(groups, s.groups[at])
		}
	}
	s.groups = groups
	return s.checkGroups(true)
}

// able is how many groups can run a profile.
func (s *session) able(p *profile) (n int) {
	for _, g := range s.groups {
		if p.able(g) {
			n++
		}
	}
	return n
}

func (s *session) formAll(ctx context.Context, several bool) error {
	c := s.req.Config
	for _, i := range c.Instances {
		g := s.section(i)
		g.profiles = i.Profiles
		s.groups = append(s.groups, g)
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
	first := s.localGroup(config.Instance{Slots: count, Env: c.Env})
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

// where is a group, and its places, on which something is done that any of
// them could do that can run the profile, such as listing: this machine if tests run
// here, too, else the first of the others that is there. Those in without are no choice.
func (s *session) where(ctx context.Context, p *profile, without []*group) (*group, *attempt, error) {
	var groups []*group
	for _, g := range s.groups {
		if !p.able(g) || slices.Contains(without, g) {
			continue
		}
		if g.local {
			a, err := s.get(ctx, g, nil)
			if err != nil {
				return nil, nil, err
			}
			return g, a, nil
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

// firstThere waits for the first group that is there, or for all to be none.
func (s *session) firstThere(ctx context.Context, groups []*group) (*group, *attempt, error) {
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
			return a.group, a.attempt, nil
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
