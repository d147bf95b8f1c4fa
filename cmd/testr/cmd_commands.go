package main

import (
	"github.com/urfave/cli/v2"

	"testr/internal/report"
)

func newCommandsCommand(env *environment) *cli.Command {
	return &cli.Command{
		Name:  "commands",
		Usage: "list the commands",
		Action: func(c *cli.Context) error {
			rows := [][]string{{"command", "description"}}
			for _, cmd := range c.App.Commands {
				rows = append(rows, []string{cmd.Name, cmd.Usage})
			}
			return unlessGone(report.WriteTable(env.stdout, rows, false))
		},
	}
}
