package report

import (
	"fmt"
	"maps"
	"slices"

	"testr/internal/event"
)

// name is what tells the tests of a run apart.
type name struct{ profile, id string }

func nameOf(t *event.Test) name { return name{t.Profile, t.ID} }

// withProfile is what a test is called: its id, and its profile if that is not the
// default one.
func withProfile(id, profile string) string {
	if profile == "" {
		return id
	}
	return id + " (profile " + profile + ")"
}

// name appends what a test is called.
func (t *Text) name(dst []byte, of name) []byte {
	return t.quote.line(dst, withProfile(of.id, of.profile))
}

// appendProfiles appends a line for each profile. Where there is only one without a
// name nothing is said of it.
func (t *Text) appendProfiles(dst []byte, s Summary) []byte {
	if _, unnamed := s.Profiles[""]; len(s.Profiles) < 2 && (unnamed || len(s.Profiles) == 0) {
		return dst
	}
	for _, profile := range slices.Sorted(maps.Keys(s.Profiles)) {
		c := s.Profiles[profile]
		dst = append(dst, "profile "...)
		if profile == "" {
			dst = append(dst, defaultProfile...)
		} else {
			dst = t.quote.line(dst, profile)
		}
		dst = append(append(dst, ": "...), count(ran(c), "test", "tests")...)
		for _, part := range []struct {
			n    int
			what string
		}{
			{c.Failed, "failures"}, {c.Skipped, "skips"}, {c.Flaky, "flaky"}, {c.NotRun + c.Unaccounted(), "not run"},
		} {
			if part.n > 0 {
				dst = fmt.Appendf(dst, ", %s=%d", part.what, part.n)
			}
		}
		dst = append(dst, '\n')
	}
	return dst
}

// defaultProfile is what people call the profile without a name, beside others.
const defaultProfile = "default"
