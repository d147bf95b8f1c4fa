package supervisor

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"testr/internal/protocol"
	"testr/internal/scheduler"
)

// TestChaosOfProfiles: runs of random profiles, in slots of which each can run some,
// whose workers die, lose their machines, never get to a test, fail some and hang:
// every run ends, breaks no law, and accounts for every test.
func TestChaosOfProfiles(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { chaos(t, rand.New(rand.NewPCG(seed, 11))) })
		})
	}
}

func chaos(t *testing.T, rnd *rand.Rand) {
	chance := func(one int) bool { return rnd.IntN(one) == 0 }
	names := []string{"stream-a", "batch-b", "stream-c", "plain-d", "batch-e"}
	rnd.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	names = names[:2+rnd.IntN(3)]
	tests := ids(5 + rnd.IntN(40))
	cfg, rec := several(t, 1+rnd.IntN(6), mixed(tests, odds(rnd.Uint64())), tests, names...)
	cfg.Timeout, cfg.Retries, cfg.Isolated = time.Minute, rnd.IntN(3), chance(6)
	if chance(5) {
		cfg.MaxFail = 1 + rnd.IntN(5)
	}
	if chance(3) {
		cfg.Segment = func(it scheduler.Item) int { return len(it.Profile+it.Test) % 2 }
		cfg.Concurrency = []int{rnd.IntN(3)}
	}
	for i := range cfg.Slots {
		if chance(2) {
			cfg.Slots[i].Profiles = names[:1+rnd.IntN(len(names))]
		}
	}
	for i := range cfg.Profiles {
		if p := &cfg.Profiles[i]; p.Worker.Plain == nil && chance(2) {
			after, listed := time.Duration(rnd.IntN(20))*time.Second, tests[rnd.IntN(5):]
			p.List = func(context.Context) (Listing, error) {
				<-time.After(after)
				return Listing{Tests: listed}, nil
			}
		}
		if p := &cfg.Profiles[i]; p.Worker.Stream != nil && chance(3) {
			p.Worker.Batch = modes["batch"](p.Name).Batch
		}
	}
	began := time.Now()
	o, err := Run(t.Context(), cfg)
	var lost *WorkersError
	if err != nil && !errors.As(err, &lost) && !errors.Is(err, errCut) {
		t.Error(err)
	}
	if took := time.Since(began); took > 4*time.Hour {
		t.Errorf("took %v", took)
	}
	for name, c := range o.ByProfile() {
		// What one that runs what it finds begins and does not end failed, and is open.
		if c.Unaccounted() != 0 || c.InProgress != 0 && !strings.HasPrefix(name, "plain") {
			t.Errorf("profile %s: got %+v; want all accounted for", name, c)
		}
	}
	laws(t, cfg, rec)
}

// odds is what comes of tests: mostly they pass after a second.
func odds(seed uint64) func(*fakeProcess, string) (protocol.Status, bool) {
	var mu sync.Mutex
	rnd := rand.New(rand.NewPCG(seed, 12))
	return func(p *fakeProcess, _ string) (protocol.Status, bool) {
		mu.Lock()
		n := rnd.IntN(200)
		mu.Unlock()
		<-time.After(time.Duration(n+1) * 10 * time.Millisecond)
		switch {
		case n < 4:
			p.died = true
			return none, false
		case n < 6:
			cut(p)
			return none, false
		case n < 20:
			return fail, true
		case n < 22:
			<-time.After(2 * time.Minute) // it hangs
		case n < 24:
			return none, true // it has nothing to say
		}
		return pass, true
	}
}
