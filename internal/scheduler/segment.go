package scheduler

import "slices"

// segment is the part of the items that is handed out before the next part is
// begun with.
type segment struct {
	number int
	open   int      // items that are neither done nor abandoned
	seats  int      // how many workers may have items of it; 0 for any number
	taken  int      // how many have
	stocks []*stock // by the number of the profile; nil where it has nothing of one
}

// segment returns the segment of a number.
func (q *Queue) segment(n int) *segment {
	n = max(n, 0)
	i, ok := slices.BinarySearchFunc(q.segments, n, func(s *segment, n int) int { return s.number - n })
	if ok {
		return q.segments[i]
	}
	s := &segment{number: n}
	if n < len(q.opts.Concurrency) {
		s.seats = max(q.opts.Concurrency[n], 0)
	}
	q.segments = slices.Insert(q.segments, i, s)
	q.first = 0
	return s
}

// current returns the segment that items are handed out of, or nil: the first
// that has open items. Until the listing is done more may come for segment 0,
// so that nothing of a later one goes out.
func (q *Queue) current() *segment {
	for q.first < len(q.segments) && q.segments[q.first].open == 0 {
		q.first++
	}
	if q.first == len(q.segments) {
		return nil
	}
	s := q.segments[q.first]
	if s.number > 0 && !q.listed {
		return nil
	}
	return s
}

// Opened reports, once, whether something can have come for workers that were told to
// Wait and have heard of nothing since: a segment is over, and the next one begun, or
// a worker has left a seat that another one can take.
func (q *Queue) Opened() bool {
	opened := q.opened
	q.opened = false
	return opened
}

// admits says whether the worker may have more of the segment. One that still
// has items of another segment, which a retry has left behind, may not.
func (s *segment) admits(w *worker) bool {
	if w.has > 0 {
		return w.segment == s
	}
	return s.seats == 0 || s.taken < s.seats
}

// reopen has the segment go first again if it comes before those at work.
func (q *Queue) reopen(s *segment) {
	if q.first == len(q.segments) || s.number < q.segments[q.first].number {
		q.first = 0
	}
}
