package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"testr/internal/instance"
	"testr/internal/legacy"
	"testr/internal/repo"
)

func newInitCommand(env *environment) *cli.Command {
	return &cli.Command{
		Name:  "init",
		Usage: "make a repository here",
		Description: `The repository is the directory ` + repo.DirName + `, beside the .testr.conf. It keeps every
event of every run.`,
		Action: func(c *cli.Context) error {
			return runInit(c.Context, env)
		},
	}
}

func runInit(ctx context.Context, env *environment) error {
	root, err := env.root()
	if err != nil {
		return err
	}
	if err := repo.Init(root); err != nil {
		return err
	}
	return offerImport(ctx, env, legacy.Find(root))
}

// offerImport says that there are directories of older tools, and imports the only
// one if a person says so.
func offerImport(ctx context.Context, env *environment, found []string) error {
	for _, dir := range found {
		if len(found) == 1 {
			yes, asked, err := env.confirm(ctx, "Take over the runs of "+dir+"?")
			switch {
			case err != nil:
				return err
			case yes:
				return runImport(ctx, env, importOptions{dir: dir})
			case asked:
				continue
			}
		}
		_, _ = fmt.Fprintf(env.errWriter(), "testr: hint: take over the runs of %s by running \"%s import %s\"\n",
			dir, env.self(), instance.Quote(dir))
	}
	return nil
}

// confirm asks the person at the terminal, who has to say yes for that to be the
// answer. Without a terminal nobody is asked.
func (e *environment) confirm(ctx context.Context, question string) (yes, asked bool, err error) {
	stdin, isFile := e.stdin.(*os.File)
	if _, isTerminal := terminal(e.stderr); !isTerminal || !isFile || !term.IsTerminal(int(stdin.Fd())) {
		return false, false, nil
	}
	_, _ = fmt.Fprint(e.errWriter(), question+" [y/N] ")
	read := make(chan answer, 1)
	go func() { // left behind until the terminal gives it something, if ctx ends before that
		text, err := readLine(stdin)
		read <- answer{text, err}
	}()
	select {
	case a := <-read:
		if a.err != nil && !errors.Is(a.err, io.EOF) {
			return false, true, fmt.Errorf("read the answer: %w", a.err)
		}
		switch strings.ToLower(strings.TrimSpace(string(a.text))) {
		case "y", "yes":
			yes = true
		}
		return yes, true, nil
	case <-ctx.Done():
		return false, true, context.Cause(ctx)
	}
}
