package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// splitRest cuts a command line at the first "--": what follows is the test
// command's.
func splitRest(args []string) (ours, rest []string) {
	if i := slices.Index(args, "--"); i >= 0 {
		return args[:i], args[i+1:]
	}
	return args, nil
}

// arrange puts the options of a command before its arguments, wherever they
// were typed, and options that stand before the command behind it: the library
// wants them there, and people are used to more freedom. What it can't place
// it leaves where it is, for the library to report.
func arrange(app *cli.App, args []string) ([]string, error) {
	args = slices.Clone(args)
	for i, word := range args {
		if word == "-?" { // testrepository has it
			args[i] = "--help"
		}
	}
	out := args[:1:1]
	var before []string
	args = args[1:]
	flags, commands := app.Flags, app.Commands
	for len(args) > 0 {
		n := flagWords(flags, args)
		if n == 0 {
			break
		}
		before, args = append(before, args[:n]...), args[n:]
	}
	if len(args) == 0 {
		return append(out, before...), nil
	}
	for len(args) > 0 {
		cmd := find(commands, args[0])
		if cmd == nil {
			if findFlag(app.Flags, args[0]) != nil {
				n := flagWords(app.Flags, args)
				before, args = append(before, args[:n]...), args[n:]
				continue
			}
			if strings.HasPrefix(args[0], "-") {
				break
			}
			return nil, usage(unknownCommand(commands, out[1:], args[0]))
		}
		out, args = append(out, args[0]), args[1:]
		flags, commands = cmd.Flags, cmd.Subcommands
		if len(commands) == 0 {
			break
		}
	}
	out = append(out, before...)
	var positional []string
	for len(args) > 0 {
		n := flagWords(flags, args)
		if n == 0 {
			positional, args = append(positional, args[0]), args[1:]
			continue
		}
		out, args = append(out, args[:n]...), args[n:]
	}
	return append(out, positional...), nil
}

// flagWords is how many of the first words are an option with its value, or 0
// if the first is none.
func flagWords(flags []cli.Flag, args []string) int {
	word := args[0]
	if len(word) < 2 || word[0] != '-' {
		return 0
	}
	d, ok := findFlag(flags, word).(cli.DocGenerationFlag)
	if ok && d.TakesValue() && !strings.Contains(word, "=") {
		return min(2, len(args))
	}
	return 1
}

// findFlag returns the option that a word is, or nil.
func findFlag(flags []cli.Flag, word string) cli.Flag {
	if !strings.HasPrefix(word, "-") {
		return nil
	}
	name, _, _ := strings.Cut(strings.TrimLeft(word, "-"), "=")
	for _, f := range flags {
		if slices.Contains(f.Names(), name) {
			return f
		}
	}
	return nil
}

func find(commands []*cli.Command, name string) *cli.Command {
	for _, c := range commands {
		if c.HasName(name) {
			return c
		}
	}
	return nil
}

func unknownCommand(commands []*cli.Command, parents []string, name string) error {
	var names []string
	for _, c := range commands {
		names = append(names, c.Name)
	}
	full := strings.Join(append(parents, name), " ")
	err := fmt.Errorf("unknown command %q; the commands are: %s", full, strings.Join(names, ", "))
	if s := cli.SuggestCommand(commands, name); s != "" && !strings.Contains(s, `""`) {
		return fmt.Errorf("%w. %s", err, s)
	}
	return err
}

// arguments has a command refuse what its ArgsUsage says nothing of: arguments, and
// those for a test command, behind "--".
func arguments(env *environment, cmd *cli.Command) cli.ActionFunc {
	act := cmd.Action
	ours, _, forTests := strings.Cut(cmd.ArgsUsage, "--")
	return func(c *cli.Context) error {
		switch {
		case ours == "" && c.Args().Present():
			return usage(seeHelp(c, fmt.Errorf("unexpected arguments: %s", strings.Join(c.Args().Slice(), " "))))
		case !forTests && len(env.rest) > 0:
			return usage(fmt.Errorf("%s takes no arguments for the test command: unexpected -- %s",
				c.Command.HelpName, strings.Join(env.rest, " ")))
		}
		return act(c)
	}
}
