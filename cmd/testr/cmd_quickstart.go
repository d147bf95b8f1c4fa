package main

import (
	_ "embed"
	"fmt"

	"github.com/urfave/cli/v2"
)

//go:embed quickstart.txt
var quickstart string

func newQuickstartCommand(env *environment) *cli.Command {
	return &cli.Command{
		Name:  "quickstart",
		Usage: "show how to begin",
		Action: func(*cli.Context) error {
			_, err := fmt.Fprint(env.stdout, quickstart)
			return unlessGone(err)
		},
	}
}
