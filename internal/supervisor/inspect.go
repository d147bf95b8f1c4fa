package supervisor

import (
	"slices"
	"strings"
	"time"
)

// statusEvery is how often people are told how the run goes.
const statusEvery = 100 * time.Millisecond

func (l *loop) status(now time.Time) {
	if l.cfg.Status == nil {
		return
	}
	if now.Before(l.statusAt) {
		l.wake(l.statusAt)
		return
	}
	l.statusAt = now.Add(statusEvery)
	l.wake(l.statusAt)
	st := Status{Counts: l.outcomes.Counts(), Waiting: l.queue.Counts().Remaining()}
	if n := len(l.slots); n > 0 {
		st.Left = l.queue.EstimatedRemaining() / time.Duration(n)
	}
	for _, s := range l.slots {
		st.Running = append(st.Running, s.running()...)
	}
	slices.SortStableFunc(st.Running, func(a, b Running) int { return a.Since.Compare(b.Since) })
	l.cfg.Status(st)
}

// running are the tests in progress in a slot.
func (s *slot) running() []Running {
	if s.proc == nil {
		return nil
	}
	var out []Running
	for _, o := range s.proc.open {
		out = append(out, Running{Test: o.id, Profile: s.proc.profile.Name, Route: s.Route, Since: o.since})
	}
	return out
}

// inspect tells what every slot does.
func (l *loop) inspect() []SlotState {
	out := make([]SlotState, 0, len(l.slots))
	for _, s := range l.slots {
		st := SlotState{Route: s.Route, Host: s.Host, Running: s.running()}
		if p := s.proc; p != nil {
			st.Profile, st.PID, st.Since, st.Heard = p.profile.Name, p.inst.PID(), p.started, p.heard
			st.Waiting = len(p.sent)
			st.Last = strings.TrimRight(p.recent.String(), "\n")
		}
		out = append(out, st)
	}
	return out
}

// pause stops all workers until wait returns. That time counts for no test.
func (l *loop) pause(wait func()) {
	began := time.Now()
	stopped := l.processes()
	for _, p := range stopped {
		if err := p.inst.Pause(); err != nil {
			l.cfg.Log.Warn("pause a worker", "worker", p.slot.Route, "error", err)
		}
	}
	wait()
	away := time.Since(began)
	for _, p := range stopped {
		if err := p.inst.Resume(); err != nil {
			l.cfg.Log.Warn("let a worker go on", "worker", p.slot.Route, "error", err)
		}
		p.started, p.free = p.started.Add(away), p.free.Add(away)
		for i := range p.open {
			p.open[i].since = p.open[i].since.Add(away)
		}
		for i := range p.sent {
			p.sent[i].at = p.sent[i].at.Add(away)
		}
		if !p.deadline.IsZero() {
			p.deadline = p.deadline.Add(away)
		}
	}
}

// processes are those whose exit has not been seen.
func (l *loop) processes() []*process {
	var out []*process
	for _, s := range l.slots {
		if s.proc != nil {
			out = append(out, s.proc)
		}
	}
	return out
}
