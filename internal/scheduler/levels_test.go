package scheduler

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// TestFitting: of what waits, whatever came and went, one is found that is about
// as long as may be.
func TestFitting(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	q := New(Options{Workers: 1, Estimate: taking})
	var waits []Item
	for n := range 3000 {
		if n%3 < 2 {
			it := Item{Test: fmt.Sprintf("C%d.t%d_%d", n%17, n, 1+rnd.IntN(1<<(1+n%16)))}
			q.Add(it)
			waits = append(waits, it)
		} else {
			i := rnd.IntN(len(waits))
			q.Remove(waits[i])
			waits[i] = waits[len(waits)-1]
			waits = waits[:len(waits)-1]
		}
		if n%10 > 0 {
			continue
		}
		limit := lengthOf(time.Duration(rnd.IntN(1<<(1+rnd.IntN(16)))) * time.Millisecond)
		best := unknown
		for _, it := range waits {
			d, _ := taking(it)
			if l := lengthOf(d); l <= limit {
				best = max(best, l)
			}
		}
		at := q.fitting(q.segment(0).stocks[0], limit)
		if best == unknown {
			if at != none {
				t.Fatalf("got %q for %d us; nothing is so short", q.entries[at].test, limit)
			}
			continue
		}
		// Two lists may hold what is up to an eighth longer or shorter each.
		if at == none || q.entries[at].state != waiting || q.entries[at].length > limit || q.entries[at].length < best*2/3 {
			t.Fatalf("%d us: got entry %d; want one of %d us or little less", limit, at, best)
		}
	}
}
