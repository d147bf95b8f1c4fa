package relay

import (
	"sync"

	"testr/internal/protocol"
)

// maxInbox is how much of its input a command may leave unread before it is
// ended: more than a client sends that keeps to its window.
const maxInbox = 16 << 20

// input is a piece of what goes to a command's stdin: a packet, octets, or the
// end.
type input struct {
	packet *protocol.Packet
	octets []byte
	end    bool
	cost   int // octets of the channel that it took
}

// inbox is the input of one command that it has not read yet, so that it holds
// up nobody else's. Its methods may be called from any goroutine.
type inbox struct {
	mu     sync.Mutex
	change *sync.Cond // of what follows
	queue  []input
	held   int // octets in queue
	closed bool
}

func newInbox() *inbox {
	b := &inbox{}
	b.change = sync.NewCond(&b.mu)
	return b
}

// put queues a piece, or drops it if the inbox is closed. It is false if it
// holds more than it may now.
func (b *inbox) put(in input) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return true
	}
	b.queue = append(b.queue, in)
	b.held += in.cost
	b.change.Signal()
	return b.held <= maxInbox
}

// next waits for the next piece. It is false when the inbox is closed; what it
// held then is dropped.
func (b *inbox) next() (in input, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.queue) == 0 && !b.closed {
		b.change.Wait()
	}
	if b.closed {
		return input{}, false
	}
	in = b.queue[0]
	b.queue[0] = input{}
	b.queue = b.queue[1:]
	b.held -= in.cost
	return in, true
}

// close drops what is held and ends the waiting.
func (b *inbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed, b.queue, b.held = true, nil, 0
	b.change.Broadcast()
}
