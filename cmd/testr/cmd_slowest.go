package main

import (
	"cmp"
	"errors"
	"slices"

	"github.com/urfave/cli/v2"

	"testr/internal/event"
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
			return runSlowest(env, all)
		},
	}
}

func runSlowest(env *environment, all bool) (err error) {
	r, err := env.openToRead()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	info, err := r.Latest()
	if err != nil {
		return err
	}
	tests, err := r.Tests(info.ID, repo.DefaultProfile)
	if err != nil {
		return err
	}
	timings := slowest(tests)
	if !all && len(timings) > slowestShown {
		timings = timings[:slowestShown]
	}
	_, isTerminal := terminal(env.stdout)
	return unlessGone(report.WriteSlowest(env.stdout, timings, isTerminal))
}

// slowest returns the durations that are known, the longest first.
func slowest(tests []*event.Test) []report.Timing {
	var timings []report.Timing
	for _, t := range tests {
		if t.Timed && t.Runnable {
			timings = append(timings, report.Timing{ID: t.ID, Duration: t.Duration})
		}
	}
	slices.SortStableFunc(timings, func(a, b report.Timing) int { return cmp.Compare(b.Duration, a.Duration) })
	return timings
}
