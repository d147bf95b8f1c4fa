package scheduler

import "slices"

// segment is the part of the items that is handed out before the next part is
// begun with.
type segment struct {
	number  int
	open    int    // items that are neither done nor abandoned
	waiting int    // those that nobody has
	queued  length // the sum of their estimates
	seats   int    // how many workers may have items of it; 0 for any number
	taken   int    // how many have

	fresh  rack // what no worker was given anything of
	used   rack
	groups module // groups stand together here
	levels levels
}

// rack is a pile of shelves by the best of what stands there, and so has the
// best of all in front.
type rack struct {
	shelves pile[*shelf]
}

// top returns the first bin, or nil.
func (r *rack) top() *bin {
	if s, ok := r.shelves.front(); ok {
		return s.top()
	}
	return nil
}

// shelf has the bins of a module from which anybody may take.
type shelf struct {
	rack *rack
	bins pile[*bin]
	at   uint64 // its place in the rack: that of its first bin on it
}

func (s *shelf) place() uint64 { return s.at }

// top returns the first bin, or nil.
func (s *shelf) top() *bin {
	b, _ := s.bins.front()
	return b
}

// put gives the bin a place on the shelf.
func (s *shelf) put(b *bin, at uint64) {
	if b.at == at {
		return
	}
	if b.at == nowhere {
		s.bins.size++
	}
	b.at = at
	s.bins.put(b)
	s.refresh()
}

func (s *shelf) remove(b *bin) {
	b.at = nowhere
	s.bins.size--
	s.refresh()
}

// refresh gives the shelf itself its place.
func (s *shelf) refresh() {
	at := nowhere
	if b := s.top(); b != nil {
		at = b.at
	}
	if at == s.at {
		return
	}
	if s.at == nowhere {
		s.rack.shelves.size++
	} else if at == nowhere {
		s.rack.shelves.size--
	}
	if s.at = at; at != nowhere {
		s.rack.shelves.put(s)
	}
}

// module is the classes of a module in a segment.
type module struct {
	number      int32
	tally       *tally // one for all segments
	fresh, used shelf
}

func (s *segment) newModule(n int32, t *tally) module {
	return module{number: n, tally: t, fresh: shelf{rack: &s.fresh, at: nowhere}, used: shelf{rack: &s.used, at: nowhere}}
}

// home is the shelf that the bin belongs on.
func (b *bin) home() *shelf {
	m := &b.segment.groups
	if b.class != nil {
		m = b.class.module
	}
	if b.visited {
		return &m.used
	}
	return &m.fresh
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
	s.groups = s.newModule(none, nil)
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
