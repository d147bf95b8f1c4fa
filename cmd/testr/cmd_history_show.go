package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"testr/internal/repo"
	"testr/internal/report"
)

func newHistoryShowCommand(env *environment) *cli.Command {
	var o viewOptions
	return &cli.Command{
		Name:      "show",
		Usage:     "show a run",
		ArgsUsage: "RUN",
		Description: `Says when, where, by whom and of what the run of that number was, and shows it as
"testr last" shows the last one.

The exit status is 0 if it passed, 1 if tests failed; with --subunit or --json it is 0.`,
		Flags: o.flags(),
		Action: func(c *cli.Context) error {
			if c.Args().Len() != 1 {
				return usage(errors.New("history show wants one RUN, of those that \"testr history list\" shows"))
			}
			run, err := runNumber(c.Args().First())
			if err != nil {
				return err
			}
			return runHistoryShow(c.Context, env, run, o)
		},
	}
}

func runHistoryShow(ctx context.Context, env *environment, run int, o viewOptions) (err error) {
	if err := o.check(env); err != nil {
		return err
	}
	r, err := env.openWithConfig(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	info, err := r.Run(run)
	switch {
	case err != nil:
		return noSuchRun(err)
	case info.State == repo.Running:
		return fmt.Errorf("run %d goes on: testr last --follow shows it", run)
	}
	o.introduced = !env.quiet
	return showRun(ctx, env, r, info, o)
}

// introduce says what is known of a run beside its tests. A repository may have
// anything in it, so all of it is escaped.
func introduce(env *environment, info repo.RunInfo) error {
	facts := []string{fmt.Sprintf("run %d, %s", info.ID, info.Start.Local().Format(time.DateTime))}
	for _, fact := range []struct{ word, value string }{
		{"on ", info.Host},
		{"by ", info.User},
		{"revision ", shortRevision(info.Revision, info.Dirty)},
	} {
		if fact.value != "" {
			facts = append(facts, fact.word+fact.value)
		}
	}
	line := strings.Join(facts, ", ") + ": testr " + strings.Join(info.Command, " ")
	if info.Why != "" {
		line += "\nended: " + strings.ReplaceAll(info.Why, "\n", " ")
	}
	for text := range strings.Lines(line) {
		if _, err := fmt.Fprintln(env.stdout, report.EscapeLine(strings.TrimSuffix(text, "\n"))); err != nil {
			return err
		}
	}
	return nil
}
