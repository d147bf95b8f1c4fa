package repo

import (
	"cmp"
	"maps"
	"slices"

	"testr/internal/event"
)

// share is what a run says about one profile.
type share struct {
	ProfileRun
	tests   []*event.Test // in the order in which they first appeared
	listing []string      // nil if the run didn't get to know

	// What number was given: the numbers of tests, in their order, of their parents (0 for
	// none), and of listing. byNumber has the places of tests in the order of their numbers.
	numbers, parents, order []uint64
	byNumber                []int
}

// ids returns all ids that it has to do with.
func (s *share) ids() []string {
	ids := make([]string, 0, len(s.tests)+len(s.listing))
	for _, t := range s.tests {
		ids = append(ids, t.ID)
	}
	for _, t := range s.tests {
		if t.ParentID != "" {
			ids = append(ids, t.ParentID)
		}
	}
	return append(ids, s.listing...)
}

// number takes the numbers of its ids, which stand at the beginning of numbers, in
// the order of ids, and returns the others.
func (s *share) number(numbers []uint64) (rest []uint64) {
	s.numbers, rest = numbers[:len(s.tests)], numbers[len(s.tests):]
	s.parents, s.byNumber = make([]uint64, len(s.tests)), make([]int, len(s.tests))
	none := uint64(0)
	for i, t := range s.tests {
		s.byNumber[i] = i
		if t.ID == "" {
			none = s.numbers[i] // it is its own parent's id, and that of all that have none
		}
	}
	for i, t := range s.tests {
		s.parents[i] = none
		if t.ParentID != "" {
			s.parents[i], rest = rest[0], rest[1:]
		}
	}
	slices.SortFunc(s.byNumber, func(a, b int) int { return cmp.Compare(s.numbers[a], s.numbers[b]) })
	s.order, rest = rest[:len(s.listing)], rest[len(s.listing):]
	return rest
}

// shares returns what a run that is over says about each of its profiles: those
// that Begin was told of first, in that order. It says nothing about one of which
// there are neither tests nor a listing, but if there is nothing at all, or if it was cut
// short: then whoever goes on with it has to know what it was to cover. Of a stream, of
// which nobody knows the host, that is what is in it.
func (f *fold) shares(info *RunInfo, ends map[string]ProfileEnd) []share {
	var all []share
	at := map[string]int{}
	add := func(name string) int {
		i, ok := at[name]
		if !ok {
			i = len(all)
			at[name] = i
			end := ends[name]
			all = append(all, share{ProfileRun: ProfileRun{Name: name,
				Partial: info.Partial || end.Partial || info.State != Finished,
				Counts:  event.Counts{Interrupted: f.Interrupted()}}, listing: end.Listing})
		}
		return i
	}
	for _, name := range info.Profiles {
		add(name)
	}
	for _, name := range slices.Sorted(maps.Keys(ends)) {
		if ends[name].Listing != nil {
			add(name)
		}
	}
	for i, t := range f.Tests() {
		s := &all[add(profileName(t.Profile))]
		if i == 0 { // most runs have one profile
			s.tests = make([]*event.Test, 0, len(f.Tests()))
		}
		s.tests = append(s.tests, t)
		s.Partial = s.Partial || t.Asked && !t.Settled() // what was asked for has no outcome
	}
	for profile, counts := range f.ByProfile() {
		all[at[profileName(profile)]].Counts = counts
	}
	short := info.State != Finished && info.Host != ""
	said := slices.DeleteFunc(slices.Clone(all), func(s share) bool {
		return s.tests == nil && s.listing == nil && (!short || !slices.Contains(info.Profiles, s.Name))
	})
	if len(said) == 0 {
		return all
	}
	return said
}

// addEvents adds to what the shares of a run take what its events take, which is
// divided as their tests are; without any the first has all.
func addEvents(shares []share, bytes int64) {
	all, some, given := 0, 0, int64(0)
	for _, s := range shares {
		all += len(s.tests)
	}
	for i := range shares {
		s := &shares[i]
		some += len(s.tests)
		upTo := bytes
		if some < all {
			upTo = bytes / int64(all) * int64(some)
		}
		s.Bytes += upTo - given
		given = upTo
	}
}
