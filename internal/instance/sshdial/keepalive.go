package sshdial

import (
	"fmt"
	"sync/atomic"
	"time"
)

// keepalive finds out that nothing is heard of a host any more.
type keepalive struct {
	interval time.Duration // between two questions
	limit    time.Duration // for how long nothing may be heard
	heard    func() time.Time
	ask      func()       // asks once; it may block for as long as nothing is heard
	start    func(func()) // starts a goroutine that somebody joins
	busy     atomic.Bool  // a question is on its way
}

// run asks until gone is closed, and then returns nil, or until the host is
// taken for dead, and then says so. A question may still be on its way then.
func (k *keepalive) run(gone <-chan struct{}) error {
	next := time.Now() // when to ask
	awake := next      // nothing before counts: this process may have stood still
	timer := time.NewTimer(0)
	defer timer.Stop()
	planned := next
	for {
		select {
		case <-gone:
			return nil
		case <-timer.C:
		}
		now := time.Now()
		if now.Sub(planned) > k.interval {
			// What came meanwhile could not be read; it may be there.
			awake = now
		}
		since := awake
		if heard := k.heard(); heard.After(since) {
			since = heard
		}
		if now.Sub(since) >= k.limit {
			return fmt.Errorf("no answer for %v", k.limit)
		}
		if !now.Before(next) && k.busy.CompareAndSwap(false, true) {
			k.start(func() {
				defer k.busy.Store(false)
				k.ask()
			})
			next = now.Add(k.interval)
		}
		planned = earlier(since.Add(k.limit), later(next, now.Add(k.interval/4)))
		timer.Reset(planned.Sub(now))
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
