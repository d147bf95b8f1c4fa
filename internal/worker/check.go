package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"testr/internal/instance"
	"testr/internal/protocol"
)

// CheckConfig says which worker Check examines.
type CheckConfig struct {
	// Args are the worker's program and its arguments. To list the tests,
	// "--list" takes the place of a word "$LISTOPT", which is left out
	// otherwise; without such a word it comes at the end.
	Args []string
	// Dir is where the worker runs; empty means here.
	Dir string
	// Env holds KEY=VALUE over the inherited environment.
	Env []string
	// Timeout is how long each step may take: a test, the listing, an exit. Zero
	// means DefaultCheckTimeout.
	Timeout time.Duration
}

// DefaultCheckTimeout is how long a worker has for each step if nothing is said.
const DefaultCheckTimeout = 30 * time.Second

// CheckVerdict is what Check found out about one rule.
type CheckVerdict uint8

// The verdicts.
const (
	// CheckUntried: it did not come to that.
	CheckUntried CheckVerdict = iota
	// CheckKept: the worker was tried and kept the rule.
	CheckKept
	// CheckBroken: the worker broke it.
	CheckBroken
)

// CheckedRule is one rule of the worker channel.
type CheckedRule struct {
	Name    string // short and stable, as in docs/writing-a-worker.md
	Says    string // what a worker has to do
	Verdict CheckVerdict
	Seen    string // what broke it, or why it was not tried; ids in it are quoted
}

// CheckReport is what Check found out.
type CheckReport struct {
	Rules []CheckedRule // all, in the order of docs/writing-a-worker.md
	Tests []string      // that were run, in the order in which they first were
}

// Broken says whether a rule was broken.
func (r *CheckReport) Broken() bool {
	return slices.ContainsFunc(r.Rules, func(c CheckedRule) bool { return c.Verdict == CheckBroken })
}

// Check starts a worker again and again, as a supervisor would, and looks
// whether it keeps the rules of the worker channel. It runs some of its tests,
// the quickest of those that it tries. Everything that it started has ended when
// it returns. The error means that the worker could not be started, or is ctx's
// cause; a broken rule is none.
func Check(ctx context.Context, cfg CheckConfig) (report *CheckReport, err error) {
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultCheckTimeout
	}
	local := &instance.Local{Dir: cfg.Dir, Env: cfg.Env, Grace: checkGrace}
	machines, err := local.Provision(ctx, 1)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, machines[0].Close()) }()
	c := &checker{
		cfg: cfg, machine: machines[0], report: &CheckReport{Rules: slices.Clone(checkRules)},
		listed: make(map[string]bool),
	}
	if err := c.run(ctx); err != nil {
		return nil, err
	}
	if ctx.Err() != nil { // what was seen last is testr's own doing
		return nil, context.Cause(ctx)
	}
	return c.report, nil
}

// checkGrace is how long a worker that does not end has after SIGTERM.
const checkGrace = 2 * time.Second

// checker examines one worker. One goroutine uses it.
type checker struct {
	cfg     CheckConfig
	machine instance.Instance
	report  *CheckReport
	ids     []string // that are listed, without repetitions
	listed  map[string]bool
	tests   []string // those to run, the quickest first
	deaf    bool     // the worker can't be told that its tests get no input
}

// rule returns the report's entry of that name.
func (c *checker) rule(name string) *CheckedRule {
	i := slices.IndexFunc(c.report.Rules, func(r CheckedRule) bool { return r.Name == name })
	return &c.report.Rules[i]
}

// tried says that the worker had its chance to break these rules.
func (c *checker) tried(names ...string) {
	for _, name := range names {
		if r := c.rule(name); r.Verdict == CheckUntried {
			r.Verdict, r.Seen = CheckKept, ""
		}
	}
}

// untried says why what was not tried yet won't be.
func (c *checker) untried(why string) {
	for i := range c.report.Rules {
		if r := &c.report.Rules[i]; r.Verdict == CheckUntried {
			r.Seen = why
		}
	}
}

// broken notes a violation; the first of a rule is what is told.
func (c *checker) broken(name, format string, args ...any) {
	if r := c.rule(name); r.Verdict != CheckBroken {
		r.Verdict, r.Seen = CheckBroken, fmt.Sprintf(format, args...)
	}
}

// args is the command that serves, or that lists.
func (c *checker) args(list bool) []string {
	var args []string
	placed := false
	for _, arg := range c.cfg.Args {
		switch {
		case arg != tokenListOpt:
			args = append(args, arg)
		case list && !placed:
			args = append(args, "--list")
		}
		placed = placed || arg == tokenListOpt
	}
	if list && !placed {
		args = append(args, "--list")
	}
	return args
}

// list has the worker list its tests.
func (c *checker) list(ctx context.Context) error {
	s, err := c.start(ctx, true)
	if err != nil {
		return err
	}
	defer s.stop()
	s.closeStdin()
	c.tried("list-exit", "list-ids", "clean-stream")
	status, ok := s.exit()
	if !ok {
		c.broken("list-exit", "nothing came for %v; waited for the end of the listing", c.cfg.Timeout)
	} else if !status.Success() {
		c.broken("list-exit", "%s%s", status, s.stderrTail())
	}
	for _, e := range s.entries() {
		p := e.packet
		switch {
		case e.damage != "":
			c.broken("clean-stream", "the listing: %s", e.damage)
		case p == nil || p.Status != protocol.StatusExists:
		case p.Has&protocol.HasTestID == 0 || p.TestID == "":
			c.broken("list-ids", "a packet \"exists\" without an id")
		case !p.Runnable:
			c.broken("list-ids", "%q is listed and not runnable", p.TestID)
		case c.listed[p.TestID]:
			c.broken("list-once", "%q is listed twice", p.TestID)
		default:
			c.listed[p.TestID] = true
			c.ids = append(c.ids, p.TestID)
		}
	}
	if len(c.ids) > 0 {
		c.tried("list-once")
	} else {
		c.broken("list-ids", "no test is listed%s", s.stderrTail())
	}
	return nil
}

// start starts the worker.
func (c *checker) start(ctx context.Context, list bool) (*checkSession, error) {
	ctx, cancel := context.WithCancel(ctx)
	process, err := c.machine.Start(ctx, instance.Command{Args: c.args(list)})
	if err != nil {
		cancel()
		return nil, err
	}
	s := &checkSession{
		process: process, cancel: cancel, timeout: c.cfg.Timeout,
		changed: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	s.reading.Go(func() { s.read(protocol.NewReader(process.Stdout())) })
	s.reading.Go(s.readStderr)
	s.reading.Go(func() {
		s.status, s.waitErr = process.Wait()
		close(s.ended)
	})
	return s, nil
}
