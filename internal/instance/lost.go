package instance

import "fmt"

// LostError says that an instance could not be reached, or was lost: the
// network was cut, a host went down, a hook failed to get to it. What ran there
// is no more to blame for it than what would have.
type LostError struct {
	Instance string // as a person knows it
	Err      error  // what happened
}

// Error names the instance and what happened.
func (e *LostError) Error() string { return fmt.Sprintf("instance %s was lost: %v", e.Instance, e.Err) }

// Unwrap returns what happened.
func (e *LostError) Unwrap() error { return e.Err }
