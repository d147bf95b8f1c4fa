package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"testr/internal/event"
	"testr/internal/repo"
	"testr/internal/report"
)

// viewOptions say how a run that is over is shown.
type viewOptions struct {
	stream   streamOptions
	profiles profileOptions
	json     bool

	introduced bool // people are told first which run it is
}

func (o *viewOptions) flags() []cli.Flag {
	return slices.Concat(o.stream.flags(), o.profiles.readFlags(), []cli.Flag{jsonFlag(&o.json)})
}

func (o *viewOptions) check(env *environment) error {
	if err := oneForm(form{"--json", o.json}, form{"--subunit", o.stream.subunit}); err != nil {
		return err
	}
	return o.stream.check(env)
}

type lastOptions struct {
	viewOptions
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

The exit status is 0 if it passed, 1 if tests failed; with --subunit or --json it is 0,
unless it is followed.`,
		Flags: append(o.flags(), &cli.BoolFlag{Name: "follow", Aliases: []string{"f"}, Destination: &o.follow,
			Usage: "show the run that goes on, to its end"}),
		Action: func(c *cli.Context) error {
			return runLast(c.Context, env, o)
		},
	}
}

func runLast(ctx context.Context, env *environment, o lastOptions) (err error) {
	if err := o.check(env); err != nil {
		return err
	}
	if o.follow && (o.json || o.profiles.chosen()) {
		return usage(errors.New("--follow: a run is followed with all of its profiles, and as it is shown; " +
			"leave --profile and --json out"))
	}
	r, err := env.openWithConfig(ctx)
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
	info, err := o.last(r)
	if err != nil {
		return err
	}
	err = showRun(ctx, env, r, info, o.viewOptions)
	if err == nil && o.follow {
		info.Counts.Interrupted = info.State == repo.Interrupted
		err = judge(info.Counts)
	}
	return err
}

// last is the last run that is over, or, where profiles were named, the last that has
// one of them.
func (o *lastOptions) last(r *reader) (repo.RunInfo, error) {
	if len(o.profiles.names) == 0 {
		return r.Latest()
	}
	stored, err := r.Profiles()
	if err != nil {
		return repo.RunInfo{}, err
	}
	profiles, err := o.profiles.among(r.cfg, namesOf(stored))
	if err != nil {
		return repo.RunInfo{}, err
	}
	run := lastWith(stored, profiles...)
	if run >= 0 {
		return r.Run(run)
	}
	if _, err := r.Latest(); err != nil {
		return repo.RunInfo{}, err
	}
	return repo.RunInfo{}, noRunHas(profiles)
}

// showRun shows a run that is over. People are told what it came to by the exit
// status, too.
func showRun(ctx context.Context, env *environment, r *reader, info repo.RunInfo, o viewOptions) error {
	info, err := o.of(r, info)
	if err != nil {
		return err
	}
	info.Counts.Interrupted = info.State == repo.Interrupted
	switch {
	case o.json:
		return writeRun(env, r, info)
	case o.stream.subunit:
		out := output(newSubunitOutput(env, o.stream))
		if o.profiles.chosen() {
			out = ofProfiles{out, info.Profiles}
		}
		return unlessGone(replay(ctx, r, info.ID, out))
	}
	if o.introduced {
		err = introduce(env, info)
	}
	if err == nil {
		err = explainRun(env, r, info, r.cfg.FilterTags)
	}
	if err = unlessGone(err); err != nil {
		return err
	}
	return judge(info.Counts)
}

// of is a run with nothing but the profiles that were chosen, if some were.
func (o *viewOptions) of(r *reader, info repo.RunInfo) (repo.RunInfo, error) {
	if !o.profiles.chosen() {
		return info, nil
	}
	stored, err := storedProfiles(r)
	if err != nil {
		return info, err
	}
	profiles, err := o.profiles.among(r.cfg, stored)
	if err != nil {
		return info, err
	}
	info.Profiles, info.Counts = nil, event.Counts{}
	for _, name := range profiles {
		if p, ok := info.Profile(name); ok {
			info.Profiles, info.Counts = append(info.Profiles, name), info.Counts.Plus(p.Counts)
		}
	}
	if info.Profiles == nil {
		return info, fmt.Errorf("run %d has nothing of profile %s", info.ID, strings.Join(profiles, ", "))
	}
	return info, nil
}

// ofProfiles is an output that gets only the events of some profiles.
type ofProfiles struct {
	output
	names []string
}

// Event passes on what belongs to the profiles.
func (o ofProfiles) Event(e event.Event) error {
	if e.Kind == event.KindPacket && !slices.Contains(o.names, profileName(e.Profile)) {
		return nil
	}
	return o.output.Event(e)
}

// explainRun shows a run that is over to people, with its profiles that info has.
func explainRun(env *environment, r repo.Queries, info repo.RunInfo, filterTags []string) error {
	tests, tally, err := testsToSum(r, info, filterTags)
	if err != nil {
		return err
	}
	text := newTextOutput(env, report.TextOptions{FilterTags: filterTags, Routes: true,
		Host: info.Host, Elsewhere: info.Host != thisHost()})
	interrupted := false
	shown := ofProfiles{text, info.Profiles}
	err = r.Excerpt(info.ID, worthShowing(tests), func(e event.Event) error {
		interrupted = interrupted || e.Kind == event.KindInterrupted
		return shown.Event(e)
	})
	if err != nil {
		return err
	}
	if info.State == repo.Interrupted && !interrupted { // nobody was left to say so
		if err := text.Event(cutShort()); err != nil {
			return err
		}
	}
	s := report.Summary{RunID: info.ID, Counts: info.Counts, Duration: info.Span, Tests: tests, Tally: tally,
		Profiles: map[string]event.Counts{}}
	for _, name := range info.Profiles {
		p, _ := info.Profile(name)
		s.Profiles[profileKey(name)] = p.Counts
	}
	return summarize(text, r, s)
}

// cutShort is what stands in the place of the event that says that a run was
// stopped, where nobody was left to say so.
func cutShort() event.Event {
	return event.Event{Kind: event.KindInterrupted, Worker: event.NoWorker, Detail: "the run did not come to its end"}
}

// followRun shows the run that goes on, as whoever runs it sees it, and judges it
// once it is over. Where its supervisor is killed it ends, too.
func followRun(ctx context.Context, env *environment, r *reader, info repo.RunInfo, o streamOptions) error {
	outcomes := event.NewOutcomes()
	var text *textOutput
	var out output
	if o.subunit {
		out = newSubunitOutput(env, o)
	} else {
		text = newTextOutput(env, report.TextOptions{FilterTags: r.cfg.FilterTags, Routes: true,
			Host: info.Host, Elsewhere: info.Host != thisHost()})
		out = text
	}
	if err := replay(ctx, r, info.ID, followed{out, outcomes}); err != nil {
		return unlessGone(err)
	}
	info, err := r.Run(info.ID)
	if err != nil {
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
func testsToSum(r repo.Queries, info repo.RunInfo, filterTags []string) ([]*event.Test, *report.Tally, error) {
	choice := repo.ChooseFailed | repo.ChooseFlaky | repo.ChooseNotRun
	if len(filterTags) > 0 {
		choice = 0
	}
	var all []*event.Test
	tally := &report.Tally{Asked: map[string]int{}, Others: map[string]int{}}
	for _, profile := range info.Profiles {
		tests, err := r.Tests(info.ID, profile, choice)
		if err != nil {
			return nil, nil, err
		}
		all = append(all, tests...)
		if choice == 0 {
			continue
		}
		ran, err := r.Ran(info.ID, profile)
		if err != nil {
			return nil, nil, err
		}
		addCounts(tally.Asked, ran.Asked)
		addCounts(tally.Others, ran.Others)
	}
	if choice == 0 {
		tally = nil
	}
	return all, tally, nil
}

func addCounts(to, from map[string]int) {
	for key, n := range from {
		to[key] += n
	}
}

// worthShowing is what people are shown of a run: what failed, at first at
// least, and what was said beside tests.
func worthShowing(tests []*event.Test) repo.Wanted {
	want := repo.Wanted{Beside: true}
	for _, t := range tests {
		if t.Failed() || t.Flaky() {
			want.Tests = append(want.Tests, repo.Span{ID: t.ID, First: t.FirstSeq, Last: t.LastSeq, Profile: t.Profile})
		}
	}
	return want
}
