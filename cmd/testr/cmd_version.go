package main

import (
	"fmt"

	"github.com/urfave/cli/v2"
)

func newVersionCommand(env *environment) *cli.Command {
	return &cli.Command{
		Name:  "version",
		Usage: "print the version of testr",
		Action: func(*cli.Context) error {
			_, err := fmt.Fprintf(env.stdout, "testr %s\n", version())
			return unlessGone(err)
		},
	}
}
