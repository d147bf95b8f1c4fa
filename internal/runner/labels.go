package runner

import (
	"slices"

	"testr/internal/event"
	"testr/internal/protocol"
)

// Labels say to which profiles belongs what is loaded. The zero Labels have it all in
// the default one.
type Labels struct {
	Profiles *event.Profiles // told by the tags of packets; nil for none
	// Tags are added to packets about tests that have none of a profile; Profile is the
	// profile that these are of, as events have it. The packets are changed, and not only
	// what is known of them, so that the stored run is the same one when it is written as
	// a stream and loaded once more.
	Tags    []string
	Profile string
}

// maxLabelled bounds the routes of a stream of which the profile is remembered.
const maxLabelled = 10_000

// labeller labels the packets of one stream.
type labeller struct {
	Labels
	routes map[string]string // the profile that a route had last; it says whose its text is
}

// label returns the profile of a packet, and gives the packet its tags if it has none
// of any.
func (l *labeller) label(p *protocol.Packet) (profile string) {
	if l.Profiles == nil && l.Profile == "" {
		return ""
	}
	profile = l.Profiles.Of(p.Tags)
	if p.Has&protocol.HasTestID == 0 {
		if profile != "" {
			return profile
		}
		if last, ok := l.routes[p.Route]; ok {
			return last
		}
		return l.Profile
	}
	if profile == "" && len(l.Tags) > 0 {
		profile = l.Profile
		p.Tags, p.Has = slices.Concat(p.Tags, l.Tags), p.Has|protocol.HasTags
	}
	if _, known := l.routes[p.Route]; known || len(l.routes) < maxLabelled {
		if l.routes == nil {
			l.routes = map[string]string{}
		}
		l.routes[p.Route] = profile
	}
	return profile
}
