package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"testr/internal/legacy"
	"testr/internal/report"
	"testr/internal/runner"
)

type importOptions struct {
	dir       string
	forceInit bool
}

func newImportCommand(env *environment) *cli.Command {
	var o importOptions
	return &cli.Command{
		Name:      "import",
		Usage:     "take over the runs of testrepository or stestr",
		ArgsUsage: "DIR",
		Description: `DIR is a .testrepository or .stestr directory, or what it is in. All runs are stored, in
their order, and the tests that fail there fail here. Nothing in DIR is changed.

An import that was interrupted goes on when it is begun again; runs that are there
already are not stored twice.`,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "force-init", Destination: &o.forceInit, Usage: "make a repository if there is none"},
		},
		Action: func(c *cli.Context) error {
			if c.NArg() != 1 {
				return usage(fmt.Errorf("import wants one directory, not %d arguments", c.NArg()))
			}
			o.dir = c.Args().First()
			return runImport(c.Context, env, o)
		},
	}
}

func runImport(ctx context.Context, env *environment, o importOptions) (err error) {
	d, err := legacy.Open(o.dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	r, err := env.openToWrite(o.forceInit)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	res, err := legacy.Import(ctx, r.Repository, d, func(err error) { env.say("warning", err) })
	if errors.Is(err, legacy.ErrOwnRuns) {
		err = &runner.HintError{Err: err, Hint: "imported runs come before all others: " +
			"import them into a repository of their own, with --force-init and -d"}
	}
	if err != nil {
		return err
	}
	if !env.quiet {
		err = tellImport(env, d.Path, res)
	}
	if err == nil && res.LeftOut > 0 {
		verb := "were"
		if res.LeftOut == 1 {
			verb = "was"
		}
		err = fmt.Errorf("import %s: %s %s not imported as a whole", d.Path, count(res.LeftOut, "run"), verb)
	}
	return unlessGone(err)
}

// tellImport prints what an import has done.
func tellImport(env *environment, dir string, res legacy.Result) error {
	text := fmt.Sprintf("Imported %s from %s", count(res.Runs, "run"), dir)
	if res.Known > 0 {
		text += fmt.Sprintf(", %d being there already", res.Known)
	}
	if res.Passed > 0 {
		text += fmt.Sprintf(", %d being older than one that is there, and not taken", res.Passed)
	}
	text += "."
	if res.Runs > 0 {
		text += fmt.Sprintf("\n%s in the failing set.", count(res.Failing, "test"))
	}
	out := env.stdout
	if _, ok := terminal(out); ok {
		out = report.NewEscapeWriter(out)
	}
	_, err := fmt.Fprintln(out, text)
	return err
}
