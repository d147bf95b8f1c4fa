package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/urfave/cli/v2"

	"testr/internal/repo"
	"testr/internal/report"
)

func newStatsCommand(env *environment) *cli.Command {
	asJSON := false
	return &cli.Command{
		Name:  "stats",
		Usage: "show how much the repository has",
		Description: `Prints how many runs there are, how many tests were ever seen, how many outcomes the
runs have, how long they took in all, and the size of the repository's file; and what
of it each profile has, if there are any. A profile's bytes are those of its runs: what
runs have in common, and what became free in the file, is nobody's.`,
		Flags: []cli.Flag{jsonFlag(&asJSON)},
		Action: func(c *cli.Context) error {
			return runStats(c.Context, env, asJSON)
		},
	}
}

func runStats(ctx context.Context, env *environment, asJSON bool) (err error) {
	r, err := env.openToRead(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	stats, err := r.Stats()
	switch {
	case err != nil:
		return err
	case asJSON:
		return writeStats(env, stats)
	}
	values := statsValues(stats)
	for _, line := range [][]report.Value{values[:1], values[1:]} { // the first is all that testrepository says
		if err := report.WriteValues(env.stdout, line...); err != nil {
			return unlessGone(err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(stats.ByProfile)) {
		if len(stats.ByProfile) == 1 && name == repo.DefaultProfile {
			break
		}
		values := append([]report.Value{{Name: "profile", Value: report.EscapeLine(name)}},
			statsValues(stats.ByProfile[name])...)
		if err := report.WriteValues(env.stdout, values...); err != nil {
			return unlessGone(err)
		}
	}
	return nil
}

func statsValues(s repo.Stats) []report.Value {
	return []report.Value{{Name: "runs", Value: s.Runs}, {Name: "tests", Value: s.Tests},
		{Name: "outcomes", Value: s.Outcomes}, {Name: "seconds", Value: fmt.Sprintf("%.3f", s.Time.Seconds())},
		{Name: "bytes", Value: s.Bytes}}
}

func writeStats(env *environment, s repo.Stats) error {
	type numbers struct {
		Runs     int     `json:"runs"`
		Tests    int     `json:"tests"`
		Outcomes int     `json:"outcomes"`
		Seconds  float64 `json:"seconds"`
		Bytes    int64   `json:"bytes"`
	}
	of := func(s repo.Stats) numbers { return numbers{s.Runs, s.Tests, s.Outcomes, s.Time.Seconds(), s.Bytes} }
	type profile struct {
		Name string `json:"name"`
		numbers
	}
	type stats struct {
		numbers
		Profiles []profile `json:"profiles"`
	}
	document := struct {
		Version int   `json:"version"`
		Stats   stats `json:"stats"`
	}{documentVersion, stats{of(s), []profile{}}}
	for _, name := range slices.Sorted(maps.Keys(s.ByProfile)) {
		document.Stats.Profiles = append(document.Stats.Profiles, profile{name, of(s.ByProfile[name])})
	}
	return writeDocument(env, document)
}
