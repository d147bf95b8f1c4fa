package scheduler

import "hash/maphash"

// index finds entries by item: a hash table of entry numbers with open
// addressing. A map would keep the ids a second time; a million items would take
// ten times as much.
type index struct {
	seed  maphash.Seed
	slots []int32 // an entry's number plus one, 0 for free, or tomb
	used  int     // slots that are not free
}

// tomb is the slot of an item that was removed.
const tomb = -1

func newIndex() index { return index{seed: maphash.MakeSeed()} }

// grow makes room for n more items.
func (q *Queue) grow(n int) {
	x := &q.index
	if (x.used+n)*4 <= len(x.slots)*3 {
		return
	}
	size := max(64, len(x.slots))
	for (x.used+n)*4 > size*3 {
		size *= 2
	}
	old := x.slots
	x.slots, x.used = make([]int32, size), 0
	for _, s := range old {
		if s > 0 {
			e := &q.entries[s-1]
			x.slots[q.place(e.item())] = s
			x.used++
		}
	}
}

// place returns the slot of an item, or the one where it would go.
func (q *Queue) place(it Item) int {
	x := &q.index
	h := maphash.String(x.seed, it.Test)
	if it.Profile != "" {
		h ^= maphash.String(x.seed, it.Profile) * 31
	}
	mask := uint64(len(x.slots) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		s := x.slots[i]
		if s == 0 {
			return int(i)
		}
		if s > 0 && q.entries[s-1].is(it) {
			return int(i)
		}
	}
}

// find returns the number of an item's entry, or none.
func (q *Queue) find(it Item) int32 {
	if len(q.index.slots) == 0 {
		return none
	}
	return q.index.slots[q.place(it)] - 1
}

// drop forgets an item that is there.
func (q *Queue) drop(it Item) { q.index.slots[q.place(it)] = tomb }
