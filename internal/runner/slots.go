package runner

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"strings"

	"testr/internal/supervisor"
)

// several reports whether the tests are to run on several workers.
func (s *session) several() bool {
	if !s.req.Parallel {
		return false
	}
	parallel := len(s.profiles) > 1 // each of them is a piece of work, at least
	for _, p := range s.profiles {
		if p.mode != modePlain && p.mode != modeOnce {
			parallel = true
			continue
		}
		p.warn("--parallel has no effect: the test command can't run selected tests",
			"put $LISTOPT and $IDOPTION into test_command")
	}
	return parallel
}

// slots are those of all groups, in their order. Where it is known how many tests
// there are, groups that needn't have more slots than that don't.
func (s *session) slots(ctx context.Context, tests int, pending bool) (slots []supervisor.Slot, err error) {
	number := 0
	for _, g := range s.groups {
		count := g.count
		if g.bounded && !pending {
			count = max(1, min(count, tests))
			g.need(count)
		}
		var there *attempt
		if g.local {
			if there, err = s.get(ctx, g, nil); err != nil {
				return nil, err
			}
		}
		for i := range count {
			slot := supervisor.Slot{Name: g.name, Route: strconv.Itoa(number), Profiles: g.profiles}
			if g.relay {
				slot.Route += "/" + strconv.Itoa(i)
			} else {
				number++
			}
			if g.local {
				slot.Place = there.places[i]
			} else {
				slot.Open = s.opener(g, i)
			}
			slots = append(slots, slot)
		}
		if g.relay {
			number++
		}
	}
	return slots, nil
}

// need says that there need be no more places than so many: what costs something
// to get is not got in vain.
func (g *group) need(count int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.local { // which costs nothing, and is got anew for the next run
		g.count = min(g.count, count)
	}
}

// opener gets the place of a group's slot. A group may come to have fewer than
// were asked for.
func (s *session) opener(g *group, i int) func(context.Context) (supervisor.Place, error) {
	var last *attempt // of which this slot had its place
	return func(ctx context.Context) (supervisor.Place, error) {
		var err error
		last, err = s.get(ctx, g, last)
		switch {
		case err != nil:
			return supervisor.Place{}, err
		case i >= len(last.places):
			return supervisor.Place{}, fmt.Errorf("instance %s: there are %d of %d", g.name, len(last.places), g.count)
		}
		return last.places[i], nil
	}
}

// concurrency is what was asked for, else what test_run_concurrency prints,
// else the number of processors.
func (s *session) concurrency(ctx context.Context) (int, error) {
	if s.req.Concurrency > 0 {
		return s.req.Concurrency, nil
	}
	v := s.req.Config.TestRunConcurrency
	if !v.Set() {
		return runtime.GOMAXPROCS(0), nil
	}
	fail := func(format string, args ...any) error {
		return fmt.Errorf("%s:%d: test_run_concurrency: %w", s.req.Config.File, v.Line, fmt.Errorf(format, args...))
	}
	out, err := output(ctx, s.here, shellCommand(v.Text))
	if err != nil {
		return 0, fail("%w", err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(out))
	if err != nil || n < 0 {
		return 0, fail("%q printed %q; want a number of workers", v.Text, strings.TrimSpace(out))
	}
	if n == 0 {
		return runtime.GOMAXPROCS(0), nil
	}
	return n, nil
}
