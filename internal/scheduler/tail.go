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
	top     length        // the longest that waited
	left    float64       // how long the segment was to go on then, in microseconds
	changes int           // crew.changes then
	lanes   []lane        // room for making it
}

// lane is a worker in a rehearsal: when it is free, and how fast it is.
type lane struct {
	free, speed float64
}

// late chooses an item at a time when the longest one could make the run
// longer on the wrong worker: the longest that this worker can finish before the
// end. None means that all that waits is better left to others that are
// busy now, or were asked before and are faster.
func (q *Queue) late(w *worker, s *segment, top *bin, now, start time.Duration) int32 {
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

// toEnd is how long the segment is expected to go on from now, in microseconds.
func (q *Queue) toEnd(s *segment, top *bin, now time.Duration) float64 {
	p := &q.plan
	age := float64(now-p.at) / float64(time.Microsecond)
	// A plan looks at every worker. So many events must have paid for it.
	const visits = 16
	if p.segment != s || top.length > p.top || (q.changes-p.changes)*visits > q.present || age < 0 ||
		age > 0 && (q.present <= visits || age > p.left/8) {
		q.makePlan(s, top, now)
		age = 0
	}
	return p.left - age
}

// makePlan finds out when the segment would end if what waits were divided at
// will, and not before the longest item could. Where there is little left it
// is divided for a trial.
func (q *Queue) makePlan(s *segment, top *bin, now time.Duration) {
	p := &q.plan
	p.segment, p.top, p.at, p.changes, p.lanes = s, top.length, now, q.changes, p.lanes[:0]
	work, speeds, first := float64(s.queued), 0.0, math.Inf(1)
	for i := range q.workers {
		w := &q.workers[i]
		if !w.present {
			continue
		}
		l := lane{q.busy(w, now), w.speed}
		p.lanes = append(p.lanes, l)
		work += l.free * l.speed
		speeds += l.speed
		first = min(first, l.free+float64(top.length)/l.speed)
	}
	q.speeds = speeds
	p.left = max(work/q.power(s), first)
	const effort = 4096
	if s.seats == 0 && s.waiting*len(p.lanes) <= effort {
		p.left = max(p.left, q.rehearse(s, p.lanes))
	}
}

// rehearse gives each item, longest first, to the worker that would finish it
// first, and returns when the last is finished.
func (q *Queue) rehearse(s *segment, lanes []lane) (end float64) {
	give := func(l length) {
		var to *lane
		at := math.Inf(1)
		for i := range lanes {
			if t := lanes[i].free + float64(l)/lanes[i].speed; t < at {
				to, at = &lanes[i], t
			}
		}
		to.free = at
		end = max(end, at)
	}
	v := &s.levels
	for n := v.below(levelCount - 1); n != none; n = v.below(n - 1) {
		for at := v.items[n].first - 1; at != none; at = q.entries[at].next {
			give(q.entries[at].length)
		}
		for b := v.bins[n]; b != nil; b = b.next {
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
	return end
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
