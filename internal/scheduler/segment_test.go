package scheduler

import (
	"strings"
	"testing"
)

// segmented has a test belong to the segment that its id begins with.
func segmented(it Item) int { return strings.IndexByte("0123456789", it.Test[0]) }

func finish(q *Queue, worker int, ids ...string) {
	for _, it := range tests(ids...) {
		q.Finished(worker, it, start)
	}
}

func TestSegments(t *testing.T) {
	q := New(Options{Workers: 2, Segment: segmented})
	q.Add(tests("1.a", "2.a", "1.b")...)
	next(t, q, 0, 1, Wait) // there may yet be something for segment 0
	q.Add(tests("0.a")...)
	next(t, q, 0, 9, Have, "0.a")
	next(t, q, 1, 9, Wait)
	finish(q, 0, "0.a")
	next(t, q, 1, 9, Wait) // there may be more for it
	q.ListingDone()
	next(t, q, 1, 1, Have, "1.a")
	next(t, q, 0, 9, Have, "1.b")
	finish(q, 1, "1.a")
	next(t, q, 1, 9, Wait)
	q.Started(0, Item{Test: "1.b"}, start)
	next(t, q, 1, 9, Wait) // 2.a waits, though nothing can come back
	q.Lost(0, start)       // 1.b has its outcome
	next(t, q, 1, 9, Have, "2.a")
	finish(q, 1, "2.a")
	next(t, q, 1, 9, Done)
}

func TestRetryHoldsTheBarrier(t *testing.T) {
	q := New(Options{Workers: 2, Segment: segmented})
	q.Add(tests("0.a", "1.a", "1.b")...)
	q.ListingDone()
	again := func(id string, want bool) {
		t.Helper()
		if got := q.Again(Item{Test: id}); got != want {
			t.Errorf("Again(%s): got %v; want %v", id, got, want)
		}
	}
	again("0.a", false) // waits
	next(t, q, 0, 1, Have, "0.a")
	again("0.a", false) // is sent
	finish(q, 0, "0.a")
	again("0.a", true)
	again("0.a", false)
	again("0.x", false) // was never there
	next(t, q, 1, 1, Have, "0.a")
	next(t, q, 0, 1, Wait)
	finish(q, 1, "0.a")
	next(t, q, 0, 1, Have, "1.a")
	again("0.a", true)     // late, but it counts
	next(t, q, 0, 1, Wait) // it has something of a later segment
	next(t, q, 1, 1, Have, "0.a")
	finish(q, 1, "0.a")
	finish(q, 0, "1.a")
	next(t, q, 1, 1, Have, "1.b")
	finish(q, 1, "1.b")
	next(t, q, 1, 1, Done)
	again("1.b", true)
	next(t, q, 1, 1, Have, "1.b")
}

func TestAgainNotAfterAbandoning(t *testing.T) {
	q := New(Options{Workers: 1, MaxAttempts: -1})
	q.Add(tests("a")...)
	next(t, q, 0, 1, Have, "a")
	q.Lost(0, start)
	if q.Again(Item{Test: "a"}) {
		t.Error("an abandoned item goes again")
	}
	if got, want := q.Counts(), (Counts{Abandoned: 1}); got != want {
		t.Errorf("got counts %+v; want %+v", got, want)
	}
}

func TestConcurrency(t *testing.T) {
	q := New(Options{Workers: 3, Segment: segmented, Concurrency: []int{1, 2}, Order: Listed})
	q.Add(tests("0.a", "0.b", "0.c", "1.a", "1.b", "1.c")...)
	q.ListingDone()
	next(t, q, 0, 1, Have, "0.a")
	next(t, q, 1, 1, Wait)
	next(t, q, 0, 1, Have, "0.b") // it has the seat
	finish(q, 0, "0.a")
	next(t, q, 1, 1, Wait)
	finish(q, 0, "0.b")
	next(t, q, 1, 1, Have, "0.c")
	next(t, q, 0, 1, Wait)
	q.Lost(1, start)
	next(t, q, 2, 1, Have, "0.c")
	finish(q, 2, "0.c")
	next(t, q, 0, 1, Have, "1.a")
	next(t, q, 1, 1, Have, "1.b")
	next(t, q, 2, 1, Wait)
	finish(q, 1, "1.b")
	next(t, q, 2, 1, Have, "1.c")
}

func TestGroupsEndWithTheSegment(t *testing.T) {
	q := New(Options{Workers: 2, Segment: segmented, Group: func(Item) string { return "g" }})
	q.Add(tests("0.a", "1.a", "0.b", "1.b")...)
	q.ListingDone()
	next(t, q, 0, 9, Have, "0.a", "0.b")
	finish(q, 0, "0.a", "0.b")
	next(t, q, 1, 1, Have, "1.a")
	next(t, q, 0, 1, Wait)
	next(t, q, 1, 9, Have, "1.b")
}

func TestSegmentsBelowZeroAreZero(t *testing.T) {
	q := New(Options{Workers: 1, Segment: func(Item) int { return -7 }, Concurrency: []int{-1}})
	q.Add(tests("a")...)
	next(t, q, 0, 1, Have, "a")
}

// TestOpened: that a seat is free, and that the next segment has begun, is told once.
func TestOpened(t *testing.T) {
	q := New(Options{Workers: 2, Concurrency: []int{1}, Segment: func(it Item) int { return len(it.Test) - 1 }})
	q.Add(tests("1", "2", "33", "44")...)
	q.ListingDone()
	for _, id := range []string{"1", "2", "33"} {
		asks(t, q, 0, Item{Test: id}, Have)
		if q.Opened() {
			t.Errorf("%s was handed out: got that something has opened", id)
		}
		q.Finished(0, Item{Test: id}, start)
		if want := id != "33"; q.Opened() != want || q.Opened() {
			t.Errorf("%s is done: want it told %t, once", id, want)
		}
	}
}
