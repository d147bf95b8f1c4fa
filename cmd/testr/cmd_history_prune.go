package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"testr/internal/repo"
)

type historyPruneOptions struct {
	keepRuns, keepDays value[int]
	compact            bool
}

func newHistoryPruneCommand(env *environment) *cli.Command {
	var o historyPruneOptions
	return &cli.Command{
		Name:  "prune",
		Usage: "remove old runs, and give their room back",
		Description: `Removes the runs that keep_runs and keep_days of the configuration don't keep, or
those that the options say; the last one always stays. With --compact, writes the
repository anew without the room that nothing uses.`,
		Flags: []cli.Flag{
			o.keepRuns.flag("keep-runs", "keep the last `N` runs", atLeastOne),
			o.keepDays.flag("keep-days", "keep the runs of the last `N` days", atLeastOne),
			&cli.BoolFlag{Name: "compact", Destination: &o.compact, Usage: "make the file no larger than it has to be"},
		},
		Action: func(c *cli.Context) error {
			return runHistoryPrune(c.Context, env, o)
		},
	}
}

func runHistoryPrune(ctx context.Context, env *environment, o historyPruneOptions) (err error) {
	runs, days := o.keepRuns.value, o.keepDays.value
	if !o.keepRuns.set && !o.keepDays.set {
		cfg, err := env.someConfig()
		if err != nil {
			return err
		}
		runs, days = cfg.KeepRuns, cfg.KeepDays
	}
	if runs == 0 && days == 0 && !o.compact {
		return usage(errors.New("nothing says what to keep: want --keep-runs or --keep-days, " +
			"or keep_runs or keep_days in the configuration, or --compact"))
	}
	r, err := env.openToEdit(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if runs > 0 || days > 0 {
		gone, err := r.Prune(runs, repo.DaysAgo(days))
		if err == nil {
			err = removed(env, len(gone))
		}
		if err != nil {
			return err
		}
	}
	if o.compact {
		return compact(env, r)
	}
	return nil
}

func compact(env *environment, r editor) error {
	before, after, err := r.Compact()
	if err != nil || env.quiet {
		return err
	}
	_, err = fmt.Fprintf(env.stdout, "the repository has %s, and had %s\n", bytesOf(after), bytesOf(before))
	return unlessGone(err)
}

// bytesOf is a size as people read it.
func bytesOf(n int64) string {
	const kib, mib = 1 << 10, 1 << 20
	if n < mib {
		return fmt.Sprintf("%.1f KiB", float64(n)/kib)
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/mib)
}
