package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/urfave/cli/v2"
)

func newHistoryRemoveCommand(env *environment) *cli.Command {
	return &cli.Command{
		Name:      "remove",
		Usage:     "remove runs, with all their events",
		ArgsUsage: "RUN...",
		Description: `What fails, and how long tests take, stays as it is; what "testr flaky" has of the runs
goes with them. Their room is used for later runs: "testr history prune --compact"
gives it back to the disk.`,
		Action: func(c *cli.Context) error {
			if !c.Args().Present() {
				return usage(errors.New("history remove wants a RUN, of those that \"testr history list\" shows"))
			}
			var runs []int
			for _, arg := range c.Args().Slice() {
				run, err := runNumber(arg)
				if err != nil {
					return err
				}
				if !slices.Contains(runs, run) {
					runs = append(runs, run)
				}
			}
			return runHistoryRemove(c.Context, env, runs)
		},
	}
}

func runHistoryRemove(ctx context.Context, env *environment, runs []int) (err error) {
	r, err := env.openToEdit(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if err := r.Remove(runs...); err != nil {
		return noSuchRun(err)
	}
	return removed(env, len(runs))
}

func removed(env *environment, runs int) error {
	if env.quiet {
		return nil
	}
	_, err := fmt.Fprintf(env.stdout, "removed %s\n", count(runs, "run"))
	return unlessGone(err)
}
