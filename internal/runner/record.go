package runner

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"testr/internal/event"
	"testr/internal/repo"
)

// info describes the run that is about to begin.
func (s *session) info() repo.RunInfo {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return repo.RunInfo{Start: time.Now(), Command: s.req.Command, Host: host, User: userName(os.Getuid()),
		Revision: s.revision.id, Dirty: s.revision.dirty, Partial: !s.full(), Profiles: names(s.running),
		Selection: s.req.Select.words(), Random: s.req.Random, Seed: s.req.Seed}
}

// why is why a run ended before its end, or empty if it didn't.
func why(ctx context.Context, o *event.Outcomes, err error, maxFail int) string {
	switch c := o.Counts(); {
	case err != nil:
		return firstLine(err)
	case o.Interrupted():
		return context.Cause(ctx).Error()
	case maxFail > 0 && c.Failed >= maxFail && c.NotRun > 0:
		return fmt.Sprintf("%d had failed, of at most %d", c.Failed, maxFail)
	}
	return ""
}

// firstLine is what an error is about, in a line.
func firstLine(err error) string {
	first, _, _ := strings.Cut(err.Error(), "\n")
	return first
}

// prune removes the runs that the configuration doesn't keep. That it can't changes
// no verdict.
func (s *session) prune() {
	c := s.req.Config
	if c.KeepRuns == 0 && c.KeepDays == 0 {
		return
	}
	if _, err := s.req.Repo.Prune(c.KeepRuns, repo.DaysAgo(c.KeepDays)); err != nil {
		s.warn(fmt.Errorf("remove old runs: %w", err))
	}
}
