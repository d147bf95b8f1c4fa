package event

import (
	"math/rand/v2"
	"testing"
	"time"
)

// newRand returns a source whose seed a failing test prints.
func newRand(t *testing.T) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}
