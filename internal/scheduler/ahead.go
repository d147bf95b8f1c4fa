package scheduler

import "time"

// MaxAhead is how many items that it has not begun a worker is to hold at most.
const MaxAhead = 256

// Ahead is how many items that it has not begun the worker is to hold now: as
// many as keep it busy for a trip, the time from its outcome to the arrival of
// another item; fewer when there is little left to share.
func (q *Queue) Ahead(_ int, _ time.Time, trip time.Duration) int {
	left := q.counts.Remaining()
	if left == 0 {
		return 1
	}
	mean := max(1, q.left/length(left))
	need := 1 + int(min(MaxAhead, lengthOf(trip)/mean))
	share := q.counts.Waiting / (2 * max(1, len(q.workers)))
	return max(1, min(MaxAhead, need, share))
}
