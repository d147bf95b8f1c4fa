package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"testr/internal/report"
	"testr/internal/runner"
)

func newListTestsCommand(env *environment) *cli.Command {
	var o selectionOptions
	return &cli.Command{
		Name:      "list-tests",
		Usage:     "list the tests that would run",
		ArgsUsage: "[REGEX...] [-- ARGS...]",
		Description: `Lists what "testr run" with the same arguments would run, an id a line, in the
order of the test command's own listing.`,
		Flags: o.flags(),
		Action: func(c *cli.Context) error {
			o.filters = c.Args().Slice()
			return runListTests(c.Context, env, o)
		},
	}
}

func runListTests(ctx context.Context, env *environment, o selectionOptions) (err error) {
	req, err := newRequest(ctx, env, o)
	if err != nil {
		return err
	}
	switch {
	case req.NeedsRepository():
		r, err := env.openToWrite(false)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, r.Close()) }()
		req.Repo = r.Repository
	case o.failing:
		r, err := env.openToRead(ctx)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, r.Close()) }()
		req.Ask = r
	}
	req.Announce = env.announce
	tests, err := runner.List(ctx, req)
	var none *runner.NothingError
	switch {
	case errors.As(err, &none):
		_, _ = fmt.Fprintln(env.errWriter(), none.Reason)
		return nil
	case err != nil:
		return err
	}
	_, isTerminal := terminal(env.stdout)
	return unlessGone(report.WriteIDs(env.stdout, tests, isTerminal))
}
