package event

import (
	"time"

	"testr/internal/protocol"
)

// Outcomes folds a run's events into tests, of which an id is a different one under
// each profile. It is a Sink; like every Sink it belongs to one goroutine.
type Outcomes struct {
	profiles map[string]*ofProfile
	current  *ofProfile // that of the last event, since the next one's is often the same
	order    []*Test
	counts   Counts
	over     bool
	begun    time.Time // of the first event that has a time
	first    time.Time
	last     time.Time

	listed      bool // the run says of some profile what it was asked for
	sends       bool // the run says which test was sent to whom
	interrupted bool
}

// ofProfile is what an Outcomes knows of one profile.
type ofProfile struct {
	name   string
	tests  map[string]*Test
	parts  map[string][]*Test // tests that name another one as their parent, by the latter
	listed bool               // the run says what it was asked for
	last   *Test              // that a packet was about, since the next one's often is too; nil before that
}

// NewOutcomes returns an empty fold.
func NewOutcomes() *Outcomes { return &Outcomes{profiles: map[string]*ofProfile{}} }

// Tests returns the tests in the order in which their ids first appeared. The
// slice and the tests belong to the fold: they change with its next event.
func (o *Outcomes) Tests() []*Test { return o.order }

// Get returns the test of that id under a profile, or nil.
func (o *Outcomes) Get(profile, id string) *Test {
	if p := o.profiles[profile]; p != nil {
		return p.tests[id]
	}
	return nil
}

// of returns what is known of a profile.
func (o *Outcomes) of(profile string) *ofProfile {
	if o.current != nil && o.current.name == profile {
		return o.current
	}
	p := o.profiles[profile]
	if p == nil {
		p = &ofProfile{name: profile, tests: map[string]*Test{}, parts: map[string][]*Test{}}
		o.profiles[profile] = p
	}
	o.current = p
	return p
}

// Counts returns the numbers of all profiles together as of the last event, in
// constant time.
func (o *Outcomes) Counts() Counts {
	c := o.counts
	if o.over {
		c.Failed += c.InProgress
	}
	c.Interrupted = o.interrupted
	return c
}

// Span is the time from the first to the last timestamp of the packets, as far as
// the clocks of the workers can be right.
func (o *Outcomes) Span() time.Duration { return o.last.Sub(o.first) }

// Interrupted says whether somebody stopped the run.
func (o *Outcomes) Interrupted() bool { return o.interrupted }

// Finish says that the run is over: what has begun will not end any more, and
// counts as failed.
func (o *Outcomes) Finish() { o.over = true }

// Event takes the next event of the run. It never returns an error.
func (o *Outcomes) Event(e Event) error {
	if o.begun.IsZero() {
		o.begun = e.Time
	}
	switch e.Kind {
	case KindPacket:
		o.packet(&e)
	case KindAsked: // without Tests: the listing is still to come
		p := o.list(e.Profile)
		for _, id := range e.Tests {
			o.change(o.test(p, id), func(t *Test) {
				if o.sends {
					t.disown()
				}
				t.Asked = true
			})
		}
	case KindNotRun:
		reason := kept(e.Detail, maxReason)
		for _, id := range e.Tests {
			o.change(o.test(o.of(e.Profile), id), func(t *Test) { t.NotRun, t.Open = reason, false })
		}
	case KindSent:
		o.sends = true
		for _, id := range e.Tests {
			o.change(o.test(o.of(e.Profile), id), func(t *Test) {
				t.disown()
				t.sent, t.worker = e.Time, e.Worker+1
			})
		}
	case KindRequeued:
		p := o.of(e.Profile)
		for _, id := range e.Tests {
			o.leave(p, o.test(p, id))
		}
	case KindInterrupted:
		o.interrupted = true
	default:
	}
	return nil
}

// test returns the test of that id, which from now on there is.
func (o *Outcomes) test(p *ofProfile, id string) *Test {
	t := p.tests[id]
	if t == nil {
		t = &Test{ID: id, Profile: p.name}
		p.tests[id] = t
		o.order = append(o.order, t)
	}
	return t
}

// leave notes that nobody runs a test any more, nor what parts of it have begun.
func (o *Outcomes) leave(p *ofProfile, t *Test) {
	o.change(t, func(t *Test) { t.Open = false })
	for _, part := range p.parts[t.ID] {
		if part.Open && part.ParentID == t.ID {
			o.leave(p, part)
		}
	}
}

// change applies f to a test and keeps the counts right.
func (o *Outcomes) change(t *Test, f func(*Test)) {
	o.count(t, -1)
	f(t)
	o.count(t, +1)
}

// Listed reports whether the run says what it was asked for under a profile.
func (o *Outcomes) Listed(profile string) bool {
	p := o.profiles[profile]
	return p != nil && p.listed
}

// list notes that this run says what it was asked for under a profile, and returns
// that. It changes what the tests seen so far count as.
func (o *Outcomes) list(profile string) *ofProfile {
	p := o.of(profile)
	if p.listed {
		return p
	}
	p.listed, o.listed = true, true
	o.counts = Counts{}
	for _, t := range o.order {
		o.count(t, +1)
	}
	return p
}

func (o *Outcomes) packet(e *Event) {
	p := e.Packet
	if p.Has&protocol.HasTime != 0 {
		o.at(o.plausible(e))
	}
	if p.Has&protocol.HasTestID == 0 {
		return
	}
	profile := o.of(e.Profile)
	t := profile.last
	if t == nil || t.ID != p.TestID {
		t = o.test(profile, p.TestID)
		profile.last = t
	}
	if o.stray(profile, t, e) {
		o.change(t, func(t *Test) { t.mention(e.Seq) })
		return
	}
	attempt := 0
	if p.Status == protocol.StatusInProgress || p.Status.Final() {
		attempt = AttemptOf(p)
	}
	if t.Attempts > 0 && attempt > t.Attempts {
		o.again(profile, t, attempt)
	}
	o.change(t, func(t *Test) { t.packet(e, attempt) })
	if p.Has&protocol.HasParent != 0 && !t.part {
		t.part = true
		profile.parts[p.ParentID] = append(profile.parts[p.ParentID], t)
	}
}

// at widens the span.
func (o *Outcomes) at(t time.Time) {
	if o.first.IsZero() || t.Before(o.first) {
		o.first = t
	}
	if t.After(o.last) {
		o.last = t
	}
}

// plausible is the time of a packet; of one that a worker sent it is when it came,
// if the worker's clock has it before the run or after that.
func (o *Outcomes) plausible(e *Event) time.Time {
	t := e.Packet.Time
	if e.Worker != NoWorker && !e.Time.IsZero() && (t.Before(o.begun) || t.After(e.Time)) {
		return e.Time
	}
	return t
}

// stray says whether a packet is a word on a test that was asked for from a
// worker that the test was not sent to. It may say that the test fails, and not that it
// passes: that would hide that it never ran.
func (o *Outcomes) stray(p *ofProfile, t *Test, e *Event) bool {
	s := e.Packet.Status
	if !p.listed || !o.sends || Fails(s) || !s.Final() && s != protocol.StatusInProgress {
		return false
	}
	return (t.Asked || t.worker != 0) && t.worker != e.Worker+1
}

// again takes back what the attempts before this one made of a test, and of
// parts of it that nobody asked for: those that pass now may not be heard of
// again.
func (o *Outcomes) again(p *ofProfile, t *Test, attempt int) {
	for rest := []*Test{t}; len(rest) > 0; {
		t, rest = rest[len(rest)-1], rest[:len(rest)-1]
		o.count(t, -1)
		t.Status, t.Open = protocol.StatusNone, false
		t.Start, t.End, t.Duration, t.Timed, t.Measured = time.Time{}, time.Time{}, 0, false, false
		o.count(t, +1)
		var current []*Test // parts that came before the test itself
		for _, part := range p.parts[t.ID] {
			switch {
			case part.Attempts == attempt:
				current = append(current, part)
				continue
			case part.ParentID == t.ID && part.Attempts < attempt && !part.Asked:
				rest = append(rest, part)
			}
			part.part = false // until it is heard of again
		}
		delete(p.parts, t.ID)
		if current != nil {
			p.parts[t.ID] = current
		}
	}
}
