package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"testr/internal/api"
	"testr/internal/repo"
	"testr/internal/report"
)

type historyListOptions struct {
	json    bool
	limit   value[int]
	profile value[string]
}

func newHistoryListCommand(env *environment) *cli.Command {
	var o historyListOptions
	return &cli.Command{
		Name:  "list",
		Usage: "list the runs, the last one at the end",
		Description: `A revision with a + behind it had changes that were not committed. What a run comes
to is that of all its profiles.`,
		Flags: []cli.Flag{
			jsonFlag(&o.json),
			o.limit.flag("limit", "list the last `N` runs only", atLeastOne),
			o.profile.flag("profile", "list the runs that have the profile `NAME`", parseName),
		},
		Action: func(c *cli.Context) error {
			return runHistoryList(c.Context, env, o)
		},
	}
}

func runHistoryList(ctx context.Context, env *environment, o historyListOptions) (err error) {
	r, err := env.openToRead(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	runs, err := listedRuns(env, r, o)
	if err != nil {
		return err
	}
	switch {
	case o.json:
		document := struct {
			Version int       `json:"version"`
			Runs    []jsonRun `json:"runs"`
		}{documentVersion, []jsonRun{}}
		for _, info := range runs {
			document.Runs = append(document.Runs, runDocument(info))
		}
		return writeDocument(env, document)
	case len(runs) == 0:
		_, err = fmt.Fprintln(env.stdout, "There are no runs.")
		return unlessGone(err)
	}
	rows := [][]string{{"run", "began", "took (s)", "came to", "tests", "failures", "profiles", "revision", "command"}}
	for _, info := range runs {
		rows = append(rows, historyRow(info))
	}
	return unlessGone(report.WriteTable(env.stdout, rows, false))
}

// listedRuns are the runs that were asked for. Without a profile the configuration has
// no say in that.
func listedRuns(env *environment, r *api.Reader, o historyListOptions) ([]repo.RunInfo, error) {
	runs, err := r.Runs()
	if err != nil {
		return nil, err
	}
	if o.profile.set {
		cfg, err := env.someConfig()
		if err != nil {
			return nil, err
		}
		profile, err := oneProfile(&reader{r, cfg}, o.profile.value)
		if err != nil {
			return nil, err
		}
		runs = slices.DeleteFunc(runs, func(i repo.RunInfo) bool { return !slices.Contains(i.Profiles, profile) })
	}
	if o.limit.set && len(runs) > o.limit.value {
		runs = runs[len(runs)-o.limit.value:]
	}
	return runs, nil
}

// historyRow is a run for people. A repository may have anything in it, so all of it
// is escaped.
func historyRow(info repo.RunInfo) []string {
	verdict, took := "goes on", ""
	if v := verdictOf(info); v != nil {
		verdict, took = *v, fmt.Sprintf("%.3f", info.Duration().Seconds())
	}
	switch {
	case info.Why != "":
		verdict += ": " + info.Why
	case info.State == repo.Interrupted:
		verdict += " (interrupted)"
	}
	row := []string{strconv.Itoa(info.ID), info.Start.Local().Format(time.DateTime), took, verdict,
		strconv.Itoa(info.Counts.Tests + info.Counts.InProgress), strconv.Itoa(info.Counts.Failed),
		strings.Join(info.Profiles, " "), shortRevision(info.Revision, info.Dirty), strings.Join(info.Command, " ")}
	for n := range row {
		row[n] = report.EscapeLine(row[n])
	}
	return row
}

// shortRevision is a revision as people have it: the beginning, with a + for changes.
func shortRevision(revision string, dirty bool) string {
	const enough = 12
	short := revision[:min(len(revision), enough)]
	if dirty {
		short += "+"
	}
	return short
}
