package main

import (
	"context"
	"errors"

	"github.com/urfave/cli/v2"

	"testr/internal/repo"
	"testr/internal/report"
)

// slowestShown is how many tests are shown unless all were asked for.
const slowestShown = 10

func newSlowestCommand(env *environment) *cli.Command {
	var all bool
	return &cli.Command{
		Name:  "slowest",
		Usage: "show the slowest tests of the last run",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Destination: &all, Usage: "show all tests, not only the slowest ten"},
		},
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			return runSlowest(c.Context, env, all)
		},
	}
}

func runSlowest(ctx context.Context, env *environment, all bool) (err error) {
	r, err := env.openToRead(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	info, err := r.Latest()
	if err != nil {
		return err
	}
	limit := slowestShown
	if all {
		limit = -1
	}
	tests, err := r.Slowest(info.ID, repo.DefaultProfile, limit)
	if err != nil {
		return err
	}
	timings := make([]report.Timing, len(tests))
	for i, t := range tests {
		timings[i] = report.Timing{ID: t.ID, Duration: t.Duration}
	}
	_, isTerminal := terminal(env.stdout)
	return unlessGone(report.WriteSlowest(env.stdout, timings, isTerminal))
}
