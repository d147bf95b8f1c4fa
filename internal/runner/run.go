package runner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

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
	end := repo.End{State: repo.Finished, Time: time.Now(), Why: why(ctx, outcomes, runErr, req.MaxFail),
		Profiles: map[string]repo.ProfileEnd{}}
	for _, p := range s.running {
		end.Profiles[p.Name] = repo.ProfileEnd{Partial: p.partial(outcomes, runErr), Listing: p.listing}
	}
	if outcomes.Interrupted() || runErr != nil {
		end.State = repo.Interrupted
	}
	res = Result{Run: w.ID(), Recorded: true, Outcomes: outcomes, Interrupted: outcomes.Interrupted()}
	if _, err := w.Close(end); err != nil {
		res.Outcomes = nil
		return res, err // the sink's error is the same one
	}
	s.prune()
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

// Listed are the tests of a profile, in the order of its listing.
type Listed struct {
	Profile string
	Tests   []string
}

// List lists the tests that Run would run, by profile. The error is a *NothingError
// if there are none under any, and that is all right.
func List(ctx context.Context, req Request) (listed []Listed, err error) {
	r, err := NewRuns(req)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	s := r.session
	if !req.Select.known() {
		if req.NeedsRepository() {
			if err := s.sweep(ctx); err != nil {
				return nil, err
			}
		}
		if err := s.prepare(ctx, s.formToList); err != nil {
			return nil, err
		}
	}
	var nothing error
	some := false
	for _, p := range s.profiles {
		tests, err := p.listed(ctx)
		switch {
		case none(err):
			nothing = cmp.Or(nothing, err)
		case err != nil:
			return nil, p.named(err)
		}
		some = some || len(tests) > 0
		listed = append(listed, Listed{p.Name, tests})
	}
	if !some {
		return nil, cmp.Or(nothing, ErrNoMatch)
	}
	return listed, nil
}

// listed lists the tests that a profile would run.
func (p *profile) listed(ctx context.Context) ([]string, error) {
	if p.session.req.Select.known() {
		return p.knownTests()
	}
	listing, err := p.list(ctx)
	if err != nil {
		return nil, err
	}
	for _, packet := range listing.Packets {
		if packet.Status.Final() {
			p.session.req.Log.Warn("the listing reports a failure", "test", packet.TestID)
		}
	}
	return p.pick(listing.Tests)
}

// session is what runs or a listing have while they go on. But for what groups do
// to get instances, it belongs to one goroutine; a lister's has it, too, and ends
// before the supervisor's Run does.
type session struct {
	req      Request // but for its Turn the same for all runs
	temp     string  // directory of our own, for what workers need
	profiles []*profile
	running  []*profile // those of the run that goes on, or of the last one

	fleet  *Fleet            // what is there for longer, perhaps
	here   instance.Instance // of the fleet's machine, for testr's own commands
	groups []*group          // where workers run

	provisioning context.Context         // ends what groups do to get instances
	cancel       context.CancelCauseFunc // of provisioning
	providing    sync.WaitGroup          // of those who do
	mu           sync.Mutex
	ending       []func() error // what is to be done at the end, the last first; guarded by mu
	parting      []func() error // what is to be done after a run, the last first; guarded by mu
	revision     revision
}

// newSession makes a session that has the fleet until it is closed.
func newSession(req Request, fleet *Fleet) (*session, error) {
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
	if err := s.newProfiles(); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// begin begins a run.
func (s *session) begin(turn Turn) {
	s.req.Turn, s.running = turn, nil
	for _, p := range s.profiles {
		p.current = current{}
	}
}

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

// prepare settles where workers run; form makes the groups.
func (s *session) prepare(ctx context.Context, form func(context.Context) error) error {
	s.fleet.match(s.req.Config)
	made, err := s.fleet.machine.Provision(ctx, 1)
	if err != nil {
		return err
	}
	s.here = made[0]
	s.atEnd(s.here.Close)
	return form(ctx)
}

// configure settles which tests are run by which workers. The error is a
// *NothingError if there is nothing to do.
func (s *session) configure(ctx context.Context) (*supervisor.Config, error) {
	if err := s.settleModes(); err != nil {
		return nil, err
	}
	if s.groups == nil {
		if err := s.sweep(ctx); err != nil {
			return nil, err
		}
		if err := s.prepare(ctx, s.form); err != nil {
			return nil, err
		}
	}
	choices, err := s.chooseAll(ctx)
	if err != nil {
		return nil, err
	}
	req := &s.req
	cfg := &supervisor.Config{Log: req.Log.Named("supervisor"), Status: req.Status, Kill: req.Kill,
		Inspect: req.Inspect, Pause: req.Pause, Isolated: req.Isolated, MaxFail: req.MaxFail}
	tests, pending := 0, false
	for i, p := range s.running {
		if p.mode != modeStream {
			req.Log.Info("no streaming worker", "profile", p.Name, "reason", p.plan.why)
		}
		w, err := p.plan.worker(p.mode)
		if err != nil {
			return nil, err
		}
		cfg.Profiles = append(cfg.Profiles, supervisor.Profile{Name: p.key(), Tags: p.Tags, Worker: w, Limits: p.limits(),
			Tests: choices[i].tests, List: choices[i].list})
		tests, pending = tests+len(choices[i].tests), pending || choices[i].pending
	}
	if err := s.arrange(cfg, choices); err != nil {
		return nil, err
	}
	if cfg.Slots, err = s.slots(ctx, tests, pending); err != nil {
		return nil, err
	}
	if cfg.Estimate, err = s.estimate(); err != nil {
		return nil, err
	}
	for _, p := range s.running {
		if shell := p.plan.shown(p.mode); shell != "" && s.req.Announce != nil {
			s.req.Announce(shell)
		}
	}
	return cfg, nil
}

// settleModes settles how the tests of each profile are given to workers.
func (s *session) settleModes() (err error) {
	for _, p := range s.profiles {
		if _, err := p.plan.mode(true); err != nil { // whatever the repository says
			return err
		}
	}
	if err := s.takeUp(); err != nil {
		return err
	}
	for _, p := range s.profiles {
		if p.mode, err = p.plan.mode(p.known()); err != nil {
			return err
		}
	}
	return nil
}

// chooseAll settles what is to run of each profile. Those that have nothing are no
// part of the run.
func (s *session) chooseAll(ctx context.Context) (choices []choice, err error) {
	var nothing error
	for _, p := range s.profiles {
		c, err := p.choose(ctx)
		switch {
		case none(err):
			nothing = cmp.Or(nothing, err)
			continue
		case err != nil:
			return nil, p.named(err)
		}
		choices, s.running = append(choices, c), append(s.running, p)
	}
	if len(choices) == 0 {
		return nil, nothing
	}
	return choices, nil
}

// limits are what is said of single tests of the profile.
func (p *profile) limits() *supervisor.Limits {
	req := &p.session.req
	limits := &supervisor.Limits{Timeout: valueOr(req.Timeout, p.Timeout), Slow: valueOr(req.Slow, p.Slow),
		Retries: valueOr(req.Retries, p.Retries)}
	if limits.Retries > 0 && (p.mode == modePlain || p.mode == modeOnce) {
		p.warn("retries has no effect: the test command can't run selected tests",
			"put $LISTOPT and $IDOPTION into test_command")
		limits.Retries = 0
	}
	return limits
}

// estimate says how long tests took in earlier runs.
func (s *session) estimate() (func(scheduler.Item) (time.Duration, bool), error) {
	timings := map[string]map[string]time.Duration{}
	for _, p := range s.running {
		timing, err := s.req.Repo.Timing(p.Name)
		if err != nil {
			return nil, fmt.Errorf("read the durations of earlier runs: %w", err)
		}
		timings[p.key()] = timing
	}
	return func(it scheduler.Item) (time.Duration, bool) {
		d, ok := timings[it.Profile][it.Test]
		return d, ok
	}, nil
}

// arrange says what goes together and what comes first.
func (s *session) arrange(cfg *supervisor.Config, choices []choice) error {
	if s.req.Random || s.req.Select.Like != nil {
		cfg.Order = scheduler.Listed
	}
	if s.req.Segments != nil {
		if err := s.segment(cfg, choices); err != nil {
			return err
		}
	}
	group := map[string]func(string) string{}
	for _, p := range s.running {
		if p.Grouped() {
			group[p.key()] = p.Group
		}
	}
	if len(group) > 0 {
		cfg.Group = func(it scheduler.Item) string {
			if of := group[it.Profile]; of != nil {
				return of(it.Test)
			}
			return ""
		}
	}
	return nil
}

// segment gives each test its segment of the plan, which is the same for all
// profiles.
func (s *session) segment(cfg *supervisor.Config, choices []choice) error {
	var tests, whole []string
	known := true
	for _, c := range choices {
		tests, whole = append(tests, c.tests...), append(whole, c.whole...)
		known = known && c.whole != nil
	}
	if !known {
		whole = nil
	}
	segments, err := s.req.Segments.assign(tests, whole)
	if err != nil {
		return err
	}
	cfg.Segment = func(it scheduler.Item) int { return segments[it.Test] }
	cfg.Concurrency = s.req.Segments.concurrency()
	return nil
}
