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
		ended.Packet.Has |= protocol.HasRoute
		ended.Packet.Route = strconv.Itoa(i % 2)
		if i%5 == 0 {
			events = append(events, event.Event{Kind: event.KindAsked, Tests: []string{id}, Worker: event.NoWorker})
		}
		if i%50 == 0 {
			reason := event.Event{Kind: event.KindNotRun, Tests: []string{id}, Worker: event.NoWorker, Detail: "lost"}
			events = append(events, reason)
			continue
		}
		if began.Packet.Tags[0] == "worker-1" { // it passes when it is tried again
			first := status(id, protocol.StatusFail, i)
			again := status(id, protocol.StatusInProgress, i)
			again.Packet.Has, again.Packet.Tags = again.Packet.Has|protocol.HasTags, []string{"attempt-2"}
			ended.Packet.Tags = append([]string{"attempt-2"}, ended.Packet.Tags...)
			events = append(events, began, first, again, ended)
			continue
		}
		events = append(events, began, ended)
	}
	r := newRepo(t)
	store(t, r, RunInfo{}, End{}, events...)
	all, err := r.Tests(0, DefaultProfile, 0)
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
	for choose, wanted := range map[Choice]func(*event.Test) bool{
		ChooseFailed:                (*event.Test).Failed,
		ChooseFlaky:                 (*event.Test).Flaky,
		ChooseNotRun:                func(t *event.Test) bool { return t.NotRun != "" },
		ChooseFailed | ChooseNotRun: func(t *event.Test) bool { return t.Failed() || t.NotRun != "" },
		ChooseFailed | ChooseFlaky:  func(t *event.Test) bool { return t.Failed() || t.Flaky() },
	} {
		chosen := slices.DeleteFunc(slices.Clone(all), func(t *event.Test) bool { return !wanted(t) })
		if len(chosen) == 0 || len(chosen) == len(all) {
			t.Fatalf("choice %b: %d of %d tests: it has nothing to choose", choose, len(chosen), len(all))
		}
		got, err := r.Tests(0, DefaultProfile, choose)
		same("choice "+strconv.Itoa(int(choose)), chosen, got, err)
	}
	wantRan := Ran{Asked: map[string]int{}, Others: map[string]int{}}
	for _, t := range all {
		switch {
		case !t.Settled():
		case t.Asked:
			wantRan.Asked[t.Route]++
		case t.Runnable:
			wantRan.Others[t.Route]++
		}
	}
	ran, err := r.Ran(0, DefaultProfile)
	if diff := gocmp.Diff(wantRan, ran); diff != "" || err != nil || len(ran.Asked) != 2 || len(ran.Others) != 2 {
		t.Errorf("ran: %v -want +got:\n%s", err, diff)
	}

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
