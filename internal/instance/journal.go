package instance

import "time"

// Lease is something that a provider has got and has to give back, whatever
// happens to this process.
type Lease struct {
	Key     uint64 // its place in the journal; 0 before it has one
	Section string // of the configuration that it was got for; empty for [DEFAULT]
	// ID is that of the instance. It is empty while a hook is at work of which
	// nobody knows what it has got.
	ID      string
	Dispose string // the shell command that gives instances back, with $INSTANCE_IDS in it
	Dir     string // where that runs
	PID     int    // of the testr that got it
	Since   time.Time
	Failure string // why the last attempt to give it back failed; empty before one
}

// Journal keeps leases where they outlive this process. Its methods may be
// called from several goroutines. When they return nil the change is on disk.
type Journal interface {
	// Put stores a lease, and gives it a key if it has none.
	Put(lease Lease) (key uint64, err error)
	// Remove forgets one. One that is not there is none the more.
	Remove(key uint64) error
	// Leases are all that are there, in the order of their keys.
	Leases() ([]Lease, error)
}
