package instance

import "os"

// MaxLeftovers is how many leftovers are described.
const MaxLeftovers = maxLeftovers

// GuardianProcess is the guardian's process. There must be one.
func (l *Local) GuardianProcess() *os.Process { return l.guardian.cmd.Process }

// GuardianDone is closed when the guardian that there is now has ended.
func (l *Local) GuardianDone() <-chan struct{} { return l.guardian.done }
