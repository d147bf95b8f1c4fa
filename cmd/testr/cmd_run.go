package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/urfave/cli/v2"

	"testr/internal/runner"
)

func newRunCommand(env *environment) *cli.Command {
	var o runOptions
	return &cli.Command{
		Name:      "run",
		Usage:     "run tests and store every event",
		ArgsUsage: "[REGEX...] [-- ARGS...]",
		Description: `Runs the tests that one of the regular expressions is found in, or all of them. What
stands after -- is passed on to the test command.

The exit status is 0 if all tests passed, 1 if some failed, 3 if testr could not
run them all.`,
		Flags: o.flags(),
		Action: func(c *cli.Context) error {
			o.selection.filters = c.Args().Slice()
			if err := o.check(c); err != nil {
				return err
			}
			return runRun(c.Context, env, o)
		},
	}
}

func runRun(ctx context.Context, env *environment, o runOptions) (err error) {
	defer giveHeadroom()()
	if err := o.record.stream.check(env); err != nil {
		return err
	}
	req, err := newRequest(ctx, env, o.selection)
	if err != nil {
		return err
	}
	if err := o.fill(ctx, &req); err != nil {
		return err
	}
	err = runSomewhere(ctx, env, o, req)
	return env.nothing(err, env.quiet || o.record.stream.subunit)
}

// runSomewhere has the daemon make the runs, if there is one, or makes them here.
func runSomewhere(ctx context.Context, env *environment, o runOptions, req runner.Request) (err error) {
	d, r, err := env.daemonOrFile(ctx, o.record.forceInit)
	if err != nil {
		return err
	}
	if d != nil {
		defer func() { err = errors.Join(err, d.Close()) }()
		return runThere(ctx, env, o, req, d)
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if o.detach {
		return &runner.HintError{Err: errors.New("--detach: there is no daemon that could go on with the run"),
			Hint: "start one: testr daemon"}
	}
	req.Repo = r.Repository
	err = req.TakeProfiles()
	if err == nil && o.untilFailure {
		err = req.Settle()
	}
	if err != nil {
		return err
	}
	req.Announce, req.Warn, req.Progress = env.announce, env.warn, env.progress
	runs, err := runner.NewRuns(req)
	if err != nil {
		return err
	}
	return runAll(ctx, env, o, req, &runsHere{env: env, options: o, queries: r, Runs: runs})
}

// runAll makes one run, or as many as it takes until one doesn't pass, and closes
// the runs.
func runAll(ctx context.Context, env *environment, o runOptions, req runner.Request, runs runs) (err error) {
	defer func() { err = errors.Join(err, runs.Close()) }() // whatever happens
	for again := true; err == nil && again; {
		again, err = runOnce(ctx, env, o, req, runs)
	}
	return err
}

// runOnce makes one run, and judges it. It has what the runs had given back unless
// there is to be another one, so that all that is to be told of this one stands
// before its summary.
func runOnce(ctx context.Context, env *environment, o runOptions, req runner.Request,
	runs runs) (again bool, err error) {
	f := newFollower(env, o.record.stream, req.Config.FilterTags, o.parallel)
	env.follower.Store(f)
	defer env.follower.Store(nil)
	res, err := runs.next(ctx, f, &req.Turn)
	again = o.untilFailure && err == nil && !res.Interrupted && judge(res.Outcomes.Counts()) == nil
	if !again {
		err = errors.Join(err, runs.giveBack())
	}
	stopped := res.Interrupted || err != nil || req.MaxFail > 0
	err = f.end(runs.ask(), res, err)
	switch {
	case res.Interrupted:
		err = errors.Join(context.Cause(ctx), err)
	case err == nil:
		err = judge(res.Outcomes.Counts())
	}
	return again, advise(req, res, stopped, err)
}

// advise adds to what a run ended with how to go on from there.
func advise(req runner.Request, res runner.Result, stopped bool, err error) error {
	if err == nil || !res.Recorded || res.Outcomes == nil {
		return err
	}
	var advice []string
	c := res.Outcomes.Counts()
	if req.Random && c.Failed > 0 {
		s := fmt.Sprintf("testr run --seed %d has the same order again", req.Seed)
		if req.Parallel {
			s += fmt.Sprintf("; testr run --like %d/ROUTE has what one worker had", res.Run)
		}
		advice = append(advice, s)
	}
	if left := c.NotRun + c.Unaccounted(); left > 0 && stopped {
		advice = append(advice, fmt.Sprintf("testr run --resume runs what this run left (%d)", left))
	}
	if advice == nil {
		return err
	}
	return &runner.HintError{Err: err, Hint: strings.Join(advice, "\n")}
}

// nothing tells why there was nothing to do, if that is what the error says.
func (e *environment) nothing(err error, silently bool) error {
	var none *runner.NothingError
	if !errors.As(err, &none) {
		return err
	}
	if silently {
		return nil
	}
	_, err = fmt.Fprintln(e.stdout, none.Reason)
	return unlessGone(err)
}

// announce shows a command that is about to be started, as testrepository did,
// but not among the results, nor where a status line tells what goes on.
func (e *environment) announce(shell string) {
	if f := e.follower.Load(); f != nil && f.draws() && f.begun() {
		return
	}
	_, _ = fmt.Fprintf(e.errWriter(), "running=%s\n", shell)
}

// newRequest makes what a run and a listing need of configuration and options.
func newRequest(ctx context.Context, env *environment, o selectionOptions) (runner.Request, error) {
	sel := runner.Selection{Failing: o.failing, Partition: o.partition.value, Args: env.rest}
	for _, f := range o.filters {
		re, err := regexp.Compile(f)
		if err != nil {
			return runner.Request{}, usage(fmt.Errorf("filter %q is no regular expression: %w", f, err))
		}
		sel.Filters = append(sel.Filters, re)
	}
	cfg, err := env.loadConfig()
	if err != nil {
		return runner.Request{}, err
	}
	self, err := os.Executable()
	if err != nil {
		return runner.Request{}, fmt.Errorf("find this program: %w", err)
	}
	req := runner.Request{Config: cfg, Select: sel, Self: self, Command: os.Args[1:], Log: env.log,
		Passphrase: env.passphrase(ctx), Warn: env.warn,
		Kill: env.signals.kill, Abandon: env.signals.abandon, Inspect: env.signals.inspect, Pause: env.signals.pause}
	if req.Profiles, err = o.profiles.choose(cfg); err != nil {
		return req, err
	}
	if o.loadList == "" {
		return req, nil
	}
	list, err := readList(ctx, o.loadList, cfg)
	if err != nil {
		return req, err
	}
	return req, list.choose(&req)
}
