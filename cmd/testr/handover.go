package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"testr/internal/daemon"
	"testr/internal/repo"
	"testr/internal/runner"
	"testr/internal/supervisor"
)

// runs makes the runs of one request, one after the other.
type runs interface {
	// next makes a run, and has it shown. Its turn gets the seed.
	next(ctx context.Context, f *follower, turn *runner.Turn) (runner.Result, error)
	// ask is who answers what is to be told of the runs before.
	ask() repo.Queries
	// giveBack gives back what the runs had, before the last of them is summed up. It
	// may be called twice.
	giveBack() error
	// Close does that, and ends everything.
	Close() error
}

// runsHere are made by this process.
type runsHere struct {
	*runner.Runs
	env     *environment
	options runOptions
	queries repo.Queries
}

func (r *runsHere) next(ctx context.Context, f *follower, turn *runner.Turn) (runner.Result, error) {
	if r.options.random {
		if !r.options.seed.set {
			turn.Seed = newSeed()
		}
		r.env.tellSeed(turn.Seed)
	}
	over := func() {}
	turn.Begun = func(w *repo.RunWriter) {
		over = r.env.signals.pausing(ctx)
		f.begin(w)
	}
	if f.draws() {
		turn.Status = f.tell
	}
	defer func() { over() }()
	return r.Next(ctx, *turn)
}

func (r *runsHere) ask() repo.Queries { return r.queries }

func (r *runsHere) giveBack() error { return r.Close() }

// runsThere are made by a daemon.
type runsThere struct {
	*daemon.Series
	seed uint64 // of the last one
}

func (r *runsThere) next(ctx context.Context, f *follower, turn *runner.Turn) (runner.Result, error) {
	defer func() { turn.Seed = r.seed }()
	return r.Next(ctx, f.follow)
}

func (r *runsThere) ask() repo.Queries { return r.Queries() }

// giveBack has nothing to do: the daemon has, or keeps it.
func (r *runsThere) giveBack() error { return nil }

// tellSeed tells in which order a run will be, by its number.
func (e *environment) tellSeed(seed uint64) { _, _ = fmt.Fprintf(e.errWriter(), "seed %d\n", seed) }

// daemon is the one that has the repository, or nil if none has.
func (e *environment) daemon(ctx context.Context) (*daemon.Client, error) {
	root, err := e.root()
	if err != nil {
		return nil, err
	}
	return daemon.Find(ctx, root)
}

// daemonOrFile finds the daemon or, where there is none, opens the repository for
// writing, and makes one if force says so. One of both is there, and the caller's to
// close.
func (e *environment) daemonOrFile(ctx context.Context, force bool) (d *daemon.Client, r *held, err error) {
	if d, err = e.daemon(ctx); d != nil || err != nil {
		return d, nil, err
	}
	r, err = e.openToWrite(force)
	if _, busy := errors.AsType[*repo.BusyError](err); !busy {
		return nil, r, err
	}
	// Opening it has taken a while: it may be a daemon that was about to begin.
	if d, again := e.daemon(ctx); d != nil {
		return d, nil, again
	}
	return nil, nil, err
}

// busyHint is what to do about a repository that somebody else has.
func (e *environment) busyHint() string {
	const patience = 2 * time.Second
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if d, err := e.daemon(ctx); err == nil && d != nil {
		_ = d.Close()
		return `the daemon has it, and makes runs alone; "testr daemon stop" ends it`
	}
	return "a run is going on; ask again when it has ended"
}

// listener shows what a daemon tells of a run.
func (e *environment) listener(d *daemon.Client) daemon.Listener {
	return daemon.Listener{
		Waits: func(job, ahead int) {
			_, _ = fmt.Fprintf(e.errWriter(), "testr: job %d waits for %s of the daemon, process %d\n", job,
				count(ahead, "run"), d.PID())
		},
		Seed: e.tellSeed, Warn: e.warn, Progress: e.progress, Announce: e.announce,
		Log: func(lines string) { _, _ = io.WriteString(logWriter{e}, lines) },
	}
}

// handed is what this process is told and a daemon has to know of.
func (e *environment) handed() daemon.Signals {
	return daemon.Signals{Kill: e.signals.kill, Abandon: e.signals.abandon, Inspect: e.signals.inspect}
}

// runThere has a daemon make the runs, and shows them.
func runThere(ctx context.Context, env *environment, o runOptions, req runner.Request, d *daemon.Client) error {
	req.Environ = os.Environ()
	w := daemon.Wanted{Request: req, UntilFailure: o.untilFailure}
	if o.seed.set {
		w.Seed = &o.seed.value
	}
	if o.plan != "" {
		w.Plan = &daemon.Plan{File: o.plan, Text: o.planText}
	}
	if o.detach {
		taken, err := d.Detach(ctx, w)
		if err != nil {
			return err
		}
		return env.tellTaken(taken)
	}
	if _, isTerminal := terminal(env.stdout); isTerminal && !o.record.stream.subunit {
		w.Draws = true
	}
	there := &runsThere{}
	l := env.listener(d)
	l.Seed = func(seed uint64) {
		there.seed = seed
		env.tellSeed(seed)
	}
	l.Status = env.tellStatus
	var err error
	if there.Series, err = d.Run(ctx, w, env.handed(), l); err != nil {
		return err
	}
	return runAll(ctx, env, o, req, there)
}

// loadThere has a daemon store streams, and shows them.
func loadThere(ctx context.Context, env *environment, f *follower, d *daemon.Client, w daemon.WantedLoad) error {
	series, err := d.Load(ctx, w, env.handed(), env.listener(d))
	if err != nil {
		return err
	}
	defer func() { _ = series.Close() }() // it is over
	res, err := series.Next(ctx, f.follow)
	return loaded(ctx, res, f.end(series.Queries(), res, err))
}

// tellTaken tells what has become of a run that was left to the daemon.
func (e *environment) tellTaken(t daemon.Taken) (err error) {
	if t.Run >= 0 {
		_, err = fmt.Fprintf(e.stdout, "run %d\n", t.Run)
	} else {
		_, err = fmt.Fprintf(e.stdout, "job %d waits for %s\n", t.Job, count(t.Ahead, "run"))
	}
	return unlessGone(err)
}

// tellStatus has the state of a run shown, if one is.
func (e *environment) tellStatus(s supervisor.Status) {
	if f := e.follower.Load(); f != nil {
		f.tell(s)
	}
}
