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
func (s *session) choose(ctx context.Context, m mode) (c choice, err error) {
	switch {
	case m == modePlain:
		return c, nil
	case s.known():
		c.tests, err = s.knownTests()
		c.tests = s.order(c.tests)
		return c, err
	case m == modeStream && s.mayBegin():
		remembered, err := s.req.Repo.Listing(repo.DefaultProfile)
		if err != nil {
			return c, fmt.Errorf("read the last listing: %w", err)
		}
		if c.tests = s.narrow(remembered); len(c.tests) > 0 {
			c.pending = true
			c.list = func(ctx context.Context) (supervisor.Listing, error) {
				listing, err := s.list(ctx)
				if _, ok := errors.AsType[*noneError](err); ok { // why is in the run already
					err = fmt.Errorf("list tests: %w", errNone)
				}
				listing.Tests, listing.Duplicates = s.narrow(listing.Tests), s.narrow(listing.Duplicates)
				return listing, err
			}
			return c, nil
		}
	}
	listing, err := s.list(ctx)
	if err != nil {
		return c, err
	}
	if !s.torn { // else there are tests that the listing lacks
		c.whole = listing.Tests
	}
	if c.tests, err = s.pick(listing.Tests); err != nil {
		return c, err
	}
	c.tests = s.order(c.tests)
	// What else the lister had to say belongs to the run: it is handed over as
	// a listing that has come already.
	listing.Tests, listing.Duplicates = c.tests, s.narrow(listing.Duplicates)
	c.list = func(context.Context) (supervisor.Listing, error) { return listing, nil }
	return c, nil
}

// mayBegin reports whether a run may begin before its tests are listed: not if
// the tests depend on arguments, or their order on all of them, or if the listing
// needs an instance that is not made for two things at a time.
func (s *session) mayBegin() bool {
	return len(s.req.Select.Args) == 0 && !s.req.Random && s.req.Segments == nil &&
		(s.local() != nil || !slices.ContainsFunc(s.groups, func(g *group) bool { return g.bare }))
}

// known reports whether the tests are known without a listing.
func (s *session) known() bool {
	return s.req.Select.known() || s.left != nil && s.left.whole
}

// order puts tests into the order that was asked for.
func (s *session) order(tests []string) []string {
	if !s.req.Random {
		return tests
	}
	return shuffle(tests, s.req.Config.Group, s.req.Seed)
}

// narrow returns those of the ids that the selection lets pass.
func (s *session) narrow(ids []string) []string {
	return s.req.Select.Partition.of(s.unsettled(s.req.Select.filter(ids)), s.req.Config.Group)
}

// pick is narrow for all the tests that there are: it says why none is left.
func (s *session) pick(ids []string) ([]string, error) {
	sel := &s.req.Select
	found := sel.filter(ids)
	if len(found) == 0 && len(sel.Filters) > 0 {
		return nil, hint(fmt.Errorf("%w the filters, of %d", ErrNoMatch, len(ids)),
			"testr list-tests shows the ids; filters are regular expressions that are searched in them")
	}
	open := s.unsettled(found)
	if len(open) == 0 && len(found) > 0 {
		return nil, s.left.nothing()
	}
	return s.part(open)
}

// part cuts out the partition that was asked for.
func (s *session) part(tests []string) ([]string, error) {
	p := s.req.Select.Partition
	some := p.of(tests, s.req.Config.Group)
	if len(some) == 0 && len(tests) > 0 {
		return nil, nothing("Partition %v has no test, of %d.", p, len(tests))
	}
	return some, nil
}

func (s *session) list(ctx context.Context) (listing supervisor.Listing, err error) {
	lister, ids, err := s.plan.listing()
	if err != nil || lister == nil {
		return supervisor.Listing{Tests: ids}, err
	}
	listing, shell, err := s.listSomewhere(ctx, lister)
	if err != nil {
		return listing, err
	}
	if err := empty(listing, shell); err != nil {
		return listing, err
	}
	s.torn = slices.ContainsFunc(listing.Packets, func(p *protocol.Packet) bool { return p.Status == protocol.StatusFail })
	if len(s.req.Select.Args) == 0 {
		s.listing = listing.Tests
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
func (s *session) listSomewhere(ctx context.Context, lister *line) (_ supervisor.Listing, shell string, _ error) {
	var failed []*group
	for {
		g, at, err := s.where(ctx, failed)
		if err != nil {
			return supervisor.Listing{}, "", fmt.Errorf("list tests: %w", err)
		}
		cmd, err := lister.command(at)
		if err != nil {
			return supervisor.Listing{}, "", err
		}
		shell = cmd.Args[len(cmd.Args)-1]
		if s.req.Announce != nil && failed == nil {
			s.req.Announce(shell)
		}
		listing, err := supervisor.List(ctx, at, cmd)
		var lost *instance.LostError // which has the name
		if err != nil && g.name != "" && ctx.Err() == nil && !errors.As(err, &lost) {
			err = fmt.Errorf("instance %s: %w", g.name, err)
		}
		failed = append(failed, g)
		if err == nil || ctx.Err() != nil || !unfit(err) || len(failed) == len(s.groups) {
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
func (s *session) knownTests() (tests []string, err error) {
	sel := &s.req.Select
	switch {
	case sel.Like != nil:
		if tests, err = sel.Like.tests(s.req.Ask); err != nil {
			return nil, err
		}
	case s.left != nil:
		if tests = s.left.tests; len(tests) == 0 {
			return nil, s.left.nothing()
		}
	case sel.Failing:
		if tests, err = sel.failing(s.req.Ask); err != nil {
			return nil, err
		}
	default:
		tests = sel.List
	}
	if tests = sel.filter(tests); len(tests) == 0 {
		return nil, hint(ErrNoMatch, "%s together select the tests that all of them name", strings.Join(sel.named(), " and "))
	}
	return s.part(tests)
}

// failing are the tests of the failing set, of those that are in the list if
// there is one.
func (s *Selection) failing(r repo.Queries) (tests []string, err error) {
	failing, err := r.Failing(repo.DefaultProfile)
	if err != nil {
		return nil, fmt.Errorf("read the failing tests: %w", err)
	}
	if len(failing) == 0 && !s.Listed {
		return nil, nothing("No tests are failing.")
	}
	listed := make(map[string]bool, len(s.List))
	for _, id := range s.List {
		listed[id] = true
	}
	for _, f := range failing {
		if !s.Listed || listed[f.ID] {
			tests = append(tests, f.ID)
		}
	}
	return tests, nil
}

// Settle returns a selection that stays the same whatever is run: the tests that
// fail now, the run that is the last one now.
func Settle(r repo.Queries, sel Selection) (settled Selection, err error) {
	if sel.Failing {
		if sel.List, err = sel.failing(r); err != nil {
			return sel, err
		}
		sel.Failing, sel.Listed = false, true
	}
	if sel.Like != nil {
		sel.Like, err = sel.Like.settle(r)
	}
	return sel, err
}
