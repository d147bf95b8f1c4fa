package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"testr/internal/config"
)

// profileOptions choose among the profiles of the configuration.
type profileOptions struct {
	names nameList
	all   bool
}

func (o *profileOptions) flags() []cli.Flag {
	return []cli.Flag{
		&cli.GenericFlag{Name: "profile", Value: &o.names,
			Usage: "under the profile `NAME`; may be given several times (default: what the configuration says, or all)"},
		&cli.BoolFlag{Name: "all-profiles", Destination: &o.all, Usage: "under all profiles"},
	}
}

// choose returns the profiles that were chosen, or nil if nobody did.
func (o *profileOptions) choose(cfg *config.Config) ([]config.Profile, error) {
	switch {
	case o.all && len(o.names) > 0:
		return nil, usage(errors.New("--profile and --all-profiles: both say under which profiles; leave one of them out"))
	case o.all:
		return cfg.Profiles, nil
	case len(o.names) == 0:
		return nil, nil
	}
	profiles, err := cfg.Choose(o.names...)
	if err != nil {
		return nil, usage(err)
	}
	return profiles, nil
}

var errName = errors.New("want a name")

func parseName(s string) (string, error) {
	if s == "" {
		return "", errName
	}
	return s, nil
}

// nameList is an option that may be given several times. What it has is not taken apart
// at commas: those stand in names of profiles that have no section.
type nameList []string

// Set adds a name.
func (n *nameList) Set(s string) error {
	if s == "" {
		return errName
	}
	*n = append(*n, s)
	return nil
}

// String is empty: the option shows no default.
func (n *nameList) String() string { return "" }

// chooseOne is the error of a command that is about one profile, where there are
// several to choose from.
func chooseOne(known []string) error {
	return usage(fmt.Errorf("there are several profiles: choose one with --profile: %s", strings.Join(known, ", ")))
}

// profileNames are the names of profiles.
func profileNames(profiles []config.Profile) []string {
	all := make([]string, len(profiles))
	for i, p := range profiles {
		all[i] = p.Name
	}
	return all
}
