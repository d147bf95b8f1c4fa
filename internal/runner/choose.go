package runner

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"testr/internal/instance"
	"testr/internal/protocol"
	"testr/internal/repo"
	"testr/internal/supervisor"
)

// choice is what is to run.
type choice struct {
	tests   []string // in the order in which they are handed over
	pending bool     // they are a head start only, what list says holds
	list    func(context.Context) (supervisor.Listing, error)
	whole   []string // all that was listed; nil if that is not known
}

// choose settles what is to run: tests that are known, or a head start of those
// remembered with the listing to come, or those that are listed now.
func (p *profile) choose(ctx context.Context) (c choice, err error) {
	switch {
	case p.mode == modePlain:
		return c, nil
	case p.known():
		c.tests, err = p.knownTests()
		c.tests = p.order(c.tests)
		return c, err
	case p.mode == modeStream && p.mayBegin():
		remembered, err := p.session.req.Ask.Listing(p.Name)
		if err != nil {
			return c, fmt.Errorf("read the last listing: %w", err)
		}
		if c.tests = p.narrow(remembered); len(c.tests) > 0 {
			c.pending = true
			c.list = func(ctx context.Context) (supervisor.Listing, error) {
				listing, err := p.list(ctx)
				if _, ok := errors.AsType[*noneError](err); ok { // why is in the run already
					err = fmt.Errorf("list tests: %w", errNone)
				}
				listing.Tests, listing.Duplicates = p.narrow(listing.Tests), p.narrow(listing.Duplicates)
				return listing, err
			}
			return c, nil
		}
	}
	listing, err := p.list(ctx)
	if err != nil {
		return c, err
	}
	if !p.torn { // else there are tests that the listing lacks
		c.whole = listing.Tests
	}
	if c.tests, err = p.pick(listing.Tests); err != nil {
		return c, err
	}
	c.tests = p.order(c.tests)
	// What else the lister had to say belongs to the run: it is handed over as
	// a listing that has come already.
	listing.Tests, listing.Duplicates = c.tests, p.narrow(listing.Duplicates)
	c.list = func(context.Context) (supervisor.Listing, error) { return listing, nil }
	return c, nil
}

// mayBegin reports whether a run may begin before the profile's tests are listed:
// not if the tests depend on arguments, or their order on all of them, or if the
// listing needs an instance that is not made for two things at a time.
func (p *profile) mayBegin() bool {
	s := p.session
	if len(s.req.Select.Args) > 0 || s.req.Random || s.req.Segments != nil {
		return false
	}
	lists := slices.DeleteFunc(slices.Clone(s.groups), func(g *group) bool { return !p.able(g) })
	return slices.ContainsFunc(lists, func(g *group) bool { return g.local }) ||
		!slices.ContainsFunc(lists, func(g *group) bool { return g.bare })
}

// known reports whether the tests are known without a listing.
func (p *profile) known() bool {
	return p.session.req.Select.known() || p.left != nil && p.left.whole
}

// order puts tests into the order that was asked for.
func (p *profile) order(tests []string) []string {
	if !p.session.req.Random {
		return tests
	}
	return shuffle(tests, p.Group, p.session.req.Seed)
}

// narrow returns those of the ids that the selection lets pass.
func (p *profile) narrow(ids []string) []string {
	sel := &p.session.req.Select
	return sel.Partition.of(p.left.unsettled(sel.filter(ids)), p.Group)
}

// pick is narrow for all the tests that there are: it says why none is left.
func (p *profile) pick(ids []string) ([]string, error) {
	sel := &p.session.req.Select
	found := sel.filter(ids)
	if len(found) == 0 && len(sel.Filters) > 0 {
		return nil, hint(fmt.Errorf("%w the filters, of %d", ErrNoMatch, len(ids)),
			"testr list-tests shows the ids; filters are regular expressions that are searched in them")
	}
	open := p.left.unsettled(found)
	if len(open) == 0 && len(found) > 0 {
		return nil, p.left.nothing()
	}
	return p.part(open)
}

// part cuts out the partition that was asked for.
func (p *profile) part(tests []string) ([]string, error) {
	partition := p.session.req.Select.Partition
	some := partition.of(tests, p.Group)
	if len(some) == 0 && len(tests) > 0 {
		return nil, nothing("Partition %v has no test, of %d.", partition, len(tests))
	}
	return some, nil
}

func (p *profile) list(ctx context.Context) (listing supervisor.Listing, err error) {
	lister, ids, err := p.plan.listing()
	if err != nil || lister == nil {
		return supervisor.Listing{Tests: ids}, err
	}
	listing, shell, err := p.listSomewhere(ctx, lister)
	if err != nil {
		return listing, err
	}
	if err := empty(listing, shell); err != nil {
		return listing, err
	}
	p.torn = slices.ContainsFunc(listing.Packets, func(p *protocol.Packet) bool { return p.Status == protocol.StatusFail })
	if len(p.session.req.Select.Args) == 0 {
		p.listing = listing.Tests
	}
	return listing, nil
}

// empty is the error of a listing that has nothing; nil if it has something.
func empty(listing supervisor.Listing, shell string) error {
	if len(listing.Tests) > 0 || len(listing.Packets) > 0 {
		return nil
	}
	err := ErrEmptyListing
	if listing.Text != "" {
		err = fmt.Errorf("%w; the test command wrote instead:\n%s", err, strings.TrimRight(listing.Text, "\n"))
	}
	return hint(err, "what lists the tests is: %s", shell)
}

// listSomewhere lists the tests on the first instance that is there and can do
// it. shell is the command that did.
func (p *profile) listSomewhere(ctx context.Context, lister *line) (_ supervisor.Listing, shell string, _ error) {
	s := p.session
	able := s.able(p)
	var failed, lost []*group
	for {
		g, there, err := s.where(ctx, p, failed)
		if err != nil {
			return supervisor.Listing{}, "", fmt.Errorf("list tests: %w", err)
		}
		at := there.places[0].Instance
		cmd, err := lister.command(at)
		if err != nil {
			return supervisor.Listing{}, "", err
		}
		shell = cmd.Args[len(cmd.Args)-1]
		if s.req.Announce != nil && failed == nil && lost == nil {
			s.req.Announce(shell)
		}
		listing, err := supervisor.List(ctx, at, cmd)
		_, gone := errors.AsType[*instance.LostError](err)
		switch {
		case err == nil || ctx.Err() != nil:
		case gone && !slices.Contains(lost, g): // perhaps long ago, before anybody asked
			lost = append(lost, g)
			g.lose(there)
			continue
		case !gone && g.name != "": // a loss has the name
			err = fmt.Errorf("instance %s: %w", g.name, err)
		}
		failed = append(failed, g)
		if err == nil || ctx.Err() != nil || !unfit(err) || len(failed) == able {
			return listing, shell, err
		}
		s.warn(fmt.Errorf("another instance is asked which tests there are: %w", err))
	}
}

// unfit reports whether a lister failed for what its instance lacks, so that it
// may do better on another one: a program, a file, its setup, the instance itself.
func unfit(err error) bool {
	var failed *supervisor.ListError
	return !errors.As(err, &failed) || failed.Code >= 125 && failed.Code <= 127 || setUpFailed.MatchString(failed.Output)
}

// setUpFailed is what a host says whose setup has failed.
var setUpFailed = regexp.MustCompile(`(?m)^testr: instance \S+: setup failed in `)

// knownTests are those that can be told without a listing, narrowed.
func (p *profile) knownTests() (tests []string, err error) {
	sel, r := &p.session.req.Select, p.session.req.Ask
	switch {
	case sel.Like != nil:
		if tests, err = sel.Like.tests(r, p.Name); err != nil {
			return nil, err
		}
	case p.left != nil:
		if tests = p.left.tests; len(tests) == 0 {
			return nil, p.left.nothing()
		}
	case sel.Failing:
		if tests, err = sel.failing(r, p.Name); err != nil {
			return nil, err
		}
	default:
		tests = sel.listOf(p.Name)
	}
	if tests = sel.filter(tests); len(tests) == 0 {
		return nil, hint(ErrNoMatch, "%s", sel.emptiness())
	}
	return p.part(tests)
}

// failing are the tests of a profile's failing set, of those that are in its list
// if there is one.
func (s *Selection) failing(r repo.Queries, profile string) (tests []string, err error) {
	failing, err := r.Failing(profile)
	if err != nil {
		return nil, fmt.Errorf("read the failing tests: %w", err)
	}
	if len(failing) == 0 && !s.Listed {
		return nil, nothing("No tests are failing.")
	}
	listed := map[string]bool{}
	for _, id := range s.listOf(profile) {
		listed[id] = true
	}
	for _, f := range failing {
		if !s.Listed || listed[f.ID] {
			tests = append(tests, f.ID)
		}
	}
	return tests, nil
}

// Settle makes the selection of a request one that stays the same whatever is run:
// the tests that fail now, the run that is the last one now. The error is a
// *NothingError if nothing fails.
func (r *Request) Settle() error {
	sel := &r.Select
	if sel.Failing {
		profiles, err := r.Chosen()
		if err != nil {
			return err
		}
		lists, some := map[string][]string{}, false
		for _, p := range profiles {
			tests, err := sel.failing(r.queries(), p.Name)
			if err != nil && !none(err) {
				return err
			}
			lists[p.Name], some = tests, some || err == nil
		}
		if !some {
			return nothing("No tests are failing.")
		}
		sel.Lists, sel.List, sel.Failing, sel.Listed = lists, nil, false, true
	}
	if sel.Like != nil {
		var err error
		sel.Like, err = sel.Like.settle(r.queries())
		return err
	}
	return nil
}
