package main

import (
	"context"
	"errors"

	"github.com/urfave/cli/v2"

	"testr/internal/report"
)

func newStatsCommand(env *environment) *cli.Command {
	return &cli.Command{
		Name:        "stats",
		Usage:       "show how much the repository has",
		Description: `Prints the number of runs.`,
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			return runStats(c.Context, env)
		},
	}
}

func runStats(ctx context.Context, env *environment) (err error) {
	r, err := env.openToRead(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	stats, err := r.Stats()
	if err != nil {
		return err
	}
	return unlessGone(report.WriteValues(env.stdout, report.Value{Name: "runs", Value: stats.Runs}))
}
