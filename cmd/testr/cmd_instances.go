package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"testr/internal/config"
	"testr/internal/instance"
	"testr/internal/repo"
	"testr/internal/report"
	"testr/internal/runner"
)

func newInstancesCommand(env *environment) *cli.Command {
	return &cli.Command{
		Name:  "instances",
		Usage: "show and give back what runs have left",
		Description: `What hooks got for a run is given back when it ends. If testr was killed, or
if that failed, the next run tries again; this does so without a run.`,
		Subcommands: []*cli.Command{
			newInstancesDisposeCommand(env), newInstancesForgetCommand(env), newInstancesListCommand(env),
		},
		Action: func(*cli.Context) error {
			return usage(errors.New("instances wants one of: dispose, forget, list"))
		},
	}
}

func newInstancesListCommand(env *environment) *cli.Command {
	asJSON := false
	return &cli.Command{
		Name:  "list",
		Usage: "list the instances that are to be given back",
		Flags: []cli.Flag{
			jsonFlag(&asJSON),
		},
		Action: func(c *cli.Context) error {
			return runInstancesList(c.Context, env, asJSON)
		},
	}
}

func newInstancesDisposeCommand(env *environment) *cli.Command {
	return &cli.Command{
		Name:      "dispose",
		Usage:     "give instances back",
		ArgsUsage: "[ID...]",
		Description: `Runs the instance_dispose that the configuration has for them. Without an ID
it gives all instances back.

The exit status is 0 if nothing of it is left, else 3.`,
		Action: func(c *cli.Context) error {
			return runInstancesDispose(c.Context, env, c.Args().Slice())
		},
	}
}

func newInstancesForgetCommand(env *environment) *cli.Command {
	return &cli.Command{
		Name:      "forget",
		Usage:     "forget instances that are gone",
		ArgsUsage: "ID...",
		Description: `Takes instances out of the repository, and runs nothing. What "testr instances
list" shows with the key @N may be called that.`,
		Action: func(c *cli.Context) error {
			if !c.Args().Present() {
				return usage(errors.New("instances forget wants an ID, of those that \"testr instances list\" shows"))
			}
			return runInstancesForget(env, c.Args().Slice())
		},
	}
}

func runInstancesList(ctx context.Context, env *environment, asJSON bool) (err error) {
	r, err := env.openToRead(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	leases, err := r.Leases()
	switch {
	case err != nil:
		return err
	case asJSON:
		return writeLeases(env, leases)
	case len(leases) == 0:
		_, err = fmt.Fprintln(env.stdout, "No instances are to be given back.")
		return unlessGone(err)
	}
	rows := [][]string{{"key", "instance", "section", "since", "testr", "last failure"}}
	for _, l := range leases {
		rows = append(rows, leaseRow(l))
	}
	return unlessGone(report.WriteTable(env.stdout, rows, false))
}

// leaseRow is a lease for people. A repository may have anything in it, so all of
// it is escaped.
func leaseRow(l repo.Lease) []string {
	id, section, process, failure := l.ID, l.Section, strconv.Itoa(l.PID), l.Failure
	if id == "" {
		id, failure = "?", "unknown: a hook was at work"
	}
	if section == "" {
		section = "[DEFAULT]"
	}
	if !running(l.PID) {
		process += " (gone)"
	}
	failure, _, _ = strings.Cut(failure, "\n")
	row := []string{fmt.Sprintf("@%d", l.Key), id, section, l.Since.Local().Format(time.DateTime), process, failure}
	for n := range row {
		row[n] = report.EscapeLine(row[n])
	}
	return row
}

// running reports whether there is a process of that number.
func running(pid int) bool {
	return pid > 0 && !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
}

// jsonLease is a lease as "instances list --json" has it, which is documented.
type jsonLease struct {
	Key       uint64    `json:"key"`
	ID        *string   `json:"id"`
	Section   string    `json:"section"`
	Since     time.Time `json:"since"`
	PID       int       `json:"pid"`
	Running   bool      `json:"running"`
	Dispose   string    `json:"dispose"`
	Directory string    `json:"directory"`
	Failure   *string   `json:"failure"`
}

func writeLeases(env *environment, leases []repo.Lease) error {
	document := struct {
		Version   int         `json:"version"`
		Instances []jsonLease `json:"instances"`
	}{documentVersion, []jsonLease{}}
	for _, l := range leases {
		document.Instances = append(document.Instances, jsonLease{l.Key, textOrNull(l.ID), l.Section, l.Since, l.PID,
			running(l.PID), l.Dispose, l.Dir, textOrNull(l.Failure)})
	}
	return writeDocument(env, document)
}

func runInstancesDispose(ctx context.Context, env *environment, names []string) (err error) {
	cfg, err := env.loadConfig()
	if errors.Is(err, config.ErrNotFound) { // there may be a repository all the same
		var root string
		if root, err = env.root(); err == nil {
			cfg = &config.Config{Root: root, File: root + ", which has no " + config.Name + ","}
		}
	}
	if err != nil {
		return err
	}
	r, err := env.openToWrite(false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	leases, err := findLeases(r, names, false)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	machine := &instance.Local{Dir: cfg.Root, Guardian: []string{self, guardianCommand}}
	disposals := runner.Dispose(ctx, r.Repository, cfg, machine, leases)
	_, err = machine.Close() // what a hook has left behind is not worth a word: it was to give back
	left := false
	for _, d := range disposals {
		if d.Err != nil {
			left = true
			env.say("error", d.Err)
			continue
		}
		for _, l := range d.Leases {
			_, printErr := fmt.Fprintln(env.stdout, "disposed of", report.EscapeLine(runner.LeaseName(l)))
			err = errors.Join(err, unlessGone(printErr))
		}
	}
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err == nil && left:
		return &exit{status: statusError}
	}
	return err
}

func runInstancesForget(env *environment, names []string) (err error) {
	r, err := env.openToWrite(false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	leases, err := findLeases(r, names, true)
	if err != nil {
		return err
	}
	var printErr error
	for _, l := range leases {
		if err := r.RemoveLease(l.Key); err != nil {
			return err
		}
		_, err := fmt.Fprintln(env.stdout, "forgot", report.EscapeLine(runner.LeaseName(l)))
		printErr = errors.Join(printErr, unlessGone(err))
	}
	return printErr
}

// findLeases are those with these names, each of which has to be there, or all
// without names. A name is an id or, if no instance has that, an @ and a key. With
// one, no name may stand for several.
func findLeases(r repo.Queries, names []string, one bool) (found []repo.Lease, err error) {
	leases, err := r.Leases()
	if err != nil || len(names) == 0 {
		return leases, err
	}
	for _, name := range names {
		named := withName(leases, name)
		switch {
		case len(named) == 0:
			return nil, &runner.HintError{Err: fmt.Errorf("there is no instance %q to be given back", name),
				Hint: `"testr instances list" shows those that there are`}
		case len(named) > 1 && one:
			keys := make([]string, len(named))
			for n, l := range named {
				keys[n] = fmt.Sprintf("@%d (%s)", l.Key, l.Section)
			}
			return nil, fmt.Errorf("there are several instances %q: say which one, by %s", name, strings.Join(keys, ", "))
		}
		for _, l := range named {
			if !slices.Contains(found, l) {
				found = append(found, l)
			}
		}
	}
	return found, nil
}

func withName(leases []repo.Lease, name string) (named []repo.Lease) {
	for _, l := range leases {
		if l.ID == name && name != "" {
			named = append(named, l)
		}
	}
	if len(named) > 0 {
		return named
	}
	for _, l := range leases {
		if name == fmt.Sprintf("@%d", l.Key) {
			named = append(named, l)
		}
	}
	return named
}
