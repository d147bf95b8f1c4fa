package repo

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"testr/internal/event"
	"testr/internal/protocol"
)

// excerptOf collects an excerpt.
func excerptOf(t testing.TB, r *Repository, run int, want Wanted) []event.Event {
	t.Helper()
	var events []event.Event
	err := r.Excerpt(run, want, func(e event.Event) error {
		events = append(events, e)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return events
}

// beside are the kinds of events that are shown beside tests, packets aside.
var beside = []event.Kind{event.KindWarning, event.KindInterrupted, event.KindWorkerStarted}

// An excerpt is what is left of the whole run without the rest, subtests of the
// wanted tests included.
func TestExcerpt(t *testing.T) {
	rnd := rand.New(rand.NewPCG(11, 2026))
	var events []event.Event
	for i := range 4000 {
		e := randomEvent(rnd, i)
		if e.Packet != nil && i%5 == 0 {
			e.Packet.Has, e.Packet.ParentID = e.Packet.Has|protocol.HasParent, fmt.Sprint("test ", i-1-rnd.IntN(30))
		}
		events = append(events, e)
		if i%7 == 0 && i > 30 {
			events = append(events, status(fmt.Sprint("test ", i-rnd.IntN(30)), protocol.StatusSuccess, i))
		}
		if i%50 == 0 {
			events = append(events, event.Event{Kind: event.KindRequeued, Tests: []string{"a", "b"},
				Detail: event.Moved("desktop", "no answer")})
		}
	}
	events = append(events, file("large", "f", noise(200<<10)), status("large", protocol.StatusFail, 9))
	r := newRepo(t)
	store(t, r, RunInfo{}, End{}, events...)
	stored := replay(t, r, 0)
	tests, err := r.Tests(0, DefaultProfile, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		want := Wanted{Beside: i%2 == 1}
		ids := map[string]bool{}
		for _, test := range tests {
			if i < 2 || rnd.IntN(1+i) == 0 {
				want.Tests = append(want.Tests, Span{ID: test.ID, First: test.FirstSeq, Last: test.LastSeq, Profile: test.Profile})
				ids[test.ID] = true
			}
		}
		var expected []event.Event
		for _, e := range stored {
			p := packetOf(e)
			_, moved := event.MovedFrom(e.Detail)
			shown := p == nil && e.Kind == event.KindPacket || slices.Contains(beside, e.Kind) || moved
			child := p != nil && p.Has&protocol.HasParent != 0 && ids[p.ParentID] && between(want.Tests, e.Seq)
			if p != nil && ids[p.TestID] || child || shown && want.Beside {
				expected = append(expected, e)
			}
		}
		if got := excerptOf(t, r, 0, want); !reflect.DeepEqual(got, expected) { // cmp takes minutes for large contents
			t.Errorf("%d tests, beside %v: -want +got:\n%s", len(ids), want.Beside,
				cmp.Diff(numbersOf(expected), numbersOf(got)))
		}
	}
}

func between(spans []Span, seq uint64) bool {
	return slices.ContainsFunc(spans, func(s Span) bool { return s.First <= seq && seq <= s.Last })
}

func numbersOf(events []event.Event) []uint64 {
	var numbers []uint64
	for _, e := range events {
		numbers = append(numbers, e.Seq)
	}
	return numbers
}

func TestExcerptOfNothing(t *testing.T) {
	r := newRepo(t)
	store(t, r, RunInfo{}, End{})
	if got := excerptOf(t, r, 0, Wanted{Beside: true}); len(got) > 0 {
		t.Errorf("got %v of an empty run", got)
	}
	err := r.Excerpt(0, Wanted{Tests: []Span{{ID: "a", Last: 3}}}, func(event.Event) error { return nil })
	if _, ok := errors.AsType[*DamagedError](err); !ok {
		t.Errorf("events that aren't there: got %v; want a *DamagedError", err)
	}
	if err := r.Excerpt(1, Wanted{Beside: true}, nil); !errors.Is(err, ErrNoRun) {
		t.Errorf("no such run: got %v; want ErrNoRun", err)
	}
}

func TestExcerptEnds(t *testing.T) {
	r := newRepo(t)
	store(t, r, RunInfo{}, End{}, outcome("a", protocol.StatusFail, 1, 2)...)
	full := errors.New("full")
	count := 0
	err := r.Excerpt(0, Wanted{Tests: []Span{{ID: "a", Last: 1}}}, func(event.Event) error { count++; return full })
	if !errors.Is(err, full) || count != 1 {
		t.Errorf("got %v after %d events; want the callee's error after one", err, count)
	}
}

// Events that are gone past end where those that are read do.
func FuzzPass(f *testing.F) {
	rnd := rand.New(rand.NewPCG(5, 7))
	for i := range 30 {
		raw, err := appendEvent(nil, randomEvent(rnd, i), 0)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		read, passed := decoder{b: raw}, decoder{b: raw}
		var prev, before int64
		e, seen := read.event(&prev), passed.pass(&before)
		if read.bad {
			return
		}
		want := fmt.Sprint(false, len(read.b), prev, e.Kind)
		got := fmt.Sprint(passed.bad, len(passed.b), before, seen.kind)
		if p := packetOf(e); p != nil {
			want += p.TestID
			got += string(testID(seen))
		}
		if got != want {
			t.Errorf("got %q; want %q", got, want)
		}
	})
}
