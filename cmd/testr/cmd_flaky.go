package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"testr/internal/repo"
	"testr/internal/report"
	"testr/internal/runner"
)

type flakyOptions struct {
	profile value[string]
	limit   value[int]
	json    bool
}

func newFlakyCommand(env *environment) *cli.Command {
	var o flakyOptions
	return &cli.Command{
		Name:      "flaky",
		Usage:     "show the tests that don't always do the same",
		ArgsUsage: "[TEST]",
		Description: `Shows the tests that both passed and failed in runs of the same revision, or passed only
when they were tried again; those that changed most often first. Runs of a tree with
changes that were not committed, or without a revision, are compared with no others.

With a TEST, shows what each run said of it.`,
		Flags: []cli.Flag{
			jsonFlag(&o.json),
			o.limit.flag("limit", "show `N` tests at most", atLeastOne),
			o.profile.flag("profile", "of the profile `NAME`", parseName),
		},
		Action: func(c *cli.Context) error {
			if c.Args().Len() > 1 {
				return usage(fmt.Errorf("flaky wants one TEST, or none; got %d", c.Args().Len()))
			}
			return runFlaky(c.Context, env, c.Args().First(), o)
		},
	}
}

func runFlaky(ctx context.Context, env *environment, test string, o flakyOptions) (err error) {
	r, err := env.openWithConfig(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	profile, err := oneProfile(r, o.profile.value)
	if err != nil {
		return err
	}
	if test != "" {
		return showOutcomes(env, r, profile, test, o)
	}
	flaky, err := r.Flaky(profile)
	if err != nil {
		return err
	}
	if o.limit.set && len(flaky) > o.limit.value {
		flaky = flaky[:o.limit.value]
	}
	switch {
	case o.json:
		return writeFlaky(env, profile, flaky)
	case len(flaky) == 0:
		_, err = fmt.Fprintln(env.stdout, "No test is known to be flaky.")
		return unlessGone(err)
	}
	rows := [][]string{{"Test id", "flips", "runs", "failed", "retried", "last failure", "revisions"}}
	for _, f := range flaky {
		var revisions []string
		for _, revision := range f.Revisions {
			revisions = append(revisions, shortRevision(revision, false))
		}
		rows = append(rows, []string{f.ID, strconv.Itoa(f.Flips), strconv.Itoa(f.Runs), strconv.Itoa(f.Failures),
			strconv.Itoa(f.Retries), "run " + strconv.Itoa(f.LastFail), report.EscapeLine(strings.Join(revisions, " "))})
	}
	_, isTerminal := terminal(env.stdout)
	return unlessGone(report.WriteTable(env.stdout, rows, isTerminal))
}

// oneProfile is the profile that a command is about which is about one: the one that
// was chosen, or else the only one.
func oneProfile(r *reader, chosen string) (string, error) {
	stored, err := storedProfiles(r)
	if err != nil {
		return "", err
	}
	var o profileOptions
	if chosen != "" {
		o.names = nameList{chosen}
	}
	profiles, err := o.among(r.cfg, stored)
	switch {
	case err != nil:
		return "", err
	case len(profiles) > 1:
		return "", chooseOne(profiles)
	}
	return profiles[0], nil
}

func writeFlaky(env *environment, profile string, flaky []repo.FlakyTest) error {
	type test struct {
		ID        string   `json:"id"`
		Flips     int      `json:"flips"`
		Runs      int      `json:"runs"`
		Passes    int      `json:"passes"`
		Failures  int      `json:"failures"`
		Retries   int      `json:"retries"`
		LastFail  int      `json:"last_failure"`
		Revisions []string `json:"revisions"`
	}
	document := struct {
		Version int    `json:"version"`
		Profile string `json:"profile"`
		Tests   []test `json:"tests"`
	}{documentVersion, profile, []test{}}
	for _, f := range flaky {
		revisions := f.Revisions
		if revisions == nil {
			revisions = []string{}
		}
		document.Tests = append(document.Tests,
			test{f.ID, f.Flips, f.Runs, f.Passes, f.Failures, f.Retries, f.LastFail, revisions})
	}
	return writeDocument(env, document)
}

// showOutcomes shows what the runs said of a test.
func showOutcomes(env *environment, r repo.Queries, profile, test string, o flakyOptions) error {
	outcomes, err := r.Outcomes(profile, test)
	if err != nil {
		return err
	}
	if o.limit.set && len(outcomes) > o.limit.value {
		outcomes = outcomes[len(outcomes)-o.limit.value:]
	}
	if o.json {
		return writeOutcomes(env, profile, test, outcomes)
	}
	if len(outcomes) == 0 {
		return noOutcome(profile, test)
	}
	rows := [][]string{{"run", "began", "outcome", "attempts", "revision"}}
	for _, t := range outcomes {
		rows = append(rows, []string{strconv.Itoa(t.Run), t.Start.Local().Format(time.DateTime), outcomeOf(t),
			strconv.Itoa(t.Attempts), report.EscapeLine(shortRevision(t.Revision, t.Dirty))})
	}
	return unlessGone(report.WriteTable(env.stdout, rows, false))
}

// noOutcome is the error where no run has a test: it may be a part of an id only.
func noOutcome(profile, test string) error {
	err := fmt.Errorf("no run has anything of the test %q", test)
	if profile != repo.DefaultProfile {
		err = fmt.Errorf("%w under profile %s", err, profile)
	}
	return &runner.HintError{Err: err, Hint: `TEST is a whole id, as "testr list-tests" shows it`}
}

// outcomeOf is what a run said of a test, in a word or two.
func outcomeOf(t repo.TestOutcome) string {
	switch {
	case t.Open:
		return "did not end"
	case t.Status.Final():
		return t.Status.String()
	}
	return "not run"
}

func writeOutcomes(env *environment, profile, test string, outcomes []repo.TestOutcome) error {
	type outcome struct {
		Run      int        `json:"run"`
		Start    *time.Time `json:"start"`
		Status   *string    `json:"status"`
		Open     bool       `json:"open"`
		Attempts int        `json:"attempts"`
		Revision *string    `json:"revision"`
		Dirty    bool       `json:"dirty"`
	}
	document := struct {
		Version  int       `json:"version"`
		Profile  string    `json:"profile"`
		ID       string    `json:"id"`
		Outcomes []outcome `json:"outcomes"`
	}{documentVersion, profile, test, []outcome{}}
	for _, t := range outcomes {
		status := ""
		if t.Status.Final() {
			status = t.Status.String()
		}
		document.Outcomes = append(document.Outcomes, outcome{t.Run, timeOrNull(t.Start), textOrNull(status), t.Open,
			t.Attempts, textOrNull(t.Revision), t.Dirty})
	}
	return writeDocument(env, document)
}
