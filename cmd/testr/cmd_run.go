package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"

	"github.com/urfave/cli/v2"

	"testr/internal/runner"
)

type runOptions struct {
	selection   selectionOptions
	record      recordOptions
	parallel    bool
	concurrency int
}

func (o *runOptions) flags() []cli.Flag {
	return slices.Concat(o.selection.flags(), o.record.flags(), []cli.Flag{
		&cli.BoolFlag{Name: "parallel", Destination: &o.parallel, Usage: "run tests on all processors"},
		&cli.IntFlag{Name: "concurrency", Destination: &o.concurrency,
			Usage: "with --parallel, run `N` workers (default: test_run_concurrency, else the processors)"},
	})
}

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
			return runRun(c.Context, env, o)
		},
	}
}

func runRun(ctx context.Context, env *environment, o runOptions) (err error) {
	if o.concurrency < 0 {
		return usage(fmt.Errorf("--concurrency %d: want 0 or more", o.concurrency))
	}
	if err := o.record.stream.check(env); err != nil {
		return err
	}
	req, err := newRequest(env, o.selection)
	if err != nil {
		return err
	}
	r, err := env.openToWrite(o.record.forceInit)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	req.Repo, req.Parallel, req.Concurrency, req.Partial = r, o.parallel, o.concurrency, o.record.partial

	f := newFollower(env, o.record.stream, req.Config.FilterTags, o.parallel)
	req.Begun = f.begin
	req.Announce = env.announce
	if _, isTerminal := terminal(env.stdout); isTerminal && f.text != nil {
		req.Status = f.tell
		req.Announce = func(shell string) {
			if !f.begun.Load() { // from then on the status line tells what goes on
				env.announce(shell)
			}
		}
	}
	res, err := runner.Run(ctx, req)
	err = f.end(r, res, err)
	switch {
	case res.Interrupted:
		return errors.Join(context.Cause(ctx), err)
	case err != nil:
		return err
	case !res.Recorded:
		return env.nothingFails(o.record.stream.subunit)
	}
	return judge(res.Outcomes.Counts())
}

func (e *environment) nothingFails(subunit bool) error {
	if subunit || e.quiet {
		return nil
	}
	_, err := fmt.Fprintln(e.stdout, "No tests are failing.")
	return err
}

// announce shows a command that is about to be started, as testrepository did,
// but not among the results.
func (e *environment) announce(shell string) {
	_, _ = fmt.Fprintf(e.errWriter(), "running=%s\n", shell)
}

// newRequest makes what a run and a listing need of configuration and options.
func newRequest(env *environment, o selectionOptions) (runner.Request, error) {
	sel := runner.Selection{Failing: o.failing, Args: env.rest}
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
	if o.loadList != "" {
		if sel.List, err = readList(o.loadList); err != nil {
			return runner.Request{}, err
		}
		sel.Listed = true
	}
	self, err := os.Executable()
	if err != nil {
		return runner.Request{}, fmt.Errorf("find this program: %w", err)
	}
	return runner.Request{Config: cfg, Select: sel, Self: self, Command: os.Args[1:], Log: env.log,
		Kill: env.kill}, nil
}
