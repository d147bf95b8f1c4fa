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

func runHelp(c *cli.Context, path []string) error {
	if len(path) == 0 {
		return cli.ShowAppHelp(c)
	}
	commands := c.App.Commands
	for i, name := range path {
		cmd := find(commands, name)
		if cmd == nil {
			return usage(unknownCommand(commands, path[:i], name))
		}
		if i == len(path)-1 {
			if len(cmd.Subcommands) > 0 {
				return cli.ShowSubcommandHelp(cli.NewContext(c.App, nil, &cli.Context{Context: c.Context, Command: cmd, App: c.App}))
			}
			return cli.ShowCommandHelp(cli.NewContext(&cli.App{Name: c.App.Name, Commands: commands, Writer: c.App.Writer}, nil, c), name)
		}
		commands = cmd.Subcommands
	}
	return nil
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
