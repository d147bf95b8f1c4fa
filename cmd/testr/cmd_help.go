package main

import (
	"github.com/urfave/cli/v2"
)

func newHelpCommand() *cli.Command {
	return &cli.Command{
		Name:      "help",
		Usage:     "explain testr, or one of its commands",
		ArgsUsage: "[COMMAND...]",
		Action: func(c *cli.Context) error {
			return runHelp(c, c.Args().Slice())
		},
	}
}

// runHelp is --help of the command that was named.
func runHelp(c *cli.Context, path []string) error {
	commands := c.App.Commands
	for i, name := range path {
		cmd := find(commands, name)
		if cmd == nil {
			return usage(unknownCommand(commands, path[:i], name))
		}
		commands = cmd.Subcommands
	}
	args := append([]string{c.App.Name}, path...)
	return c.App.RunContext(c.Context, append(args, "--help"))
}

// appHelpTemplate is the library's, with the exit statuses, which are promised.
const appHelpTemplate = `NAME:
   {{.HelpName}} - {{.Usage}}

USAGE:
   {{.HelpName}} COMMAND [options] [arguments]

VERSION:
   {{.Version}}

COMMANDS:
{{range .VisibleCommands}}   {{join .Names ", "}}{{"\t"}}{{.Usage}}
{{end}}
OPTIONS:
   {{range .VisibleFlags}}{{.}}
   {{end}}
EXIT STATUS:
   0     done; for commands that judge a run: it passed
   1     tests failed
   2     wrong usage: unknown option, bad configuration
   3     testr could not do it: no repository, listing failed, no worker left, I/O error
   130   interrupted by SIGINT (143: by SIGTERM), after the workers ended

To begin, see "testr quickstart".
`
