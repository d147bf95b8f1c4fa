package scheduler

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// of gives items a profile.
func of(profile string, items []Item) []Item {
	for i := range items {
		items[i].Profile = profile
	}
	return items
}

// asks has the worker ask for one item and demands what it gets: "" for nothing.
func asks(t *testing.T, q *Queue, worker int, want Item, state State) {
	t.Helper()
	items, s := q.Next(worker, start, Limit{Items: 1})
	if s != state || len(items) > 0 && items[0] != want || len(items) == 0 && want.Test != "" {
		t.Fatalf("worker %d asks: got %q, %v; want %q, %v", worker, items, s, want, state)
	}
}

// restricted makes a queue whose workers can run a profile each, "*" being all.
func restricted(names ...string) *Queue {
	can := only(names...)
	return New(Options{Workers: len(can), Order: Listed, Profiles: func(w int) []string { return can[w] }})
}

var nothing Item

// TestStatesOfProfiles: Done is for those that can run nothing that is left, Change
// for those of a profile that is over, Wait while something may come back.
func TestStatesOfProfiles(t *testing.T) {
	q := restricted("a", "b", "*")
	q.Add(of("a", tests("1"))...)
	asks(t, q, 0, Item{"1", "a"}, Have)
	asks(t, q, 1, nothing, Wait) // of b something may be listed
	asks(t, q, 2, nothing, Wait)
	q.ListingDone("a")
	q.Started(0, Item{"1", "a"}, start)
	asks(t, q, 0, nothing, Done)
	asks(t, q, 1, nothing, Wait)
	asks(t, q, 2, nothing, Wait)
	q.Add(of("b", tests("1", "2"))...)
	asks(t, q, 2, Item{"1", "b"}, Have)
	asks(t, q, 1, Item{"2", "b"}, Have)
	q.ListingDone("b")
	asks(t, q, 1, nothing, Wait) // one of the two may come back
	q.Started(1, Item{"2", "b"}, start)
	q.Started(2, Item{"1", "b"}, start)
	asks(t, q, 1, nothing, Done)
	asks(t, q, 2, nothing, Change) // nobody has said that there are no others
	q.ListingDone()
	asks(t, q, 2, nothing, Done)
	q.Finished(0, Item{"1", "a"}, start)
	q.Again(Item{"1", "a"})
	asks(t, q, 2, nothing, Change) // it is of b
	asks(t, q, 1, nothing, Done)
	q.Finished(2, Item{"1", "b"}, start)
	q.Lost(2, start)
	asks(t, q, 2, Item{"1", "a"}, Have)
}

// TestNoMoreComeThanAreNeeded: of several that have nothing, as many leave for
// another profile as that has items for.
func TestNoMoreComeThanAreNeeded(t *testing.T) {
	q := restricted("*", "*", "*", "*")
	q.Add(of("a", tests("1", "2", "3", "4", "5"))...)
	for w, id := range []string{"1", "2", "3"} {
		asks(t, q, w, Item{id, "a"}, Have)
		q.Started(w, Item{id, "a"}, start)
		q.Finished(w, Item{id, "a"}, start.Add(time.Second))
	}
	asks(t, q, 3, Item{"4", "a"}, Have)
	asks(t, q, 3, Item{"5", "a"}, Have)
	q.Add(of("b", tests("1", "2"))...)
	q.ListingDone()
	asks(t, q, 0, nothing, Change)
	asks(t, q, 1, nothing, Change)
	asks(t, q, 2, nothing, Wait)
	asks(t, q, 0, nothing, Change) // and keeps to that
	q.Lost(0, start)
	asks(t, q, 0, Item{"1", "b"}, Have)
	q.Lost(1, start)
	asks(t, q, 1, Item{"2", "b"}, Have)
	if from, items := q.Steal(2, start, 0); from != 3 || len(items) != 1 || items[0] != (Item{"5", "a"}) {
		t.Errorf("got %q of worker %d; want what worker 3 has not begun", items, from)
	}
}

// TestStealOfProfiles: nothing is asked back for a worker that can't have it.
func TestStealOfProfiles(t *testing.T) {
	for _, tt := range []struct {
		name  string
		thief string // what it can run
		is    string // what it is
		want  bool
	}{
		{"of none", "*", "", true},
		{"of none, which can run another", "b", "", false},
		{"of another", "*", "b", false},
		{"of the same", "*", "a", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q := restricted("a", tt.thief)
			q.Add(of("a", tests("1", "2", "3", "4"))...)
			for _, id := range []string{"1", "2", "3", "4"} {
				asks(t, q, 0, Item{id, "a"}, Have)
			}
			if tt.is != "" {
				q.Add(Item{"0", tt.is})
				asks(t, q, 1, Item{"0", tt.is}, Have)
				q.Finished(1, Item{"0", tt.is}, start)
			}
			if from, items := q.Steal(1, start, 0); (len(items) > 0) != tt.want {
				t.Errorf("got %q of worker %d; want some: %v", items, from, tt.want)
			}
		})
	}
}

// TestStealFromOneThatLeaves: one that was told to end keeps what it has.
func TestStealFromOneThatLeaves(t *testing.T) {
	q := New(Options{Workers: 4, Order: Listed,
		Estimate: func(Item) (time.Duration, bool) { return time.Second, true },
		Profiles: func(w int) []string { return only("*", "*", "a", "a")[w] }})
	q.Add(of("a", manyTests(40))...)
	items, _ := q.Next(0, start, Limit{Items: 10})
	q.Next(1, start, Limit{Items: 1})
	q.Add(of("b", manyTests(200))...)
	q.ListingDone()
	if _, state := q.Next(0, start.Add(time.Hour), Limit{Items: 1}); state != Change {
		t.Fatalf("got %v; want %v for the sake of b", state, Change)
	}
	q.Next(3, start, Limit{Items: 3})
	if got, other := q.workers[0].has, q.workers[3].has; got <= other {
		t.Fatalf("got %d items in worker 0 and %d in worker 3; want more", got, other)
	}
	if from, back := q.Steal(2, start, 0); from != 3 {
		t.Errorf("got %q of worker %d; want some of worker 3: worker 0, which has %q, leaves", back, from, items)
	}
}

// TestRestrict: a worker that turns out not to run a profile gets nothing more of
// it; while it is of one, that waits for its loss.
func TestRestrict(t *testing.T) {
	q := restricted("*", "*")
	q.Add(of("a", tests("1", "2"))...)
	q.Add(of("b", tests("1"))...)
	q.ListingDone()
	asks(t, q, 0, Item{"1", "a"}, Have)
	q.Restrict(0, []string{"b"})
	asks(t, q, 0, Item{"2", "a"}, Have)
	q.Lost(0, start)
	asks(t, q, 0, Item{"1", "b"}, Have)
	q.Finished(0, Item{"1", "b"}, start)
	asks(t, q, 0, nothing, Done)
	q.Lost(0, start)
	q.Restrict(0, []string{})
	asks(t, q, 0, nothing, Done)
	q.Restrict(0, nil)
	asks(t, q, 0, Item{"1", "a"}, Have)
	q.Restrict(7, nil) // there is none
}

// TestBarrierOfProfiles: a segment is over when it is in all profiles, and its
// seats count over all.
func TestBarrierOfProfiles(t *testing.T) {
	q := New(Options{Workers: 3, Order: Listed, Concurrency: []int{2},
		Segment: func(it Item) int { return len(it.Test) - 1 }})
	q.Add(of("a", tests("1", "22"))...)
	q.Add(of("b", tests("1", "2", "22"))...)
	q.ListingDone()
	asks(t, q, 0, Item{"1", "b"}, Have)
	asks(t, q, 1, Item{"1", "a"}, Have)
	asks(t, q, 2, nothing, Wait) // no seat
	q.Finished(1, Item{"1", "a"}, start)
	asks(t, q, 1, nothing, Change) // its second segment waits for what b has in the first
	asks(t, q, 2, Item{"2", "b"}, Have)
	q.Lost(1, start)
	asks(t, q, 1, nothing, Wait)
	q.Finished(0, Item{"1", "b"}, start)
	q.Finished(2, Item{"2", "b"}, start)
	asks(t, q, 1, Item{"22", "a"}, Have)
	asks(t, q, 0, Item{"22", "b"}, Have)
}

// TestLeft: Left counts the items of each profile.
func TestLeft(t *testing.T) {
	q := restricted("*")
	q.Add(of("a", tests("1", "2", "3"))...)
	q.Add(of("b", tests("1"))...)
	items, _ := q.Next(0, start, Limit{Items: 2})
	q.Started(0, items[0], start)
	if waiting, sent, begun := q.Left("a"); waiting != 1 || sent != 1 || begun != 1 {
		t.Errorf("got %d, %d and %d; want one each", waiting, sent, begun)
	}
	if waiting, sent, begun := q.Left("b"); waiting != 1 || sent != 0 || begun != 0 {
		t.Errorf("got %d, %d and %d; want one that waits", waiting, sent, begun)
	}
	if waiting, sent, begun := q.Left("c"); waiting+sent+begun != 0 {
		t.Errorf("got %d, %d and %d of nothing", waiting, sent, begun)
	}
}

// TestNextKeepsToTheChoice: a worker gets items of the profile that was chosen, and of
// no other one, though another limit would have made for another choice.
func TestNextKeepsToTheChoice(t *testing.T) {
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		took := map[Item]time.Duration{}
		q := New(Options{Workers: 3, Estimate: func(it Item) (time.Duration, bool) { return took[it], true }})
		for _, name := range []string{"a", "b", "c"} {
			for _, it := range of(name, tests("1", "2", "3", "4", "5", "6")) {
				took[it] = time.Duration(1+rnd.IntN(100)) * time.Second
				q.Add(it)
			}
		}
		q.ListingDone()
		slow := []time.Duration{1, 2, 5}
		free, has := []time.Time{start, start, start}, make([]Item, 3)
		for q.Counts().Remaining() > 0 {
			n := slices.IndexFunc(free, func(at time.Time) bool { return !slices.ContainsFunc(free, at.After) })
			now := free[n]
			if q.Finished(n, has[n], now) && rnd.IntN(2) == 0 {
				q.Lost(n, now)
			}
			free[n] = now.Add(time.Second)
			profile, state := q.Choose(n, now, Limit{Change: time.Second})
			if state != Have {
				q.Lost(n, now)
				continue
			}
			items, state := q.Next(n, now, Limit{Items: 1, All: true})
			if state != Have || items[0].Profile != profile {
				t.Fatalf("seed %d: got %q, %v; want some of profile %s", seed, items, state, profile)
			}
			q.Started(n, items[0], now)
			has[n], free[n] = items[0], now.Add(slow[n]*took[items[0]])
		}
	}
}
