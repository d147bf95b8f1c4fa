package main

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/urfave/cli/v2"

	"testr/internal/repo"
)

func newHistoryCommand(env *environment) *cli.Command {
	return &cli.Command{
		Name:        "history",
		Usage:       "show the runs, and drop old ones",
		Description: `Every run is kept, with all its events, until it is removed.`,
		Subcommands: []*cli.Command{
			newHistoryListCommand(env), newHistoryPruneCommand(env), newHistoryRemoveCommand(env),
			newHistoryShowCommand(env),
		},
		Action: func(*cli.Context) error {
			return usage(errors.New("history wants one of: list, prune, remove, show"))
		},
	}
}

// runNumber reads the number of a run, as people give it.
func runNumber(arg string) (int, error) {
	n, err := strconv.Atoi(arg)
	if err != nil || n < 0 {
		return 0, usage(fmt.Errorf("%q is no run: want a number, of those that \"testr history list\" shows", arg))
	}
	return n, nil
}

// noSuchRun adds to an error about a run that isn't there what to do.
func noSuchRun(err error) error {
	if !errors.Is(err, repo.ErrNoRun) {
		return err
	}
	return fmt.Errorf("%w: \"testr history list\" shows those that there are", err)
}
