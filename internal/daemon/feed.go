package daemon

import (
	"context"
	"fmt"
	"io"
	"sync"
)

// maxHeld is how many messages wait for a client that doesn't read them; those
// that would be more, and that nobody depends on, are left out.
const maxHeld = 10_000

// feed has the messages of one job for the client that asked for it. Whoever puts
// some there never waits for who reads them.
type feed struct {
	wake chan struct{} // has one when there is something to read

	mu      sync.Mutex
	held    []Message
	latest  map[string]int // where in held is the last one about something of which only that counts
	over    bool           // nothing comes any more
	nobody  bool           // nobody reads it
	omitted int            // messages that were left out
}

func newFeed() *feed { return &feed{wake: make(chan struct{}, 1), latest: map[string]int{}} }

// put adds a message.
func (f *feed) put(m Message) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.nobody || f.over {
		return
	}
	about := ""
	switch m.Kind {
	case kindStatus:
		about = kindStatus
	case kindProgress:
		about = kindProgress + " " + m.Instance
	case kindWarning, kindAnnounce, kindLog:
		if len(f.held) >= maxHeld {
			f.omitted++
			return
		}
	}
	if at, ok := f.latest[about]; ok && about != "" {
		if !f.held[at].Over { // else the end of something would be lost
			f.held[at] = m
			return
		}
	}
	if about != "" {
		f.latest[about] = len(f.held)
	}
	f.held = append(f.held, m)
	f.signal()
}

// end says that there is nothing to come.
func (f *feed) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.over = true
	f.signal()
}

// leave says that nobody reads any more.
func (f *feed) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.nobody, f.held = true, nil
	clear(f.latest)
}

func (f *feed) signal() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// next returns what there is, one message at least, and waits for it. The error is
// io.EOF at the end, or ctx's.
func (f *feed) next(ctx context.Context) ([]Message, error) {
	for {
		f.mu.Lock()
		batch, over := f.held, f.over
		f.held = nil
		clear(f.latest)
		if f.omitted > 0 {
			batch = append(batch, Message{Kind: kindWarning, Text: tooMany(f.omitted)})
			f.omitted = 0
		}
		f.mu.Unlock()
		if len(batch) > 0 {
			return batch, nil
		}
		if over {
			return nil, io.EOF
		}
		select {
		case <-f.wake:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func tooMany(n int) string {
	return fmt.Sprintf("%d more messages were left out: they came faster than they were read", n)
}
