package main

import "runtime"

// headroom is how much the collector takes for memory in use, though nobody ever
// touches it, so that it is not there. A heap of some megabytes is then collected once
// or never, and a large one as it always was.
const headroom = 24 << 20

// giveHeadroom is for commands that do much in little time; it holds until over is called.
// It costs a millisecond, which is more than the collector takes of a command that reads a little.
func giveHeadroom() (over func()) {
	inUse := make([]byte, headroom)
	return func() { runtime.KeepAlive(inUse) }
}
