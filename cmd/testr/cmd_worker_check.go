package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"testr/internal/report"
	"testr/internal/worker"
)

func newWorkerCheckCommand(env *environment) *cli.Command {
	cfg := worker.CheckConfig{}
	return &cli.Command{
		Name:      "check",
		Usage:     "look whether a command keeps the rules of streaming workers",
		ArgsUsage: "-- COMMAND [ARGS...]",
		Description: `It starts COMMAND again and again, has it list its tests and runs some of them. Exit
status 1 means that it broke a rule, 3 that it could not be started. See
docs/writing-a-worker.md.`,
		Flags: []cli.Flag{
			&cli.DurationFlag{Name: "timeout", Destination: &cfg.Timeout, Value: worker.DefaultCheckTimeout,
				Usage: "how long each step may take: `D`, such as 90s"},
		},
		Action: func(c *cli.Context) error {
			return runWorkerCheck(c.Context, env, cfg)
		},
	}
}

func runWorkerCheck(ctx context.Context, env *environment, cfg worker.CheckConfig) error {
	if len(env.rest) == 0 {
		return usage(errors.New("worker check wants a command, after --"))
	}
	if cfg.Timeout <= 0 {
		return usage(fmt.Errorf("--timeout %s is no time to wait", cfg.Timeout.Round(time.Millisecond)))
	}
	cfg.Args, cfg.Dir = env.rest, env.here
	found, err := worker.Check(ctx, cfg)
	if err != nil {
		return err
	}
	if err := writeCheck(env.stdout, found); err != nil {
		return err
	}
	if found.Broken() {
		return errFailed
	}
	return nil
}

// writeCheck writes a line for each rule, and which tests were run. What others
// wrote is escaped in it, whatever it is written to.
func writeCheck(w io.Writer, found *worker.CheckReport) error {
	var b strings.Builder
	for _, r := range found.Rules {
		switch r.Verdict {
		case worker.CheckKept:
			fmt.Fprintf(&b, "ok %s\n", r.Name)
		case worker.CheckBroken:
			fmt.Fprintf(&b, "BROKEN %s: %s (the rule: %s)\n", r.Name, report.EscapeLine(r.Seen), r.Says)
		default:
			fmt.Fprintf(&b, "untried %s: %s\n", r.Name, report.EscapeLine(r.Seen))
		}
	}
	b.WriteString("tests run:")
	for _, id := range found.Tests {
		b.WriteString(" " + report.EscapeLine(id))
	}
	_, err := io.WriteString(w, b.String()+"\n")
	return err
}
