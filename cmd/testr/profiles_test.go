package main

import (
	"errors"
	"strings"
	"testing"

	"testr/internal/config"
)

// TestAmong is the table of which profiles a command reads.
func TestAmong(t *testing.T) {
	t.Parallel()
	two := []string{"py27", "py34"}
	for _, test := range []struct {
		name               string
		configured, stored []string
		options            profileOptions
		want               string // the profiles, or the error
	}{
		{"nothing at all", nil, nil, profileOptions{}, "default"},
		{"no configuration", nil, []string{"default"}, profileOptions{}, "default"},
		{"nothing yet", two, nil, profileOptions{}, "py27"},
		{"one of two", two, []string{"py34"}, profileOptions{}, "py34"},
		{"both, in the configuration's order", two, []string{"py34", "py27"}, profileOptions{}, "py27 py34"},
		{"others don't count", two, []string{"default", "py34", "pypy"}, profileOptions{}, "py34"},
		{"only others", two, []string{"default", "pypy"}, profileOptions{},
			"no profile that is configured has results: choose one with --profile: default, pypy"},
		{"before the sections", two, []string{"py34"}, profileOptions{names: nameList{"default"}}, "default"},
		{"a set without a section", two, []string{"postgres,py34"}, profileOptions{names: nameList{"postgres,py34"}},
			"postgres,py34"},
		{"configured only", two, nil, profileOptions{names: nameList{"py34"}}, "py34"},
		{"twice", two, two, profileOptions{names: nameList{"py34", "py27", "py34"}}, "py34 py27"},
		{"unknown", two, []string{"pypy"}, profileOptions{names: nameList{"py35"}},
			`no profile "py35" is configured; did you mean "py34"?`},
		{"all", two, []string{"default", "py34"}, profileOptions{all: true}, "default py34"},
		{"all of nothing", two, nil, profileOptions{all: true}, "py27 py34"},
		{"one and all", two, nil, profileOptions{all: true, names: nameList{"py27"}},
			"--profile and --all-profiles: both say which profiles; leave one of them out"},
	} {
		cfg := &config.Config{}
		for _, name := range test.configured {
			cfg.Profiles = append(cfg.Profiles, config.Profile{Name: name})
		}
		names, err := test.options.among(cfg, test.stored)
		got := strings.Join(names, " ")
		if err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%s: got %s; want %s", test.name, got, test.want)
		}
		if e, usage := errors.AsType[*exit](err); err != nil && (!usage || e.status != statusUsage) {
			t.Errorf("%s: got %v; want it to be wrong usage", test.name, err)
		}
	}
}
