package supervisor

import (
	"errors"
	"fmt"
	"time"
)

// The causes for which the loop ends a process.
var (
	errImpatient = errors.New("the worker had no more time to end")
	errOverdue   = errors.New("a test had no more time")
	errSilent    = errors.New("the worker began none of its tests")
	errEnough    = errors.New("enough tests have failed")
)

const (
	// minSilence is how long a worker may take to begin a test, imports and
	// fixtures included, where tests have a time limit.
	minSilence = time.Minute
	// maxSilence is the same where they have none.
	maxSilence = 10 * time.Minute
)

// silence is how long a worker may have tests and begin none before it is
// ended.
func (m *Limits) silence() time.Duration {
	if m.Timeout == 0 {
		return max(m.Slow, maxSilence)
	}
	return max(m.Timeout, m.Slow, minSilence)
}

// limit calls do when since is as long ago as d; zero is never. Until then it
// has the loop wake up at that time.
func (l *loop) limit(since time.Time, d time.Duration, now time.Time, do func()) {
	switch due := since.Add(d); {
	case d == 0:
	case now.Before(due):
		l.wake(due)
	default:
		do()
	}
}

// watch looks after a process that may take too long: for a test, to begin one,
// or to end.
func (l *loop) watch(p *process, now time.Time) {
	if !p.deadline.IsZero() {
		l.limit(p.deadline, time.Nanosecond, now, func() {
			p.deadline = time.Time{}
			p.kill(errImpatient)
		})
	}
	if p.killed {
		return
	}
	limits := p.profile.Limits
	for i := range p.open {
		o := &p.open[i]
		if !o.told {
			l.limit(o.since, limits.Slow, now, func() {
				o.told = true
				l.warn(fmt.Sprintf("slow: %s%s has been running for %v on worker %s",
					o.id, l.of(p.profile), limits.Slow, p.slot.Route), now)
			})
		}
		l.limit(o.since, limits.Timeout, now, func() {
			o.overdue = true
			p.kill(errOverdue)
		})
	}
	if len(p.open) > 0 || len(p.sent) == 0 || p.profile.plain() {
		return
	}
	since := p.free
	if last := p.sent[0].at; last.After(since) {
		since = last
	}
	if !p.told {
		l.limit(since, limits.Slow, now, func() {
			p.told = true
			l.warn(fmt.Sprintf("slow: worker %s has begun none of its %d tests for %v",
				p.slot.Route, len(p.sent), limits.Slow), now)
		})
	}
	l.limit(since, limits.silence(), now, func() { p.kill(errSilent) })
}

// listen gives a worker that takes no more requests the time of grace from each
// of its tests to the next: it may have read of some before it closed its stdin.
func (l *loop) listen(p *process, now time.Time) {
	if !p.deaf || p.ending {
		return
	}
	p.deadline = time.Time{}
	if len(p.open) == 0 {
		l.expect(p, now.Add(l.cfg.Grace))
	}
}
