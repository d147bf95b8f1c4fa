package main

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/urfave/cli/v2"

	"testr/internal/event"
	"testr/internal/repo"
	"testr/internal/report"
)

type failingOptions struct {
	stream streamOptions
	list   bool
}

func newFailingCommand(env *environment) *cli.Command {
	var o failingOptions
	return &cli.Command{
		Name:  "failing",
		Usage: "show the tests that fail",
		Description: `Shows the tests whose last known outcome is a failure, and those that a set-up
failure or a lost machine kept from running. "testr run --failing" runs them.

The exit status is 0 if there are none, 1 if there are; with --subunit it is 0.`,
		Flags: append(o.stream.flags(),
			&cli.BoolFlag{Name: "list", Destination: &o.list, Usage: "only list the ids, one a line"},
		),
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			return runFailing(c.Context, env, o)
		},
	}
}

func runFailing(ctx context.Context, env *environment, o failingOptions) (err error) {
	if err := o.stream.check(env); err != nil {
		return err
	}
	r, err := env.openToRead(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	failing, err := r.Failing(repo.DefaultProfile)
	if err != nil {
		return err
	}
	switch {
	case o.list:
		err = listFailing(env, failing)
	case o.stream.subunit:
		out := newSubunitOutput(env, o.stream)
		if err = showFailing(r, failing, out); err == nil {
			err = out.flush()
		}
		return unlessGone(err)
	default:
		err = explainFailing(env, r, failing)
	}
	if err == nil && len(failing) > 0 {
		return errFailed
	}
	return unlessGone(err)
}

func listFailing(env *environment, failing []repo.Failing) error {
	ids := make([]string, len(failing))
	for i, f := range failing {
		ids[i] = f.ID
	}
	_, isTerminal := terminal(env.stdout)
	return report.WriteIDs(env.stdout, ids, isTerminal)
}

// showFailing gives a sink the stored events of the tests that fail, run by run
// and in their order.
func showFailing(r repo.Queries, failing []repo.Failing, sink event.Sink) error {
	runs := map[int][]repo.Span{}
	for _, f := range failing {
		if f.NotRun == "" {
			runs[f.Run] = append(runs[f.Run], repo.Span{ID: f.ID, First: f.FirstSeq, Last: f.LastSeq})
		}
	}
	for _, run := range slices.Sorted(maps.Keys(runs)) {
		if err := r.Excerpt(run, repo.Wanted{Tests: runs[run]}, sink.Event); err != nil {
			return err
		}
	}
	return nil
}

func explainFailing(env *environment, r repo.Queries, failing []repo.Failing) error {
	info, err := r.Latest()
	if err != nil {
		return err
	}
	text := newTextOutput(env, report.TextOptions{Routes: true})
	outcomes := event.NewOutcomes()
	if err := showFailing(r, failing, tee{text, outcomes}); err != nil {
		return err
	}
	outcomes.Finish()
	s := report.Summary{RunID: info.ID, Counts: outcomes.Counts(), Tests: outcomes.Tests()}
	for _, f := range failing {
		if f.NotRun != "" {
			s.Counts.Asked, s.Counts.NotRun = s.Counts.Asked+1, s.Counts.NotRun+1
			s.Tests = append(s.Tests, &event.Test{ID: f.ID, Asked: true, NotRun: f.NotRun})
		}
	}
	return text.Summary(s)
}

// tee is two sinks, the second of which never fails.
type tee [2]event.Sink

// Event gives e to both.
func (t tee) Event(e event.Event) error {
	return errors.Join(t[0].Event(e), t[1].Event(e))
}
