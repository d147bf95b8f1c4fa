package event

import (
	"maps"
	"slices"
	"strings"
)

// Profiles tells profiles by the tags of events. Nil is of use: it knows none but
// the default one. It may be used by several goroutines at once.
type Profiles struct {
	tags  map[string]bool   // all that say something of a profile
	names map[string]string // of those that have one of their own, by their set of tags
	taken map[string]bool   // names that a set without one of its own can't go by
}

// defaultName is what the profile without tags is called where it needs a name.
const defaultName = "default"

// NewProfiles makes profiles of names and sets of tags, each of which is the
// profile's that has exactly these; nil, if there are none.
func NewProfiles(sets map[string][]string) *Profiles {
	if len(sets) == 0 {
		return nil
	}
	p := &Profiles{tags: map[string]bool{}, names: map[string]string{}, taken: map[string]bool{defaultName: true}}
	for _, name := range slices.Sorted(maps.Keys(sets)) {
		p.taken[name] = true
		for _, tag := range sets[name] {
			p.tags[tag] = true
		}
		if key := setOf(sets[name], p.tags); p.names[key] == "" {
			p.names[key] = name
		}
	}
	return p
}

// Of returns the name of the profile of an event with these tags: that of the
// profile that has just those of them that say something of profiles, else these,
// sorted and with commas between them, and one behind them if that is the name of
// another profile; empty for the default profile, where there are none.
func (p *Profiles) Of(tags []string) string {
	if p == nil {
		return ""
	}
	key := setOf(tags, p.tags)
	if name, ok := p.names[key]; ok {
		return name
	}
	if p.taken[key] {
		key += ","
	}
	return key
}

// setOf writes the set of those tags that count.
func setOf(tags []string, count map[string]bool) string {
	var set []string
	for _, tag := range tags {
		if count[tag] {
			set = append(set, tag)
		}
	}
	slices.Sort(set)
	return strings.Join(slices.Compact(set), ",")
}
