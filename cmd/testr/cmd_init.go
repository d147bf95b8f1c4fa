package main

import (
	"github.com/urfave/cli/v2"

	"testr/internal/repo"
)

func newInitCommand(env *environment) *cli.Command {
	return &cli.Command{
		Name:  "init",
		Usage: "make a repository here",
		Description: `The repository is the directory ` + repo.DirName + `, beside the .testr.conf. It keeps every
event of every run.`,
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			return runInit(env)
		},
	}
}

func runInit(env *environment) error {
	root, err := env.root()
	if err != nil {
		return err
	}
	return repo.Init(root)
}
