package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"testr/internal/event"
	"testr/internal/instance"
	"testr/internal/protocol"
	"testr/internal/repo"
	"testr/internal/scheduler"
	"testr/internal/supervisor"
)

// Run runs the tests of a request and stores what happens. With --failing and
// nothing failing it records nothing. The error is about our own work; what the
// tests did is in the result, which is there beside an error if something was
// recorded.
func Run(ctx context.Context, req Request) (res Result, err error) {
	s, err := newSession(req)
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	cfg, err := s.configure(ctx)
	if err != nil || cfg == nil {
		if ctx.Err() != nil {
			return Result{Interrupted: true}, nil
		}
		return Result{}, err
	}
	w, err := req.Repo.Begin(s.info())
	if err != nil {
		return Result{}, fmt.Errorf("begin a run: %w", err)
	}
	cfg.Sink = w
	if req.Begun != nil {
		req.Begun(w)
	}
	outcomes, runErr := supervisor.Run(ctx, *cfg)
	end := repo.End{State: repo.Finished, Partial: s.partial(outcomes, runErr), Time: time.Now(), Listing: s.listing}
	if outcomes.Interrupted() || runErr != nil {
		end.State = repo.Interrupted
	}
	res = Result{Run: w.ID(), Recorded: true, Outcomes: outcomes, Interrupted: outcomes.Interrupted()}
	if _, err := w.Close(end); err != nil {
		res.Outcomes = nil
		return res, err // the sink's error is the same one
	}
	return res, runErr
}

// List lists the tests that Run would run, in the order of the listing.
func List(ctx context.Context, req Request) (tests []string, err error) {
	s, err := newSession(req)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if req.Select.known() {
		return s.knownTests()
	}
	listing, err := s.list(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range listing.Packets {
		if p.Status.Final() {
			req.Log.Warn("the listing reports a failure", "test", p.TestID)
		}
	}
	tests = req.Select.filter(listing.Tests)
	if len(tests) == 0 {
		return nil, ErrNoMatch
	}
	return tests, nil
}

// session is what a run or a listing has while it goes on.
type session struct {
	req   Request
	temp  string // directory of our own, for what workers need
	plan  *plan
	local instance.Instance // where listing happens, and the first slot is
	all   []instance.Instance

	machine *instance.Local // what all of them are of

	unlisted bool // the test command runs what it finds, whatever that is
	// listing is the whole listing, for the next run; nil if there was none.
	// torn says that it lacks tests, because something could not be imported or
	// built. The lister's goroutine sets both, and ends before the supervisor's
	// Run does.
	listing []string
	torn    bool
}

func newSession(req Request) (*session, error) {
	if err := req.Config.CheckRun(); err != nil {
		return nil, err
	}
	temp, err := os.MkdirTemp("", "testr-")
	if err != nil {
		return nil, fmt.Errorf("make a temporary directory: %w", err)
	}
	s := &session{req: req, temp: temp,
		machine: &instance.Local{Dir: req.Config.Root, Guardian: []string{req.Self, "guardian"}}}
	if s.plan, err = newPlan(req, temp); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *session) close() error {
	var errs []error
	for _, i := range s.all {
		errs = append(errs, i.Close())
	}
	errs = append(errs, s.closeMachine())
	return errors.Join(append(errs, os.RemoveAll(s.temp))...)
}

// closeMachine ends what the workers left behind, and tells of it.
func (s *session) closeMachine() error {
	left, err := s.machine.Close()
	for _, p := range left.First {
		s.req.Log.Warn("LEAK: killed a process that outlived its worker", "pid", p.PID, "command", p.Command)
	}
	if more := left.Count - len(left.First); more > 0 {
		s.req.Log.Warn("LEAK: killed more of them", "count", more)
	}
	return err
}

func (s *session) provision(ctx context.Context, count int) error {
	made, err := s.machine.Provision(ctx, count)
	if err != nil {
		return err
	}
	s.all = append(s.all, made...)
	s.local = s.all[0]
	return nil
}

// info describes the run that is about to begin.
func (s *session) info() repo.RunInfo {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return repo.RunInfo{Start: time.Now(), Command: s.req.Command, Host: host, Partial: !s.full()}
}

// full reports whether the run is to have everything that there is.
func (s *session) full() bool { return s.req.Select.all() && !s.req.Partial }

// partial reports whether a run that is over says something about the tests it
// had, and nothing about others. Of a run that was not listed nobody knows what
// it should have had; that its command broke off is the only sign.
func (s *session) partial(o *event.Outcomes, err error) bool {
	c := o.Counts()
	if s.torn || s.unlisted && o.Get(event.ReturnCode) != nil {
		return true
	}
	return !s.full() || err != nil || o.Interrupted() || c.NotRun > 0 || c.Unaccounted() > 0 || c.InProgress > 0
}

// configure settles which tests are run by which workers. It returns nil if
// there is nothing to do.
func (s *session) configure(ctx context.Context) (*supervisor.Config, error) {
	req := s.req
	cfg := &supervisor.Config{Log: req.Log.Named("supervisor"), Status: req.Status, Kill: req.Kill}
	mode, err := s.plan.mode(&req.Select)
	if err != nil {
		return nil, err
	}
	if err := s.provision(ctx, 1); err != nil {
		return nil, err
	}
	pending, err := s.choose(ctx, cfg, mode)
	if err != nil {
		return nil, err
	}
	if mode != modePlain && len(cfg.Tests) == 0 && cfg.List == nil {
		return nil, nil // nothing fails
	}
	slots, err := s.slots(ctx, mode, len(cfg.Tests), pending)
	if err != nil {
		return nil, err
	}
	cfg.Slots = slots
	if mode != modeStream {
		req.Log.Info("no streaming worker", "reason", s.plan.why)
	}
	s.unlisted = mode == modePlain
	if cfg.Worker, err = s.plan.worker(mode); err != nil {
		return nil, err
	}
	timing, err := req.Repo.Timing(repo.DefaultProfile)
	if err != nil {
		return nil, fmt.Errorf("read the durations of earlier runs: %w", err)
	}
	cfg.Estimate = func(it scheduler.Item) (time.Duration, bool) {
		d, ok := timing[it.Test]
		return d, ok
	}
	if req.Config.Grouped() {
		cfg.Group = func(it scheduler.Item) string { return req.Config.Group(it.Test) }
	}
	if shell := s.plan.shown(mode); shell != "" && req.Announce != nil {
		req.Announce(shell)
	}
	return cfg, nil
}

// choose fills in the tests: those that are known, or a head start of those
// remembered with the listing to come (pending), or those that are listed now.
func (s *session) choose(ctx context.Context, cfg *supervisor.Config, m mode) (pending bool, err error) {
	sel := &s.req.Select
	switch {
	case m == modePlain:
		return false, nil
	case sel.known():
		cfg.Tests, err = s.knownTests()
		return false, err
	case m == modeStream && len(sel.Args) == 0:
		remembered, err := s.req.Repo.Listing(repo.DefaultProfile)
		if err != nil {
			return false, fmt.Errorf("read the last listing: %w", err)
		}
		if cfg.Tests = sel.filter(remembered); len(cfg.Tests) > 0 {
			cfg.List = s.listFiltered
			return true, nil
		}
	}
	listing, err := s.list(ctx)
	if err != nil {
		return false, err
	}
	whole := len(listing.Tests)
	listing = s.filtered(listing)
	if cfg.Tests = listing.Tests; len(cfg.Tests) == 0 && len(sel.Filters) > 0 {
		return false, hint(fmt.Errorf("%w the filters, of %d", ErrNoMatch, whole),
			"testr list-tests shows the ids; filters are regular expressions that are searched in them")
	}
	// What else the lister had to say belongs to the run: it is handed over as
	// a listing that has come already.
	cfg.List = func(context.Context) (supervisor.Listing, error) { return listing, nil }
	return false, nil
}

// listFiltered is the listing that a run goes by which has begun with what was
// remembered.
func (s *session) listFiltered(ctx context.Context) (supervisor.Listing, error) {
	listing, err := s.list(ctx)
	return s.filtered(listing), err
}

func (s *session) filtered(l supervisor.Listing) supervisor.Listing {
	l.Tests = s.req.Select.filter(l.Tests)
	l.Duplicates = s.req.Select.filter(l.Duplicates)
	return l
}

func (s *session) list(ctx context.Context) (listing supervisor.Listing, err error) {
	shell, ids, err := s.plan.listing()
	if err != nil || shell == "" {
		return supervisor.Listing{Tests: ids}, err
	}
	if s.local == nil {
		if err := s.provision(ctx, 1); err != nil {
			return listing, err
		}
	}
	if s.req.Announce != nil {
		s.req.Announce(shell)
	}
	if listing, err = supervisor.List(ctx, s.local, shellCommand(shell)); err != nil {
		return listing, err
	}
	if len(listing.Tests) == 0 && len(listing.Packets) == 0 {
		err := ErrEmptyListing
		if listing.Text != "" {
			err = fmt.Errorf("%w; the test command wrote instead:\n%s", err, strings.TrimRight(listing.Text, "\n"))
		}
		return listing, hint(err, "what lists the tests is: %s", shell)
	}
	s.torn = slices.ContainsFunc(listing.Packets, func(p *protocol.Packet) bool { return p.Status == protocol.StatusFail })
	if len(s.req.Select.Args) == 0 {
		s.listing = listing.Tests
	}
	return listing, nil
}

// knownTests are those that --failing and --load-list name, filtered.
func (s *session) knownTests() ([]string, error) {
	sel := &s.req.Select
	tests := sel.List
	if sel.Failing {
		failing, err := s.req.Repo.Failing(repo.DefaultProfile)
		if err != nil {
			return nil, fmt.Errorf("read the failing tests: %w", err)
		}
		if len(failing) == 0 && !sel.Listed {
			return nil, nil
		}
		tests = nil
		listed := make(map[string]bool, len(sel.List))
		for _, id := range sel.List {
			listed[id] = true
		}
		for _, f := range failing {
			if !sel.Listed || listed[f.ID] {
				tests = append(tests, f.ID)
			}
		}
	}
	if tests = sel.filter(tests); len(tests) == 0 {
		return nil, hint(ErrNoMatch, "filters, --load-list and --failing together select the tests that all of them name")
	}
	return tests, nil
}

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
