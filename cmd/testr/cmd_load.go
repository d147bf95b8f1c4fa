package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"testr/internal/api"
	"testr/internal/config"
	"testr/internal/daemon"
	"testr/internal/event"
	"testr/internal/repo"
	"testr/internal/runner"
)

type loadOptions struct {
	record  recordOptions
	profile value[string]
	files   []string
}

func newLoadCommand(env *environment) *cli.Command {
	var o loadOptions
	return &cli.Command{
		Name:      "load",
		Usage:     "store subunit streams as a run",
		ArgsUsage: "[FILE...]",
		Description: `Reads subunit streams, of version 2 or 1, from files, or one from stdin, and stores them
as one run. Of several streams, each is kept apart by its place, like a worker. The
tags of a test say to which profile of the configuration it belongs; --profile adds
those of one where there are none.

The exit status is 0 if all tests in it passed, 1 if some failed.`,
		Flags: append(o.record.flags(), o.profile.flag("profile",
			"what has no tag of any profile belongs to the profile `NAME`", parseName)),
		Action: func(c *cli.Context) error {
			o.files = c.Args().Slice()
			return runLoad(c.Context, env, o)
		},
	}
}

func runLoad(ctx context.Context, env *environment, o loadOptions) (err error) {
	defer giveHeadroom()()
	if err := o.record.stream.check(env); err != nil {
		return err
	}
	cfg, err := env.someConfig()
	if err != nil {
		return err
	}
	labels, err := o.labels(cfg)
	if err != nil {
		return err
	}
	streams, closeAll, err := openStreams(ctx, env, o.files)
	defer closeAll()
	if err != nil {
		return err
	}
	f := newFollower(env, o.record.stream, cfg.FilterTags, len(streams) > 1)
	d, r, err := env.daemonOrFile(ctx, o.record.forceInit)
	if err != nil {
		return err
	}
	if d != nil {
		defer func() { err = errors.Join(err, d.Close()) }()
		defer env.prune(cfg, d.Edits())
		return loadThere(ctx, env, f, d, daemon.WantedLoad{Command: os.Args[1:], Partial: o.record.partial, Streams: streams,
			Labels: daemon.Labels{Sets: cfg.ProfileTags(), Tags: labels.Tags, Profile: labels.Profile}})
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	defer env.prune(cfg, r)
	info := repo.RunInfo{Start: time.Now(), Partial: o.record.partial, Command: os.Args[1:]}
	res, err := runner.Load(ctx, r.Repository, streams, labels, info, f.begin)
	return loaded(ctx, res, f.end(r, res, err))
}

// loaded judges a run that was loaded.
func loaded(ctx context.Context, res runner.Result, err error) error {
	switch {
	case res.Interrupted:
		return errors.Join(context.Cause(ctx), err)
	case err != nil:
		return err
	}
	return judge(res.Outcomes.Counts())
}

// prune removes the runs that the configuration doesn't keep. That it can't changes no
// verdict.
func (e *environment) prune(cfg *config.Config, r api.Edits) {
	if cfg.KeepRuns == 0 && cfg.KeepDays == 0 {
		return
	}
	if _, err := r.Prune(cfg.KeepRuns, repo.DaysAgo(cfg.KeepDays)); err != nil {
		e.say("warning", fmt.Errorf("remove old runs: %w", err))
	}
}

// labels are what says to which profile a packet belongs.
func (o *loadOptions) labels(cfg *config.Config) (runner.Labels, error) {
	labels := runner.Labels{Profiles: event.NewProfiles(cfg.ProfileTags())}
	if !o.profile.set || o.profile.value == config.DefaultProfile {
		return labels, nil
	}
	profiles, err := cfg.Choose(o.profile.value)
	if err != nil {
		return labels, usage(err)
	}
	labels.Profile, labels.Tags = profiles[0].Name, profiles[0].Tags
	return labels, nil
}

// openStreams opens all files before any of them is read.
func openStreams(ctx context.Context, env *environment, files []string) (
	streams []runner.Stream, closeAll func(), err error,
) {
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
		f, err := openFile(ctx, name)
		if err != nil {
			return nil, closeAll, fmt.Errorf("load: %w", err)
		}
		opened = append(opened, f)
		streams = append(streams, runner.Stream{Name: name, Reader: f})
	}
	return streams, closeAll, nil
}
