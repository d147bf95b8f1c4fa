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

// TestChaosOfProfiles: runs of random profiles, in slots of which each can run some
// and is there sooner, later or never, whose workers die, lose their machines, never
// get to a test, fail some and hang: every run ends, breaks no law, and accounts for
// every test.
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
	if chance(2) {
		known := map[scheduler.Item]time.Duration{}
		for _, name := range names {
			for _, id := range tests {
				known[scheduler.Item{Test: id, Profile: name}] = time.Duration(1+rnd.IntN(60)) * time.Second
			}
		}
		cfg.Estimate = func(it scheduler.Item) (time.Duration, bool) { return known[it], true }
	}
	for i := range cfg.Slots {
		s := &cfg.Slots[i]
		if chance(2) {
			s.Profiles = names[:1+rnd.IntN(len(names))]
		}
		if chance(2) {
			inst := s.Instance
			s.Name, s.Instance = fmt.Sprintf("host-%d", rnd.IntN(3)), nil
			s.Open = opens(rnd.Uint64(), Place{Instance: inst, Host: s.Name + ".example"})
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
		} else if p.Worker.Batch != nil {
			p.Worker.Whole = chance(4)
		}
	}
	began := time.Now()
	o, err := Run(t.Context(), cfg)
	var lost *WorkersError
	if err != nil && !errors.As(err, &lost) && !errors.Is(err, errCut) && !errors.Is(err, errRefused) {
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

var errRefused = errors.New("connection refused")

// opens gets a place: at once, after a while, after it was not there for some time, or
// never.
func opens(seed uint64, place Place) func(context.Context) (Place, error) {
	rnd := rand.New(rand.NewPCG(seed, 13))
	return func(ctx context.Context) (Place, error) {
		n := rnd.IntN(20)
		select {
		case <-time.After(time.Duration(n) * time.Second):
		case <-ctx.Done():
			return Place{}, context.Cause(ctx)
		}
		switch {
		case n < 1:
			return Place{}, errRefused
		case n < 8:
			return Place{}, &AbsentError{errRefused}
		}
		return place, nil
	}
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
