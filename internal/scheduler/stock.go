package scheduler

// stock is the items of a segment that belong to one profile.
type stock struct {
	segment *segment
	profile *profile
	waiting int    // items that nobody has
	queued  length // the sum of their estimates

	fresh  rack // what no worker was given anything of
	used   rack
	groups module // groups stand together here
	levels levels
}

// stock returns a segment's items of a profile, or what is to have them.
func (q *Queue) stock(s *segment, p *profile) *stock {
	for len(s.stocks) <= p.number {
		s.stocks = append(s.stocks, nil)
	}
	st := s.stocks[p.number]
	if st == nil {
		st = &stock{segment: s, profile: p}
		st.groups = st.newModule(none, nil)
		s.stocks[p.number] = st
	}
	return st
}

// of returns what there is of a profile, or nil.
func (s *segment) of(p *profile) *stock {
	if p.number >= len(s.stocks) {
		return nil
	}
	return s.stocks[p.number]
}

// top returns the bin with the longest item of all that anybody may have, or
// nil. Among equals it is one in which nobody was yet.
func (s *stock) top() *bin {
	fresh, used := s.fresh.top(), s.used.top()
	if fresh == nil || used != nil && used.rank > fresh.rank {
		return used
	}
	return fresh
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

// module is the classes of a module in a stock.
type module struct {
	number      int32
	tally       *tally // one for all segments
	fresh, used shelf
}

func (s *stock) newModule(n int32, t *tally) module {
	return module{number: n, tally: t, fresh: shelf{rack: &s.fresh, at: nowhere}, used: shelf{rack: &s.used, at: nowhere}}
}

// home is the shelf that the bin belongs on.
func (b *bin) home() *shelf {
	m := &b.stock.groups
	if b.class != nil {
		m = b.class.module
	}
	if b.visited {
		return &m.used
	}
	return &m.fresh
}
