package main

import (
	"context"
	"errors"

	"github.com/urfave/cli/v2"

	"testr/internal/repo"
)

func newHistoryShowCommand(env *environment) *cli.Command {
	var o viewOptions
	return &cli.Command{
		Name:      "show",
		Usage:     "show a run",
		ArgsUsage: "RUN",
		Description: `Shows the run of that number as "testr last" shows the last one.

The exit status is 0 if it passed, 1 if tests failed; with --subunit or --json it is 0.`,
		Flags: o.flags(),
		Action: func(c *cli.Context) error {
			if c.Args().Len() != 1 {
				return usage(errors.New("history show wants one RUN, of those that \"testr history list\" shows"))
			}
			run, err := runNumber(c.Args().First())
			if err != nil {
				return err
			}
			return runHistoryShow(c.Context, env, run, o)
		},
	}
}

func runHistoryShow(ctx context.Context, env *environment, run int, o viewOptions) (err error) {
	if err := o.check(env); err != nil {
		return err
	}
	r, err := env.openToRead(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	info, err := r.Run(run)
	switch {
	case err != nil:
		return noSuchRun(err)
	case info.State == repo.Running:
		return errors.New("that run goes on: testr last --follow shows it")
	}
	return showRun(ctx, env, r, info, o)
}
