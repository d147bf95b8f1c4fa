package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"testr/internal/config"
	"testr/internal/instance"
	"testr/internal/repo"
)

// Disposal is what has become of leases that have something in common.
type Disposal struct {
	Leases []repo.Lease
	// Err is nil if they were given back; else it says why the instances may
	// still be there, and what to do. They are in the repository then.
	Err error
}

// Dispose gives back what hooks got, on behalf of testrs that didn't: with the
// commands that the configuration has now for their sections, in its directory.
// No command is run because it stands in the repository. machine provides
// instances that are this machine. When ctx ends, so does a command that runs,
// and none is begun.
func Dispose(ctx context.Context, r *repo.Repository, c *config.Config, machine instance.Provider,
	leases []repo.Lease) []Disposal {
	var order []string
	sections := make(map[string][]repo.Lease)
	for _, lease := range leases {
		if sections[lease.Section] == nil {
			order = append(order, lease.Section)
		}
		sections[lease.Section] = append(sections[lease.Section], lease)
	}
	var all []Disposal
	for _, name := range order {
		hooks := hooksOf(c, name)
		if hooks == nil || !hooks.Dispose.Set() {
			all = append(all, orphans(c, sections[name])...)
			continue
		}
		all = append(all, disposeSection(ctx, r, c, machine, hooks, sections[name])...)
	}
	return all
}

// hooksOf are the hooks of a section, or nil if there are none any more.
func hooksOf(c *config.Config, section string) *config.Instance {
	if section == "" {
		return c.Hooks
	}
	for n := range c.Instances {
		if i := &c.Instances[n]; i.Name == section && i.Type == config.InstanceHook {
			return i
		}
	}
	return nil
}

// disposeSection gives back what the hooks of one section got.
func disposeSection(ctx context.Context, r *repo.Repository, c *config.Config, machine instance.Provider,
	hooks *config.Instance, leases []repo.Lease) (all []Disposal) {
	d := instance.Disposer{Local: machine, Journal: journal{r}, Env: hooks.Env, Timeout: hooks.DisposeTimeout}
	stale := make([]instance.Lease, len(leases))
	for n, lease := range leases {
		stale[n] = instance.Lease(lease)
		stale[n].Dispose, stale[n].Dir = hooks.Dispose.Text, root(c)
	}
	for _, disposal := range d.Dispose(ctx, stale) {
		one := Disposal{Err: disposal.Err}
		for _, lease := range disposal.Leases {
			one.Leases = append(one.Leases, repo.Lease(lease))
		}
		switch {
		case errors.Is(one.Err, instance.ErrNoID):
			one.Err = hint(fmt.Errorf("%s of %s: a hook was at work here when its testr, process %d, ended; "+
				"nobody knows what it had got", LeaseName(one.Leases[0]), sectionName(hooks.Name), one.Leases[0].PID),
				"look for it; then %s", forget(one.Leases))
		case one.Err != nil:
			one.Err = hint(one.Err, `"testr instances dispose" tries again; if they are gone, %s`, forget(one.Leases))
		}
		all = append(all, one)
	}
	return all
}

// orphans are leases for which the configuration has no command any more.
func orphans(c *config.Config, leases []repo.Lease) (all []Disposal) {
	for _, lease := range leases {
		err := fmt.Errorf("dispose of %s: %s has no instance_dispose for it", LeaseName(lease), c.File)
		if lease.Section != "" {
			err = fmt.Errorf("dispose of %s: %s has no %s with an instance_dispose for it", LeaseName(lease), c.File,
				sectionName(lease.Section))
		}
		advice := "give it back by hand"
		if lease.Dispose != "" {
			advice += fmt.Sprintf("; when it was got, the command for that was, in %s:\n%s", lease.Dir, lease.Dispose)
		}
		all = append(all, Disposal{[]repo.Lease{lease}, hint(err, "%s\nThen %s", advice, forget([]repo.Lease{lease}))})
	}
	return all
}

// sectionName is a section as a person finds it.
func sectionName(section string) string {
	if section == "" {
		return "[DEFAULT]"
	}
	return "[instance " + section + "]"
}

// LeaseName is what the commands call a lease: by the id of its instance or, if
// nobody knows that, by its key.
func LeaseName(l repo.Lease) string {
	if l.ID == "" {
		return fmt.Sprintf("@%d", l.Key)
	}
	return l.ID
}

// forget is the command that takes leases out of the repository, in quotes.
func forget(leases []repo.Lease) string {
	names := make([]string, len(leases))
	for n, l := range leases {
		names[n] = fmt.Sprintf("@%d", l.Key) // which a shell, and an option, is not taken in by
	}
	return fmt.Sprintf("%q", "testr instances forget "+strings.Join(names, " "))
}

// root is the directory of the configuration, where hooks run.
func root(c *config.Config) string {
	dir, err := filepath.Abs(c.Root)
	if err != nil {
		return c.Root
	}
	return dir
}

// sameDir reports whether two paths lead to one directory.
func sameDir(a, b string) bool {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}

// DisposeStale is Dispose for everything in the repository that was got in the
// directory of this configuration. Whoever has the repository open for writing
// knows that no other testr uses it any more: so it is called before anything is
// got. What is left, and what was got elsewhere, is told to warn. The error is
// that of ctx, or says that the repository can't be read.
func DisposeStale(ctx context.Context, r *repo.Repository, c *config.Config, machine instance.Provider,
	warn func(error)) error {
	return disposeStale(ctx, r, c, machine, warn, func(repo.Lease) bool { return false })
}

// disposeStale is DisposeStale where some of it is in use: that which held says.
func disposeStale(ctx context.Context, r *repo.Repository, c *config.Config, machine instance.Provider,
	warn func(error), held func(repo.Lease) bool) error {
	leases, err := r.Leases()
	if err != nil {
		return fmt.Errorf("look for instances that earlier runs left: %w", err)
	}
	var stale, elsewhere []repo.Lease
	for _, lease := range slices.DeleteFunc(leases, held) {
		// A repository may be a copy of one that is in use, of another project, or
		// from whom the ids had better not be taken.
		if lease.ID == "" || sameDir(lease.Dir, root(c)) {
			stale = append(stale, lease)
		} else {
			elsewhere = append(elsewhere, lease)
		}
	}
	for _, disposal := range Dispose(ctx, r, c, machine, stale) {
		if disposal.Err != nil && ctx.Err() == nil {
			warn(fmt.Errorf("left by an earlier run: %w", disposal.Err))
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	for _, lease := range elsewhere {
		warn(hint(fmt.Errorf("instance %s of %s was left by a run in %s", LeaseName(lease), sectionName(lease.Section),
			lease.Dir), `"testr instances dispose" gives it back from here, %s leaves that to others`,
			forget([]repo.Lease{lease})))
	}
	return nil
}
