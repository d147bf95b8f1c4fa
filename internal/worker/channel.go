package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"testr/internal/protocol"
)

// stdinName is the file as which the supervisor sends input for a test.
const stdinName = "stdin"

// Request is one test that the supervisor asked for.
type Request struct {
	TestID string
	// Stdin is what the supervisor sends as input for this test. It ends when
	// the supervisor says so or when the test's RunFunc has returned.
	Stdin *Input
}

// RunFunc runs one test and writes its packets: inprogress, files, exactly one
// outcome. It may use w until it returns, from one goroutine at a time. An
// error means that the worker can't go on; a test that fails is none. When ctx
// ends it ends the test and returns soon.
type RunFunc func(ctx context.Context, req Request, w *protocol.Writer) error

// Serve keeps a streaming worker's side of the worker channel: it reads
// requests from in and has run run them, one at a time and in order, until the
// supervisor says that there are no more or in ends, and none is left. Tests
// withdrawn before they began are answered at once, also while one runs. Each
// packet is one Write to out; two never overlap.
//
// The error is that of run, of a damaged or unreadable channel, or ctx's cause.
// The goroutine that reads in outlives Serve if in does not end: a Read can't
// be taken back.
func Serve(ctx context.Context, in io.Reader, out io.Writer, run RunFunc) error {
	locked := &lockedWriter{w: out}
	c := &channel{
		answers:   protocol.NewWriter(locked),
		wake:      make(chan struct{}, 1),
		pending:   make(map[string]int),
		withdrawn: make(map[string]int),
		input:     newInput(),
	}
	go c.read(protocol.NewReader(in))
	w := protocol.NewWriter(locked)
	for {
		req, err := c.next(ctx)
		if errors.Is(err, errNoMore) {
			return nil
		}
		if err != nil {
			return err
		}
		err = run(ctx, req, w)
		c.finished()
		if err != nil {
			return err
		}
	}
}

// errNoMore says that every request was run and no more will come.
var errNoMore = errors.New("no more tests")

// channel is what the goroutine that reads the channel and the one that runs
// the tests share.
type channel struct {
	answers *protocol.Writer // the reading goroutine's
	wake    chan struct{}    // room for one: something below has changed

	mu        sync.Mutex // guards what follows
	queue     []string   // asked for and not begun, the withdrawn ones too
	pending   map[string]int
	withdrawn map[string]int // how many of that id in queue to pass over
	input     *Input         // of the test that runs, or of the next one
	ended     bool
	err       error // what broke the channel
}

// read takes packets until the channel ends. It is a goroutine of its own, so
// that the supervisor is heard while a test runs.
func (c *channel) read(r *protocol.Reader) {
	for {
		p, err := r.ReadPacket()
		if err == nil {
			err = c.take(p)
		}
		if err != nil {
			c.end(err)
			return
		}
	}
}

// take does what one packet of the supervisor says. What means nothing to a
// worker is passed over: a later protocol may have more.
func (c *channel) take(p *protocol.Packet) error {
	switch {
	case p.Text:
		return nil
	case p.TestID != "" && p.Status == protocol.StatusExists && p.Runnable:
		c.add(p.TestID)
	case p.TestID != "" && p.Status == protocol.StatusSkip:
		return c.withdraw(p.TestID)
	case p.Has&protocol.HasTestID != 0:
		return nil
	case p.Has&protocol.HasFile == 0 && p.EOF:
		c.end(io.EOF)
	case p.FileName == stdinName:
		c.mu.Lock()
		input := c.input
		c.mu.Unlock()
		input.add(p.Content, p.EOF)
	}
	return nil
}

func (c *channel) add(id string) {
	c.mu.Lock()
	c.queue = append(c.queue, id)
	c.pending[id]++
	c.mu.Unlock()
	c.signal()
}

// withdraw gives a test back if it has not begun. The entry stays in the queue
// and is passed over there: to look for it would take time for each id.
func (c *channel) withdraw(id string) error {
	c.mu.Lock()
	had := c.pending[id] > 0
	if had {
		c.forget(id)
		c.withdrawn[id]++
	}
	c.mu.Unlock()
	if !had {
		return nil
	}
	return c.answers.WritePacket(&protocol.Packet{
		Has: protocol.HasTestID, TestID: id, Status: protocol.StatusExists, Runnable: true,
	})
}

// forget counts one request less for id. The caller holds mu.
func (c *channel) forget(id string) {
	if c.pending[id]--; c.pending[id] == 0 {
		delete(c.pending, id)
	}
}

// end says that no more requests come; an error other than io.EOF breaks the
// channel.
func (c *channel) end(err error) {
	c.mu.Lock()
	c.ended = true
	if !errors.Is(err, io.EOF) {
		c.err = fmt.Errorf("read requests: %w", err)
	}
	c.mu.Unlock()
	c.signal()
}

func (c *channel) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// next waits for a test to run.
func (c *channel) next(ctx context.Context) (Request, error) {
	for {
		if ctx.Err() != nil {
			return Request{}, context.Cause(ctx)
		}
		req, ok, err := c.pop()
		if ok || err != nil {
			return req, err
		}
		select {
		case <-c.wake:
		case <-ctx.Done():
		}
	}
}

// pop takes the next test from the queue: it has begun.
func (c *channel) pop() (req Request, ok bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return Request{}, false, c.err
	}
	for len(c.queue) > 0 {
		id := c.queue[0]
		c.queue = c.queue[1:]
		if c.withdrawn[id] == 0 {
			c.forget(id)
			return Request{TestID: id, Stdin: c.input}, true, nil
		}
		if c.withdrawn[id]--; c.withdrawn[id] == 0 {
			delete(c.withdrawn, id)
		}
	}
	if c.ended {
		return Request{}, false, errNoMore
	}
	return Request{}, false, nil
}

// finished ends the input of the test that ran: what it did not read is not
// the next one's. But if the supervisor has ended the input, there is none for
// the next one either.
func (c *channel) finished() {
	c.mu.Lock()
	input := c.input
	c.input = newInput()
	c.input.ended = input.over()
	c.mu.Unlock()
	_ = input.Close()
}

// Input is what the supervisor sends a test as its standard input. One
// goroutine may read while another closes it.
type Input struct {
	mu      sync.Mutex // guards what follows
	changed sync.Cond
	data    []byte
	ended   bool
}

func newInput() *Input {
	i := &Input{}
	i.changed.L = &i.mu
	return i
}

// Read waits for input. It gives io.EOF when the supervisor ended the input or
// Close was called.
func (i *Input) Read(b []byte) (int, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for len(i.data) == 0 && !i.ended {
		i.changed.Wait()
	}
	if len(i.data) == 0 && len(b) > 0 {
		return 0, io.EOF
	}
	n := copy(b, i.data)
	i.data = i.data[n:]
	return n, nil
}

// over reports whether the supervisor ended the input.
func (i *Input) over() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.ended
}

// Close drops what was not read and ends every Read. Its error is always nil.
func (i *Input) Close() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.data, i.ended = nil, true
	i.changed.Broadcast()
	return nil
}

// add appends without a limit: the goroutine that reads the channel must not
// wait for a test that reads nothing, or withdrawals would. The supervisor,
// which sends what a person types, is trusted with that.
func (i *Input) add(b []byte, end bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.ended {
		return
	}
	i.data = append(i.data, b...)
	i.ended = end
	i.changed.Broadcast()
}

// lockedWriter lets two writers of packets, each of which makes one Write of
// each packet, share a stream.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}
