package supervisor

import (
	"context"
	"fmt"
	"slices"
	"time"

	"testr/internal/event"
	"testr/internal/scheduler"
)

// profile is one of a run's profiles. The loop owns all of it.
type profile struct {
	Profile
	listing  bool // its listing is still to come
	unlisted bool // its listing failed: nobody knows what was asked for
	launched bool // its plain process was started
	began    bool // some worker of it began a test
	batches  bool // it has no streaming workers, or they were given up
	stranded bool // nobody can run what is left of it
	startup  time.Duration
	held     map[string][]event.Event // verdicts on ids that the listing may not have
	gone     map[string]bool          // remembered ids that the listing does not have
}

func newProfile(p Profile, cfg Config) *profile {
	if p.Limits == nil {
		p.Limits = &Limits{cfg.Timeout, cfg.Slow, cfg.Retries}
	}
	if p.Worker.Whole && p.List != nil {
		p.Tests = nil // a head start would run all
	}
	return &profile{Profile: p, batches: p.Worker.Stream == nil,
		held: map[string][]event.Event{}, gone: map[string]bool{}}
}

// plain says whether it has one process that runs what it finds.
func (p *profile) plain() bool { return p.Worker.Plain != nil }

// item is a test under the profile.
func (p *profile) item(id string) scheduler.Item { return scheduler.Item{Test: id, Profile: p.Name} }

func (p *profile) items(ids []string) []scheduler.Item {
	out := make([]scheduler.Item, len(ids))
	for i, id := range ids {
		out[i] = p.item(id)
	}
	return out
}

// shown is the name as people know it.
func (p *profile) shown() string {
	if p.Name == "" {
		return "default"
	}
	return p.Name
}

// of is what to say after something that is of the profile: nothing where there is
// no other.
func (l *loop) of(p *profile) string {
	if len(l.profiles) == 1 {
		return ""
	}
	return " of profile " + p.shown()
}

// named returns the profile of an item.
func (l *loop) named(name string) *profile {
	return l.profiles[slices.IndexFunc(l.profiles, func(p *profile) bool { return p.Name == name })]
}

// can says whether the slot is there to run the profile, if its place is.
func (s *slot) can(p *profile) bool {
	return (s.Profiles == nil || slices.Contains(s.Profiles, p.Name)) && !s.refuses[p]
}

// slotsFor is how many slots are left that can run the profile.
func (l *loop) slotsFor(p *profile) (n int) {
	for _, s := range l.slots {
		if !s.retired && s.can(p) {
			n++
		}
	}
	return n
}

// usable says whether a slot is left that can run the profile.
func (l *loop) usable(p *profile) bool { return l.slotsFor(p) > 0 }

// unfinished says whether anything is left to be run of the profile.
func (l *loop) unfinished(p *profile) bool {
	if p.plain() {
		return !p.launched && !p.stranded
	}
	waiting, sent, begun := l.queue.Left(p.Name)
	return waiting+sent+begun > 0
}

// useful says whether the slot could run something that is left.
func (l *loop) useful(s *slot) bool {
	return slices.ContainsFunc(l.profiles, func(p *profile) bool { return s.can(p) && l.unfinished(p) })
}

// names are the profiles that a slot can run, for the queue.
func (l *loop) names(s *slot) []string {
	names := []string{}
	for _, p := range l.profiles {
		if s.can(p) && !p.plain() {
			names = append(names, p.Name)
		}
	}
	return names
}

// strand gives up what is left of profiles that nobody can run any more, so that it
// holds up nothing of the others. With a single profile the run ends instead.
func (l *loop) strand(now time.Time) {
	if len(l.profiles) == 1 || l.stopping() {
		return
	}
	for _, p := range l.profiles {
		if p.listing || l.usable(p) || !l.unfinished(p) {
			continue
		}
		p.stranded = true
		l.lacking = append(l.lacking, p)
		var left []string
		for _, it := range l.queue.Outstanding() {
			if it.Profile == p.Name {
				left = append(left, it.Test)
			}
		}
		l.queue.Remove(p.items(left)...)
		l.outstanding += len(left)
		if len(left) > 0 {
			l.noteOf(p, event.KindNotRun, left, reasonNoWorker, now)
		}
		l.changed = true
	}
}

// begin asks for the tests of all profiles.
func (l *loop) begin(ctx context.Context) {
	ctx, l.unlist = context.WithCancelCause(ctx)
	now := time.Now()
	for _, p := range l.profiles {
		switch {
		case p.plain():
			continue
		case p.List == nil:
			l.noteOf(p, event.KindAsked, p.Tests, "", now)
			l.add(p, now)
			l.queue.ListingDone(p.Name)
			continue
		}
		l.noteOf(p, event.KindAsked, nil, "", now)
		l.add(p, now)
		p.listing = true
		l.listings++
		l.wg.Go(func() {
			listing, err := p.List(ctx)
			l.listed <- listResult{p, listing, err}
		})
	}
	if l.listings == 0 {
		l.queue.ListingDone()
	}
}

func (l *loop) add(p *profile, now time.Time) {
	if dups := l.queue.Add(p.items(p.Tests)...); len(dups) > 0 {
		l.warn(fmt.Sprintf("%d ids%s were asked for more than once and run once; the first is %q",
			len(dups), l.of(p), dups[0].Test), now)
	}
}

// takeListing makes the listing what was asked for, and forgets what was
// remembered and is not in it.
func (l *loop) takeListing(ctx context.Context, r listResult, now time.Time) {
	p := r.profile
	p.listing = false
	l.listings--
	if r.err != nil {
		p.unlisted = true
		switch {
		case ctx.Err() != nil: // the lister was stopped, like everything
		case len(l.profiles) > 1:
			l.stop(fmt.Errorf("profile %s: %w", p.shown(), r.err))
		default:
			l.stop(r.err)
		}
		return
	}
	for _, packet := range r.listing.Packets {
		p.tag(packet)
		stamp(packet, now)
		l.emitStorable(event.NoWorker, p, packet, "", now)
	}
	if d := r.listing.Duplicates; len(d) > 0 {
		l.warn(fmt.Sprintf("%d ids%s were listed more than once and run once; the first is %q",
			len(d), l.of(p), d[0]), now)
	}
	stale, fresh := p.compare(r.listing.Tests)
	l.noteOf(p, event.KindAsked, r.listing.Tests, "", now)
	l.changed = true
	l.queue.Remove(p.items(stale)...)
	l.queue.Add(p.items(fresh)...)
	l.queue.ListingDone(p.Name)
	if l.listings == 0 {
		l.queue.ListingDone()
	}
	for _, id := range r.listing.Tests {
		for _, e := range p.held[id] {
			l.emitStorable(e.Worker, p, e.Packet, "", now)
		}
	}
	p.held = map[string][]event.Event{}
}

// compare holds what is listed against what was remembered: which of the latter
// is gone, and what is new.
func (p *profile) compare(tests []string) (stale, fresh []string) {
	listed := make(map[string]bool, len(tests))
	for _, id := range tests {
		listed[id] = true
	}
	remembered := make(map[string]bool, len(p.Tests))
	for _, id := range p.Tests {
		remembered[id] = true
		if !listed[id] {
			stale = append(stale, id)
			p.gone[id] = true
		}
	}
	for _, id := range tests {
		if !remembered[id] {
			fresh = append(fresh, id)
		}
	}
	return stale, fresh
}
