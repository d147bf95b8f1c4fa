package repo

import (
	"iter"

	"testr/internal/event"
)

// maxSlab is how many events stand in one piece of memory: of larger pieces, what was
// outgrown costs more than all else that is done with an event.
const maxSlab = 256

// slab is some events that follow each other, of one transaction.
type slab struct {
	events []event.Event
	size   int // about how much memory they take
}

// append puts an event to those that wait for their commit; w.mu is held.
func (w *RunWriter) append(e event.Event) {
	e.Seq = w.next
	e.Time = e.Time.Round(0) // what is stored has no other clock's reading: a fold must not see one
	w.next++
	n := len(w.pending)
	if n == 0 || len(w.pending[n-1].events) == maxSlab {
		var s slab
		if n > 0 {
			s.events = make([]event.Event, 0, maxSlab)
		}
		w.pending = append(w.pending, s)
		n++
	}
	last, size := &w.pending[n-1], sizeOf(e)
	last.events = append(last.events, e)
	last.size += size
	w.size += size
}

// eventsOf goes through the events of a group.
func eventsOf(group []slab) iter.Seq[*event.Event] {
	return func(yield func(*event.Event) bool) {
		for _, s := range group {
			for i := range s.events {
				if !yield(&s.events[i]) {
					return
				}
			}
		}
	}
}

// sizeOf returns about how much memory an event takes.
func sizeOf(e event.Event) int {
	n := 160 + len(e.Detail)
	if p := e.Packet; p != nil {
		n += 240 + len(p.Content) + len(p.TestID) + len(p.ParentID) + len(p.Route) + len(p.FileName) + len(p.MIMEType)
		for _, tag := range p.Tags {
			n += 16 + len(tag)
		}
	}
	for _, id := range e.Tests {
		n += 16 + len(id)
	}
	return n
}

// sizeOnDisk returns about how long an event is in a chunk.
func sizeOnDisk(e *event.Event) int {
	n := 16 + len(e.Detail)
	if e.Packet != nil {
		n += sizeOf(event.Event{Packet: e.Packet}) - 360
	}
	for _, id := range e.Tests {
		n += 2 + len(id)
	}
	return n
}
