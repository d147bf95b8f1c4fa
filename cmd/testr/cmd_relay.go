package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"testr/internal/instance"
	"testr/internal/relay"
	"testr/internal/runner"
)

func newRelayCommand(env *environment) *cli.Command {
	return &cli.Command{
		Name:  "relay",
		Usage: "start workers here for a testr on another machine",
		Description: `This is what a remote machine runs: the testr of another machine starts it there, by
itself, with an ssh session as its stdin and stdout, where the section of an instance
says relay=yes. It starts commands as it is told, and passes on what goes to them and
comes from them. When the channel ends, all of them are killed.`,
		Action: func(c *cli.Context) error {
			return runRelay(c.Context, env)
		},
	}
}

func runRelay(ctx context.Context, env *environment) error {
	if isTerminal(env.stdin) || isTerminal(env.stdout) {
		return usage(errors.New("relay speaks to another testr on its stdin and stdout, and here is a terminal: " +
			"testr run starts it by itself, on a machine whose section in the configuration says relay=yes"))
	}
	if _, err := os.Stat(env.here); err != nil {
		return fmt.Errorf("work in %s: %w", env.here, err)
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	machine := &instance.Local{Dir: env.here, Guardian: []string{self, guardianCommand}}
	server := &relay.Server{Provider: machine, Version: version()}
	err = server.Serve(ctx, env.stdin, env.stdout)
	return errors.Join(err, runner.CloseMachine(machine, env.log))
}

// isTerminal reports whether a stream is a terminal.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
