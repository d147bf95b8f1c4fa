package instance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// disposePause is the time between two tries to dispose of instances.
const disposePause = 300 * time.Millisecond

// maxDisposeLine bounds the length of a dispose command: Linux takes no longer
// argument than 128 KiB.
const maxDisposeLine = 100 << 10

// failureKept is how much of a failure's text the journal keeps.
const failureKept = 2 << 10

// newLease is a lease of this process.
func newLease(section, id, dispose, dir string) Lease {
	return Lease{Section: section, ID: id, Dispose: dispose, Dir: dir, PID: os.Getpid(), Since: time.Now()}
}

// DisposeError says that instances could not be given back, and may still be
// there. The verdict about what ran on them is none of its business.
type DisposeError struct {
	Leases  []Lease // of the instances, as the journal has them now
	Command string  // that was run, or would have been
	Err     error   // what happened: a *HookError if the command was run
}

// Error names the instances.
func (e *DisposeError) Error() string {
	ids := e.IDs()
	const shown = 20
	names := strings.Join(ids[:min(shown, len(ids))], ", ")
	if len(ids) > shown {
		names += fmt.Sprintf(" and %d more", len(ids)-shown)
	}
	return fmt.Sprintf("dispose of %s: %v", names, e.Err)
}

// IDs are those of the instances.
func (e *DisposeError) IDs() []string {
	ids := make([]string, len(e.Leases))
	for n, lease := range e.Leases {
		ids[n] = lease.ID
	}
	return ids
}

// Unwrap returns what happened.
func (e *DisposeError) Unwrap() error { return e.Err }

// ErrNoID is the error of disposing of what a hook had got that was at work when
// its testr was killed: nobody knows what that is.
var ErrNoID = errors.New("the hook had not said what it got when its testr ended")

// Disposer gives instances back. It may be used by several goroutines.
type Disposer struct {
	// Local provides instances that are this machine, to run commands there.
	Local Provider
	// Journal has the leases. What was given back is removed from it, and what
	// could not be is stored with the reason.
	Journal Journal
	// Env holds KEY=VALUE for the commands.
	Env []string
	// Timeout is how long one command may take, with a second try; zero means a
	// minute.
	Timeout time.Duration
}

// Disposal is what has become of leases that have section, command and directory
// in common, and an id each that is fit to be one, or don't.
type Disposal struct {
	Leases []Lease // in the order of their ids
	Err    error   // nil if they were given back; has a *DisposeError if the instances may still be there
}

// Dispose gives instances back, by one command for all that have section,
// command and directory in common, in the order in which those first come. When
// ctx ends, so does a command that runs, as a failure, and none is begun.
func (d *Disposer) Dispose(ctx context.Context, leases []Lease) []Disposal {
	type group struct {
		section, command, dir string
		named                 bool
		unfit                 string
	}
	var order []group
	groups := make(map[group][]Lease)
	for _, lease := range leases {
		g := group{lease.Section, lease.Dispose, lease.Dir, lease.ID != "", refuseID(lease.ID)}
		if groups[g] == nil {
			order = append(order, g)
		}
		groups[g] = append(groups[g], lease)
	}
	var disposals []Disposal
	for _, g := range order {
		leases := groups[g]
		slices.SortStableFunc(leases, func(a, b Lease) int { return strings.Compare(a.ID, b.ID) })
		disposals = append(disposals, Disposal{Leases: leases, Err: d.dispose(ctx, leases)})
	}
	return disposals
}

// dispose gives instances back that have section, command and directory in
// common, and are in the order of their ids: by one command, unless it would be
// too long for a system.
func (d *Disposer) dispose(ctx context.Context, leases []Lease) error {
	var failed *DisposeError
	var errs []error
	for len(leases) > 0 {
		length, n := 0, 0
		for n < len(leases) && (n == 0 || length < maxDisposeLine) {
			length += 4*len(leases[n].ID) + 3 // all quotes, at worst
			n++
		}
		more, err := d.disposeSome(ctx, leases[:n])
		switch {
		case failed == nil:
			failed = more
		case more != nil:
			failed.Leases = append(failed.Leases, more.Leases...)
		}
		errs = append(errs, err)
		leases = leases[n:]
	}
	if failed == nil {
		return errors.Join(errs...)
	}
	return errors.Join(append(errs, failed)...)
}

// disposeSome is dispose by one command. The second error is of the journal.
func (d *Disposer) disposeSome(ctx context.Context, leases []Lease) (*DisposeError, error) {
	first := leases[0]
	ids := make([]string, len(leases))
	for n, lease := range leases {
		ids[n] = lease.ID
	}
	line, err := expand(first.Dispose, token{name: tokenIDs, words: ids})
	switch {
	case err != nil:
		line = first.Dispose
	case first.ID == "":
		err = ErrNoID
	case refuseID(first.ID) != "": // nor would testr have put it into the journal
		err = fmt.Errorf("%.80q is no id: %s", first.ID, refuseID(first.ID))
	default:
		err = d.call(ctx, first, line)
	}
	if err != nil {
		return d.failed(leases, line, err)
	}
	var errs []error
	for _, lease := range leases {
		if err := d.Journal.Remove(lease.Key); err != nil {
			errs = append(errs, fmt.Errorf("take instance %s, which was disposed of, out of the journal: %w", lease.ID, err))
		}
	}
	return nil, errors.Join(errs...)
}

// call calls the dispose hook, and once more if it fails.
func (d *Disposer) call(ctx context.Context, lease Lease, line string) error {
	limit := d.Timeout
	if limit <= 0 {
		limit = defaultDisposeTimeout
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit,
		fmt.Errorf("it was ended after %v, which dispose_timeout allows", limit))
	defer cancel()
	call := hookCall{
		local: d.Local, section: lease.Section, option: "instance_dispose", line: line, dir: lease.Dir, env: d.Env,
	}
	err := call.run(ctx)
	if err != nil && pause(ctx, disposePause) {
		err = call.run(ctx)
	}
	return err
}

// failed has the journal keep why leases could not be disposed of.
func (d *Disposer) failed(leases []Lease, line string, why error) (*DisposeError, error) {
	text := why.Error()
	if len(text) > failureKept {
		text = strings.ToValidUTF8(text[:failureKept], "") + " [...]"
	}
	failed := &DisposeError{Leases: slices.Clone(leases), Command: line, Err: why}
	var errs []error
	for n := range failed.Leases {
		lease := &failed.Leases[n]
		lease.Failure = text
		key, err := d.Journal.Put(*lease)
		if err != nil {
			errs = append(errs, fmt.Errorf("note in the journal that instance %s is left: %w", lease.ID, err))
			continue
		}
		lease.Key = key
	}
	return failed, errors.Join(errs...)
}
