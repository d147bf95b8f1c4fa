package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"testr/internal/event"
	"testr/internal/repo"
	"testr/internal/report"
)

type lastOptions struct {
	stream streamOptions
	follow bool
}

func newLastCommand(env *environment) *cli.Command {
	var o lastOptions
	return &cli.Command{
		Name:  "last",
		Usage: "show the last run",
		Description: `Shows the failures and the numbers of the last run that is over. With --subunit,
writes all its events instead, in the order in which they came. With --follow, shows
the run that goes on, from its beginning to its end, if there is one.

The exit status is 0 if it passed, 1 if tests failed; with --subunit it is 0, unless
it is followed.`,
		Flags: append(o.stream.flags(), &cli.BoolFlag{Name: "follow", Aliases: []string{"f"}, Destination: &o.follow,
			Usage: "show the run that goes on, to its end"}),
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			return runLast(c.Context, env, o)
		},
	}
}

func runLast(ctx context.Context, env *environment, o lastOptions) (err error) {
	if err := o.stream.check(env); err != nil {
		return err
	}
	r, err := env.openToRead(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	current, err := r.Current()
	switch {
	case err == nil && o.follow:
		return followRun(ctx, env, r, current, o.stream)
	case err == nil && !env.quiet:
		_, _ = fmt.Fprintf(env.errWriter(), "testr: run %d goes on: testr last --follow shows it\n", current.ID)
	case err != nil && !errors.Is(err, repo.ErrNoRun):
		return err
	}
	info, err := r.Latest()
	if err != nil {
		return err
	}
	info.Counts.Interrupted = info.State == repo.Interrupted
	if o.stream.subunit {
		err := unlessGone(replay(ctx, r, info.ID, newSubunitOutput(env, o.stream)))
		if err == nil && o.follow {
			err = judge(info.Counts)
		}
		return err
	}
	return showLast(env, r, info)
}

// showLast shows a run that is over to people, and judges it.
func showLast(env *environment, r repo.Queries, info repo.RunInfo) error {
	cfg, err := env.someConfig()
	if err != nil {
		return err
	}
	filterTags := cfg.FilterTags
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
		if err := text.Event(cutShort()); err != nil {
			return unlessGone(err)
		}
	}
	s := report.Summary{RunID: info.ID, Counts: info.Counts, Duration: info.Span, Tests: tests, Tally: tally}
	if err := summarize(text, r, s); err != nil {
		return unlessGone(err)
	}
	return judge(info.Counts)
}

// cutShort is what stands in the place of the event that says that a run was
// stopped, where nobody was left to say so.
func cutShort() event.Event {
	return event.Event{Kind: event.KindInterrupted, Worker: event.NoWorker, Detail: "the run did not come to its end"}
}

// followRun shows the run that goes on, as whoever runs it sees it, and judges it
// once it is over. Where its supervisor is killed it ends, too.
func followRun(ctx context.Context, env *environment, r repo.Queries, info repo.RunInfo, o streamOptions) error {
	cfg, err := env.someConfig()
	if err != nil {
		return err
	}
	outcomes := event.NewOutcomes()
	var text *textOutput
	var out output
	if o.subunit {
		out = newSubunitOutput(env, o)
	} else {
		text = newTextOutput(env, report.TextOptions{FilterTags: cfg.FilterTags, Routes: true,
			Host: info.Host, Elsewhere: info.Host != thisHost()})
		out = text
	}
	if err := replay(ctx, r, info.ID, followed{out, outcomes}); err != nil {
		return unlessGone(err)
	}
	if info, err = r.Run(info.ID); err != nil {
		return err
	}
	outcomes.Finish()
	if info.State == repo.Interrupted && !outcomes.Interrupted() {
		if err := out.Event(cutShort()); err != nil {
			return unlessGone(err)
		}
		_ = outcomes.Event(cutShort()) // it has no errors
	}
	if text != nil {
		if err := unlessGone(summarize(text, r, summaryOf(info.ID, outcomes))); err != nil {
			return err
		}
	}
	return judge(outcomes.Counts())
}

// followed is an output that folds what it shows.
type followed struct {
	output
	outcomes *event.Outcomes
}

// Event shows an event, and folds it.
func (f followed) Event(e event.Event) error {
	_ = f.outcomes.Event(e) // it has no errors
	return f.output.Event(e)
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
