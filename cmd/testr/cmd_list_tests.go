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
	var json bool
	return &cli.Command{
		Name:      "list-tests",
		Usage:     "list the tests that would run",
		ArgsUsage: "[REGEX...] [-- ARGS...]",
		Description: `Lists what "testr run" with the same arguments would run, an id a line, in the
order of the test command's own listing. Of several profiles one has to be chosen, or
all are listed with --json, in the form that --load-list takes.`,
		Flags: append(o.flags(),
			jsonFlag(&json)),
		Action: func(c *cli.Context) error {
			o.filters = c.Args().Slice()
			return runListTests(c.Context, env, o, json)
		},
	}
}

func runListTests(ctx context.Context, env *environment, o selectionOptions, json bool) (err error) {
	req, err := newRequest(ctx, env, o)
	if err != nil {
		return err
	}
	if profiles, err := req.Chosen(); err != nil {
		return err
	} else if len(profiles) > 1 && !json {
		return chooseOne(profileNames(profiles))
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
	listed, err := runner.List(ctx, req)
	var none *runner.NothingError
	switch {
	case errors.As(err, &none) && json:
		return writeProfileForm(env, nothingOf(req))
	case errors.As(err, &none):
		_, _ = fmt.Fprintln(env.errWriter(), none.Reason)
		return nil
	case err != nil:
		return err
	}
	if json {
		profiles := make([]profileTests, len(listed))
		for i, l := range listed {
			profiles[i] = profileTests{l.Profile, l.Tests}
		}
		return writeProfileForm(env, profiles)
	}
	_, isTerminal := terminal(env.stdout)
	return unlessGone(report.WriteIDs(env.stdout, listed[0].Tests, isTerminal))
}

// nothingOf is the profile form of a request that there is nothing to do for.
func nothingOf(req runner.Request) []profileTests {
	profiles, err := req.Chosen()
	if err != nil {
		return nil
	}
	all := make([]profileTests, len(profiles))
	for i, p := range profiles {
		all[i].Name = p.Name
	}
	return all
}
