package sshdial

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// fakeHost answers questions as a test says.
type fakeHost struct {
	mu    sync.Mutex
	last  time.Time // when something was heard
	asked []time.Duration
	deaf  bool
	cut   chan struct{} // closed when nothing will come any more
	began time.Time
}

func (h *fakeHost) heard() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last
}

func (h *fakeHost) say() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last = time.Now()
}

func (h *fakeHost) ask() {
	h.mu.Lock()
	h.asked = append(h.asked, time.Since(h.began))
	deaf := h.deaf
	h.mu.Unlock()
	if deaf {
		<-h.cut
		return
	}
	h.say()
}

// watchFake watches h with 5 s and 3 misses, until it is taken for dead or for
// a time.
func watchFake(t *testing.T, h *fakeHost, until time.Duration) (after time.Duration, err error) {
	t.Helper()
	h.began, h.last, h.cut = time.Now(), time.Now(), make(chan struct{})
	gone := make(chan struct{})
	var work sync.WaitGroup
	k := &keepalive{interval: 5 * time.Second, limit: 15 * time.Second, heard: h.heard, ask: h.ask, start: work.Go}
	timer := time.AfterFunc(until, func() { close(gone) })
	defer timer.Stop()
	err = k.run(gone)
	after = time.Since(h.began)
	close(h.cut)
	work.Wait()
	return after, err
}

func TestKeepaliveAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &fakeHost{}
		if after, err := watchFake(t, h, time.Minute+time.Second); err != nil {
			t.Errorf("a host that answers was given up after %v: %v", after, err)
		}
		if got := len(h.asked); got != 13 {
			t.Errorf("asked %d times in a minute: %v; want 13", got, h.asked)
		}
	})
}

func TestKeepaliveUnanswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &fakeHost{deaf: true}
		after, err := watchFake(t, h, time.Hour)
		if err == nil || !strings.Contains(err.Error(), "no answer for 15s") {
			t.Errorf("the end is %v; want no answer for 15s", err)
		}
		if after != 15*time.Second {
			t.Errorf("given up after %v; want 15s", after)
		}
	})
}

// Whatever is heard of a host shows that it lives.
func TestKeepaliveChatter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &fakeHost{deaf: true}
		stop := make(chan struct{})
		var talk sync.WaitGroup
		talk.Go(func() {
			ticker := time.NewTicker(14 * time.Second)
			defer ticker.Stop()
			for range 5 {
				select {
				case <-ticker.C:
					h.say()
				case <-stop:
					return
				}
			}
		})
		after, err := watchFake(t, h, time.Hour)
		close(stop)
		talk.Wait()
		if want := (5*14 + 15) * time.Second; err == nil || after != want {
			t.Errorf("given up after %v, %v; want after %v", after, err, want)
		}
		if got := len(h.asked); got != 1 {
			t.Errorf("asked %d times while a question was on its way; want once", got)
		}
	})
}
