package repo

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"testr/internal/event"
	"testr/internal/protocol"
)

// Queries that choose among a run's tests say of them what the whole list says,
// with all kinds of tests and more than one block of them.
func TestChosenTests(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	var events []event.Event
	for i := range blockTests + 50 {
		id := "t" + strconv.Itoa(rnd.Int())
		began := status(id, protocol.StatusInProgress, i)
		ended := status(id, protocol.Status(3+rnd.IntN(5)), i+rnd.IntN(50))
		for _, p := range []*protocol.Packet{began.Packet, ended.Packet} {
			p.Has |= protocol.HasTags
			p.Tags = []string{"worker-" + strconv.Itoa(i%3), "slow"}[:1+i%2]
			if p.Runnable = i%7 > 0; !p.Runnable {
				p.Has, p.ParentID = p.Has|protocol.HasParent, "parent"
			}
		}
		events = append(events, began, ended)
	}
	r := newRepo(t)
	store(t, r, RunInfo{}, End{}, events...)
	all, err := r.Tests(0, DefaultProfile, nil)
	if err != nil || len(all) != blockTests+50 {
		t.Fatalf("got %d tests, %v", len(all), err)
	}
	same := func(what string, want, got []*event.Test, err error) {
		t.Helper()
		diff := gocmp.Diff(want, got, cmpopts.IgnoreUnexported(event.Test{}), cmpopts.EquateEmpty())
		if diff != "" || err != nil {
			t.Errorf("%s: %v -want +got:\n%s", what, err, diff)
		}
	}
	failed := slices.DeleteFunc(slices.Clone(all), func(t *event.Test) bool { return !t.Failed() })
	got, err := r.Tests(0, DefaultProfile, (*event.Test).Failed)
	same("failed", failed, got, err)

	slowest := slices.DeleteFunc(slices.Clone(all), func(t *event.Test) bool { return !t.Timed || !t.Runnable })
	slices.SortStableFunc(slowest, func(a, b *event.Test) int { return cmp.Compare(b.Duration, a.Duration) })
	for _, limit := range []int{-1, 0, 10, len(all) + 1} {
		want := slowest
		if limit >= 0 && limit < len(want) {
			want = want[:limit]
		}
		got, err := r.Slowest(0, DefaultProfile, limit)
		same("slowest", want, got, err)
	}
}
