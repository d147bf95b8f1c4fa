package scheduler

import (
	"fmt"
	"testing"
	"time"
)

// hostileIDs are ids that nothing may depend on the form of.
var hostileIDs = []string{
	"", ".", "..", "a", "a.", ".a", "a.b", "a.b.c", "a.b.d", "a.b.c.d", "a.b.c.e", "x.y.z", "x.y.w",
	"a.b.c\x00", "a.b.\xff\xfe", "$(rm -rf /)", "a b.c d.e f", "a.b.c(x=1.5)", "\n", "a.\n.b", "group.g.1", "group.g.2",
	"a/b.py::C::t[x.y::z]", "a/b.py::C::u[", "[]", "()", "::", "h/p.TestA/b.c", "/",
}

// FuzzQueue makes any calls in any order, right ones and lies. The model knows
// what must come of each.
func FuzzQueue(f *testing.F) {
	f.Add([]byte{0})
	f.Add([]byte("\x00\x05\x00\x06\x00\x07\x00\x08\x30\x01\x41\x00\x51\x00\x30\x11\x60\x00\x90\x00"))
	for seed := range byte(20) {
		calls := make([]byte, 400)
		x := uint32(seed)*2654435761 + 1
		for i := range calls {
			x ^= x << 13
			x ^= x >> 17
			x ^= x << 5
			calls[i] = byte(x >> 11)
		}
		f.Add(calls)
	}
	f.Fuzz(func(t *testing.T, calls []byte) {
		if len(calls) < 1 || len(calls) > 2000 {
			return
		}
		m := newModel(t, "fuzz", fuzzOptions(calls[0]))
		now := time.Unix(1e9, 0)
		for i := 1; i+1 < len(calls); i += 2 {
			now = now.Add(time.Duration(int8(calls[i+1])) * time.Millisecond)
			fuzzCall(m, calls[i], calls[i+1], now)
		}
	})
}

func fuzzOptions(b byte) Options {
	return Options{
		Workers:     int(b & 3),
		MaxAttempts: int(b >> 2 & 3),
		Order:       Order(b >> 4 & 1),
		Group: func(it Item) string {
			if b>>5&1 == 0 || len(it.Test)%3 > 0 {
				return ""
			}
			return fmt.Sprint(len(it.Test))
		},
		Segment:     func(it Item) int { return int(b>>7) * (len(it.Test)%4 - 1) },
		Concurrency: []int{0, int(b >> 7), 2},
		Estimate: func(it Item) (time.Duration, bool) {
			n := len(it.Test) + len(it.Profile)
			return time.Duration(n-3) * 7 * time.Millisecond, b>>6&1 > 0 && n%2 == 0
		},
	}
}

// fuzzCall makes the call that the high half of op stands for, for the worker
// that the low half does.
func fuzzCall(m *model, op, arg byte, now time.Time) {
	it := Item{Test: hostileIDs[int(arg)%len(hostileIDs)]}
	if arg > 200 {
		it.Profile = "py34"
	}
	worker := int(op&15)%4 - 1 // one too few to one too many
	exists := worker >= 0 && worker < len(m.workers)
	switch op >> 4 {
	case 0, 1:
		if !m.listed {
			m.Add(it)
		}
	case 2:
		if !m.listed {
			m.Add(it, Item{Test: it.Test, Profile: "py27"}, it)
		}
	case 3, 4, 5:
		m.Next(worker, now, Limit{Items: int(arg) % 9, Work: time.Duration(arg&16) * time.Millisecond})
	case 6, 7:
		m.Started(worker, it, now)
	case 8, 9:
		m.Finished(worker, it, now)
	case 10:
		m.Remove(it)
	case 11, 12, 13:
		if exists {
			fuzzWithdraw(m, op>>4, worker, it)
		}
	case 14:
		if exists && arg&1 > 0 {
			m.Lost(worker, now)
		} else if exists {
			m.Steal(worker, now, time.Duration(arg)*time.Millisecond)
		}
	case 15:
		if arg > 250 {
			m.ListingDone()
		} else {
			m.Again(it)
		}
	}
}

// fuzzWithdraw asks items back, or gives back all that were asked for, or one.
func fuzzWithdraw(m *model, call byte, worker int, it Item) {
	switch call {
	case 11:
		m.Withdraw(worker)
	case 12:
		for _, it := range m.Withdraw(worker) {
			m.Returned(worker, it)
		}
	default:
		m.Returned(worker, it)
	}
}
