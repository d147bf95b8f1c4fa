package supervisor

import (
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"testr/internal/event"
	"testr/internal/instance"
)

// exited settles what a process leaves behind.
func (l *loop) exited(p *process, e *exit, now time.Time) {
	s := p.slot
	how := describe(p, e)
	l.live--
	s.proc = nil
	for _, other := range l.slots {
		other.waits = false
	}
	p.cancel(nil)
	l.free(p.done)
	for _, j := range []*joiner{&p.text, &p.errText} {
		if j.cut {
			l.warn(fmt.Sprintf("worker %s wrote more than %d MiB to %s beside its packets: the rest was cut",
				s.Route, textLimit>>20, j.name), now)
		}
	}
	l.emit(event.Event{Kind: event.KindWorkerExited, Worker: s.index, Profile: p.profile.Name, Detail: how}, now)
	if lost := lostWith(e); lost != nil {
		l.lostMachine(p, lost, now)
		return
	}
	clean := e.err == nil && e.status.Success()
	l.unfixed(p, now)
	if p.outbox == nil && clean && !p.killed || l.spent(p) {
		l.ignored(p, now)
	}
	broke := l.lost(p, how, now)
	switch {
	case clean || p.killed && l.stopping() || broke || p.failed:
	case p.begun+p.settled > 0 || p.profile.plain():
		l.emitFailure(p, event.ReturnCode, returnCode(e, how), now)
	}
	l.judge(s, p, how, now)
}

// unfixed settles tests of a batch that a fixture kept from running: unittest
// passes them over without a word.
func (l *loop) unfixed(p *process, now time.Time) {
	if p.outbox != nil {
		return
	}
	for _, fixture := range p.fixtures {
		var blocked []string
		for _, id := range p.sentIDs() {
			if event.Needs(id, fixture) && l.settled(p, id, now) {
				blocked = append(blocked, id)
			}
		}
		if len(blocked) > 0 {
			l.noteOf(p.profile, event.KindNotRun, blocked, event.SetUpFailed(fixture), now)
		}
	}
}

// lost takes the tests of a process that is gone from it, and reports whether
// one had begun.
func (l *loop) lost(p *process, how string, now time.Time) (broke bool) {
	requeued, _, abandoned := l.queue.Lost(p.slot.index, now)
	if l.stopping() && p.killed {
		l.cutShort(p, now)
	}
	for _, o := range p.open {
		l.emitFailure(p, o.id, p.death(o, how), now)
		l.failed(p.profile.item(o.id), true)
	}
	if len(requeued) > 0 {
		l.emit(event.Event{Kind: event.KindRequeued, Worker: p.slot.index, Profile: p.profile.Name,
			Tests: testIDs(requeued), Detail: "the worker ended before it began them: " + how}, now)
	}
	if len(abandoned) > 0 {
		l.noteOf(p.profile, event.KindNotRun, testIDs(abandoned), reasonTakenBack, now)
	}
	return len(p.open) > 0
}

// cutShort settles tests that whoever or whatever stopped the run stopped: they
// have no outcome. Those that had their time fail all the same.
func (l *loop) cutShort(p *process, now time.Time) {
	var left []openTest
	var cut []string
	for _, o := range p.open {
		if o.overdue {
			left = append(left, o)
		} else {
			cut = append(cut, o.id)
		}
	}
	p.open = left
	if len(cut) > 0 {
		l.noteOf(p.profile, event.KindNotRun, cut, l.reason(), now)
	}
}

// death is why a test failed whose worker ended in the middle of it.
func (p *process) death(o openTest, how string) string {
	if o.overdue {
		return fmt.Sprintf("The test was still running after %v, its time limit: %s.", p.profile.Limits.Timeout, how)
	}
	return fmt.Sprintf("The worker ended in the middle of this test: %s.", how)
}

// spent reports whether a process that has ended was all that its profile gets: of a
// command that runs all tests whatever it is given, and got as far as running some.
// Another one would run those again.
func (l *loop) spent(p *process) bool {
	return p.profile.Worker.Whole && p.begun+p.settled > 0 && !l.stopping()
}

// ignored gives up tests that a test command was given, and did not run,
// though it ended well: it would not run them the next time either.
func (l *loop) ignored(p *process, now time.Time) {
	if len(p.sent) == 0 {
		return
	}
	ids := p.sentIDs()
	for _, id := range ids {
		l.settled(p, id, now)
	}
	l.noteOf(p.profile, event.KindNotRun, ids, reasonIgnored, now)
}

// judge decides whether a slot gets another worker after this one.
func (l *loop) judge(s *slot, p *process, how string, now time.Time) {
	if p.begun+p.settled > 0 || p.ending && len(p.sent) == 0 || l.stopping() {
		return
	}
	s.fruitless[p.profile]++
	l.last, l.lastExit = p, how
	l.cfg.Log.Info("a worker ended before it began a test", "worker", s.Route, "profile", p.profile.shown(), "end", how)
	l.giveUp(s, p.profile, now)
}

// notStarted is judge for a process that could not even be started.
func (l *loop) notStarted(s *slot, p *profile, err error, now time.Time) {
	l.queue.Lost(s.index, now)
	l.changed = true
	if scarce(err) && l.live > 0 {
		s.waits, p.launched = true, false
		if !l.scarce {
			l.scarce = true
			l.warn(fmt.Sprintf("start worker %s: %v: going on with those that run", s.Route, err), now)
		}
		return
	}
	if lost, ok := errors.AsType[*instance.LostError](err); ok {
		p.launched = false
		l.away(s, lost, now)
		return
	}
	s.fruitless[p]++
	l.last, l.lastExit = nil, err.Error()
	l.warn(fmt.Sprintf("start worker %s%s: %v", s.Route, l.of(p), err), now)
	if p.plain() {
		l.stop(fmt.Errorf("start the test command%s: %w", l.of(p), err))
		return
	}
	l.giveUp(s, p, now)
}

// scarce says whether the system has too little of something at the moment, as
// it may have again when another process has ended.
func scarce(err error) bool {
	for _, e := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.EAGAIN, syscall.ENOMEM} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// giveUp has a slot run nothing more of a profile that had its chances there.
func (l *loop) giveUp(s *slot, p *profile, now time.Time) {
	if s.fruitless[p] < maxFruitless {
		return
	}
	s.refuses[p] = true
	l.queue.Restrict(s.index, l.names(s))
	s.retired = !slices.ContainsFunc(l.profiles, s.can)
	if s.Name != "" && l.usable(p) { // else the run's end says it
		l.tell(s, fmt.Sprintf("instance %s gets no more tests%s: its workers end before they begin one: %s",
			s.Name, l.of(p), l.lastExit), now)
	}
	l.fallBack(now)
}

// fallBack goes over to batches for each profile for which all slots were given up
// without a single test of it begun, and which has batches.
func (l *loop) fallBack(now time.Time) {
	for _, p := range l.profiles {
		if p.began || p.batches || p.Worker.Batch == nil || l.usable(p) {
			continue
		}
		var left []*slot // those whose instance is there
		for _, s := range l.slots {
			if s.refuses[p] && !s.buried {
				left = append(left, s)
			}
		}
		if len(left) == 0 {
			continue
		}
		l.warn("no streaming worker"+l.of(p)+" got as far as its first test ("+l.lastExit+
			"): running in batches instead; worker=batch says so from the beginning", now)
		p.batches = true
		for _, s := range left {
			s.retired, s.refuses[p], s.fruitless[p] = false, false, 0
			l.queue.Restrict(s.index, l.names(s))
		}
		l.changed = true
	}
}

// settleRest accounts for what will not run any more, once nothing is left
// that could run it.
func (l *loop) settleRest(now time.Time) {
	if l.sinkErr != nil {
		return
	}
	left := map[string][]string{}
	for _, it := range l.queue.Outstanding() {
		left[it.Profile] = append(left[it.Profile], it.Test)
	}
	reason := l.reason()
	for _, p := range l.profiles {
		if p.unlisted || len(left[p.Name]) == 0 {
			continue
		}
		if reason == reasonNoWorker {
			l.lacking = append(l.lacking, p)
			l.outstanding += len(left[p.Name])
		}
		l.noteOf(p, event.KindNotRun, left[p.Name], reason, now)
	}
	if len(l.lacking) == 0 || l.err != nil || l.interrupted || l.maxFail {
		return
	}
	e := &WorkersError{Outstanding: l.outstanding, Lost: l.dead, Last: l.lastExit}
	if l.last != nil {
		e.Stderr = l.last.errTail.String()
	}
	if len(l.profiles) > 1 {
		for _, p := range l.lacking {
			e.Profiles = append(e.Profiles, p.shown())
		}
	}
	l.err = e
}

func describe(p *process, e *exit) string {
	how := e.status.String()
	if name := unix.SignalName(syscall.Signal(e.status.Code - 128)); e.status.Code > 128 && name != "" {
		how += " (by which a shell says: killed by " + name + ")"
	}
	if lost := lostWith(e); lost != nil {
		return lost.Error()
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
