package supervisor

import (
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"testr/internal/event"
	"testr/internal/protocol"
)

// openTest is a test that its worker has begun.
type openTest struct {
	id    string
	since time.Time
}

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

// packet settles what a packet says of the tests that its worker was given, and
// passes it on.
func (l *loop) packet(p *process, packet *protocol.Packet, now time.Time) {
	l.annotate(p, packet, now)
	if packet.Has&protocol.HasTestID == 0 {
		l.emitPacket(p.slot.index, packet, now)
		return
	}
	id := packet.TestID
	switch s := packet.Status; {
	case s == protocol.StatusInProgress:
		l.begun(p, id, now)
	case s == protocol.StatusExists && p.withdrawn[id]:
		delete(p.withdrawn, id)
		if i := slices.Index(p.sent, id); i >= 0 {
			p.sent = slices.Delete(p.sent, i, i+1)
			l.queue.Returned(p.slot.index, item(id))
			l.changed = true
		}
	}
	switch {
	case l.gone[id] && unknown(packet): // it was never asked for
	case l.holds(packet):
		l.held[id] = append(l.held[id], event.Event{Kind: event.KindPacket, Worker: p.slot.index, Packet: packet})
	default:
		l.emitPacket(p.slot.index, packet, now)
	}
	if packet.Status.Final() {
		l.ended(p, packet, now)
	}
}

// holds says whether a packet is a verdict that has to wait: "I know no such
// test", on an id that may be gone since it was remembered.
func (l *loop) holds(packet *protocol.Packet) bool {
	if !l.listing() {
		return false
	}
	_, held := l.held[packet.TestID]
	return held || unknown(packet)
}

// unknown says whether a worker says by this packet that it knows no such test.
func unknown(p *protocol.Packet) bool {
	return p.Has&protocol.HasFile != 0 && p.FileName == unknownTest && !p.Runnable
}

// unknownTest is the file by which a worker says that it knows no such test.
const unknownTest = "unknown-test"

// begun notes that a worker began a test. One it began before and did not end
// has no outcome to come; one that it passed over goes to somebody else.
func (l *loop) begun(p *process, id string, now time.Time) {
	if p.isOpen(id) || !l.queue.Started(p.slot.index, item(id), now) {
		return
	}
	if i := slices.Index(p.sent, id); i >= 0 {
		passed := slices.Clone(p.sent[:i])
		p.sent = slices.Delete(p.sent, i, i+1)
		if p.outbox != nil && len(passed) > 0 {
			p.sent = p.sent[i:]
			l.passedOver(p, passed, id, now)
		}
	}
	if p.outbox != nil {
		for _, o := range p.open {
			l.emitFailure(p, o.id, fmt.Sprintf("The worker began %s without an outcome for this test.", id), now)
			l.queue.Finished(p.slot.index, item(o.id), now)
		}
		p.open = p.open[:0]
	}
	p.open = append(p.open, openTest{id, now})
	if p.begun == 0 {
		l.startup = now.Sub(p.started)
	}
	p.begun++
	p.slot.fruitless = 0
	l.began = true
}

func (l *loop) passedOver(p *process, ids []string, began string, now time.Time) {
	l.giveBack(p.slot, ids)
	l.emit(event.Event{Kind: event.KindRequeued, Worker: p.slot.index, Tests: ids,
		Detail: fmt.Sprintf("the worker began %q first", began)}, now)
}

// giveBack takes tests from a worker that has not begun them, without asking it.
func (l *loop) giveBack(s *slot, ids []string) {
	l.queue.Withdraw(s.index)
	for _, id := range ids {
		l.queue.Returned(s.index, item(id))
	}
	l.changed = true
}

// ended settles a test that its worker was given.
func (l *loop) ended(p *process, packet *protocol.Packet, now time.Time) {
	id := packet.TestID
	if packet.Status == protocol.StatusFail || packet.Status == protocol.StatusUxSuccess {
		p.failed = true
	}
	if !l.queue.Finished(p.slot.index, item(id), now) {
		return
	}
	p.sent = slices.DeleteFunc(p.sent, func(s string) bool { return s == id })
	p.open = slices.DeleteFunc(p.open, func(o openTest) bool { return o.id == id })
	delete(p.withdrawn, id)
	p.settled++
	p.slot.fruitless = 0
	l.began = true
	l.idle(p, now)
}

func (p *process) isOpen(id string) bool {
	return slices.ContainsFunc(p.open, func(o openTest) bool { return o.id == id })
}

// exited settles what a process leaves behind.
func (l *loop) exited(p *process, e *exit, now time.Time) {
	s := p.slot
	how := describe(p, e)
	l.live--
	s.proc = nil
	p.cancel(nil)
	l.free(p.done)
	for _, j := range []*joiner{&p.text, &p.errText} {
		if j.cut {
			l.warn(fmt.Sprintf("worker %s wrote more than %d MiB to %s beside its packets: the rest was cut",
				s.Route, textLimit>>20, j.name), now)
		}
	}
	l.emit(event.Event{Kind: event.KindWorkerExited, Worker: s.index, Detail: how}, now)
	clean := e.err == nil && e.status.Success()
	if p.outbox == nil && clean && !p.killed {
		l.ignored(p, now)
	}
	broke := l.lost(p, how, now)
	switch {
	case clean || p.killed && l.stopping() || broke || p.failed:
	case p.begun+p.settled > 0 || l.cfg.Worker.Plain != nil:
		l.emitFailure(p, event.ReturnCode, returnCode(e, how), now)
	}
	l.judge(s, p, how, now)
}

// lost takes the tests of a process that is gone from it, and reports whether
// one had begun.
func (l *loop) lost(p *process, how string, now time.Time) (broke bool) {
	requeued, begun, abandoned := l.queue.Lost(p.slot.index, now)
	if l.stopping() && p.killed {
		begun = nil // whoever or whatever stopped the run stopped these: they have no outcome
	}
	for _, it := range begun {
		l.emitFailure(p, it.Test, fmt.Sprintf("The worker ended in the middle of this test: %s.", how), now)
	}
	if l.cfg.Worker.Plain != nil {
		begun = nil
		for _, t := range l.outcomes.Tests() {
			if t.Open && !l.stopping() {
				begun = append(begun, item(t.ID))
				l.emitFailure(p, t.ID, fmt.Sprintf("The worker ended in the middle of this test: %s.", how), now)
			}
		}
	}
	if len(requeued) > 0 {
		l.emit(event.Event{Kind: event.KindRequeued, Worker: p.slot.index, Tests: testIDs(requeued),
			Detail: "the worker ended before it began them: " + how}, now)
	}
	if len(abandoned) > 0 {
		l.note(event.KindNotRun, testIDs(abandoned), reasonTakenBack, now)
	}
	return len(begun) > 0
}

// ignored gives up tests that a test command was given, and did not run,
// though it ended well: it would not run them the next time either.
func (l *loop) ignored(p *process, now time.Time) {
	if len(p.sent) == 0 {
		return
	}
	for _, id := range p.sent {
		l.queue.Finished(p.slot.index, item(id), now)
	}
	l.note(event.KindNotRun, p.sent, reasonIgnored, now)
	p.settled += len(p.sent)
	p.sent = nil
}

// judge decides whether a slot gets another worker after this one.
func (l *loop) judge(s *slot, p *process, how string, now time.Time) {
	if p.begun+p.settled > 0 || p.ending || l.stopping() {
		return
	}
	s.fruitless++
	l.last, l.lastExit = p, how
	l.cfg.Log.Info("a worker ended before it began a test", "worker", s.Route, "end", how)
	l.giveUp(s, now)
}

// notStarted is judge for a process that could not even be started.
func (l *loop) notStarted(s *slot, err error, now time.Time) {
	l.queue.Lost(s.index, now)
	l.changed = true
	s.fruitless++
	l.last, l.lastExit = nil, err.Error()
	l.warn(fmt.Sprintf("start worker %s: %v", s.Route, err), now)
	if l.cfg.Worker.Plain != nil {
		l.stop(fmt.Errorf("start the test command: %w", err))
		return
	}
	l.giveUp(s, now)
}

// giveUp retires a slot that had its chances.
func (l *loop) giveUp(s *slot, now time.Time) {
	if s.fruitless < maxFruitless {
		return
	}
	s.retired = true
	l.fallBack(now)
}

// fallBack goes over to batches if all slots were given up without a single
// test begun, and there are batches.
func (l *loop) fallBack(now time.Time) {
	if l.began || l.batches || l.cfg.Worker.Batch == nil {
		return
	}
	for _, s := range l.slots {
		if !s.retired {
			return
		}
	}
	l.warn("no streaming worker got as far as its first test ("+l.lastExit+
		"): running in batches instead; worker=batch says so from the beginning", now)
	l.batches = true
	for _, s := range l.slots {
		s.retired, s.fruitless = false, 0
	}
}

// settleRest accounts for what will not run any more, once nothing is left
// that could run it.
func (l *loop) settleRest(now time.Time) {
	var left []string
	for _, it := range l.queue.Outstanding() {
		left = append(left, it.Test)
	}
	if len(left) == 0 || l.unlisted || l.sinkErr != nil {
		return
	}
	reason := reasonNoWorker
	switch {
	case l.interrupted:
		reason = reasonInterrupted
	case l.err != nil:
		reason = reasonStopped
	default:
		e := &WorkersError{Outstanding: len(left), Last: l.lastExit}
		if l.last != nil {
			e.Stderr = l.last.errTail.String()
		}
		l.err = e
	}
	l.note(event.KindNotRun, left, reason, now)
}

func describe(p *process, e *exit) string {
	how := e.status.String()
	if name := unix.SignalName(syscall.Signal(e.status.Code - 128)); e.status.Code > 128 && name != "" {
		how += " (by which a shell says: killed by " + name + ")"
	}
	if e.err != nil {
		how = "its end could not be found out: " + e.err.Error()
	}
	switch {
	case p.killed && p.closed && !p.ending:
		how += " (testr ended it)"
	case p.killed:
		how += " (testr ended it: it took too long to end, or the run was stopped)"
	}
	return how
}

func returnCode(e *exit, how string) string {
	if e.err == nil && e.status.Signal == "" {
		return fmt.Sprintf("returncode %d", e.status.Code)
	}
	return "The worker ended: " + how
}
