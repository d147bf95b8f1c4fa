package relay

import (
	"bufio"
	"io"
	"sync"
)

// outbox is what waits to be written to a channel. Putting something there
// never blocks; what it holds is bounded by the windows of those who do.
type outbox struct {
	mu     sync.Mutex
	change *sync.Cond // of what follows
	queue  [][]byte
	closed bool
}

func newOutbox() *outbox {
	o := &outbox{}
	o.change = sync.NewCond(&o.mu)
	return o
}

// put queues octets, unless the outbox is closed.
func (o *outbox) put(b []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.closed {
		o.queue = append(o.queue, b)
		o.change.Signal()
	}
}

// close lets nothing more in. What is there is still written.
func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.change.Signal()
}

// next waits for all that is queued. It is empty when there will be no more.
func (o *outbox) next() [][]byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.queue) == 0 && !o.closed {
		o.change.Wait()
	}
	all := o.queue
	o.queue = nil
	return all
}

// write writes what is put there until the outbox is closed, and then closes w.
// After an error it goes on without writing, and it returns the first one at
// once to failed.
func (o *outbox) write(w io.WriteCloser, failed func(error)) {
	buf := bufio.NewWriterSize(w, 64<<10)
	var err error
	for all := o.next(); len(all) > 0; all = o.next() {
		if err != nil {
			continue
		}
		for _, b := range all {
			_, _ = buf.Write(b) // Flush tells
		}
		if err = buf.Flush(); err != nil {
			failed(err)
		}
	}
	_ = w.Close()
}
