package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/urfave/cli/v2"

	"testr/internal/event"
	"testr/internal/repo"
	"testr/internal/report"
)

type failingOptions struct {
	stream   streamOptions
	profiles profileOptions
	list     bool
	json     bool
}

func (o *failingOptions) check(env *environment) error {
	if err := oneForm(form{"--list", o.list}, form{"--json", o.json}, form{"--subunit", o.stream.subunit}); err != nil {
		return err
	}
	return o.stream.check(env)
}

func newFailingCommand(env *environment) *cli.Command {
	var o failingOptions
	return &cli.Command{
		Name:  "failing",
		Usage: "show the tests that fail",
		Description: `Shows the tests whose last known outcome is a failure, and those that a set-up
failure or a lost machine kept from running. "testr run --failing" runs them.

Of several profiles all are shown, or those that --profile names; --list is for one.

The exit status is 0 if there are none, 1 if there are; with --subunit or --json it is 0.`,
		Flags: slices.Concat(o.stream.flags(), o.profiles.readFlags(), []cli.Flag{
			&cli.BoolFlag{Name: "list", Destination: &o.list, Usage: "only list the ids, one a line"},
			jsonFlag(&o.json),
		}),
		Action: func(c *cli.Context) error {
			return runFailing(c.Context, env, o)
		},
	}
}

func runFailing(ctx context.Context, env *environment, o failingOptions) (err error) {
	if err := o.check(env); err != nil {
		return err
	}
	r, err := env.openWithConfig(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	stored, err := storedProfiles(r)
	if err != nil {
		return err
	}
	profiles, err := o.profiles.among(r.cfg, stored)
	if err != nil {
		return err
	}
	if o.list && len(profiles) > 1 {
		return chooseOne(profiles)
	}
	failing, err := failingOf(r, profiles)
	if err != nil {
		return err
	}
	known := func(profile string) bool { return slices.Contains(stored, profile) }
	switch {
	case o.list:
		err = listFailing(env, failing)
	case o.json:
		err = writeProfileForm(env, failingForm(profiles, failing))
	case o.stream.subunit:
		return unlessGone(streamFailing(env, r, failing, o.stream))
	case len(stored) > 0 && !slices.ContainsFunc(profiles, known):
		return noRunHas(profiles)
	default:
		err = explainFailing(env, r, profiles, failing)
	}
	err = unlessGone(err)
	if err == nil && len(failing) > 0 && !o.json {
		return errFailed
	}
	return err
}

// failingTest is a test of a profile's failing set.
type failingTest struct {
	profile string
	repo.Failing
}

// stored reports whether there are events of the failure.
func (f failingTest) stored() bool { return f.NotRun == "" && !f.Gone }

// failingOf are the failing sets of profiles.
func failingOf(r repo.Queries, profiles []string) (all []failingTest, err error) {
	for _, profile := range profiles {
		failing, err := r.Failing(profile)
		if err != nil {
			return nil, err
		}
		for _, f := range failing {
			all = append(all, failingTest{profile, f})
		}
	}
	return all, nil
}

func listFailing(env *environment, failing []failingTest) error {
	ids := make([]string, len(failing))
	for i, f := range failing {
		ids[i] = f.ID
	}
	_, isTerminal := terminal(env.stdout)
	return report.WriteIDs(env.stdout, ids, isTerminal)
}

// failingForm has what fails in the profile form.
func failingForm(profiles []string, failing []failingTest) []profileTests {
	form := make([]profileTests, len(profiles))
	for i, profile := range profiles {
		form[i].Name = profile
		for _, f := range failing {
			if f.profile == profile {
				form[i].Tests = append(form[i].Tests, f.ID)
			}
		}
	}
	return form
}

// streamFailing writes the stored packets of the tests that fail, and says of how many
// there are none.
func streamFailing(env *environment, r repo.Queries, failing []failingTest, o streamOptions) error {
	out := newSubunitOutput(env, o)
	if err := showFailing(r, failing, out); err != nil {
		return err
	}
	if err := out.flush(); err != nil {
		return err
	}
	missing := 0
	for _, f := range failing {
		if !f.stored() {
			missing++
		}
	}
	if missing > 0 {
		env.say("warning", fmt.Errorf("the stream is without %s that there are no packets of: --list has all",
			count(missing, "failing test")))
	}
	return nil
}

// showFailing gives a sink the stored events of the tests that fail, run by run
// and in their order.
func showFailing(r repo.Queries, failing []failingTest, sink event.Sink) error {
	runs := map[int][]repo.Span{}
	for _, f := range failing {
		if f.stored() {
			runs[f.Run] = append(runs[f.Run], repo.Span{ID: f.ID, First: f.FirstSeq, Last: f.LastSeq, Profile: f.profile})
		}
	}
	for _, run := range slices.Sorted(maps.Keys(runs)) {
		if err := r.Excerpt(run, repo.Wanted{Tests: runs[run]}, sink.Event); err != nil {
			return err
		}
	}
	return nil
}

func explainFailing(env *environment, r repo.Queries, profiles []string, failing []failingTest) error {
	run, err := lastRun(r, failing)
	if err != nil {
		return err
	}
	text := newTextOutput(env, report.TextOptions{Routes: true})
	outcomes := event.NewOutcomes()
	if err := showFailing(r, failing, tee{text, outcomes}); err != nil {
		return err
	}
	outcomes.Finish()
	s := report.Summary{RunID: run, Counts: outcomes.Counts(), Tests: outcomes.Tests(), Profiles: outcomes.ByProfile()}
	for _, profile := range profiles {
		if key := profileKey(profile); s.Profiles[key] == (event.Counts{}) {
			s.Profiles[key] = event.Counts{}
		}
	}
	for _, f := range failing {
		key, count := profileKey(f.profile), event.Counts{}
		switch {
		case f.NotRun != "":
			count = event.Counts{Asked: 1, NotRun: 1}
			s.Tests = append(s.Tests, &event.Test{ID: f.ID, Profile: key, Asked: true, NotRun: f.NotRun})
		case f.Gone:
			count = event.Counts{Tests: 1, Failed: 1}
			s.Notes = append(s.Notes, goneNote(env, f))
		}
		s.Counts, s.Profiles[key] = s.Counts.Plus(count), s.Profiles[key].Plus(count)
	}
	return text.Summary(s)
}

// lastRun is the last run that is over. Where all were removed it is the last that
// something is known to have failed in.
func lastRun(r repo.Queries, failing []failingTest) (int, error) {
	info, err := r.Latest()
	if errors.Is(err, repo.ErrNoRuns) && len(failing) > 0 {
		last := slices.MaxFunc(failing, func(a, b failingTest) int { return cmp.Compare(a.Run, b.Run) })
		return last.Run, nil
	}
	return info.ID, err
}

// goneNote says what is left to say of a failure whose run was removed.
func goneNote(env *environment, f failingTest) string {
	id := f.ID
	if _, isTerminal := terminal(env.stdout); isTerminal {
		id = report.EscapeLine(id)
	}
	return fmt.Sprintf("%s failed in run %d, which was removed", id, f.Run)
}

// tee is two sinks, the second of which never fails.
type tee [2]event.Sink

// Event gives e to both.
func (t tee) Event(e event.Event) error {
	return errors.Join(t[0].Event(e), t[1].Event(e))
}
