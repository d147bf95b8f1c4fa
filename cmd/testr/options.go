package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"testr/internal/runner"
)

// selectionOptions are those that run and list-tests share.
type selectionOptions struct {
	failing   bool
	loadList  string
	partition value[runner.Partition]
	profiles  profileOptions
	filters   []string
}

func (o *selectionOptions) flags() []cli.Flag {
	return append(o.profiles.flags(),
		&cli.BoolFlag{Name: "failing", Destination: &o.failing, Usage: "only the tests that fail"},
		&cli.StringFlag{Name: "load-list", Destination: &o.loadList,
			Usage: "only the tests whose ids are in `FILE`, one a line"},
		o.partition.flag("partition", "only the tests of one of several parts: `K/N`", runner.ParsePartition),
	)
}

// recordOptions are those of the commands that record a run.
type recordOptions struct {
	partial   bool
	forceInit bool
	stream    streamOptions
}

func (o *recordOptions) flags() []cli.Flag {
	return append(o.stream.flags(),
		&cli.BoolFlag{Name: "partial", Destination: &o.partial,
			Usage: "the run says nothing about the tests that it doesn't have"},
		&cli.BoolFlag{Name: "force-init", Destination: &o.forceInit, Usage: "make a repository if there is none"},
		&cli.BoolFlag{Name: "full-results", Hidden: true, Usage: "accepted for old scripts; has no effect"},
	)
}

// streamOptions are those of the commands that can write a stream instead of text.
type streamOptions struct {
	subunit bool
	version string
}

func (o *streamOptions) flags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "subunit", Destination: &o.subunit, Usage: "write a subunit stream to stdout"},
		protocolFlag(&o.version),
	}
}

// check refuses to write a stream to a terminal: what others wrote stands in it
// as it is, and would be commands to the terminal.
func (o *streamOptions) check(env *environment) error {
	if !o.subunit {
		return nil
	}
	return notToTerminal(env)
}

func notToTerminal(env *environment) error {
	if _, ok := terminal(env.stdout); ok {
		return usage(errors.New("a subunit stream is not for a terminal: redirect it, or pipe it into testr subunit to-json"))
	}
	return nil
}

// form is an option that says in which form something is shown.
type form struct {
	option string
	given  bool
}

// oneForm refuses more than one of several forms.
func oneForm(forms ...form) error {
	var given []string
	for _, f := range forms {
		if f.given {
			given = append(given, f.option)
		}
	}
	if len(given) > 1 {
		return usage(fmt.Errorf("%s: want one form, or none", strings.Join(given, " and ")))
	}
	return nil
}

// protocolFlag is that of every command that writes a stream.
func protocolFlag(version *string) cli.Flag {
	return &cli.StringFlag{Name: "protocol", Destination: version, Value: "2.1",
		Usage: "subunit `VERSION` to write: 2 leaves parent test ids out",
		Action: func(_ *cli.Context, v string) error {
			if v != "2" && v != "2.1" {
				return usage(fmt.Errorf("--protocol %q: want 2 or 2.1", v))
			}
			return nil
		}}
}
