package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"testr/internal/api"
	"testr/internal/daemon"
	"testr/internal/repo"
	"testr/internal/runner"
)

func newDaemonCommand(env *environment) *cli.Command {
	var idle value[time.Duration]
	return &cli.Command{
		Name:  "daemon",
		Usage: "take runs of other testrs, and keep instances between them",
		Description: `Stays in the foreground, has the repository open, and makes the runs that "testr run"
and "testr load" are asked for in this project, one after the other. What it has
provisioned for one it keeps for the next.

It ends with SIGTERM, SIGINT, SIGHUP and "testr daemon stop": the run that goes on is
interrupted, and instances are given back. Then the exit status is 0. It ends with 3 when
its repository is removed.`,
		Flags: append(globalFlags(env),
			idle.flag("idle", "keep instances for `TIME` without a run (default: what instance_idle says, else 10m)",
				parseDuration)),
		Subcommands: []*cli.Command{newDaemonStatusCommand(env), newDaemonStopCommand(env)},
		Action: func(c *cli.Context) error {
			return runDaemon(c.Context, env, idle.pointer())
		},
	}
}

func newDaemonStatusCommand(env *environment) *cli.Command {
	var asJSON bool
	return &cli.Command{
		Name:  "status",
		Usage: "tell what the daemon does",
		Description: `Shows the run that goes on, those that wait, the last ones, and what is provisioned.

The exit status is 0, or 3 if there is no daemon.`,
		Flags: []cli.Flag{&cli.BoolFlag{Name: "json", Destination: &asJSON, Usage: "write a JSON document"}},
		Action: func(c *cli.Context) error {
			return runDaemonStatus(c.Context, env, asJSON)
		},
	}
}

func newDaemonStopCommand(env *environment) *cli.Command {
	return &cli.Command{
		Name:  "stop",
		Usage: "end the daemon",
		Description: `Has the daemon interrupt its run and give its instances back, and waits for its end.

The exit status is 0, or 3 if there is no daemon.`,
		Action: func(c *cli.Context) error {
			return runDaemonStop(c.Context, env)
		},
	}
}

// runDaemon is the daemon, from its beginning to its end.
func runDaemon(ctx context.Context, env *environment, idle *time.Duration) (err error) {
	cfg, err := env.loadConfig()
	if err != nil {
		return err
	}
	root, err := filepath.Abs(cfg.Root)
	if err != nil {
		return fmt.Errorf("find %s: %w", cfg.Root, err)
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	if other, err := daemon.Find(ctx, root); err != nil || other != nil {
		return errors.Join(err, alreadyThere(other))
	}
	var d *daemon.Daemon
	h, err := env.hold(false, func(r *repo.Repository) map[string]http.Handler {
		d = daemon.New(daemon.Config{Repo: r, Root: root, Self: self, Idle: idle, Log: env.log,
			Warn: env.warn, Explain: env.failure, Abandon: env.signals.abandon})
		return d.Handlers()
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	if h.server == nil {
		d.Close()
		return errors.New("there is no socket, and so nobody could ask for a run")
	}
	env.tell("the daemon, process %d, takes runs in %s", os.Getpid(), root)
	err = awaitEnd(ctx, env, d, h.server)
	endDaemon(env, d)
	return err
}

// lookAgain is how often a daemon looks for its socket.
const lookAgain = 5 * time.Second

// awaitEnd waits until the daemon has to end. That nobody can ask it for anything any
// more, and so not for its end either, is an error.
func awaitEnd(ctx context.Context, env *environment, d *daemon.Daemon, s *api.Server) error {
	look := time.NewTicker(lookAgain)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			env.tell("the daemon ends: %v", context.Cause(ctx))
			return nil
		case <-d.Stopping():
			env.tell("the daemon ends: it was told to")
			return nil
		case <-look.C:
			if s.Lost() {
				return fmt.Errorf("the socket %s is gone, or another one is there: the daemon ends", s.Path())
			}
		}
	}
}

// endDaemon ends a daemon, with no patience once a second signal has come.
func endDaemon(env *environment, d *daemon.Daemon) {
	ended := make(chan struct{})
	var hurry sync.WaitGroup
	hurry.Go(func() {
		select {
		case <-env.signals.kill:
			d.Hurry()
		case <-ended:
		}
	})
	d.Close()
	close(ended)
	hurry.Wait()
}

// alreadyThere is the error of a daemon that is not the first.
func alreadyThere(first *daemon.Client) error {
	if first == nil {
		return nil
	}
	err := fmt.Errorf("a daemon has the repository already: process %d", first.PID())
	return &runner.HintError{Err: errors.Join(err, first.Close()), Hint: "testr daemon stop ends it"}
}

// failure puts an error into words for another process.
func (e *environment) failure(err error) *daemon.Failure {
	return &daemon.Failure{Text: err.Error(), Hints: e.hints(err), Status: exitStatus(err)}
}

// tell tells something that no command has for a result.
func (e *environment) tell(format string, args ...any) {
	_, _ = fmt.Fprintf(e.errWriter(), "testr: "+format+"\n", args...)
}

// someDaemon is the one that there is; that there is none is an error.
func (e *environment) someDaemon(ctx context.Context) (*daemon.Client, error) {
	d, err := e.daemon(ctx)
	if err == nil && d == nil {
		err = &runner.HintError{Err: errors.New("there is no daemon here"), Hint: "testr daemon starts one"}
	}
	return d, err
}

func runDaemonStop(ctx context.Context, env *environment) (err error) {
	d, err := env.someDaemon(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	return d.Stop(ctx)
}

func runDaemonStatus(ctx context.Context, env *environment, asJSON bool) (err error) {
	d, err := env.someDaemon(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	s, err := d.State(ctx)
	if err != nil {
		return err
	}
	if asJSON {
		return writeDocument(env, s)
	}
	return unlessGone(showDaemon(env, s))
}
