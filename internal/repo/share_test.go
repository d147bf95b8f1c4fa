package repo

import (
	"fmt"
	"runtime"
	"testing"

	"testr/internal/protocol"
)

// A stream may have as many profiles as tests: what is kept of them grows with their
// number, and not with its square.
func TestManyProfiles(t *testing.T) {
	const many, most = 6000, 64 << 20
	f := newFold()
	for i := range many {
		e := status("test", protocol.StatusSuccess, i)
		e.Profile = fmt.Sprint("p", i)
		f.take(e)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	shares := f.shares(&RunInfo{State: Finished}, nil)
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; len(shares) != many || got > most {
		t.Errorf("%d profiles took %d bytes; want %d and at most %d", len(shares), got, many, most)
	}
}
