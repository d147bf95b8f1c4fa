package scheduler

import (
	stdheap "container/heap"
	"time"
)

// agenda is what is to happen in a simulation, by virtual time.
type agenda struct {
	now    time.Duration
	events eventHeap
	pushed int
}

type event struct {
	at    time.Duration
	place int
	do    func()
}

type eventHeap []event

func (h eventHeap) Len() int      { return len(h) }
func (h eventHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h eventHeap) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].place < h[j].place
}
func (h *eventHeap) Push(x any) { *h = append(*h, x.(event)) }
func (h *eventHeap) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = event{}
	*h = (*h)[:last]
	return e
}

// after has something be done later.
func (a *agenda) after(d time.Duration, do func()) {
	a.pushed++
	stdheap.Push(&a.events, event{a.now + d, a.pushed, do})
}

// next does what comes next, and says whether there was anything.
func (a *agenda) next() bool {
	if len(a.events) == 0 {
		return false
	}
	e := stdheap.Pop(&a.events).(event)
	a.now = e.at
	e.do()
	return true
}
