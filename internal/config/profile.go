package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// DefaultProfile is the name of the profile that everything belongs to where there
// are no sections [profile NAME]. No section can have it.
const DefaultProfile = "default"

// Profile is a section [profile NAME]: a configuration under test. What the section
// doesn't say is that of [DEFAULT].
type Profile struct {
	Name string
	Line int      // of the section's header; 0 for the profile that has none
	Tags []string // what its events carry: sorted, each once; nil for the profile without a section
	Env  []string // KEY=VALUE, over what instances set
	Suite
}

// UnknownProfileError says that a profile was asked for that there is none of.
type UnknownProfileError struct {
	Name  string
	Known []string // the names of those that there are
}

// Error names the profile, and one that may be meant.
func (e *UnknownProfileError) Error() string {
	return fmt.Sprintf("no profile %q is configured%s", e.Name, didYouMean(e.Name, e.Known...))
}

// ProfileNames are the names of all profiles, in the order of the file.
func (c *Config) ProfileNames() []string {
	names := make([]string, len(c.Profiles))
	for i, p := range c.Profiles {
		names[i] = p.Name
	}
	return names
}

// Sectioned reports whether there are sections [profile NAME].
func (c *Config) Sectioned() bool { return len(c.Profiles) > 0 && c.Profiles[0].Line > 0 }

// ProfileTags are the tags of each profile that has some, by its name.
func (c *Config) ProfileTags() map[string][]string {
	sets := map[string][]string{}
	for _, p := range c.Profiles {
		if p.Line > 0 {
			sets[p.Name] = p.Tags
		}
	}
	return sets
}

// Choose returns the profiles with these names, each once and in their order; without
// any, those that run by default. The error is an *UnknownProfileError.
func (c *Config) Choose(names ...string) (profiles []Profile, err error) {
	if len(names) == 0 {
		if names = c.ByDefault; names == nil {
			return c.Profiles, nil
		}
	}
	for i, name := range names {
		at := slices.IndexFunc(c.Profiles, func(p Profile) bool { return p.Name == name })
		if at < 0 {
			return nil, &UnknownProfileError{name, c.ProfileNames()}
		}
		if !slices.Contains(names[:i], name) {
			profiles = append(profiles, c.Profiles[at])
		}
	}
	return profiles, nil
}

// profiles reads the sections [profile NAME], or what [DEFAULT] says in their place.
func (l *loader) profiles() {
	c := l.config
	lines, sets := map[string]int{}, map[string]*Profile{}
	for _, s := range l.file.sections {
		kind, name := s.header()
		if kind != "profile" {
			continue
		}
		r := profileReader{loader: l.in(s), to: Profile{Name: name, Line: s.line}}
		if line := lines[name]; line > 0 && name != "" {
			l.fail(s.line, fmt.Sprintf("section [%s] has the name of the one in line %d", s.name, line),
				"give each section a name of its own")
		}
		lines[name] = s.line
		r.read()
		set := strings.Join(r.to.Tags, " ")
		if other := sets[set]; other != nil && set != "" && other.Name != name {
			l.fail(r.tagsLine(), fmt.Sprintf("profile %s has the same tags as profile %s in line %d: %s",
				name, other.Name, other.Line, set), "results are told apart by their tags: give each profile others")
		}
		if sets[set] == nil {
			sets[set] = &r.to
		}
		c.Profiles = append(c.Profiles, r.to)
	}
	if c.Profiles == nil {
		c.Profiles = []Profile{{Name: DefaultProfile, Suite: l.suite()}}
	}
	c.ByDefault = l.profileNames(l.value("profiles"))
}

// profileNames reads a list of names of profiles. All of them need a section.
func (l *loader) profileNames(v Value) (names []string) {
	seen := map[string]bool{}
	for _, name := range words(v) {
		if seen[name] {
			continue
		}
		seen[name] = true
		names = append(names, name)
		if !slices.ContainsFunc(l.config.Profiles, func(p Profile) bool { return p.Line > 0 && p.Name == name }) {
			l.fail(v.Line, fmt.Sprintf("option %q: there is no section [profile %s]%s",
				"profiles", name, didYouMean(name, l.sectioned()...)), "begin one, or take the name away")
		}
	}
	return names
}

// sectioned are the names of the profiles that have a section.
func (l *loader) sectioned() []string {
	if !l.config.Sectioned() {
		return nil
	}
	return l.config.ProfileNames()
}

// profileReader reads a section [profile NAME].
type profileReader struct {
	*loader // of that section
	to      Profile
}

func (r *profileReader) read() {
	r.name()
	r.tags()
	r.to.Env = r.environment(r.section.entries)
	r.to.Suite = r.suite()
	for _, e := range r.section.entries {
		if !r.file.used[e] {
			r.misplaced(e)
		}
	}
}

// name checks the section's name, which stands in lists with commas and white space
// between.
func (r *profileReader) name() {
	name := r.to.Name
	bad := strings.IndexFunc(name, func(c rune) bool { return c == ',' || isSpace(c) || !unicode.IsPrint(c) })
	switch {
	case name == "":
		r.fail(r.to.Line, fmt.Sprintf("section [%s] has no name", r.section.name), "write [profile NAME]")
	case strings.EqualFold(name, DefaultProfile):
		r.fail(r.to.Line, fmt.Sprintf("section [%s]: the name is that of the profile without tags", r.section.name),
			"choose another one; what all profiles have in common stands in ["+defaultSection+"]")
	case bad >= 0:
		r.fail(r.to.Line, fmt.Sprintf("section [%s]: its name has %q in it", r.section.name, []rune(name[bad:])[0]),
			"a profile's name has no commas, white space or control characters")
	case len(name) > maxName:
		r.fail(r.to.Line, fmt.Sprintf("section [profile %.20s…]: its name is longer than %d bytes", name, maxName), "")
	}
}

// ownTag is what testr itself adds to the events of a worker, on this machine or behind
// a relay, or of an attempt.
var ownTag = regexp.MustCompile(`^(worker-\d+(-\d+)*|attempt-\d+)$`)

// writeTags says what tags look like.
const writeTags = "write tags with white space between, such as tags=py34 postgres; " +
	"without the option it is the profile's name"

// tags reads what the profile's events carry.
func (r *profileReader) tags() {
	v := Value{Text: r.to.Name, Line: r.to.Line}
	if r.section.entry("tags") != nil {
		if v = r.value("tags"); !v.Set() { // its interpolation failed
			return
		}
	}
	tags := strings.FieldsFunc(v.Text, isSpace)
	for _, tag := range tags {
		switch {
		case strings.Contains(tag, ",") || strings.ContainsFunc(tag, func(c rune) bool { return !unicode.IsPrint(c) }):
			if v.Line != r.to.Line { // else its name was refused already
				r.fail(v.Line, fmt.Sprintf("option %q: %q has a comma or a control character in it", "tags", tag), writeTags)
			}
		case ownTag.MatchString(tag):
			r.fail(v.Line, fmt.Sprintf("option %q: %q is a tag that testr itself gives to events", "tags", tag),
				"choose another one")
		case len(tag) > maxName:
			r.fail(v.Line, fmt.Sprintf("option %q: a tag is longer than %d bytes", "tags", maxName), "")
		}
	}
	if len(tags) == 0 && v.Line != r.to.Line {
		r.fail(v.Line, `option "tags" has no tag`, writeTags)
	}
	slices.Sort(tags)
	r.to.Tags = slices.Compact(tags)
}

// tagsLine is where the profile's tags stand.
func (r *profileReader) tagsLine() int {
	if e := r.section.entry("tags"); e != nil {
		return e.line
	}
	return r.to.Line
}

// misplaced reports an option that nothing has asked for.
func (r *profileReader) misplaced(e *entry) {
	all := slices.Concat(options, laterOptions)
	if slices.Contains(all, e.name) {
		r.fail(e.line, fmt.Sprintf("option %q has no place in [%s]: it is the same for all profiles",
			e.name, r.section.name), fmt.Sprintf("put %s into [%s]", e.name, defaultSection))
		return
	}
	near := didYouMean(e.name, slices.Concat(suiteOptions, []string{"tags"})...)
	r.fail(e.line, fmt.Sprintf("option %q is not known in [%s]%s", e.name, r.section.name, near), "")
}
