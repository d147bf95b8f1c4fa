package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"testr/internal/runner"
)

type runOptions struct {
	selection   selectionOptions
	record      recordOptions
	parallel    bool
	concurrency int

	timeout, slow    value[time.Duration]
	retries, maxFail value[int]
	failFast         bool
	isolated         bool
	untilFailure     bool
	random           bool
	seed             value[uint64]
	resume           bool
	like             value[runner.Like]
	plan             string
	planText         []byte // what is in it
	detach           bool
}

func (o *runOptions) flags() []cli.Flag {
	return slices.Concat(o.selection.flags(), o.record.flags(), []cli.Flag{
		&cli.BoolFlag{Name: "parallel", Destination: &o.parallel, Usage: "run tests on all processors"},
		&cli.IntFlag{Name: "concurrency", Destination: &o.concurrency,
			Usage: "with --parallel, run `N` workers (default: test_run_concurrency, else the processors)"},
		o.timeout.flag("timeout", "a test that takes longer than `TIME` fails (90, 1.5s, 2m; 0: none)", parseDuration),
		o.slow.flag("slow", "tell of tests that take longer than `TIME` (default: 60; 0: never)", parseDuration),
		o.retries.flag("retries", "run a test that fails up to `N` times again", parseCount),
		&cli.BoolFlag{Name: "fail-fast", Destination: &o.failFast, Usage: "stop when a test has failed"},
		o.maxFail.flag("max-fail", "stop when `N` tests have failed", parseCount),
		&cli.BoolFlag{Name: "isolated", Destination: &o.isolated, Usage: "run each test in a process of its own"},
		&cli.BoolFlag{Name: "until-failure", Destination: &o.untilFailure, Usage: "run again and again until a run fails"},
		&cli.BoolFlag{Name: "random", Destination: &o.random, Usage: "run the tests in a random order"},
		o.seed.flag("seed", "run them in the random order that has the number `N`", parseSeed),
		&cli.BoolFlag{Name: "resume", Destination: &o.resume, Usage: "run what the last run left"},
		o.like.flag("like", "run what a run had, or one worker of it, in that order: `RUN[/ROUTE]`", runner.ParseLike),
		&cli.StringFlag{Name: "plan", Destination: &o.plan, Usage: "run one part after another, as `FILE` says"},
		&cli.BoolFlag{Name: "detach", Destination: &o.detach, Usage: "leave the run to the daemon, and don't wait for it"},
	})
}

// contradictions are the pairs of options of which only one can be given, with
// what they have in common.
var contradictions = []struct{ one, other, both string }{
	{"resume", "failing", bothSelect},
	{"resume", "load-list", bothSelect},
	{"resume", "like", bothSelect},
	{"like", "failing", bothSelect},
	{"like", "load-list", bothSelect},
	{"like", "partition", bothSelect},
	{"like", "random", bothOrder},
	{"like", "seed", bothOrder},
	{"like", "plan", bothOrder},
	{"like", "parallel", "--like runs on one worker, --parallel on several"},
	{"like", "concurrency", "--like runs on one worker, --concurrency on several"},
	{"resume", "until-failure", "--resume takes up a run, --until-failure begins new ones"},
	{"detach", "subunit", "--detach shows nothing of the run"},
	{"fail-fast", "max-fail", "--fail-fast is --max-fail 1"},
}

const (
	bothSelect = "both say which tests run"
	bothOrder  = "both say in which order tests run"
)

// check finds out whether the options can stand together.
func (o *runOptions) check(c *cli.Context) error {
	for _, x := range contradictions {
		if c.IsSet(x.one) && c.IsSet(x.other) {
			return usage(fmt.Errorf("--%s and --%s: %s; leave one of them out", x.one, x.other, x.both))
		}
	}
	switch {
	case o.like.set && len(o.selection.filters) > 0:
		return usage(fmt.Errorf("--like and the filter %q: %s; leave one of them out", o.selection.filters[0], bothSelect))
	case o.concurrency < 0:
		return usage(fmt.Errorf("--concurrency %d: want 0 or more", o.concurrency))
	}
	o.random = o.random || o.seed.set
	return nil
}

// fill puts the options into a request.
func (o *runOptions) fill(ctx context.Context, req *runner.Request) error {
	req.Parallel, req.Concurrency, req.Partial = o.parallel, o.concurrency, o.record.partial
	req.Timeout, req.Slow, req.Retries = o.timeout.pointer(), o.slow.pointer(), o.retries.pointer()
	req.MaxFail = o.maxFail.value
	if o.failFast {
		req.MaxFail = 1
	}
	req.Isolated, req.Random, req.Seed = o.isolated, o.random, o.seed.value
	req.Select.Resume, req.Select.Like = o.resume, o.like.pointer()
	if o.plan == "" {
		return nil
	}
	var err error
	if o.planText, err = readFile(ctx, o.plan); err != nil {
		return fmt.Errorf("read the plan: %w", err)
	}
	req.Segments, err = runner.ParseSegments(o.plan, o.planText)
	return err
}

// newSeed is a number that people can type.
func newSeed() uint64 { return rand.Uint64N(1_000_000_000) }
