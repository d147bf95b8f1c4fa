package runner

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"testr/internal/instance"
	"testr/internal/supervisor"
)

// group is where some slots are: on an instance of the configuration, on those
// that hooks get, or on this machine.
type group struct {
	name  string // of the instance in the configuration; empty for this machine
	count int    // slots
	relay bool   // they share a route
	// bounded says that there need not be more of them than there are tests.
	bounded bool
	local   bool // they are on this machine, and there at once
	bare    bool // commands become part of a hook's
	// provide gets the places, one a slot. What it gets is given back when the
	// session is closed.
	provide func(ctx context.Context, count int) ([]supervisor.Place, error)

	once   sync.Once
	ready  chan struct{} // closed when places and err are set, for good
	places []supervisor.Place
	err    error
}

// get returns the places of a group, which it gets if nobody has done so yet.
// When ctx ends it returns at once, and whatever is going on goes on until the
// session is closed.
func (s *session) get(ctx context.Context, g *group) ([]supervisor.Place, error) {
	g.once.Do(func() {
		s.providing.Go(func() {
			defer close(g.ready)
			g.places, g.err = g.provide(s.provisioning, g.count)
		})
	})
	select {
	case <-g.ready:
		return g.places, g.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// form settles which groups there are. Without --parallel it is the first slot
// of the first.
func (s *session) form(ctx context.Context, several bool) error {
	if err := s.formAll(ctx, several); err != nil {
		return err
	}
	for _, g := range s.groups {
		g.ready = make(chan struct{})
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
	count := 1
	if several {
		var err error
		if count, err = s.concurrency(ctx); err != nil {
			return err
		}
	}
	s.groups = []*group{s.localGroup(count)}
	return nil
}

// localGroup is this machine without a section that says so.
func (s *session) localGroup(count int) *group {
	return &group{count: count, local: true, bounded: true, provide: s.provider(s.machine, "")}
}

// provider makes places of what a provider that is there at once has.
func (s *session) provider(of instance.Provider, setup string) func(context.Context, int) ([]supervisor.Place, error) {
	return func(ctx context.Context, count int) (places []supervisor.Place, err error) {
		made, err := of.Provision(ctx, count)
		for _, i := range made {
			s.atEnd(i.Close)
			places = append(places, supervisor.Place{Instance: place{Instance: i, setup: setup}})
		}
		return places, err
	}
}

// atEnd has something be done when the session is closed: what was said last
// comes first.
func (s *session) atEnd(do func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ending = append(s.ending, do)
}

// where is the instance on which something is done that any of them could do,
// such as listing: this machine if tests run here, too, else the first of the
// others that is there.
func (s *session) where(ctx context.Context) (instance.Instance, error) {
	first := s.groups[0]
	for _, g := range s.groups {
		if g.local {
			first = g
			break
		}
	}
	if first.local || len(s.groups) == 1 {
		places, err := s.get(ctx, first)
		if err != nil {
			return nil, err
		}
		return places[0].Instance, nil
	}
	return s.firstThere(ctx)
}

// firstThere waits for the first group that is there, or for all to be none.
func (s *session) firstThere(ctx context.Context) (instance.Instance, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type answer struct {
		places []supervisor.Place
		err    error
	}
	answers := make(chan answer, len(s.groups))
	for _, g := range s.groups {
		s.providing.Go(func() {
			places, err := s.get(ctx, g)
			answers <- answer{places, err}
		})
	}
	var errs []error
	for range s.groups {
		a := <-answers
		if a.err == nil {
			return a.places[0].Instance, nil
		}
		errs = append(errs, a.err)
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return nil, fmt.Errorf("no instance is there:\n%w", errors.Join(errs...))
}
