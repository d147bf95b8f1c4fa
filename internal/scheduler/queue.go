package scheduler

// Item is a piece of work: a test under a profile.
type Item struct {
	Test    string
	Profile string
}

// State is what Next says of the worker's future.
type State uint8

// The states.
const (
	// StateInvalid is never returned.
	StateInvalid State = iota
	// Have comes with at least one item.
	Have
	// Wait means nothing now, perhaps later: items may still be added, given
	// back or freed.
	Wait
	// Done means that nothing will ever come for this worker.
	Done
)
