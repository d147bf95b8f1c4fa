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
		Subcommands: []*cli.Command{newWorkerGoCommand(env)},
		Action: func(*cli.Context) error {
			return usage(errors.New("worker wants the name of a worker: go"))
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
			if err := noArguments(c); err != nil {
				return err
			}
			return runWorkerGo(c.Context, env, cfg)
		},
	}
}

func runWorkerGo(ctx context.Context, env *environment, cfg worker.GoConfig) error {
	cfg.Args, cfg.Stdin, cfg.Stdout, cfg.Stderr = env.rest, env.stdin, env.stdout, env.stderr
	cfg.Dir = env.here
	return worker.RunGo(ctx, cfg)
}
