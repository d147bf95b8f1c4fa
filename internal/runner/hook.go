package runner

import (
	"context"
	"errors"

	"testr/internal/config"
	"testr/internal/instance"
	"testr/internal/supervisor"
)

// hookGroup is instances that hooks get, one a slot.
func (s *session) hookGroup(c config.Instance) *group {
	hook := s.newHook(c)
	s.atEnd(func() error {
		err := hook.Close()
		if _, ok := errors.AsType[*instance.DisposeError](err); ok {
			// The tests' verdict stands: what is left is in the journal.
			s.warn(err)
			return nil
		}
		return err
	})
	provide := func(ctx context.Context, count int) (places []supervisor.Place, err error) {
		made, err := hook.Provision(ctx, count)
		for _, m := range made {
			places = append(places, supervisor.Place{Instance: place{Instance: m, bare: true}, Host: m.ID()})
		}
		return places, err
	}
	return &group{name: c.Name, count: max(c.Slots, 1), bare: true, provide: provide}
}

// newHook makes a provider of what the hooks of a section get.
func (s *session) newHook(c config.Instance) *instance.Hook {
	return &instance.Hook{
		Section: c.Name,
		Commands: instance.HookCommands{Provision: c.Provision.Text, Execute: c.Execute.Text,
			Dispose: c.Dispose.Text},
		Dir:              s.req.Config.Root,
		ProvisionTimeout: c.ProvisionTimeout,
		DisposeTimeout:   c.DisposeTimeout,
		Abandon:          s.req.Abandon,
		Local:            s.machine,
		Journal:          journal{s.req.Repo},
		Warn:             s.warn,
	}
}
