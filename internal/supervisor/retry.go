package supervisor

import (
	"time"

	"testr/internal/event"
	"testr/internal/scheduler"
)

// maxDeaths is how many workers a test may take with it before it is not tried
// again, whatever the retries.
const maxDeaths = 2

// failed notes that an attempt at a test has failed, and gives the test another
// one if there is one left. died says that the worker went with it.
func (l *loop) failed(it scheduler.Item, died bool) {
	if died {
		l.deaths[it]++
	}
	retries := l.named(it.Profile).Limits.Retries
	if l.stopping() || l.attempts[it] >= retries || l.deaths[it] >= maxDeaths || !l.queue.Again(it) {
		return
	}
	l.attempts[it]++
	l.retrying[it] = true
	l.changed = true
}

// attempt is the number of the current attempt at a test, from 1.
func (l *loop) attempt(it scheduler.Item) int { return l.attempts[it] + 1 }

// enough stops handing out tests once as many have failed for good as may.
func (l *loop) enough(now time.Time) {
	if l.cfg.MaxFail == 0 || l.stopping() || l.outcomes.Counts().Failed-len(l.retrying) < l.cfg.MaxFail {
		return
	}
	l.maxFail = true
	l.changed = true
	for _, s := range l.slots {
		if p := s.proc; p != nil && p.outbox != nil {
			l.dismiss(s)
			l.idle(p, now)
		}
	}
}

// dismiss tells a streaming worker to give back what it has not begun, and that
// there is no more.
func (l *loop) dismiss(s *slot) {
	if !s.proc.closed {
		l.withdraw(s)
		l.end(s.proc)
	}
}

// leaveOff ends a process that can't be told that enough tests have failed, as
// soon as it is between two of them.
func (l *loop) leaveOff(p *process) {
	if l.maxFail && p.outbox == nil && len(p.open) == 0 && !p.killed {
		p.kill(errEnough)
	}
}

// reason is why tests that are left will not run.
func (l *loop) reason() string {
	switch {
	case l.interrupted:
		return event.ReasonInterrupted
	case l.maxFail:
		return event.ReasonMaxFail
	case l.err != nil:
		return event.ReasonStopped
	}
	return reasonNoWorker
}
