package report

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"testr/internal/event"
	"testr/internal/protocol"
)

const (
	// maxPlaces is of how many slots it is known where they are. No run has as
	// many, but a damaged repository may say so.
	maxPlaces = 1 << 14
	// maxRoute is how long the route of a slot may be; event.ParseStarted has no
	// longer ones.
	maxRoute = 260
	// maxHosts is how many hosts the summary names.
	maxHosts = 10
)

// places knows which machine each slot of a run is on, as of the last start of a
// worker there.
type places struct {
	home  string            // the supervisor's machine
	hosts map[string]string // by the routes of the slots
	away  bool              // one of them is another machine than home
}

// started takes a KindWorkerStarted.
func (p *places) started(e event.Event) {
	s, ok := event.ParseStarted(e.Detail)
	if !ok {
		return
	}
	route, host := s.Route, cmp.Or(s.Host, p.home)
	if route == "" { // of an old run, whose routes were the numbers of the slots
		route = strconv.Itoa(e.Worker)
	}
	known, ok := p.hosts[route]
	if ok && known == host || !ok && len(p.hosts) >= maxPlaces {
		return
	}
	if p.hosts == nil {
		p.hosts = map[string]string{}
	}
	p.hosts[strings.Clone(route)] = strings.Clone(host) // the detail may be longer
	p.away = p.away || host != p.home
}

// host is the machine of the slot that what came by a route belongs to: of several
// the one that is nearest to it. It is false where nobody has told.
func (p *places) host(route string) (string, bool) {
	if len(route) > maxRoute {
		route = route[:max(0, strings.LastIndexByte(route[:maxRoute], '/'))]
	}
	for {
		if host, ok := p.hosts[route]; ok {
			return host, true
		}
		end := strings.LastIndexByte(route, '/')
		if end < 0 {
			return "", false
		}
		route = route[:end]
	}
}

// abroad is the machine of that route, if it is known to be another one than the
// supervisor's; else it is empty.
func (p *places) abroad(route string) string {
	if !p.away {
		return ""
	}
	if host, ok := p.host(route); ok && host != p.home {
		return host
	}
	return ""
}

// Tally is how many tests ran, by the routes of their last packets.
type Tally struct {
	Asked  map[string]int // of those that were asked for
	Others map[string]int // of those that can be; they count where nothing was asked for
}

// newTally counts those tests of a run that is over that ran, without those that
// filterTags leave out of the summary.
func newTally(tests []*event.Test, filterTags []string) *Tally {
	y := &Tally{Asked: map[string]int{}, Others: map[string]int{}}
	for _, t := range tests {
		switch {
		case t.Status == protocol.StatusNone && !t.Open || uncounted(t, filterTags):
		case t.Asked:
			y.Asked[t.Route]++
		case t.Runnable:
			y.Others[t.Route]++
		}
	}
	return y
}

// byHost is how many tests ran on each host, the busiest first, and of how many
// nobody knows where they ran.
func (y *Tally) byHost(p *places) (hosts []hostCount, unknown int) {
	routes := y.Asked
	if len(routes) == 0 {
		routes = y.Others
	}
	byName := map[string]int{}
	for route, n := range routes {
		if host, ok := p.host(route); ok {
			byName[host] += n
		} else {
			unknown += n
		}
	}
	for name, n := range byName {
		hosts = append(hosts, hostCount{name, n})
	}
	slices.SortFunc(hosts, func(a, b hostCount) int {
		return cmp.Or(cmp.Compare(b.tests, a.tests), strings.Compare(a.name, b.name))
	})
	return hosts, unknown
}

type hostCount struct {
	name  string
	tests int
}

// appendHosts appends a line that says how many tests ran on which machine, if
// some ran on another one than the supervisor's.
func (t *Text) appendHosts(dst []byte, s Summary) []byte {
	if !t.places.away {
		return dst
	}
	tally := s.Tally
	if tally == nil {
		tally = newTally(s.Tests, t.opts.FilterTags)
	}
	hosts, unknown := tally.byHost(&t.places)
	if !slices.ContainsFunc(hosts, func(h hostCount) bool { return h.name != t.places.home }) {
		return dst
	}
	dst = append(dst, "Tests by host: "...)
	for i, h := range hosts[:min(len(hosts), maxHosts)] {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		dst = fmt.Appendf(t.appendHost(dst, h.name), " %d", h.tests)
	}
	if more := len(hosts) - maxHosts; more > 0 {
		dst = fmt.Appendf(dst, " and %d more", more)
	}
	if unknown > 0 {
		dst = fmt.Appendf(dst, ", not known where %d", unknown)
	}
	return append(dst, '\n')
}

// appendHost appends what people call a machine.
func (t *Text) appendHost(dst []byte, name string) []byte {
	switch {
	case name != t.places.home || t.opts.Elsewhere:
		return t.quote.line(dst, name)
	case name == "":
		return append(dst, "this machine"...)
	}
	dst = t.quote.line(append(dst, "this machine ("...), name)
	return append(dst, ')')
}
