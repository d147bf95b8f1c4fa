package scheduler

import (
	"math"
	"time"
)

// plan is when the current segment is expected to end, if all goes on as it
// is. It is made only when the longest item that waits is long against what is
// left, and kept for a while.
type plan struct {
	segment *segment
	at      time.Duration // when it was made
	tops    []length      // the longest that waited, by the number of the profile
	left    float64       // how long the segment was to go on then, in microseconds
	changes int           // crew.changes then
	lanes   []lane        // room for making it
}

// lane is a worker in a rehearsal: when it is free, and how fast it is.
type lane struct {
	free, speed float64
	team        *team
}

// late chooses an item at a time when the longest one could make the run
// longer on the wrong worker: the longest that this worker can finish before the
// end. None means that all that waits is better left to others that are
// busy now, or were asked before and are faster.
func (q *Queue) late(w *worker, s *stock, top *bin, now, start time.Duration) int32 {
	left := q.toEnd(s, top, now) - q.busy(w, now) + float64(lengthOf(start))
	if w.ran == 0 {
		// Nobody knows yet how fast it is. It shows that on something short.
		if at := q.fitting(s, length(w.speed*left/trial)); at != none || w.has > 0 {
			return at
		}
	}
	const rounding = 1.001
	room := length(w.speed*left*rounding) + 1
	if top.length <= room {
		return q.affine(w, s, top, 0).best
	}
	if at := q.fitting(s, room); at != none {
		return at
	}
	if q.counts.Sent+q.counts.Begun == 0 {
		return top.best // or nobody would ever have it
	}
	q.hold(float64(top.length)/w.speed - left)
	return none
}

// trial is the part of the time that is left that a worker's first item may
// take where it matters how fast the worker is.
const trial = 32

// toEnd is how long the stock's segment is expected to go on from now, in
// microseconds.
func (q *Queue) toEnd(s *stock, top *bin, now time.Duration) float64 {
	p, n := &q.plan, s.profile.number
	age := float64(now-p.at) / float64(time.Microsecond)
	// A plan looks at every worker. So many events must have paid for it.
	const visits = 16
	if p.segment != s.segment || n >= len(p.tops) || top.length > p.tops[n] || (q.changes-p.changes)*visits > q.present ||
		age < 0 || age > 0 && (q.present <= visits || age > p.left/8) {
		q.makePlan(s.segment, now)
		age = 0
	}
	return p.left - age
}

// makePlan finds out when the segment would end if what waits were divided at
// will, and not before the longest item could. Where there is little left it
// is divided for a trial.
func (q *Queue) makePlan(s *segment, now time.Duration) {
	p := &q.plan
	p.segment, p.at, p.changes, p.lanes = s, now, q.changes, p.lanes[:0]
	for _, t := range q.teams {
		t.speeds = 0
		for n := range t.posts {
			t.posts[n].speed = 0
		}
	}
	q.speeds = 0
	for i := range q.workers {
		if w := &q.workers[i]; w.present {
			p.lanes = append(p.lanes, lane{q.busy(w, now), w.speed, w.team})
			q.faster(w, w.speed) // sums that were corrected often are no longer exact
		}
	}
	p.left, p.tops = 0, p.tops[:0]
	waiting := 0
	for _, st := range s.stocks {
		p.tops = append(p.tops, 0)
		if st == nil || st.waiting == 0 {
			continue
		}
		waiting += st.waiting
		if top := st.top(); top != nil {
			p.tops[st.profile.number] = top.length
		}
		p.left = max(p.left, q.least(st, p.lanes))
	}
	p.left = max(p.left, q.together(s, p.lanes))
	const effort = 4096
	if s.seats == 0 && waiting*len(p.lanes) <= effort {
		p.left = max(p.left, q.rehearse(s, p.lanes))
	}
}

// least is how long the items of a stock take at least, if all workers that can
// run them do nothing else once they are free.
func (q *Queue) least(s *stock, lanes []lane) float64 {
	work, speeds, first := float64(s.queued), 0.0, math.Inf(1)
	top := float64(q.plan.tops[s.profile.number])
	for i := range lanes {
		if l := &lanes[i]; l.team.posts[s.profile.number].can {
			work += l.free * l.speed
			speeds += l.speed
			first = min(first, l.free+top/l.speed)
		}
	}
	if speeds == 0 {
		return 0 // nobody ever has them
	}
	return max(work/s.segment.seated(speeds, len(lanes)), first)
}

// together is how long the items of all profiles take, if all workers are of use
// to the end.
func (q *Queue) together(s *segment, lanes []lane) float64 {
	if len(q.profiles) < 2 {
		return 0 // which least has told
	}
	work, speeds := 0.0, 0.0
	for _, st := range s.stocks {
		if st != nil {
			work += float64(st.queued)
		}
	}
	for i := range lanes {
		work += lanes[i].free * lanes[i].speed
		speeds += lanes[i].speed
	}
	return work / s.seated(speeds, len(lanes))
}

// rehearse gives each item, longest first, to the worker that would finish it
// first of those that can run it, and returns when the last is finished.
func (q *Queue) rehearse(s *segment, lanes []lane) (end float64) {
	give := func(l length, profile int) {
		var to *lane
		at := math.Inf(1)
		for i := range lanes {
			if !lanes[i].team.posts[profile].can {
				continue
			}
			if t := lanes[i].free + float64(l)/lanes[i].speed; t < at {
				to, at = &lanes[i], t
			}
		}
		if to != nil {
			to.free = at
			end = max(end, at)
		}
	}
	for level := levelCount - 1; level != none; level-- {
		next := none
		for n, st := range s.stocks {
			if st == nil {
				continue
			}
			if at := st.levels.below(level); at == level {
				q.each(st, level, func(l length) { give(l, n) })
				next = max(next, st.levels.below(level-1))
			} else {
				next = max(next, at)
			}
		}
		level = next + 1
	}
	return end
}

// each tells the lengths of the items and groups in one of a stock's lists.
func (q *Queue) each(s *stock, level int, give func(length)) {
	for at := s.levels.items[level].first - 1; at != none; at = q.entries[at].next {
		give(q.entries[at].length)
	}
	for b := s.levels.bins[level]; b != nil; b = b.next {
		if b.group != nil {
			give(b.length)
			continue
		}
		for _, r := range b.listed {
			if q.entries[r.number()].state == waiting {
				give(b.class.estimate)
			}
		}
	}
}

// hold notes that a worker waits for what may not come, and how much longer
// others may take before it has the item after all.
func (q *Queue) hold(us float64) {
	d := max(time.Duration(us*float64(time.Microsecond)), time.Millisecond)
	if q.patience == 0 || d < q.patience {
		q.patience = d
	}
}

// Recheck is how long after the last call of Next, if nothing else happens,
// workers that were told to Wait are to ask again: there are items that others
// were expected to finish sooner. Zero means that there is nothing to ask for
// until something happens.
func (q *Queue) Recheck() time.Duration { return q.patience }

// stale notes that something has happened.
func (q *Queue) stale() {
	q.changes++
	q.patience = 0
}
