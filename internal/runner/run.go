package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"testr/internal/event"
	"testr/internal/instance"
	"testr/internal/repo"
	"testr/internal/scheduler"
	"testr/internal/supervisor"
	"testr/internal/tempdir"
)

// Runs makes runs of one request, one after the other, on the same instances. It
// belongs to one goroutine, which has to close it, whatever it comes to.
type Runs struct {
	session *session
	own     *Fleet // nil if the instances are somebody else's
}

// NewRuns makes no run yet, and gets no instance.
func NewRuns(req Request) (*Runs, error) {
	own := fleetOf(req)
	s, err := newSession(req, own)
	if err != nil {
		return nil, errors.Join(err, own.Close())
	}
	return &Runs{s, own}, nil
}

// Close gives everything back that the runs had, or leaves it to the Fleet whose
// runs they are. What could not be given back is told to Request.Warn; the error
// is about other trouble. Closing again does nothing.
func (r *Runs) Close() error {
	if r.session == nil {
		return nil
	}
	s := r.session
	r.session = nil
	err := s.close()
	if r.own != nil {
		err = errors.Join(err, r.own.Close())
	}
	return err
}

// Next runs the tests and stores what happens. The error is about our own work, or
// a *NothingError; what the tests did is in the result, which is there beside an
// error if something was recorded.
func (r *Runs) Next(ctx context.Context, turn Turn) (res Result, err error) {
	s := r.session
	s.begin(turn)
	defer func() { err = errors.Join(err, s.leave()) }()
	req := s.req
	revision := askRevision(ctx, req.Config.Root)
	cfg, err := s.configure(ctx)
	s.revision = revision()
	if ctx.Err() != nil {
		return Result{Interrupted: true}, nil
	}
	if err != nil {
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
	end := repo.End{State: repo.Finished, Time: time.Now(), Profiles: map[string]repo.ProfileEnd{
		repo.DefaultProfile: {Partial: s.partial(outcomes, runErr), Listing: s.listing}}}
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

// Run makes the one run of a request; see Runs.
func Run(ctx context.Context, req Request) (res Result, err error) {
	r, err := NewRuns(req)
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return r.Next(ctx, req.Turn)
}

// List lists the tests that Run would run, in the order of the listing. The error
// is a *NothingError if there are none, and that is all right.
func List(ctx context.Context, req Request) (tests []string, err error) {
	r, err := NewRuns(req)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	s := r.session
	if req.Select.known() {
		return s.knownTests()
	}
	if req.NeedsRepository() {
		if err := s.sweep(ctx); err != nil {
			return nil, err
		}
	}
	if err := s.prepare(ctx, false); err != nil {
		return nil, err
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
	tests, err = s.pick(listing.Tests)
	if err == nil && len(tests) == 0 {
		err = ErrNoMatch
	}
	return tests, err
}

// session is what runs or a listing have while they go on. But for what groups do
// to get instances, it belongs to one goroutine; a lister's has it, too, and ends
// before the supervisor's Run does.
type session struct {
	req  Request // but for its Turn the same for all runs
	temp string  // directory of our own, for what workers need
	plan *plan

	fleet  *Fleet            // what is there for longer, perhaps
	here   instance.Instance // of the fleet's machine, for testr's own commands
	groups []*group          // where workers run

	provisioning context.Context         // ends what groups do to get instances
	cancel       context.CancelCauseFunc // of provisioning
	providing    sync.WaitGroup          // of those who do
	mu           sync.Mutex
	ending       []func() error // what is to be done at the end, the last first; guarded by mu
	parting      []func() error // what is to be done after a run, the last first; guarded by mu

	current // run
}

// current is what a session knows of the run that goes on.
type current struct {
	left     *left // what the last run left, with --resume
	unlisted bool  // the test command runs what it finds, whatever that is
	revision revision
	// listing is the whole listing, for the next run; nil if there was none.
	// torn says that it lacks tests, because something could not be imported or
	// built. The lister sets both.
	listing []string
	torn    bool
}

// newSession makes a session that has the fleet until it is closed.
func newSession(req Request, fleet *Fleet) (*session, error) {
	if err := req.Config.CheckRun(); err != nil {
		return nil, err
	}
	temp, err := tempdir.Make()
	if err != nil {
		return nil, err
	}
	if req.Ask == nil && req.Repo != nil {
		req.Ask = req.Repo
	}
	s := &session{req: req, temp: temp.Path(), fleet: fleet}
	s.provisioning, s.cancel = context.WithCancelCause(context.Background())
	s.atEnd(temp.Remove)
	fleet.use(s)
	s.atEnd(func() error {
		fleet.use(nil)
		return nil
	})
	if s.plan, err = newPlan(req, s.temp); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// begin begins a run.
func (s *session) begin(turn Turn) { s.req.Turn, s.current = turn, current{} }

// leave ends what is on this machine after a run, and has the next one try again
// what could not be had. Instances elsewhere stay.
func (s *session) leave() error {
	for _, g := range s.groups {
		g.forget()
	}
	s.mu.Lock()
	parting := s.parting
	s.parting = nil
	s.mu.Unlock()
	return doAll(parting)
}

// doAll does all of it, the last first.
func doAll(todo []func() error) error {
	var errs []error
	for _, do := range slices.Backward(todo) {
		errs = append(errs, do())
	}
	return errors.Join(errs...)
}

// close ends everything that the fleet doesn't have, whatever became of the
// session.
func (s *session) close() error {
	s.cancel(errOver)
	s.providing.Wait()
	return errors.Join(s.leave(), doAll(s.ending))
}

// newMachine is this machine, with a directory and variables. Whoever gets it
// closes it.
func (s *session) newMachine(dir string, env []string) *instance.Local {
	m := &instance.Local{Dir: dir, Env: env, Guardian: []string{s.req.Self, "guardian"}}
	m.Inherit(s.req.Environ)
	return m
}

// CloseMachine ends what workers left behind on this machine, and tells the log of
// it. The error is that of m.Close.
func CloseMachine(m *instance.Local, log hclog.Logger) error {
	left, err := m.Close()
	for _, p := range left.First {
		log.Warn("LEAK: killed a process that outlived its worker", "pid", p.PID, "command", p.Command)
	}
	if more := left.Count - len(left.First); more > 0 {
		log.Warn("LEAK: killed more of them", "count", more)
	}
	return err
}

// sweep gives back what earlier runs left.
func (s *session) sweep(ctx context.Context) error {
	return disposeStale(ctx, s.req.Repo, s.req.Config, s.fleet.machine, s.warn, s.fleet.holds)
}

// prepare settles where workers run.
func (s *session) prepare(ctx context.Context, several bool) error {
	s.fleet.match(s.req.Config)
	made, err := s.fleet.machine.Provision(ctx, 1)
	if err != nil {
		return err
	}
	s.here = made[0]
	s.atEnd(s.here.Close)
	return s.form(ctx, several)
}

// info describes the run that is about to begin.
func (s *session) info() repo.RunInfo {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return repo.RunInfo{Start: time.Now(), Command: s.req.Command, Host: host, Revision: s.revision.id,
		Partial: !s.full(), Selection: s.req.Select.words(), Random: s.req.Random, Seed: s.req.Seed}
}

// full reports whether the run is to have everything that there is.
func (s *session) full() bool { return s.req.Select.all() && !s.req.Partial }

// partial reports whether a run that is over says something about the tests it
// had, and nothing about others. Of a run that was not listed nobody knows what
// it should have had; that its command broke off is the only sign.
func (s *session) partial(o *event.Outcomes, err error) bool {
	c := o.Counts()
	if s.torn || s.unlisted && o.Get("", event.ReturnCode) != nil {
		return true
	}
	return !s.full() || err != nil || o.Interrupted() || c.NotRun > 0 || c.Unaccounted() > 0 || c.InProgress > 0
}

// configure settles which tests are run by which workers. The error is a
// *NothingError if there is nothing to do.
func (s *session) configure(ctx context.Context) (*supervisor.Config, error) {
	req := s.req
	if _, err := s.plan.mode(true); err != nil { // whatever the repository says
		return nil, err
	}
	if err := s.takeUp(); err != nil {
		return nil, err
	}
	mode, err := s.plan.mode(s.known())
	if err != nil {
		return nil, err
	}
	if s.groups == nil {
		if err := s.sweep(ctx); err != nil {
			return nil, err
		}
		if err := s.prepare(ctx, s.several(mode)); err != nil {
			return nil, err
		}
	}
	c, err := s.choose(ctx, mode)
	if err != nil {
		return nil, err
	}
	cfg := s.limits(mode)
	profile := supervisor.Profile{Tests: c.tests, List: c.list}
	if err := s.arrange(cfg, c); err != nil {
		return nil, err
	}
	if cfg.Slots, err = s.slots(ctx, len(c.tests), c.pending); err != nil {
		return nil, err
	}
	if mode != modeStream {
		req.Log.Info("no streaming worker", "reason", s.plan.why)
	}
	s.unlisted = mode == modePlain
	if profile.Worker, err = s.plan.worker(mode); err != nil {
		return nil, err
	}
	cfg.Profiles = []supervisor.Profile{profile}
	timing, err := req.Repo.Timing(repo.DefaultProfile)
	if err != nil {
		return nil, fmt.Errorf("read the durations of earlier runs: %w", err)
	}
	cfg.Estimate = func(it scheduler.Item) (time.Duration, bool) {
		d, ok := timing[it.Test]
		return d, ok
	}
	if shell := s.plan.shown(mode); shell != "" && req.Announce != nil {
		req.Announce(shell)
	}
	return cfg, nil
}

// limits begins a configuration with what the request says of single tests.
func (s *session) limits(m mode) *supervisor.Config {
	req := s.req
	cfg := &supervisor.Config{Log: req.Log.Named("supervisor"), Status: req.Status, Kill: req.Kill,
		Inspect: req.Inspect, Pause: req.Pause, Isolated: req.Isolated, MaxFail: req.MaxFail,
		Timeout: valueOr(req.Timeout, req.Config.Timeout), Slow: valueOr(req.Slow, req.Config.Slow),
		Retries: valueOr(req.Retries, req.Config.Retries)}
	if cfg.Retries > 0 && (m == modePlain || m == modeOnce) {
		req.Log.Warn("retries has no effect: the test command can't run selected tests",
			"hint", "put $LISTOPT and $IDOPTION into test_command")
		cfg.Retries = 0
	}
	return cfg
}

// arrange says what goes together and what comes first.
func (s *session) arrange(cfg *supervisor.Config, c choice) error {
	req := s.req
	if req.Random || req.Select.Like != nil {
		cfg.Order = scheduler.Listed
	}
	if req.Segments != nil {
		segments, err := req.Segments.assign(c.tests, c.whole)
		if err != nil {
			return err
		}
		cfg.Segment = func(it scheduler.Item) int { return segments[it.Test] }
		cfg.Concurrency = req.Segments.concurrency()
	}
	if req.Config.Grouped() {
		cfg.Group = func(it scheduler.Item) string { return req.Config.Group(it.Test) }
	}
	return nil
}
