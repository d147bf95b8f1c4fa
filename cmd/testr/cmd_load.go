package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"testr/internal/config"
	"testr/internal/repo"
	"testr/internal/runner"
)

type loadOptions struct {
	record recordOptions
	files  []string
}

func newLoadCommand(env *environment) *cli.Command {
	var o loadOptions
	return &cli.Command{
		Name:      "load",
		Usage:     "store subunit streams as a run",
		ArgsUsage: "[FILE...]",
		Description: `Reads subunit streams, of version 2 or 1, from files, or one from stdin, and stores them
as one run. Of several streams, each is kept apart by its place, like a worker.

The exit status is 0 if all tests in it passed, 1 if some failed.`,
		Flags: o.record.flags(),
		Action: func(c *cli.Context) error {
			o.files = c.Args().Slice()
			return runLoad(c.Context, env, o)
		},
	}
}

func runLoad(ctx context.Context, env *environment, o loadOptions) (err error) {
	if err := o.record.stream.check(env); err != nil {
		return err
	}
	filterTags, err := env.filterTags()
	if err != nil {
		return err
	}
	streams, closeAll, err := openStreams(env, o.files)
	defer closeAll()
	if err != nil {
		return err
	}
	r, err := env.openToWrite(o.record.forceInit)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	f := newFollower(env, o.record.stream, filterTags, len(streams) > 1)
	info := repo.RunInfo{Start: time.Now(), Partial: o.record.partial, Command: os.Args[1:]}
	res, err := runner.Load(ctx, r.Repository, streams, info, f.begin)
	err = f.end(r, res, err)
	switch {
	case res.Interrupted:
		return errors.Join(context.Cause(ctx), err)
	case err != nil:
		return err
	}
	return judge(res.Outcomes.Counts())
}

// filterTags are the configuration's, where there is one: a stream can be
// loaded without.
func (e *environment) filterTags() ([]string, error) {
	cfg, err := e.loadConfig()
	if errors.Is(err, config.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return cfg.FilterTags, nil
}

// openStreams opens all files before any of them is read.
func openStreams(env *environment, files []string) (streams []runner.Stream, closeAll func(), err error) {
	var opened []*os.File
	closeAll = func() {
		for _, f := range opened {
			_ = f.Close()
		}
	}
	if len(files) == 0 {
		return []runner.Stream{{Name: "stdin", Reader: env.stdin}}, closeAll, nil
	}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return nil, closeAll, fmt.Errorf("load: %w", err)
		}
		opened = append(opened, f)
		streams = append(streams, runner.Stream{Name: name, Reader: f})
	}
	return streams, closeAll, nil
}
