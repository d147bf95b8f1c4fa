package scheduler

import (
	"math"
	"time"
)

// MaxAhead is the most that Ahead returns.
const MaxAhead = 256

// Ahead is how many items that it has not begun the worker is to hold now: as
// many as keep it busy for a trip, the time from its outcome to the arrival of
// another item; none beside what it runs when there is little left to share,
// lest something waits behind a long test while somebody is idle. A worker that
// runs nothing is to hold one more.
func (q *Queue) Ahead(worker int, _ time.Time, trip time.Duration) int {
	w := q.worker(worker)
	if w == nil {
		return 0
	}
	first := 0
	if w.running == 0 {
		first = 1
	}
	q.rebalance(q.current())
	s := q.prospect(w)
	if s == nil {
		return first
	}
	b := w.owned(s)
	if b == nil {
		b = s.top()
	}
	if b == nil {
		return first
	}
	each := float64(b.length)
	if b.group != nil {
		each /= float64(b.waiting)
	}
	each = max(each/w.speed, 1)
	if w.recent > 0 {
		each = max(min(each, w.recent), 1)
	}
	us, speeds := float64(lengthOf(trip)), q.power(s)
	share := float64(s.queued) / speeds / each
	if each > us {
		share /= 2
	} else {
		// Nobody waits for long behind tests that are shorter than a trip. All
		// that was not begun is shared alike.
		share += float64(s.profile.sent) * w.speed / speeds
	}
	// Some tests are shorter than others.
	const ample = 2
	return first + int(min(MaxAhead-1, 1+math.Ceil(ample*us/each), share))
}

// prospect is what the worker's next items come from, or nil.
func (q *Queue) prospect(w *worker) *stock {
	s := q.current()
	switch {
	case s == nil:
	case w.profile != nil:
		return s.of(w.profile)
	case len(q.profiles) == 1:
		return s.of(q.profiles[0])
	case w.choice != nil:
		return s.of(w.choice)
	}
	return nil
}
