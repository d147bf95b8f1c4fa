package scheduler

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// balanced is a division of the workers among the profiles by which all profiles
// that can end together do.
type balanced struct {
	segment *segment // whose items it is about; nil if it has to be made anew
	changes int      // crew.changes when it was made
	present int      // crew.present then
	rates   []float64
	// longest is how long the profile takes that takes longest, in microseconds;
	// stay is how long each does if every worker stays with its profile for as
	// long as that has something; hungry says that this is too long for one.
	longest float64
	stay    []float64
	hungry  bool
	room    []pressure
}

// pressure is the work of a profile, and the speed that others have for it and that
// a team had.
type pressure struct {
	work, others, had float64
	post              *post
}

// at is how long the work takes the others.
func (p pressure) at() float64 { return p.work / p.others }

// work is what waits of the stock; what waits is never nothing.
func (s *stock) work() float64 {
	if s == nil || s.waiting == 0 {
		return 0
	}
	return float64(max(s.queued, 1))
}

// rebalance makes the division of what waits of a segment, if the last one is
// too old. With a single profile there is nothing to divide.
func (q *Queue) rebalance(s *segment) {
	b := &q.balanced
	const each = 8
	if len(q.profiles) < 2 || s == nil ||
		b.segment == s && b.present == q.present && (q.changes-b.changes)*each <= q.present {
		return
	}
	b.segment, b.changes, b.present = s, q.changes, q.present
	b.rates = append(b.rates[:0], make([]float64, len(q.profiles))...)
	for _, t := range q.teams {
		for n := range t.posts {
			b.rates[n] += t.posts[n].share
		}
	}
	const rounds = 8
	for range rounds {
		moved := 0.0
		for _, t := range q.teams {
			moved += q.spread(t, s)
		}
		if len(q.teams) == 1 || moved < q.speeds/1000 {
			break // as good as it gets
		}
	}
	b.longest = 0
	for n, st := range s.stocks {
		if work := st.work(); work > 0 && b.rates[n] > 0 {
			b.longest = max(b.longest, work/b.rates[n], q.tallest(st))
		}
	}
	b.stay, b.hungry = b.stay[:0], false
	for _, p := range q.profiles {
		b.stay = append(b.stay, q.staying(s, p))
		b.hungry = b.hungry || b.starves(p, 0)
	}
}

// tallest is how long the longest item takes an ordinary worker.
func (q *Queue) tallest(s *stock) float64 {
	if s == nil || s.waiting == 0 {
		return 0
	}
	top := s.top()
	if top == nil {
		return 0
	}
	return float64(top.length) * float64(q.present) / q.speeds
}

// spread divides the speed of a team so that the profiles that the others leave
// longest are all done at one time, and none of the rest later. It returns how much
// speed went elsewhere for that.
func (q *Queue) spread(t *team, s *segment) (moved float64) {
	b := &q.balanced
	room := b.room[:0]
	for n := range t.posts {
		p := &t.posts[n]
		had, others := p.share, max(b.rates[n]-p.share, 0)
		b.rates[n], p.share = others, 0
		if n < len(s.stocks) && p.can && s.stocks[n].work() > 0 {
			room = append(room, pressure{s.stocks[n].work(), others, had, p})
		} else {
			moved += had
		}
	}
	b.room = room
	slices.SortStableFunc(room, func(x, y pressure) int { return cmp.Compare(y.at(), x.at()) })
	work, speed, pressed := 0.0, t.speeds, 0
	for _, p := range room {
		if pressed > 0 && work/speed >= p.at() {
			break
		}
		work, speed, pressed = work+p.work, speed+p.others, pressed+1
	}
	for i, p := range room {
		if i < pressed && t.speeds > 0 {
			p.post.share = max(p.work*speed/work-p.others, 0)
		}
		moved += math.Abs(p.post.share - p.had)
	}
	for n := range t.posts {
		b.rates[n] += t.posts[n].share
	}
	return moved
}

// staying is how long the profile's items take if everybody stays where they are
// for as long as there is something.
func (q *Queue) staying(s *segment, p *profile) float64 {
	type arrival struct{ at, speed float64 }
	var later []arrival
	sum, speed := s.of(p).work(), 0.0
	if sum == 0 {
		return 0
	}
	for _, t := range q.teams {
		speed += t.posts[p.number].speed
		if !t.posts[p.number].can {
			continue
		}
		free := t.speeds
		for n := range t.posts {
			free -= t.posts[n].speed
			if n == p.number || t.posts[n].workers == 0 {
				continue
			}
			at := 0.0
			if n < len(s.stocks) {
				at = s.stocks[n].work() / q.staff(q.profiles[n]).speed
			}
			later = append(later, arrival{at, t.posts[n].speed})
		}
		if t.free > 0 {
			later = append(later, arrival{0, free})
		}
	}
	slices.SortFunc(later, func(x, y arrival) int { return cmp.Compare(x.at, y.at) })
	end, first := math.Inf(1), 0.0
	if speed > 0 {
		end = sum / speed
	} else if len(later) > 0 {
		first = later[0].at + q.tallest(s.of(p)) // which nobody has begun before
	}
	for _, a := range later {
		if a.at >= end {
			break
		}
		if a.speed > 0 {
			sum, speed = sum+a.speed*a.at, speed+a.speed
			end = sum / speed
		}
	}
	return max(end, first)
}

// starves says whether the run gets longer by more than it costs if nobody leaves
// another profile for this one before that has nothing any more.
func (b *balanced) starves(p *profile, change time.Duration) bool {
	const slack = 16
	return b.stay[p.number] > b.longest+b.longest/slack+2*float64(lengthOf(change))
}

// power is the speed of all workers that can have items of the stock, as far as
// they are not needed for those of other profiles.
func (q *Queue) power(s *stock) float64 {
	speeds := q.speeds
	if len(q.profiles) > 1 {
		speeds = 0
		if s.profile.number < len(q.balanced.rates) {
			speeds = q.balanced.rates[s.profile.number]
		}
	}
	return s.segment.seated(speeds, q.present)
}

// seated is what is left of the speed of so many workers that only some of them
// have a seat.
func (s *segment) seated(speeds float64, workers int) float64 {
	if s.seats > 0 && s.seats < workers {
		return speeds * float64(s.seats) / float64(workers)
	}
	return speeds
}
