package runner

import (
	"errors"
	"fmt"

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
		s.req.Select.Like, err = like.settle(s.req.Repo)
	}
	if !s.req.Select.Resume {
		return err
	}
	r := s.req.Repo
	info, err := r.Latest()
	if errors.Is(err, repo.ErrNoRuns) {
		return fmt.Errorf("resume the last run: %w", err)
	}
	if err != nil {
		return fmt.Errorf("find the last run: %w", err)
	}
	if !info.Listed {
		return hint(fmt.Errorf("run %d does not say what it was asked for", info.ID),
			"only what was begun by testr run, and listed its tests, can be resumed")
	}
	found, err := r.Left(info.ID, repo.DefaultProfile)
	if err != nil {
		return err
	}
	s.left = &left{run: info.ID, whole: found.Whole, tests: found.Tests}
	if !found.Whole {
		s.left.settled = make(map[string]bool, len(found.Settled))
		for _, id := range found.Settled {
			s.left.settled[id] = true
		}
	}
	return nil
}

// nothing says that there is nothing to resume.
func (l *left) nothing() error { return nothing("Run %d left nothing to run.", l.run) }

// unsettled returns those of the ids that have no outcome yet, where a run is
// resumed that nobody knows more of.
func (s *session) unsettled(ids []string) []string {
	if s.left == nil || len(s.left.settled) == 0 {
		return ids
	}
	var out []string
	for _, id := range ids {
		if !s.left.settled[id] {
			out = append(out, id)
		}
	}
	return out
}
