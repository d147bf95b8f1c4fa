package supervisor

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"testr/internal/event"
	"testr/internal/scheduler"
)

// feedBatch starts a batch worker with the next batch.
func (l *loop) feedBatch(s *slot, p *profile, now time.Time) {
	its, state := l.queue.Next(s.index, now, l.batchLimit(p))
	if state != scheduler.Have {
		return
	}
	ids := testIDs(its)
	b, err := p.Worker.Batch(s.Instance, ids)
	if err != nil {
		l.stop(fmt.Errorf("start a batch of %d tests%s: %w", len(ids), l.of(p), err))
		return
	}
	l.refuse(s, p, b.Refused, now)
	if len(b.Given) < len(ids) {
		l.giveBack(s, p, slices.DeleteFunc(ids, func(id string) bool { return slices.Contains(b.Given, id) }))
	}
	if len(b.Given) == 0 {
		l.queue.Lost(s.index, now) // which has nothing, and may be of another profile next
		l.feedEmpty(s, now)
		return
	}
	if !l.start(s, p, b, now) {
		return
	}
	for _, id := range b.Given {
		s.proc.sent = append(s.proc.sent, given{id, now})
	}
	l.sent(p.items(b.Given))
	l.emit(event.Event{Kind: event.KindSent, Worker: s.index, Profile: p.Name, Tests: b.Given}, now)
}

// refuse settles tests that no batch worker can be given.
func (l *loop) refuse(s *slot, p *profile, refused []Refused, now time.Time) {
	byReason := map[string][]string{}
	for _, r := range refused {
		l.queue.Finished(s.index, p.item(r.Test), now)
		byReason[r.Reason] = append(byReason[r.Reason], r.Test)
	}
	for _, reason := range slices.Sorted(maps.Keys(byReason)) {
		l.noteOf(p, event.KindNotRun, byReason[reason], "not fit for a batch worker: "+reason, now)
	}
}

const (
	// minBatch is the least that a batch has while nothing is known of the cost
	// of starting a process.
	minBatch = 8
	// startWorth is how much longer than its start a batch is to run, at least.
	startWorth = 2
)

// batchLimit is guided self-scheduling: half of a fair share of the work that
// waits, so that the last batches are small; but in fewer parts, and one in the
// end, when more would spend their time in starting processes. The only slot that
// can run a profile gets everything.
func (l *loop) batchLimit(p *profile) scheduler.Limit {
	c, parts := l.queue.Counts(), 2*len(l.slots)
	share := func(parts int) int { return max(1, (c.Waiting+parts-1)/parts) }
	left := l.queue.EstimatedRemaining()
	switch {
	case p.Worker.Whole:
		return scheduler.Limit{Items: c.Waiting, All: true}
	case l.cfg.Isolated:
		return scheduler.Limit{Items: 1}
	case l.slotsFor(p) == 1:
		return scheduler.Limit{Items: c.Waiting, All: true}
	case left == 0:
		return scheduler.Limit{Items: max(share(parts), min(minBatch, share(len(l.slots))))}
	}
	waiting := time.Duration(float64(left) / float64(c.Remaining()) * float64(c.Waiting))
	if p.startup > 0 {
		parts = max(1, min(parts, int(waiting/(startWorth*p.startup))))
	}
	limit := scheduler.Limit{Items: c.Waiting, Start: p.startup}
	if parts > 1 {
		limit.Work = waiting / time.Duration(parts)
	}
	return limit
}
