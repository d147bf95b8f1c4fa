package main

import (
	"context"
	"errors"

	"github.com/urfave/cli/v2"

	"testr/internal/event"
	"testr/internal/repo"
	"testr/internal/report"
)

func newLastCommand(env *environment) *cli.Command {
	var o streamOptions
	return &cli.Command{
		Name:  "last",
		Usage: "show the last run",
		Description: `Shows the failures and the numbers of the last run. With --subunit, writes all its
events instead, in the order in which they came.

The exit status is 0 if it passed, 1 if tests failed; with --subunit it is 0.`,
		Flags: o.flags(),
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			return runLast(c.Context, env, o)
		},
	}
}

func runLast(ctx context.Context, env *environment, o streamOptions) (err error) {
	if err := o.check(env); err != nil {
		return err
	}
	r, err := env.openToRead()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	info, err := r.Latest()
	if err != nil {
		return err
	}
	if o.subunit {
		return unlessGone(replay(ctx, r, info.ID, newSubunitOutput(env, o)))
	}
	filterTags, err := env.filterTags()
	if err != nil {
		return err
	}
	tests, tally, err := testsToSum(r, info.ID, filterTags)
	if err != nil {
		return err
	}
	text := newTextOutput(env, report.TextOptions{FilterTags: filterTags, Routes: true,
		Host: info.Host, Elsewhere: info.Host != thisHost()})
	interrupted := false
	err = r.Excerpt(info.ID, worthShowing(tests), func(e event.Event) error {
		interrupted = interrupted || e.Kind == event.KindInterrupted
		return text.Event(e)
	})
	if err != nil {
		return unlessGone(err)
	}
	if info.State == repo.Interrupted && !interrupted { // nobody was left to say so
		cut := event.Event{Kind: event.KindInterrupted, Detail: "the run did not come to its end"}
		if err := text.Event(cut); err != nil {
			return unlessGone(err)
		}
	}
	info.Counts.Interrupted = info.State == repo.Interrupted
	s := report.Summary{RunID: info.ID, Counts: info.Counts, Duration: info.Span, Tests: tests, Tally: tally}
	if err := summarize(text, r, s); err != nil {
		return unlessGone(err)
	}
	return judge(info.Counts)
}

// testsToSum are the tests that the summary of a run is made of, and, if these
// aren't all, where all of them ran.
func testsToSum(r repo.Queries, run int, filterTags []string) ([]*event.Test, *report.Tally, error) {
	if len(filterTags) > 0 {
		tests, err := r.Tests(run, repo.DefaultProfile, 0)
		return tests, nil, err
	}
	tests, err := r.Tests(run, repo.DefaultProfile, repo.ChooseFailed|repo.ChooseFlaky|repo.ChooseNotRun)
	if err != nil {
		return nil, nil, err
	}
	ran, err := r.Ran(run, repo.DefaultProfile)
	return tests, &report.Tally{Asked: ran.Asked, Others: ran.Others}, err
}

// worthShowing is what people are shown of a run: what failed, at first at
// least, and what was said beside tests.
func worthShowing(tests []*event.Test) repo.Wanted {
	want := repo.Wanted{Beside: true}
	for _, t := range tests {
		if t.Failed() || t.Flaky() {
			want.Tests = append(want.Tests, repo.Span{ID: t.ID, First: t.FirstSeq, Last: t.LastSeq})
		}
	}
	return want
}
