package supervisor

import (
	"context"
	"os"
	"slices"
	"time"

	"testr/internal/event"
	"testr/internal/instance"
	"testr/internal/protocol"
	"testr/internal/scheduler"
)

// feedAll gives every slot what it can take.
func (l *loop) feedAll(now time.Time) {
	for _, s := range l.slots {
		if l.stopping() {
			return
		}
		l.feed(s, now)
	}
}

// feed gives a slot as many tests as it may hold, and starts a worker there if
// it has none.
func (l *loop) feed(s *slot, now time.Time) {
	switch p := s.proc; {
	case s.retired || s.waits || s.opening || !s.retryAt.IsZero():
	case p == nil:
		l.feedEmpty(s, now)
	case p.outbox == nil || p.ending || p.closed || p.killed || p.deaf:
	default:
		l.feedStream(s, p.profile, now)
	}
}

// feedEmpty starts a worker in a slot that has none: of a profile that runs what
// it finds, or of that of which the queue has most need.
func (l *loop) feedEmpty(s *slot, now time.Time) {
	if p := l.plainFor(s); p != nil {
		p.launched = true // it is not started again
		l.startCommand(s, p, p.Worker.Plain, now)
		return
	}
	p := l.profiles[0]
	if len(l.profiles) > 1 {
		limit := scheduler.Limit{Change: l.startup}
		if every(l.profiles, func(p *profile) bool { return p.batches }) {
			limit.Start = l.startup
		}
		name, state := l.queue.Choose(s.index, now, limit)
		if state == scheduler.Wait {
			l.steal(s, now)
		}
		if state != scheduler.Have {
			return
		}
		p = l.named(name)
	}
	switch {
	case p.plain():
	case p.batches:
		l.feedBatch(s, p, now)
	default:
		l.feedStream(s, p, now)
	}
}

func every(profiles []*profile, is func(*profile) bool) bool {
	return !slices.ContainsFunc(profiles, func(p *profile) bool { return !is(p) })
}

// plainFor returns what the slot is to run of what runs what it finds, or nil:
// that first which the fewest other slots can run.
func (l *loop) plainFor(s *slot) (first *profile) {
	least := 0
	for _, p := range l.profiles {
		if !p.plain() || !l.unfinished(p) || !s.can(p) {
			continue
		}
		if slots := l.slotsFor(p); first == nil || slots < least {
			first, least = p, slots
		}
	}
	return first
}

func (l *loop) feedStream(s *slot, p *profile, now time.Time) {
	room := l.room(s, now)
	if room <= 0 {
		return
	}
	its, state := l.queue.Next(s.index, now, scheduler.Limit{Items: room, Change: l.startup})
	switch state {
	case scheduler.Done, scheduler.Change:
		if s.proc != nil {
			l.end(s.proc)
			l.idle(s.proc, now)
		}
		return
	case scheduler.Have:
	default:
		if s.proc == nil || len(s.proc.sent)+len(s.proc.open) == 0 {
			l.steal(s, now)
		}
		return
	}
	if s.proc == nil && !l.startCommand(s, p, p.Worker.Stream, now) {
		return
	}
	ids := testIDs(its)
	l.sent(its)
	l.emit(event.Event{Kind: event.KindSent, Worker: s.index, Profile: p.Name, Tests: ids}, now)
	for _, id := range ids {
		s.proc.sent = append(s.proc.sent, given{id, now})
		s.proc.post(request(id, protocol.StatusExists))
	}
	if l.cfg.Isolated {
		l.end(s.proc)
	}
	l.watch(s.proc, now)
}

// room is how many more tests the worker of a slot may be given now.
func (l *loop) room(s *slot, now time.Time) int {
	switch {
	case l.cfg.Isolated && s.proc == nil:
		return 1
	case l.cfg.Isolated:
		return 0
	case s.proc == nil:
		return max(1, l.lookAhead(s, now))
	}
	return l.lookAhead(s, now) - len(s.proc.sent)
}

// lookAhead is how many tests the worker of a slot may hold that it has not begun.
func (l *loop) lookAhead(s *slot, now time.Time) int {
	if l.cfg.LookAhead > 0 {
		return l.cfg.LookAhead
	}
	return l.queue.Ahead(s.index, now, s.trips.shortest())
}

// steal asks another worker for what it has not begun and this one would finish
// sooner.
func (l *loop) steal(idle *slot, now time.Time) {
	from, its := l.queue.Steal(idle.index, now, idle.trips.shortest())
	if len(its) > 0 {
		l.askBack(l.slots[from], its)
	}
}

// withdraw asks a worker to give back what it has not begun.
func (l *loop) withdraw(s *slot) { l.askBack(s, l.queue.Withdraw(s.index)) }

// askBack asks a worker to give back tests. One that was told that there is no more
// keeps them, and so does one of a batch.
func (l *loop) askBack(s *slot, its []scheduler.Item) {
	p := s.proc
	if p == nil || p.outbox == nil || p.outboxClosed {
		return
	}
	for _, it := range its {
		if p.withdrawn == nil {
			p.withdrawn = map[string]bool{}
		}
		if !p.withdrawn[it.Test] {
			p.withdrawn[it.Test] = true
			p.post(request(it.Test, protocol.StatusSkip))
		}
	}
}

// end tells a streaming worker that there are no more tests.
func (l *loop) end(p *process) {
	p.ending = true
	p.closeOutbox()
}

// idle limits the time that a worker may take to tear down, once it was told
// that there is no more and has ended what it had.
func (l *loop) idle(p *process, now time.Time) {
	if p.ending && len(p.open)+len(p.sent) == 0 {
		l.expect(p, now.Add(l.cfg.EndGrace))
	}
}

// expect ends a process that has not ended by itself at that time, unless a
// shorter time is set already.
func (l *loop) expect(p *process, end time.Time) {
	if p.deadline.IsZero() || end.Before(p.deadline) {
		p.deadline = end
		l.wake(end)
	}
}

// startCommand is start for what needs nothing but a command.
func (l *loop) startCommand(s *slot, p *profile, of func(instance.Instance) (instance.Command, error),
	now time.Time) bool {
	cmd, err := of(s.Instance)
	if err != nil {
		l.notStarted(s, p, err, now)
		return false
	}
	return l.start(s, p, Batch{Command: cmd}, now)
}

// start starts a process of a profile in a slot. When that fails the slot's tests
// go back, and it returns false.
func (l *loop) start(s *slot, of *profile, b Batch, now time.Time) bool {
	ctx, cancel := context.WithCancelCause(l.procs)
	inst, err := s.Instance.Start(ctx, b.Command)
	s.generation++
	if err != nil {
		cancel(nil)
		l.free(b.Done)
		l.notStarted(s, of, err, now)
		return false
	}
	p := &process{slot: s, profile: of, inst: inst, started: now, free: now, cancel: cancel, done: b.Done,
		text: joiner{name: protocol.TextName}, errText: joiner{name: "stderr"},
		errTail: instance.Tail{Limit: 4 << 10}, recent: instance.Tail{Limit: 1 << 10}}
	if !of.plain() && !of.batches {
		p.outbox = make(chan *protocol.Packet, outboxSize(max(l.cfg.LookAhead, scheduler.MaxAhead)))
	}
	s.proc = p
	if p.outbox != nil {
		p.post(&protocol.Packet{Has: protocol.HasFile, FileName: stdinFile, EOF: true})
	}
	l.live++
	p.follow(&l.wg, l.inbox)
	l.emit(event.Event{Kind: event.KindWorkerStarted, Worker: s.index, Profile: of.Name,
		Detail: startDetail(s, inst)}, now)
	return true
}

// stdinFile is the file as which tests get input. Nobody has any for them, and
// a test that reads should see that instead of waiting.
const stdinFile = "stdin"

// startDetail tells what was started where.
func startDetail(s *slot, p instance.Process) string {
	host := s.Host
	if host == "" {
		host, _ = os.Hostname() // a machine without a name is nobody's but this one
	}
	return event.Started{Host: host, Instance: s.Instance.ID(), Route: s.Route, PID: p.PID(),
		Generation: s.generation}.String()
}

func (l *loop) free(done func() error) {
	if done == nil {
		return
	}
	if err := done(); err != nil {
		l.cfg.Log.Warn("clean up after a worker", "error", err)
	}
}

// request is a packet that asks a worker to run a test (StatusExists) or to
// forget it (StatusSkip).
func request(id string, s protocol.Status) *protocol.Packet {
	return &protocol.Packet{Has: protocol.HasTestID, TestID: id, Status: s, Runnable: true}
}

func testIDs(its []scheduler.Item) []string {
	ids := make([]string, len(its))
	for i, it := range its {
		ids[i] = it.Test
	}
	return ids
}
