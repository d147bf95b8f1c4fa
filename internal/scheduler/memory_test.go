package scheduler

import (
	"runtime"
	"testing"
)

// TestMemory: a million tests in 50,000 classes, all of known length, take less
// than 200 MiB of heap, ids not counted.
func TestMemory(t *testing.T) {
	items := suite(1_000_000)
	before := heapInUse()
	q := New(Options{Workers: 1, Estimate: known})
	q.Add(items...)
	const limit = 200 << 20
	if got := heapInUse() - before; got > limit {
		t.Errorf("a million tests take %d MiB; want at most %d", got>>20, limit>>20)
	} else {
		t.Logf("a million tests take %d MiB", got>>20)
	}
	runtime.KeepAlive(q)
	runtime.KeepAlive(items)
}

func heapInUse() uint64 {
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}
