// Package scheduler decides which worker runs which test next, while the run
// goes on.
//
// A Queue is a pure state machine: it starts no goroutine, reads no clock,
// does no I/O and takes no lock. Whoever drives it says what happened (Started,
// Finished, Lost …), with the time at which it did, and asks what to do (Next).
// The same calls in the same order give the same answers. A Queue is not safe
// for concurrent use.
//
// # An item's life
//
//	waiting ── Next ──> sent ── Started ──> begun ── Finished ──> done
//	   ^                 │                    │
//	   ├── Returned ─────┤                    └─ Lost: done, its caller fails it
//	   └── Lost ─────────┴─ Lost, once too often: abandoned
//
// From Next until it is settled an item belongs to one worker, and nothing
// that another worker says of it counts.
//
// The policy, what was tried instead, and its figures are in
// docs/scheduling.md.
package scheduler
