package main

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/urfave/cli/v2"

	"testr/internal/repo"
	"testr/internal/report"
)

// slowestShown is how many tests are shown unless all were asked for.
const slowestShown = 10

type slowestOptions struct {
	profiles profileOptions
	all      bool
	json     bool
}

func newSlowestCommand(env *environment) *cli.Command {
	var o slowestOptions
	return &cli.Command{
		Name:  "slowest",
		Usage: "show the slowest tests of the last run",
		Description: `Shows which tests took longest, by the clocks of their workers, in the last run that had
their profile. Where several profiles have results one has to be chosen, or with
--all-profiles all of them.`,
		Flags: append(o.profiles.readFlags(),
			&cli.BoolFlag{Name: "all", Destination: &o.all, Usage: "show all tests, not only the slowest ten"},
			jsonFlag(&o.json),
		),
		Action: func(c *cli.Context) error {
			return runSlowest(c.Context, env, o)
		},
	}
}

func runSlowest(ctx context.Context, env *environment, o slowestOptions) (err error) {
	r, err := env.openWithConfig(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	stored, err := r.Profiles()
	if err == nil {
		_, err = r.Latest() // which says so if there is no run
	}
	if err != nil {
		return err
	}
	profiles, err := o.profiles.among(r.cfg, namesOf(stored))
	if err != nil {
		return err
	}
	if len(profiles) > 1 && !o.json && !o.profiles.chosen() {
		return chooseOne(profiles)
	}
	limit := slowestShown
	if o.all {
		limit = -1
	}
	timings, err := slowest(r, stored, profiles, limit)
	if err != nil {
		return err
	}
	switch {
	case o.json:
		return writeSlowest(env, timings)
	case lastWith(stored, profiles...) < 0:
		return noRunHas(profiles)
	}
	if len(profiles) == 1 {
		for i := range timings {
			timings[i].Profile = ""
		}
	}
	_, isTerminal := terminal(env.stdout)
	return unlessGone(report.WriteSlowest(env.stdout, timings, isTerminal))
}

// slowest are the slowest tests of some profiles, each in the last run that had it.
func slowest(r repo.Queries, stored []repo.Profile, profiles []string, limit int) (timings []report.Timing, err error) {
	for _, profile := range profiles {
		run := lastWith(stored, profile)
		if run < 0 {
			continue
		}
		tests, err := r.Slowest(run, profile, limit)
		if err != nil {
			return nil, err
		}
		for _, t := range tests {
			timings = append(timings, report.Timing{ID: t.ID, Profile: profile, Duration: t.Duration})
		}
	}
	slices.SortStableFunc(timings, func(a, b report.Timing) int { return cmp.Compare(b.Duration, a.Duration) })
	if limit >= 0 && len(timings) > limit {
		timings = timings[:limit]
	}
	return timings, nil
}

func writeSlowest(env *environment, timings []report.Timing) error {
	type slow struct {
		ID      string  `json:"id"`
		Profile string  `json:"profile"`
		Seconds float64 `json:"seconds"`
	}
	document := struct {
		Version int    `json:"version"`
		Tests   []slow `json:"tests"`
	}{documentVersion, []slow{}}
	for _, t := range timings {
		document.Tests = append(document.Tests, slow{t.ID, t.Profile, t.Duration.Seconds()})
	}
	return writeDocument(env, document)
}
