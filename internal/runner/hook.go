package runner

import (
	"context"
	"slices"

	"testr/internal/config"
	"testr/internal/instance"
	"testr/internal/supervisor"
)

// hookGroup is instances that hooks get, one a slot.
func (s *session) hookGroup(c config.Instance) *group {
	k := s.fleet.keep(c)
	first := true // that this session asks for them
	provide := func(ctx context.Context, count int) (places []supervisor.Place, err error) {
		made, err := k.provision(ctx, count, first)
		first = false
		for _, m := range made {
			at := place{Instance: m, bare: true, env: s.req.Config.Env}
			places = append(places, supervisor.Place{Instance: at, Host: m.ID()})
		}
		return places, err
	}
	return &group{name: c.Name, count: max(c.Slots, 1), bare: true, provide: provide}
}

// provision gets so many instances of a hook: those that are there already, if
// they may be used, and others. As long as there are some, it is content with
// fewer.
func (k *keeping) provision(ctx context.Context, count int, used bool) ([]instance.Instance, error) {
	k.mu.Lock()
	there := slices.Clone(k.made)
	k.mu.Unlock()
	if !used {
		there = nil
	}
	if len(there) >= count {
		return there[:count], nil
	}
	more, err := k.hook.Provision(ctx, count-len(there))
	if err != nil && len(there) > 0 && ctx.Err() == nil {
		k.fleet.warn(err)
		err = nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.made = slices.Concat(there, more)
	return slices.Clone(k.made), err
}

// newHook makes a provider of what the hooks of a section get.
func (f *Fleet) newHook(c config.Instance) *instance.Hook {
	return &instance.Hook{
		Section: c.Name,
		Commands: instance.HookCommands{Provision: c.Provision.Text, Execute: c.Execute.Text,
			Dispose: c.Dispose.Text},
		Dir:              f.cfg.Root,
		ProvisionTimeout: c.ProvisionTimeout,
		DisposeTimeout:   c.DisposeTimeout,
		Abandon:          f.cfg.Abandon,
		Local:            f.machine,
		Journal:          journal{f.cfg.Repo},
		Warn:             f.warn,
	}
}
