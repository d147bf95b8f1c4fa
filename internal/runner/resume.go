package runner

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"testr/internal/repo"
)

// left is what the last run left without an outcome.
type left struct {
	run     int
	whole   bool            // it is known what that run was asked for
	tests   []string        // if whole: those without an outcome, in their order
	settled map[string]bool // else: those that have one
}

// takeUp finds out about the run that is asked for: which one is the last, or
// what it left.
func (s *session) takeUp() (err error) {
	if like := s.req.Select.Like; like != nil {
		s.req.Select.Like, err = like.settle(s.req.Ask)
	}
	if !s.req.Select.Resume {
		return err
	}
	r := s.req.Ask
	info, err := r.Latest()
	if errors.Is(err, repo.ErrNoRuns) {
		return fmt.Errorf("resume the last run: %w", err)
	}
	if err != nil {
		return fmt.Errorf("find the last run: %w", err)
	}
	for _, p := range s.profiles {
		if p.left, err = p.leftBy(r, info); err != nil {
			return err
		}
	}
	return nil
}

// leftBy finds out what a run left of the profile: nothing, if the run didn't have it.
// If that was resuming another one, and was killed before it knew its tests, it left
// what the other one did.
func (p *profile) leftBy(r repo.Queries, info repo.RunInfo) (*left, error) {
	if !info.Listed && !unheard(info) {
		return nil, hint(fmt.Errorf("run %d does not say what it was asked for", info.ID),
			"only what was begun by testr run, and listed its tests, can be resumed")
	}
	if !slices.Contains(info.Profiles, p.Name) {
		return &left{run: info.ID, whole: true}, nil
	}
	found, err := r.Left(info.ID, p.Name)
	if err != nil {
		return nil, err
	}
	l := &left{run: info.ID, whole: found.Whole, tests: found.Tests}
	if l.whole {
		return l, nil
	}
	l.settled = make(map[string]bool, len(found.Settled))
	for _, id := range found.Settled {
		l.settled[id] = true
	}
	if !slices.Contains(info.Selection, "--resume") {
		return l, nil
	}
	resumed, err := r.Run(info.ID - 1)
	if errors.Is(err, repo.ErrNoRun) { // it was removed
		return l, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find the run that run %d resumed: %w", info.ID, err)
	}
	earlier, err := p.leftBy(r, resumed)
	if err != nil {
		return nil, err
	}
	l.whole = earlier.whole
	l.tests = slices.DeleteFunc(earlier.tests, func(id string) bool { return l.settled[id] })
	maps.Copy(l.settled, earlier.settled)
	return l, nil
}

// unheard reports whether a run was killed before any event of it was stored. Of
// a stream that was loaded nobody knows the host.
func unheard(info repo.RunInfo) bool {
	return info.State == repo.Interrupted && info.Events == 0 && info.Host != ""
}

// nothing says that there is nothing to resume.
func (l *left) nothing() error { return nothing("Run %d left nothing to run.", l.run) }

// unsettled returns those of the ids that have no outcome yet, where a run is
// resumed that nobody knows more of.
func (l *left) unsettled(ids []string) []string {
	if l == nil || len(l.settled) == 0 {
		return ids
	}
	var out []string
	for _, id := range ids {
		if !l.settled[id] {
			out = append(out, id)
		}
	}
	return out
}
