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
	sent   []chan struct{} // to be closed when what is in the queue was written
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

// written returns a channel that is closed once everything that was put there
// before was written, or never will be.
func (o *outbox) written() <-chan struct{} {
	sent := make(chan struct{})
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		close(sent)
		return sent
	}
	o.sent = append(o.sent, sent)
	o.change.Signal()
	return sent
}

// close lets nothing more in. What is there is still written.
func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.change.Signal()
}

// next waits for all that is queued, and for who wants to know that it was
// written. Both are empty when there will be no more.
func (o *outbox) next() (all [][]byte, sent []chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.queue)+len(o.sent) == 0 && !o.closed {
		o.change.Wait()
	}
	all, sent = o.queue, o.sent
	o.queue, o.sent = nil, nil
	return all, sent
}

// write writes what is put there until the outbox is closed, and then closes w.
// After an error it goes on without writing, and it returns the first one at
// once to failed.
func (o *outbox) write(w io.WriteCloser, failed func(error)) {
	buf := bufio.NewWriterSize(w, 64<<10)
	var err error
	for all, sent := o.next(); len(all)+len(sent) > 0; all, sent = o.next() {
		if err == nil {
			for _, b := range all {
				_, _ = buf.Write(b) // Flush tells
			}
			if err = buf.Flush(); err != nil {
				failed(err)
			}
		}
		for _, s := range sent {
			close(s)
		}
	}
	_ = w.Close()
}
