package supervisor

import (
	"slices"
	"strings"
	"time"

	"testr/internal/event"
	"testr/internal/protocol"
)

// workerTag is the tag by which testrepository's users know what ran where.
func workerTag(route string) string { return "worker-" + strings.ReplaceAll(route, "/", "-") }

// emit gives an event its number and time, and passes it on. Once the sink has
// failed, nothing is passed on any more: what was not stored did not happen.
func (l *loop) emit(e event.Event, now time.Time) {
	if l.sinkErr != nil {
		return
	}
	e.Seq, e.Time = l.seq, l.stored(now)
	if err := l.cfg.Sink.Event(e); err != nil {
		l.sinkErr = err
		l.killAll(err)
		return
	}
	l.seq++
	_ = l.outcomes.Event(e)
}

// stored is a time as it is stored: without a reading of the monotonic clock, and yet
// as far from the run's beginning as that one says, so that whoever folds the events
// later comes to the same durations, whatever was done to the wall clock.
func (l *loop) stored(now time.Time) time.Time {
	if l.epoch.IsZero() {
		l.epoch = now
	}
	return l.epoch.Round(0).Add(now.Sub(l.epoch))
}

// note emits an event of no worker and no profile.
func (l *loop) note(kind event.Kind, detail string, now time.Time) {
	l.emit(event.Event{Kind: kind, Worker: event.NoWorker, Detail: detail}, now)
}

// noteOf emits an event of no worker, about tests of a profile.
func (l *loop) noteOf(p *profile, kind event.Kind, tests []string, detail string, now time.Time) {
	l.emit(event.Event{Kind: kind, Worker: event.NoWorker, Profile: p.Name, Tests: tests, Detail: detail}, now)
}

// warn emits what a person should know of; whoever shows the run shows it.
func (l *loop) warn(detail string, now time.Time) {
	l.note(event.KindWarning, detail, now)
}

// emitFrom emits a packet of a process: with the route of its slot before its
// own, with a time, its profile's tags, and the slot's tag if it is about a test.
func (l *loop) emitFrom(p *process, packet *protocol.Packet, now time.Time) {
	l.annotate(p, packet, now)
	l.emitPacket(p, packet, now)
}

func (l *loop) annotate(p *process, packet *protocol.Packet, now time.Time) {
	packet.Route = protocol.PrefixRoute(p.slot.Route, packet.Route)
	packet.Has |= protocol.HasRoute
	stamp(packet, now)
	p.profile.tag(packet)
	if packet.Has&protocol.HasTestID == 0 {
		return
	}
	if !slices.Contains(packet.Tags, p.slot.tag) {
		packet.Has |= protocol.HasTags
		packet.Tags = append(packet.Tags, p.slot.tag)
	}
	packet.Tags = slices.DeleteFunc(packet.Tags, func(tag string) bool { return event.Attempt(tag) > 0 })
	if n := max(l.attempt(p.profile.item(packet.TestID)), l.attempt(p.profile.item(packet.ParentID))); n > 1 {
		packet.Tags = append(packet.Tags, event.AttemptTag(n))
	}
}

// tag gives a packet of a worker of the profile the profile's tags. Those of
// others, which it may have for reasons of its own, it keeps.
func (p *profile) tag(packet *protocol.Packet) {
	for _, tag := range p.Tags {
		if !slices.Contains(packet.Tags, tag) {
			packet.Has |= protocol.HasTags
			packet.Tags = append(packet.Tags, tag)
		}
	}
}

// stamp gives a packet a time if it has none.
func stamp(packet *protocol.Packet, now time.Time) {
	if packet.Has&protocol.HasTime == 0 {
		packet.Has |= protocol.HasTime
		packet.Time = now.UTC().Round(0)
	}
}

func (l *loop) emitPacket(p *process, packet *protocol.Packet, now time.Time) {
	l.emitStorable(p.slot.index, p.profile, packet, "", now)
}

func (l *loop) emitStorable(worker int, of *profile, packet *protocol.Packet, detail string, now time.Time) {
	for p := range event.Storable(packet) {
		l.emit(event.Event{Kind: event.KindPacket, Worker: worker, Profile: of.Name, Packet: p, Detail: detail}, now)
	}
}

// madeUp is the detail of the packets that no worker wrote: how long such a test
// took says nothing.
const madeUp = "by testr"

// emitFailure makes up the outcome of a test that its worker owes us.
func (l *loop) emitFailure(p *process, id, reason string, now time.Time) {
	p.failed = true
	if text := p.errTail.String(); text != "" {
		reason += "\n\nThe end of the worker's stderr:\n" + text
	}
	if !strings.HasSuffix(reason, "\n") {
		reason += "\n"
	}
	packet := &protocol.Packet{
		Has:    protocol.HasTestID | protocol.HasFile | protocol.HasMIME,
		TestID: id, Status: protocol.StatusFail, Runnable: !event.Pseudo(id),
		FileName: "traceback", MIMEType: "text/plain;charset=utf8", Content: []byte(reason), EOF: true,
	}
	l.annotate(p, packet, now)
	l.emitStorable(p.slot.index, p.profile, packet, madeUp, now)
}
