package runner

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"strings"

	"testr/internal/supervisor"
)

// slots are as many as were asked for, and not more than there are tests when
// their number is known.
func (s *session) slots(ctx context.Context, m mode, tests int, pending bool) ([]supervisor.Slot, error) {
	count := 1
	if s.req.Parallel && m != modePlain && m != modeOnce {
		var err error
		if count, err = s.concurrency(ctx); err != nil {
			return nil, err
		}
		if !pending {
			count = max(1, min(count, tests))
		}
	} else if s.req.Parallel {
		s.req.Log.Warn("--parallel has no effect: the test command can't run selected tests",
			"hint", "put $LISTOPT and $IDOPTION into test_command")
	}
	if missing := count - len(s.all); missing > 0 {
		if err := s.provision(ctx, missing); err != nil {
			return nil, err
		}
	}
	out := make([]supervisor.Slot, count)
	for i := range out {
		out[i] = supervisor.Slot{Instance: s.all[i], Route: strconv.Itoa(i)}
	}
	return out, nil
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
	out, err := output(ctx, s.local, shellCommand(v.Text))
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
