package supervisor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"testr/internal/event"
	"testr/internal/instance"
	"testr/internal/scheduler"
)

// opened is what became of the place of a slot.
type opened struct {
	slot  *slot
	place Place
	err   error
}

// errNotNeeded ends the opening of places that nobody needs any more.
var errNotNeeded = errors.New("there is nothing left to run")

// AbsentError is the error of Slot.Open for a place that isn't there, and may
// come by itself: a host that is down.
type AbsentError struct{ Err error }

// Error is that of Err.
func (e *AbsentError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *AbsentError) Unwrap() error { return e.Err }

const (
	// maxLosses is how often in a row a slot may lose its instance, with nothing
	// settled in between, before it is given up.
	maxLosses = 3
	// maxMoves is how often a test may be lost with its machine before it is given
	// up: a test that takes its machine with it would take all. Only where a machine
	// is left that it was never lost with, it has one more chance, on that.
	maxMoves = 3
	// spareFor is how long machines that a test was lost with leave it to others
	// when that is its last chance.
	spareFor = 10 * time.Second
	// firstRetry is how long an instance that was lost is left alone before it
	// is tried again; each further time in a row is four times as long.
	firstRetry = 500 * time.Millisecond
)

// Absence counts how often in a row a place was not there.
type Absence int

const (
	// maxMisses is how often a place that is not there is tried, at least. While
	// there are others it is tried for as long as the run goes on.
	maxMisses Absence = 3
	// longTry is how long a try may take before it counts for all of them: most
	// of them don't, for what refuses does so at once.
	longTry = 10 * time.Second
)

// Miss counts one more time, of a try that took so long.
func (a *Absence) Miss(took time.Duration) {
	if *a++; took >= longTry {
		*a = max(*a, maxMisses)
	}
}

// Enough reports whether a place need not be tried any more.
func (a Absence) Enough() bool { return a >= maxMisses }

// Pause is how long the place is left alone before it is tried again.
func (a Absence) Pause() time.Duration {
	switch a {
	case 1:
		return time.Second
	case 2:
		return 4 * time.Second
	}
	return 5 * time.Second
}

// open begins to open the places that are not there yet. The goroutines end
// when that is done, or ctx has.
func (l *loop) open(ctx context.Context) {
	ctx, l.closing = context.WithCancelCause(ctx)
	l.places = ctx
	for _, s := range l.slots {
		l.openPlace(s)
	}
}

// openPlace begins to open the place of a slot, if it has to be.
func (l *loop) openPlace(s *slot) {
	if s.Open == nil {
		return
	}
	s.opening, s.triedAt = true, time.Now()
	l.opening++
	l.wg.Go(func() {
		place, err := s.Open(l.places)
		l.opened <- opened{s, place, err}
	})
}

// takePlace puts a slot to use, or retires it.
func (l *loop) takePlace(o opened, now time.Time) {
	s := o.slot
	l.opening--
	l.changed = true
	s.opening = false
	if o.err != nil {
		l.queue.Lost(s.index, now) // which has nothing; else others would leave it something
	}
	var absent *AbsentError
	switch {
	case o.err == nil:
		s.Place, s.misses, s.lost = o.place, 0, false
	case l.unneeded(o.err):
		s.retired, s.buried = true, true
	case errors.As(o.err, &absent) && !l.stopping():
		if s.misses == 0 && !s.lost { // else people know that it is gone
			l.tell(s, o.err.Error(), now)
		}
		s.misses.Miss(now.Sub(s.triedAt))
		s.why, s.retryAt = o.err, now.Add(s.misses.Pause())
		l.wake(s.retryAt)
	default:
		s.retired = true
		l.bury(s, o.err, now)
		l.fallBack(now)
	}
}

// unneeded reports whether a place was not opened only because nobody needs it any
// more.
func (l *loop) unneeded(err error) bool {
	return l.interrupted || l.maxFail || l.sinkErr != nil || errors.Is(err, errNotNeeded) ||
		l.err != nil && errors.Is(err, l.err)
}

// despair gives up the places that are not there once they are all that is
// left, and each of them had its chances.
func (l *loop) despair(now time.Time) {
	var absent []*slot
	for _, s := range l.slots {
		switch {
		case s.retired || !l.useful(s):
		case !s.misses.Enough() || s.opening:
			return
		default:
			absent = append(absent, s)
		}
	}
	if len(absent) == 0 || l.live > 0 || l.stopping() {
		return
	}
	for _, s := range absent {
		s.retired = true
		l.bury(s, s.why, now)
	}
	l.changed = true
	l.fallBack(now)
}

// finished reports whether nothing runs and nothing is to come. A place that is
// being opened is waited for as long as there is something to run there.
func (l *loop) finished() bool {
	if l.live > 0 || l.listings > 0 {
		return false
	}
	if !l.hopeful() {
		l.closing(errNotNeeded)
	}
	return l.opening == 0 && !slices.ContainsFunc(l.slots, l.returning)
}

// hopeful reports whether there is something that a slot without a place could
// run.
func (l *loop) hopeful() bool {
	return !l.stopping() && slices.ContainsFunc(l.slots, func(s *slot) bool { return !s.retired && l.useful(s) })
}

// returning reports whether the instance of a slot is to be tried again, for
// tests that are left.
func (l *loop) returning(s *slot) bool {
	return !s.retired && !s.retryAt.IsZero() && !l.stopping() && l.useful(s)
}

// retry lets a slot be used again whose instance was left alone.
func (l *loop) retry(s *slot, now time.Time) {
	switch {
	case s.retryAt.IsZero():
	case now.Before(s.retryAt):
		l.wake(s.retryAt)
	case l.sparing(s, now):
		s.retryAt = now.Add(firstRetry)
		l.wake(s.retryAt)
	default:
		s.retryAt = time.Time{}
		l.changed = true
		l.openPlace(s)
	}
}

// lostWith is why a process was lost with its instance, or nil if it was not.
func lostWith(e *exit) *instance.LostError {
	var lost *instance.LostError
	if !errors.As(e.err, &lost) {
		return nil
	}
	return lost
}

// lostMachine settles what a process leaves behind whose instance was lost. A
// failing machine is no failing test: what had begun goes elsewhere, too.
func (l *loop) lostMachine(p *process, lost *instance.LostError, now time.Time) {
	s := p.slot
	requeued, begun, _ := l.queue.Lost(s.index, now)
	switch {
	case p.profile.plain():
		l.stop(lost)
		l.cutShort(p, now)
		for _, o := range p.open { // those that had their time
			l.emitFailure(p, o.id, p.death(o, lost.Error()), now)
		}
		return
	case l.stopping():
		l.cutShort(p, now)
	}
	back := testIDs(requeued)
	var gone []string
	for _, it := range begun {
		id := it.Test
		switch o := p.opened(id); {
		case o == nil: // cut short with its run
		case o.overdue:
			l.emitFailure(p, id, p.death(*o, lost.Error()), now)
			l.failed(it, true)
		case l.move(it, s, now):
			back = append(back, id)
		default:
			gone = append(gone, id)
		}
	}
	if len(back) > 0 {
		l.emit(event.Event{Kind: event.KindRequeued, Worker: s.index, Profile: p.profile.Name, Tests: back,
			Detail: event.Moved(lost.Instance, lost.Err.Error())}, now)
	}
	for _, id := range gone {
		reason := reasonLost(len(l.moves[p.profile.item(id)])) + lost.Error()
		l.noteOf(p.profile, event.KindNotRun, []string{id}, reason, now)
	}
	l.away(s, lost, now)
}

// reasonLost begins the reason of tests that were lost with their machines too
// often.
func reasonLost(times int) string {
	return fmt.Sprintf("lost with its machine %d times, the last time because: ", times)
}

// move has a test that had begun on a machine that was lost wait for another
// one, unless it was lost often enough.
func (l *loop) move(it scheduler.Item, s *slot, now time.Time) bool {
	l.moves[it] = append(l.moves[it], s.machine())
	switch times := len(l.moves[it]); {
	case times < maxMoves:
		return l.queue.Again(it)
	case times > maxMoves || l.deaths[it] > 0 || !l.elsewhere(it):
		return false
	}
	l.spared[it] = now.Add(spareFor)
	return l.queue.Again(it)
}

// machine is where a slot is, as far as its places tell: several may share it.
func (s *slot) machine() string { return cmp.Or(s.Host, s.Name) }

// elsewhere reports whether a machine is there that a test was never lost with.
func (l *loop) elsewhere(it scheduler.Item) bool {
	return slices.ContainsFunc(l.slots, func(s *slot) bool {
		return !s.retired && !s.opening && s.retryAt.IsZero() && s.can(l.named(it.Profile)) &&
			!slices.Contains(l.moves[it], s.machine())
	})
}

// sparing reports whether a slot is to be left alone for the sake of a test that
// waits for its last chance, on another machine than this.
func (l *loop) sparing(s *slot, now time.Time) bool {
	for it, until := range l.spared {
		if now.Before(until) && slices.Contains(l.moves[it], s.machine()) && l.elsewhere(it) {
			return true
		}
	}
	return false
}

// sent notes that tests were given to a worker.
func (l *loop) sent(its []scheduler.Item) {
	for _, it := range its {
		delete(l.spared, it)
	}
}

// away leaves the instance of a slot alone for a while, or for good if that was
// of no use before.
func (l *loop) away(s *slot, lost *instance.LostError, now time.Time) {
	if l.stopping() {
		return
	}
	s.lost = true
	if s.losses++; s.losses < maxLosses {
		wait := firstRetry << (2 * (s.losses - 1))
		s.retryAt = now.Add(wait)
		l.wake(s.retryAt)
		l.tell(s, lost.Error(), now)
		return
	}
	s.retired = true
	l.bury(s, lost, now)
	l.fallBack(now)
}

// bury notes that a slot's instance is no more, and why.
func (l *loop) bury(s *slot, err error, now time.Time) {
	s.buried = true
	for _, p := range l.profiles {
		if p.plain() && l.unfinished(p) && !l.usable(p) {
			l.stop(fmt.Errorf("start the test command%s: %w", l.of(p), err))
			return
		}
	}
	l.tell(s, err.Error(), now)
	if s.Name != "" && !slices.Contains(l.dead, s.Name) {
		l.dead = append(l.dead, s.Name)
	}
}

// tell lets people know what became of an instance: once, for all of its slots.
func (l *loop) tell(s *slot, why string, now time.Time) {
	if l.told[s.Name] == why {
		return
	}
	l.told[s.Name] = why
	l.warn(why, now)
}
