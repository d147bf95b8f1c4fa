package main

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"testr/internal/config"
	"testr/internal/repo"
	"testr/internal/report"
)

func newProfilesCommand(env *environment) *cli.Command {
	asJSON := false
	return &cli.Command{
		Name:  "profiles",
		Usage: "list the profiles, with what is known of them",
		Description: `Lists the profiles that the configuration has, and those that only the repository has
results of.`,
		Flags: []cli.Flag{jsonFlag(&asJSON)},
		Action: func(c *cli.Context) error {
			return runProfiles(c.Context, env, asJSON)
		},
	}
}

// knownProfile is a profile of the configuration, of the repository, or both.
type knownProfile struct {
	repo.Profile
	configured bool
	tags       []string
}

func runProfiles(ctx context.Context, env *environment, asJSON bool) (err error) {
	r, err := env.openWithConfig(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	stored, err := r.Profiles()
	if err != nil {
		return err
	}
	profiles := knownProfiles(r.cfg, stored)
	if asJSON {
		return writeProfiles(env, profiles)
	}
	rows := [][]string{{"profile", "tags", "tests", "failing", "runs", "last run"}}
	for _, p := range profiles {
		last, name := "", p.Name
		if p.LastRun >= 0 {
			last = strconv.Itoa(p.LastRun)
		}
		if !p.configured {
			name += " (not configured)"
		}
		rows = append(rows, []string{report.EscapeLine(name), report.EscapeLine(strings.Join(p.tags, " ")),
			strconv.Itoa(p.Tests), strconv.Itoa(p.Failing), strconv.Itoa(p.Runs), last})
	}
	return unlessGone(report.WriteTable(env.stdout, rows, false))
}

// knownProfiles are those of the configuration, in its order, and after them those
// that only the repository has.
func knownProfiles(cfg *config.Config, stored []repo.Profile) (all []knownProfile) {
	for _, p := range cfg.Profiles {
		known := knownProfile{repo.Profile{Name: p.Name, LastRun: -1}, true, p.Tags}
		if i := slices.IndexFunc(stored, func(s repo.Profile) bool { return s.Name == p.Name }); i >= 0 {
			known.Profile = stored[i]
		}
		all = append(all, known)
	}
	for _, s := range stored {
		if !slices.ContainsFunc(all, func(k knownProfile) bool { return k.Name == s.Name }) {
			all = append(all, knownProfile{Profile: s})
		}
	}
	return all
}

func writeProfiles(env *environment, profiles []knownProfile) error {
	type profile struct {
		Name       string   `json:"name"`
		Configured bool     `json:"configured"`
		Tags       []string `json:"tags"`
		Tests      int      `json:"tests"`
		Failing    int      `json:"failing"`
		Runs       int      `json:"runs"`
		LastRun    *int     `json:"last_run"`
	}
	document := struct {
		Version  int       `json:"version"`
		Profiles []profile `json:"profiles"`
	}{documentVersion, []profile{}}
	for _, p := range profiles {
		d := profile{p.Name, p.configured, p.tags, p.Tests, p.Failing, p.Runs, nil}
		if p.LastRun >= 0 {
			d.LastRun = &p.LastRun
		}
		if d.Tags == nil {
			d.Tags = []string{}
		}
		document.Profiles = append(document.Profiles, d)
	}
	return writeDocument(env, document)
}
