package relay

import (
	"errors"
	"sync"
)

// window is what may be sent of a stream. The sender takes of it, the receiver
// of the stream grants more when it has dealt with what was sent. Its methods
// may be called from any goroutine.
type window struct {
	mu     sync.Mutex
	change *sync.Cond // of what follows
	left   int        // below zero after a packet larger than what was left
	opened bool       // something was granted
	as     string     // how the stream is wanted; set before opened
	closed bool       // nothing is to be sent any more
}

func newWindow() *window {
	w := &window{}
	w.change = sync.NewCond(&w.mu)
	return w
}

// grant lets so many octets more be sent. The first time says how the stream is
// wanted; later ones may repeat it.
func (w *window) grant(octets int, as string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case octets <= 0 || octets > maxGrant || w.left > maxGrant:
		return errors.New("a window of a size that makes no sense")
	case !w.opened:
		w.as = as
	case as != "" && as != w.as:
		return errors.New("a stream is wanted in another way than before")
	}
	w.left += octets
	w.opened = true
	w.change.Broadcast()
	return nil
}

// maxGrant is more than anybody grants at once.
const maxGrant = 1 << 30

// wanted waits until the stream is wanted, and tells how. It is false if
// nothing is to be sent any more.
func (w *window) wanted() (as string, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for !w.opened && !w.closed {
		w.change.Wait()
	}
	return w.as, !w.closed
}

// take waits until something may be sent, and takes octets, though there may
// be less left than that. It is false if nothing is to be sent any more.
func (w *window) take(octets int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.left <= 0 && !w.closed {
		w.change.Wait()
	}
	w.left -= octets
	return !w.closed
}

// close ends all waiting.
func (w *window) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	w.change.Broadcast()
}
