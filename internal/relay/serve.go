package relay

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"testr/internal/instance"
	"testr/internal/protocol"
)

// lastWords is how long a relay that ends waits for the channel to take what it
// still has to say.
const lastWords = 5 * time.Second

// Server is the relay: the end of a channel where commands run. Its fields are
// not to be changed once Serve was called.
type Server struct {
	// Provider is where commands run. Each gets an instance of its own, so it
	// should make them at no cost, as instance.Local does.
	Provider instance.Provider
	// Version is what this testr calls itself, for messages.
	Version string
}

// Serve runs the commands that it reads of from in, and writes what becomes of
// them to out, until in ends, out fails or ctx ends. Then it kills the commands
// that still run, at once, and returns when they are gone.
//
// It is nil at the end of in, the cause of ctx at the end of that, and else says
// what is wrong with the channel: it broke, or whoever is at the other end
// speaks another version or no relay's language at all. A command that fails is
// no error.
//
// Where in or out blocks for good, a goroutine that reads or writes it is left
// behind; nothing that it does has an effect any more.
func (s *Server) Serve(ctx context.Context, in io.Reader, out io.Writer) error {
	v := &service{
		provider: s.Provider,
		out:      make(chan []byte, 64),
		asked:    make(chan struct{}, 1),
		broken:   make(chan error, 1),
		finish:   make(chan struct{}),
		written:  make(chan struct{}),
		over:     make(chan struct{}),
		slots:    make(map[int]*command),
		running:  make(map[*command]struct{}),
	}
	go v.write(out)
	v.send(message(noSlot, nameHello, helloMessage{Relay: speaks, Version: s.Version, PID: os.Getpid(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH}))
	read := make(chan error, 1)
	go func() { read <- v.read(in) }()
	var err error
	select {
	case err = <-read:
	case err = <-v.broken:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	v.end(err == nil)
	return err
}

// service is one call of Serve.
//
// One goroutine reads the channel, one writes it, and each command has some,
// which are counted in commands and have ended when Serve returns.
type service struct {
	provider instance.Provider
	out      chan []byte   // packets for the channel; write is its only reader
	asked    chan struct{} // the client wants to know whether the relay is alive; likewise
	broken   chan error    // why the channel takes nothing any more
	finish   chan struct{} // closed when everything was sent
	written  chan struct{} // closed when write has ended
	over     chan struct{} // closed when nothing can be sent any more
	overOnce sync.Once
	commands sync.WaitGroup

	// What read alone uses.
	greeted bool
	partial assembler

	// mu guards what follows.
	mu      sync.Mutex
	ending  bool
	slots   map[int]*command // those that the client may still speak of
	running map[*command]struct{}
}

// send gives octets to the goroutine that writes, which writes them at once if
// the channel takes them. It is false if nothing can be sent any more.
func (v *service) send(b []byte) bool {
	select {
	case v.out <- b:
		return true
	case <-v.over:
		return false
	}
}

// write writes what is sent. What is ready goes out together, and nothing waits
// for what is not. That the relay is alive waits for nothing but the hello, and it
// says so once if it was asked meanwhile more than once.
func (v *service) write(out io.Writer) {
	defer close(v.written)
	w := bufio.NewWriterSize(out, 64<<10)
	alive := message(noSlot, nameAlive, struct{}{})
	var asked <-chan struct{} // nil before the hello
	for {
		var err error
		select {
		case b := <-v.out:
			_, err = w.Write(b)
		case <-asked:
			_, err = w.Write(alive)
		default:
			if err = w.Flush(); err != nil {
				break
			}
			select {
			case b := <-v.out:
				_, err = w.Write(b)
			case <-asked:
				_, err = w.Write(alive)
			case <-v.finish:
				if len(v.out) == 0 { // else that came during the flush
					return
				}
			}
		}
		asked = v.asked
		if err != nil {
			v.broken <- fmt.Errorf("write to the relay's channel: %w", err)
			v.stopSending()
			return
		}
	}
}

func (v *service) stopSending() { v.overOnce.Do(func() { close(v.over) }) }

// end kills the commands that run and waits for their end. Asked says that the
// client has ended the channel.
func (v *service) end(asked bool) {
	v.mu.Lock()
	v.ending = true
	running := slices.Collect(maps.Keys(v.running))
	v.mu.Unlock()
	for _, c := range running {
		c.abandon(asked)
	}
	patience := time.AfterFunc(lastWords, v.stopSending)
	defer patience.Stop()
	v.commands.Wait()
	close(v.finish)
	select {
	case <-v.written:
	case <-v.over:
	}
}

// read reads the channel until it ends. It never waits for a command.
func (v *service) read(in io.Reader) error {
	r := protocol.NewReader(in)
	for {
		before := r.Offset()
		p, err := r.ReadPacket()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read the relay's channel: %w", err)
		case p.Text:
			return fmt.Errorf("read the relay's channel: %.100q is no packet of a client's", p.Content)
		}
		if err := v.take(p, int(r.Offset()-before)); err != nil {
			return fmt.Errorf("read the relay's channel: %w", err)
		}
	}
}

// take does what a packet says, which took so many octets.
func (v *service) take(p *protocol.Packet, cost int) error {
	first := leave(p)
	if first != controlRoute {
		slot, ok := parseSlot(first)
		switch {
		case !v.greeted:
			return errors.New("no client said hello")
		case !ok:
			return fmt.Errorf("a packet for %.100q, which is no slot", first)
		}
		if c := v.command(slot); c != nil {
			c.put(input{packet: p, cost: cost})
		}
		return nil
	}
	c, err := parseControl(p)
	switch {
	case err != nil:
		return err
	case !v.greeted && c.name != nameHello:
		return errors.New("no client said hello")
	case c.name == nameStdin:
		if cmd := v.command(c.slot); cmd != nil {
			cmd.put(input{octets: c.content, end: c.last, cost: cost})
		}
		return nil
	case !slices.Contains(toRelay, c.name):
		return nil
	}
	whole, done, err := v.partial.add(c, cost)
	if err != nil || !done {
		return err
	}
	return v.do(c.slot, c.name, whole.content)
}

// toRelay are the messages that a relay knows. It passes over others.
var toRelay = []string{nameHello, nameAlive, nameStart, nameWindow, nameCancel, nameKill, namePause, nameResume}

// do does what a message says. What is said of a slot without a command was on
// its way when the command ended.
func (v *service) do(slot int, name string, content []byte) error {
	switch name {
	case nameHello:
		hello, err := parse[helloMessage](name, content)
		if err != nil {
			return err
		}
		v.greeted = true
		return hello.check()
	case nameAlive:
		select {
		case v.asked <- struct{}{}:
		default: // an answer is on its way
		}
		return nil
	case nameStart:
		start, err := parse[startMessage](name, content)
		if err != nil {
			return err
		}
		return v.start(slot, start)
	}
	c := v.command(slot)
	if c == nil {
		return nil
	}
	switch name {
	case nameWindow:
		w, err := parse[windowMessage](name, content)
		if err != nil {
			return err
		}
		return c.grant(w)
	case nameCancel:
		c.cancel()
	case nameKill:
		c.kill("")
	case namePause:
		c.pause(true)
	case nameResume:
		c.pause(false)
	}
	return nil
}

// command is the one in a slot, or nil.
func (v *service) command(slot int) *command {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.slots[slot]
}

// start starts a command, in a goroutine of its own.
func (v *service) start(slot int, start startMessage) error {
	if slot == noSlot || len(start.Args) == 0 {
		return errors.New("a command without a slot or a program")
	}
	c, ctx := newCommand(v, slot)
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case v.slots[slot] != nil:
		return fmt.Errorf("a command for slot %d, which has one", slot)
	case v.ending:
		return nil
	}
	v.slots[slot] = c
	v.running[c] = struct{}{}
	v.commands.Go(func() {
		c.run(ctx, start)
		v.mu.Lock()
		defer v.mu.Unlock()
		delete(v.running, c)
	})
	return nil
}

// free makes a slot free for the client's next command.
func (v *service) free(slot int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.slots, slot)
}
