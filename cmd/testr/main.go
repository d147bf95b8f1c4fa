// Command testr runs test suites in parallel and keeps every event of every
// run. See docs/ and `testr help`.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"testr/internal/daemon"
	"testr/internal/runner"
)

func main() {
	if slices.Equal(os.Args[1:], []string{guardianCommand}) {
		os.Exit(guardian(os.Stderr))
	}
	if len(os.Args) > 1 && os.Args[1] == rshCommand {
		os.Exit(rsh(os.Args[2:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(run(os.Args, os.Stdin, os.Stdout, os.Stderr))
}

// run is testr: arguments and streams in, exit status out. It is the only
// place where an error or a verdict becomes an exit status.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, signals, stop := withSignals()
	defer stop()
	env := newEnvironment(stdin, stdout, stderr)
	env.signals = signals
	err := dispatch(ctx, env, args)
	env.explain(err)
	return exitStatus(err)
}

// dispatch takes the command line apart and runs the command.
func dispatch(ctx context.Context, env *environment, args []string) error {
	app := newApp(env)
	args, env.rest = splitRest(args)
	if !slices.Contains(args, completionFlag) {
		var err error
		if args, err = arrange(app, args); err != nil {
			return err
		}
	}
	return app.RunContext(ctx, args)
}

// completionFlag is what the completion scripts add to a command line.
const completionFlag = "--generate-bash-completion"

func newApp(env *environment) *cli.App {
	app := &cli.App{
		Name:                 "testr",
		Usage:                "run tests in parallel, keep every result, and answer questions about them",
		Version:              version(),
		HideVersion:          true,
		HideHelpCommand:      true,
		EnableBashCompletion: true,
		Reader:               env.stdin,
		Writer:               env.stdout,
		ErrWriter:            env.stderr,
		Flags:                append(globalFlags(env), cli.HelpFlag),
		ExitErrHandler:       func(*cli.Context, error) {}, // exit statuses are exitStatus's alone
		OnUsageError:         usageError,
		Action:               cli.ShowAppHelp,
		Commands: []*cli.Command{
			newCommandsCommand(env),
			newCompletionCommand(env),
			newDaemonCommand(env),
			newDoctorCommand(env),
			newFailingCommand(env),
			newFlakyCommand(env),
			newHelpCommand(),
			newHistoryCommand(env),
			newImportCommand(env),
			newInitCommand(env),
			newInstancesCommand(env),
			newLastCommand(env),
			newListTestsCommand(env),
			newLoadCommand(env),
			newProfilesCommand(env),
			newQuickstartCommand(env),
			newRelayCommand(env),
			newRunCommand(env),
			newSlowestCommand(env),
			newStatsCommand(env),
			newSubunitCommand(env),
			newVersionCommand(env),
			newWorkerCommand(env),
		},
		CustomAppHelpTemplate: appHelpTemplate,
	}
	prepare(env, app.Commands)
	return app
}

// prepare gives every command what all of them have.
func prepare(env *environment, commands []*cli.Command) {
	for _, c := range commands {
		c.OnUsageError = usageError
		c.HideHelpCommand = true
		if len(c.Subcommands) == 0 {
			c.Flags = append(c.Flags, globalFlags(env)...)
		}
		c.Action = arguments(env, c)
		prepare(env, c.Subcommands)
	}
}

// globalFlags are those that may stand before or after the command.
func globalFlags(env *environment) []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "here", Aliases: []string{"d"}, Value: ".",
			Usage:  "work in `DIR` instead of the current directory",
			Action: func(_ *cli.Context, dir string) error { env.here = dir; return nil }},
		&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "don't print the summary",
			Action: func(_ *cli.Context, on bool) error { env.quiet = on; return nil }},
	}
}

// exit is an error that stands for an exit status.
type exit struct {
	status int
	err    error // nil: there is nothing to say
}

// Error is the reason, or the empty string.
func (e *exit) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

// Unwrap returns the reason.
func (e *exit) Unwrap() error { return e.err }

// The exit statuses. They are promised in `testr help`.
const (
	statusPassed = 0
	statusFailed = 1 // tests failed
	statusUsage  = 2 // wrong usage or configuration
	statusError  = 3 // testr could not do it
)

// errFailed says that the command did its work, and that tests failed.
var errFailed = &exit{status: statusFailed}

// usage makes an error of the person's.
func usage(err error) error { return &exit{status: statusUsage, err: err} }

// usageError is what the library has against an option. What is wrong with a value is
// said by those who read it, all but those of the library's own.
func usageError(c *cli.Context, err error, _ bool) error {
	text := err.Error()
	if strings.HasPrefix(text, "invalid value ") && !strings.HasSuffix(text, ": parse error") {
		return usage(err)
	}
	return usage(seeHelp(c, err))
}

// seeHelp adds to an error where the options and arguments of its command are told.
func seeHelp(c *cli.Context, err error) error {
	name := strings.TrimPrefix(c.Command.HelpName, c.App.Name)
	return &runner.HintError{Err: err, Hint: fmt.Sprintf("see %q", c.App.Name+" help"+name)}
}

// exitStatus is the one place that knows what each end means to the shell.
func exitStatus(err error) int {
	var e *exit
	var by interruptedBy
	var plan *runner.PlanError
	var there *daemon.Failure
	switch {
	case err == nil:
		return statusPassed
	case errors.As(err, &by):
		return 128 + int(by.signal)
	case errors.As(err, &e):
		return e.status
	case isConfigError(err), errors.As(err, &plan):
		return statusUsage
	case errors.As(err, &there):
		return there.Status
	}
	return statusError
}
