package main

import (
	"context"
	"errors"

	"github.com/urfave/cli/v2"

	"testr/internal/worker"
)

func newWorkerCommand(env *environment) *cli.Command {
	return &cli.Command{
		Name:  "worker",
		Usage: "run a built-in worker on stdin and stdout",
		Description: `A worker reads requests for tests as subunit packets and writes what happens as a
subunit stream. "testr run" starts workers by itself.`,
		Subcommands: []*cli.Command{newWorkerCheckCommand(env), newWorkerGoCommand(env), newWorkerTapCommand(env)},
		Action: func(*cli.Context) error {
			return usage(errors.New("worker wants one of: check, go, tap"))
		},
	}
}

func newWorkerGoCommand(env *environment) *cli.Command {
	cfg := worker.GoConfig{}
	return &cli.Command{
		Name:      "go",
		Usage:     "run Go tests, each by its id",
		ArgsUsage: "-- [what would follow \"go test\"]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "list", Destination: &cfg.List, Usage: "list the tests"},
			&cli.StringFlag{Name: "build-dir", Destination: &cfg.BuildDir,
				Usage: "keep test binaries in `DIR`, which other workers share"},
		},
		Action: func(c *cli.Context) error {
			return runWorkerGo(c.Context, env, cfg)
		},
	}
}

func runWorkerGo(ctx context.Context, env *environment, cfg worker.GoConfig) error {
	cfg.Args, cfg.Stdin, cfg.Stdout, cfg.Stderr = env.rest, env.stdin, env.stdout, env.stderr
	cfg.Dir = env.here
	return worker.RunGo(ctx, cfg)
}

func newWorkerTapCommand(env *environment) *cli.Command {
	cfg := worker.TapConfig{}
	return &cli.Command{
		Name:      "tap",
		Usage:     "run scripts that write TAP, each by its path",
		ArgsUsage: "-- [what would follow \"prove\"]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "list", Destination: &cfg.List, Usage: "list the scripts"},
		},
		Action: func(c *cli.Context) error {
			return runWorkerTap(c.Context, env, cfg)
		},
	}
}

func runWorkerTap(ctx context.Context, env *environment, cfg worker.TapConfig) error {
	cfg.Args, cfg.Stdin, cfg.Stdout = env.rest, env.stdin, env.stdout
	cfg.Dir = env.here
	return worker.RunTap(ctx, cfg)
}
