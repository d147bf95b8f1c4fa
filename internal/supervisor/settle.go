package supervisor

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"testr/internal/event"
	"testr/internal/protocol"
)

// kill ends the process: with a request first, by force later.
func (p *process) kill(cause error) {
	p.killed = true
	p.cancel(cause)
}

// errNotReading is about a worker whose requests pile up, though it claims to
// have begun them.
var errNotReading = errors.New("the worker does not read its stdin")

// post puts a packet into the outbox, which has room for it unless the worker
// claims to begin tests that it can't have read about yet.
func (p *process) post(packet *protocol.Packet) {
	select {
	case p.outbox <- packet:
	default:
		p.kill(errNotReading)
	}
}

func (p *process) closeOutbox() {
	if p.outbox != nil && !p.outboxClosed {
		p.outboxClosed = true
		close(p.outbox)
	}
}

func (p *process) indexSent(id string) int {
	return slices.IndexFunc(p.sent, func(g given) bool { return g.id == id })
}

func (p *process) isOpen(id string) bool { return p.opened(id) != nil }

// opened is the test of that id that the process has begun, or nil.
func (p *process) opened(id string) *openTest {
	i := slices.IndexFunc(p.open, func(o openTest) bool { return o.id == id })
	if i < 0 {
		return nil
	}
	return &p.open[i]
}

// has says whether the process was given the test and has not settled it.
func (p *process) has(id string) bool { return p.isOpen(id) || p.indexSent(id) >= 0 }

// sentIDs are the ids of what the process was given and has not begun.
func (p *process) sentIDs() []string {
	out := make([]string, len(p.sent))
	for i, g := range p.sent {
		out[i] = g.id
	}
	return out
}

// packet settles what a packet says of the tests that its worker was given, and
// passes it on.
func (l *loop) packet(p *process, packet *protocol.Packet, now time.Time) {
	l.annotate(p, packet, now)
	if packet.Has&protocol.HasTestID == 0 {
		l.emitPacket(p, packet, now)
		return
	}
	id := packet.TestID
	switch s := packet.Status; {
	case s == protocol.StatusInProgress:
		l.begun(p, id, now)
	case s == protocol.StatusExists && p.withdrawn[id]:
		l.returned(p, id)
	}
	switch {
	case p.profile.gone[id] && !packet.Runnable: // "I know no such test": it was never asked for
	case p.profile.holds(packet):
		held := p.profile.held
		held[id] = append(held[id], event.Event{Kind: event.KindPacket, Worker: p.slot.index, Packet: packet})
	case l.blocks(p, packet, now):
		return
	default:
		l.emitPacket(p, packet, now)
	}
	if packet.Status.Final() {
		l.ended(p, packet, now)
	}
}

// holds says whether a packet is a verdict that has to wait: "I know no such
// test", on an id that may be gone since it was remembered.
func (p *profile) holds(packet *protocol.Packet) bool {
	if !p.listing {
		return false
	}
	_, held := p.held[packet.TestID]
	return held || says(packet, unknownTest)
}

// says says whether a worker answers by this packet, which is part of an answer
// that is not runnable, that it can't run the test.
func says(p *protocol.Packet, file string) bool {
	return p.Has&protocol.HasFile != 0 && p.FileName == file && !p.Runnable
}

// The files by which a worker says why it can't run a test.
const (
	unknownTest  = "unknown-test"  // there is none of this id
	setupFailure = "setup-failure" // the fixture that is named in it has failed
)

// maxFixture is how long the id of a fixture is at most, as far as it is kept.
const maxFixture = 1 << 10

// blocks takes the answer "a fixture has failed that this test needs" out of
// the stream: the test did not run, which is no outcome.
func (l *loop) blocks(p *process, packet *protocol.Packet, now time.Time) bool {
	id := packet.TestID
	if packet.Status == protocol.StatusFail && event.Fixture(id) {
		p.fixtures = append(p.fixtures, id)
	}
	if says(packet, setupFailure) && p.has(id) {
		if p.blocked == nil {
			p.blocked = map[string]string{}
		}
		p.blocked[id] += string(packet.Content[:min(len(packet.Content), maxFixture-len(p.blocked[id]))])
	}
	fixture, ok := p.blocked[id]
	if !ok || !p.has(id) {
		return false
	}
	if packet.Status.Final() {
		delete(p.blocked, id)
		l.settled(p, id, now)
		l.noteOf(p.profile, event.KindNotRun, []string{id}, event.SetUpFailed(strings.TrimSpace(fixture)), now)
	}
	return true
}

// returned takes back a test that its worker gave back.
func (l *loop) returned(p *process, id string) {
	delete(p.withdrawn, id)
	if i := p.indexSent(id); i >= 0 {
		p.sent = slices.Delete(p.sent, i, i+1)
		l.queue.Returned(p.slot.index, p.profile.item(id))
		l.changed = true
	}
}

// begun notes that a worker began a test. One it began before and did not end
// has no outcome to come; one that it passed over goes to somebody else.
func (l *loop) begun(p *process, id string, now time.Time) {
	if o := p.opened(id); o != nil {
		// It said so before loading or set-up. Once: a worker that says it again and
		// again must not keep a test alive.
		if !o.again {
			o.since, o.again = now, true
		}
		return
	}
	if !l.queue.Started(p.slot.index, p.profile.item(id), now) && !p.profile.plain() {
		return
	}
	if i := p.indexSent(id); i >= 0 {
		l.timeTrip(p, p.sent[i], now)
		passed := p.sentIDs()[:i]
		p.sent = slices.Delete(p.sent, i, i+1)
		if p.outbox != nil && len(passed) > 0 {
			p.sent = p.sent[i:]
			l.passedOver(p, passed, id, now)
		}
	}
	if p.outbox != nil {
		for _, o := range p.open {
			l.emitFailure(p, o.id, fmt.Sprintf("The worker began %s without an outcome for this test.", id), now)
			l.queue.Finished(p.slot.index, p.profile.item(o.id), now)
			l.failed(p.profile.item(o.id), false)
		}
		p.open = p.open[:0]
	}
	p.open = append(p.open, openTest{id: id, since: now})
	if p.begun == 0 {
		l.startup = now.Sub(p.started)
		p.profile.startup = l.startup
	}
	delete(l.retrying, p.profile.item(id))
	p.begun++
	p.bears()
	delete(l.told, p.slot.Name) // it is there again
}

// bears notes that a worker is of use: its profile can be run, and its slot is there.
func (p *process) bears() {
	p.slot.losses = 0
	p.slot.fruitless[p.profile] = 0
	p.profile.began = true
}

func (l *loop) passedOver(p *process, ids []string, began string, now time.Time) {
	l.giveBack(p.slot, p.profile, ids)
	l.emit(event.Event{Kind: event.KindRequeued, Worker: p.slot.index, Profile: p.profile.Name, Tests: ids,
		Detail: fmt.Sprintf("the worker began %q first", began)}, now)
}

// giveBack takes tests from a worker that has not begun them, without asking it.
func (l *loop) giveBack(s *slot, p *profile, ids []string) {
	l.queue.Withdraw(s.index)
	for _, id := range ids {
		l.queue.Returned(s.index, p.item(id))
	}
	l.changed = true
}

// ended settles a test that its worker was given.
func (l *loop) ended(p *process, packet *protocol.Packet, now time.Time) {
	id, bad := packet.TestID, event.Fails(packet.Status)
	if bad {
		p.failed = true
	}
	if o := p.opened(id); o != nil && o.overdue {
		return // too late: it fails when its worker has ended
	}
	if l.settled(p, id, now) && bad {
		l.failed(p.profile.item(id), false)
	}
}

// settled takes a test that has its outcome from its worker, and reports
// whether it was this worker's.
func (l *loop) settled(p *process, id string, now time.Time) bool {
	p.open = slices.DeleteFunc(p.open, func(o openTest) bool { return o.id == id })
	if !l.queue.Finished(p.slot.index, p.profile.item(id), now) {
		return false
	}
	p.sent = slices.DeleteFunc(p.sent, func(g given) bool { return g.id == id })
	delete(p.withdrawn, id)
	delete(l.retrying, p.profile.item(id))
	p.settled++
	p.free, p.told = now, false
	p.bears()
	l.idle(p, now)
	return true
}
