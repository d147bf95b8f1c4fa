package event

import (
	"time"

	"testr/internal/protocol"
)

// Kind says what an Event is about.
type Kind uint8

// The kinds. Their numbers are stored, so they never change.
const (
	KindInvalid Kind = iota
	// KindPacket is a packet of a worker, of a loaded stream or of the
	// supervisor itself: Packet is set. Where the supervisor made it up in the
	// place of a worker that owes it, Detail says so.
	KindPacket
	// KindAsked says that Tests have been asked for: each is owed an outcome.
	KindAsked
	// KindNotRun says that Tests were asked for and will have no outcome in
	// this run; Detail is the reason.
	KindNotRun
	// KindRequeued says that Tests were sent to Worker, and wait for another one:
	// they had not begun when it ended, or its machine was lost with it. Detail is
	// the reason.
	KindRequeued
	// KindWorkerStarted says that a process was started in the slot Worker;
	// Detail is that of a Started.
	KindWorkerStarted
	// KindWorkerExited says that the process in the slot Worker has ended;
	// Detail is its exit status.
	KindWorkerExited
	// KindWarning is something that a person should know of: Detail.
	KindWarning
	// KindInterrupted says that somebody stopped the run; Detail says how.
	KindInterrupted
	// KindSent says that Tests were sent to Worker.
	KindSent
)

var kindNames = [...]string{"invalid", "packet", "asked", "not run", "requeued",
	"worker started", "worker exited", "warning", "interrupted", "sent"}

// String returns the kind's name.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return kindNames[0]
}

// ParseKind returns the kind of that name, or KindInvalid.
func ParseKind(name string) Kind {
	for k, n := range kindNames {
		if n == name {
			return Kind(k)
		}
	}
	return KindInvalid
}

// NoWorker is the Worker of an event that belongs to none.
const NoWorker = -1

// Event is one thing that happened in a run. Its memory is its own, and nobody
// changes it after it was handed to a Sink.
type Event struct {
	Seq    uint64    // its place in the run, from 0; given by whoever makes the run's order
	Time   time.Time // when the supervisor saw it, by the supervisor's clock
	Kind   Kind
	Worker int // slot number, or NoWorker
	// Profile is the name of the profile that the packet or Tests belong to, or
	// that the worker runs; empty for the default one, and where it doesn't matter.
	Profile string
	Packet  *protocol.Packet
	Tests   []string
	Detail  string
}

// Sink takes a run's events, in order, from one goroutine. An error means that
// the sink can't do its work any more: the run has to stop.
type Sink interface {
	Event(Event) error
}
