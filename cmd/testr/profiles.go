package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"testr/internal/config"
	"testr/internal/repo"
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

// chosen reports whether somebody chose.
func (o *profileOptions) chosen() bool { return o.all || len(o.names) > 0 }

// choose returns the profiles that were chosen, or nil if nobody did.
func (o *profileOptions) choose(cfg *config.Config) ([]config.Profile, error) {
	switch {
	case o.all && len(o.names) > 0:
		return nil, errBothProfiles()
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

func errBothProfiles() error {
	return usage(errors.New("--profile and --all-profiles: both say which profiles; leave one of them out"))
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

// profileKey is what events have of the profile with that name.
func profileKey(name string) string {
	if name == repo.DefaultProfile {
		return ""
	}
	return name
}

// readFlags are those of commands that read what is stored.
func (o *profileOptions) readFlags() []cli.Flag {
	return []cli.Flag{
		&cli.GenericFlag{Name: "profile", Value: &o.names, Usage: "of the profile `NAME`; may be given several times"},
		&cli.BoolFlag{Name: "all-profiles", Destination: &o.all, Usage: "of all profiles that there are results of"},
	}
}

// among returns the names of the profiles that a command reads, of those that there are
// results of: those that were chosen, each once, or all of the configuration's. Where nobody chose
// and only others have results somebody has to.
func (o *profileOptions) among(cfg *config.Config, stored []string) ([]string, error) {
	if o.all && len(o.names) > 0 {
		return nil, errBothProfiles()
	}
	configured := cfg.ProfileNames()
	if len(configured) == 0 { // there is no configuration
		configured = []string{repo.DefaultProfile}
	}
	known := slices.Clone(configured)
	for _, name := range stored {
		if !slices.Contains(known, name) {
			known = append(known, name)
		}
	}
	switch {
	case o.all && len(stored) > 0:
		return stored, nil
	case o.all:
		return configured, nil
	case len(o.names) > 0:
		for _, name := range o.names {
			if !slices.Contains(known, name) && name != repo.DefaultProfile {
				return nil, usage(&config.UnknownProfileError{Name: name, Known: known})
			}
		}
		return once(slices.Clone(o.names)), nil
	}
	found := slices.DeleteFunc(slices.Clone(configured), func(name string) bool { return !slices.Contains(stored, name) })
	switch {
	case len(found) > 0:
		return found, nil
	case len(stored) > 0:
		return nil, usage(fmt.Errorf("no profile that is configured has results: choose one with --profile: %s",
			strings.Join(stored, ", ")))
	}
	return configured[:1], nil // there is nothing yet
}

// storedProfiles are the names of the profiles that the repository has results of.
func storedProfiles(r repo.Queries) ([]string, error) {
	profiles, err := r.Profiles()
	return namesOf(profiles), err
}

func namesOf(profiles []repo.Profile) []string {
	names := make([]string, len(profiles))
	for i, p := range profiles {
		names[i] = p.Name
	}
	return names
}

// lastWith is the last run that is over and has one of the profiles; -1 if there is
// none.
func lastWith(stored []repo.Profile, names ...string) int {
	last := -1
	for _, p := range stored {
		if slices.Contains(names, p.Name) {
			last = max(last, p.LastRun)
		}
	}
	return last
}

// noRunHas is the error where no run has one of the profiles that were chosen.
func noRunHas(profiles []string) error {
	return fmt.Errorf("no run has the profile %s", strings.Join(profiles, " or "))
}

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
