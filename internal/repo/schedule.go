package repo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"testr/internal/event"
	"testr/internal/protocol"
)

// Schedule returns the tests of a run under a profile in the order in which they began, and
// after them those that were sent to a worker, never began, and were not taken
// back. A route leaves only what came by it, or by one below it: 1 has what came
// by 1/0, too. A test that was run again stands where it began first, on that
// route: an order has it once, and what came before it there is what its first
// failure may be due to. What can't be asked for is not in it, nor what nobody
// asked for, if anything was.
//
// The error wraps ErrNoRun where there is no such run, and is a *NoRouteError if
// nothing came by that route. Of a run that goes on, what is on disk counts.
func (r *Repository) Schedule(run int, profile, route string) ([]string, error) {
	c, err := r.Replay(run)
	if err != nil {
		return nil, err
	}
	s := schedule{route: route, found: route == "", asked: map[string]bool{}, runnable: map[string]bool{},
		begun: map[string]bool{}, sent: map[string]*sending{}, workers: map[int]bool{}, routes: map[string]bool{}}
	for {
		events, err := c.Next(context.Background())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("the schedule of run %d: %w", run, err)
		}
		for _, e := range events {
			if profileName(e.Profile) == profile || e.Tests == nil && packetOf(e) == nil {
				s.event(e)
			}
		}
	}
	tests := s.tests()
	if !s.found {
		return nil, &NoRouteError{run, route, slices.Sorted(maps.Keys(s.routes))}
	}
	return tests, nil
}

// maxRoutes is how many routes are remembered, to name them in an error.
const maxRoutes = 1000

// schedule finds out in which order tests began.
type schedule struct {
	route    string // the only one that is wanted, or empty
	found    bool   // something came by it
	order    []string
	begun    map[string]bool // what is in order
	asked    map[string]bool
	runnable map[string]bool     // where nothing was asked for
	sent     map[string]*sending // the last one of each test
	workers  map[int]bool        // those from which something came by the route
	routes   map[string]bool
	sendings int
}

// sending is a test that was sent to a worker.
type sending struct {
	worker, place int
	over          bool // it began, or was taken back
}

func (s *schedule) event(e event.Event) {
	if e.Worker != event.NoWorker && s.matches(strconv.Itoa(e.Worker)) {
		s.reached(e.Worker) // a worker that ended before it said anything has no other route
	}
	switch e.Kind {
	case event.KindAsked:
		for _, id := range e.Tests {
			s.asked[id] = true
		}
	case event.KindSent:
		for _, id := range e.Tests {
			s.sent[id] = &sending{worker: e.Worker, place: s.sendings}
			s.sendings++
		}
	case event.KindRequeued:
		for _, id := range e.Tests {
			s.over(id, e.Worker)
		}
	case event.KindPacket:
		s.packet(e)
	default:
	}
}

// over notes that a worker no longer has a test before it, and reports whether
// it had.
func (s *schedule) over(id string, worker int) bool {
	given := s.sent[id]
	if given == nil || given.over || given.worker != worker {
		return false
	}
	given.over = true
	return true
}

func (s *schedule) packet(e event.Event) {
	p := e.Packet
	matches := p.Has&protocol.HasRoute != 0 && s.matches(p.Route)
	if matches {
		s.reached(e.Worker)
	}
	if p.Has&protocol.HasRoute != 0 && len(s.routes) < maxRoutes {
		s.routes[p.Route] = true
	}
	id := p.TestID
	if p.Has&protocol.HasTestID == 0 {
		return
	}
	if p.Runnable && !event.Pseudo(id) {
		s.runnable[id] = true
	}
	switch {
	case p.Status == protocol.StatusExists:
		s.over(id, e.Worker) // a withdrawn test was given back
		return
	case p.Status != protocol.StatusInProgress && !p.Status.Final():
		return
	case s.sent[id] != nil && !s.over(id, e.Worker): // it goes on, or is somebody else's
		return
	}
	if (matches || s.route == "") && !s.begun[id] {
		s.begun[id] = true
		s.order = append(s.order, id)
	}
}

// matches reports whether a route is the wanted one, or below it.
func (s *schedule) matches(route string) bool {
	rest, ok := strings.CutPrefix(route, s.route)
	return ok && (rest == "" || rest[0] == '/' || s.route == "")
}

func (s *schedule) reached(worker int) {
	s.found = true
	s.workers[worker] = true
}

// tests returns the order once all events were taken.
func (s *schedule) tests() []string {
	var never []string
	for id, given := range s.sent {
		if !given.over && !s.begun[id] && s.workers[given.worker] {
			never = append(never, id)
		}
	}
	slices.SortFunc(never, func(a, b string) int { return cmp.Compare(s.sent[a].place, s.sent[b].place) })
	return slices.DeleteFunc(append(s.order, never...), func(id string) bool {
		if len(s.asked) > 0 {
			return !s.asked[id]
		}
		return s.sent[id] == nil && !s.runnable[id]
	})
}

// Left is what a run left undone.
type Left struct {
	// Whole says that the run got to know all that it was to have. Else nobody
	// knows what it left: Tests is empty.
	Whole bool
	// Tests were asked for, and have no outcome: they did not run, never began, or
	// had begun when the run ended.
	Tests []string
	// Settled are those with an outcome that were asked for; where Whole is false,
	// all that can be.
	Settled []string
}

// Left returns what a run that is over left undone of a profile, for whoever goes on with it;
// both lists in the order in which the run first had to do with their tests. A
// run that was cut short by a crash is over from the next Open on. The error
// wraps ErrNoRun where there is no such run, and ErrRunning where it goes on.
func (r *Repository) Left(run int, profile string) (Left, error) {
	info, err := r.Run(run)
	if err == nil && info.State == Running {
		err = ErrRunning
	}
	if err != nil {
		return Left{}, fmt.Errorf("what run %d left: %w", run, err)
	}
	of, _ := info.Profile(profile)
	left := Left{Whole: of.Counts.Asked > 0}
	tests, err := r.tests(run, profile, func(t *event.Test) bool {
		return t.Asked || !left.Whole && t.Runnable && t.Settled()
	})
	for _, t := range tests {
		if t.Settled() {
			left.Settled = append(left.Settled, t.ID)
		} else {
			left.Tests = append(left.Tests, t.ID)
		}
	}
	return left, err
}
