package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"testr/internal/instance"
	"testr/internal/protocol"
	"testr/internal/worker"
)

// stallPatience is how long the beginning of what may be a packet is waited for.
const stallPatience = time.Second

// lastOnes is how many last things a relay says of a command that has run: its
// exit, and the end of stdout and of stderr.
const lastOnes = 3

// command is a command that runs at the relay.
//
// The goroutine that runs it starts three more when it has started, one for
// each of its standard files, and joins them.
type command struct {
	service        *service
	slot           int
	cancel         context.CancelFunc // ends the command: TERM, later KILL
	stdin          *inbox
	stdout, stderr *window

	// mu guards what follows.
	mu      sync.Mutex
	place   instance.Instance // nil until there is one
	process instance.Process  // nil until it was started
	killed  bool
	paused  bool
	reason  string // why the relay ended it, if it did
	untold  bool   // nobody is to hear how it ended
	said    int    // of lastOnes
}

// newCommand also returns the context that runs it.
func newCommand(v *service, slot int) (*command, context.Context) {
	ctx, cancel := context.WithCancel(context.Background())
	return &command{service: v, slot: slot, cancel: cancel,
		stdin: newInbox(), stdout: newWindow(), stderr: newWindow()}, ctx
}

// run runs the command to its end.
func (c *command) run(ctx context.Context, start startMessage) {
	defer c.cancel()
	p, err := c.begin(ctx, start)
	if err != nil {
		c.close()
		c.service.free(c.slot)
		c.service.send(message(c.slot, nameFailed, failure(err)))
		return
	}
	c.service.send(message(c.slot, nameStarted, startedMessage{PID: p.PID()}))
	var reading, writing sync.WaitGroup
	reading.Go(func() { c.readStdout(p) })
	reading.Go(func() { c.readStderr(p) })
	writing.Go(func() { c.writeStdin(p) })
	status, err := p.Wait()
	c.stdin.close()
	writing.Wait()
	how := exitMessage{Code: status.Code, Signal: status.Signal}
	if err != nil {
		how.Error = err.Error()
	}
	c.last(message(c.slot, nameExit, how))
	reading.Wait()
	c.close()
}

// begin starts the command.
func (c *command) begin(ctx context.Context, start startMessage) (instance.Process, error) {
	places, err := c.service.provider.Provision(ctx, 1)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.place = places[0]
	killed := c.killed
	c.mu.Unlock()
	if killed {
		return nil, instance.ErrClosed
	}
	p, err := places[0].Start(ctx, instance.Command{Args: texts(start.Args), Dir: string(start.Dir),
		Env: texts(start.Env)})
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.process = p
	if c.paused {
		_ = p.Pause() // it may have ended
	}
	return p, nil
}

func texts(octets [][]byte) []string {
	var out []string
	for _, b := range octets {
		out = append(out, string(b))
	}
	return out
}

// failure is why a command was not started.
func failure(err error) failedMessage {
	m := failedMessage{Error: err.Error()}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		m.Errno = unix.ErrnoName(errno)
	}
	return m
}

// close gives back what the command ran on, and is the last thing that run does
// with it.
func (c *command) close() {
	c.mu.Lock()
	c.killed = true // nobody is to begin with that any more
	place := c.place
	c.mu.Unlock()
	if place != nil {
		_ = place.Close() // nothing runs there any more
	}
}

// last sends one of the last things about the command. When they have all been
// said, the slot is free; the client can't know before it has read them.
func (c *command) last(b []byte) {
	c.mu.Lock()
	c.said++
	all, untold := c.said == lastOnes, c.untold
	c.mu.Unlock()
	if all {
		c.service.free(c.slot)
	}
	if !untold {
		c.service.send(b)
	}
}

// put gives the command input. One that leaves too much of it unread is ended.
func (c *command) put(in input) {
	if !c.stdin.put(in) {
		c.stdin.close()
		c.kill(fmt.Sprintf("testr relay: killed: it left more than %d MiB of its input unread\n", maxInbox>>20))
	}
}

// grant lets the command's output come.
func (c *command) grant(m windowMessage) error {
	switch {
	case m.Stream == nameStdout && (m.As == "" || m.As == asPackets || m.As == asOctets):
		return c.stdout.grant(m.Octets, m.As)
	case m.Stream == nameStderr && m.As == "":
		return c.stderr.grant(m.Octets, "")
	}
	return fmt.Errorf("a window for %.100q of %.100q", m.As, m.Stream)
}

// kill kills the command at once. A reason goes to its stderr.
func (c *command) kill(reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.killed {
		return
	}
	c.killed, c.reason = true, reason
	place := c.place
	c.service.commands.Go(func() { // run is still counted: close comes after this
		c.cancel()
		if place != nil {
			_ = place.Close()
		}
	})
}

// abandon kills the command because the relay ends. Unless the client asked for
// that, it is not told of the command's end: it is to take it for lost.
func (c *command) abandon(asked bool) {
	c.mu.Lock()
	c.untold = !asked
	c.mu.Unlock()
	c.kill("")
	c.stdout.close()
	c.stderr.close()
}

// pause stops the command, or lets it go on.
func (c *command) pause(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.paused = on
	switch {
	case c.process == nil:
	case on:
		_ = c.process.Pause() // it may have ended
	default:
		_ = c.process.Resume()
	}
}

// readStdout passes the command's stdout on, once and as it is wanted.
func (c *command) readStdout(p instance.Process) {
	as, ok := c.stdout.wanted()
	switch {
	case !ok:
	case as == asPackets:
		ok = c.readPackets(p.Stdout())
	default:
		ok = c.readOctets(p.Stdout(), c.stdout, nameStdout)
	}
	if ok {
		c.last(appendControl(nil, c.slot, nameStdout, nil, true))
	}
}

func (c *command) readStderr(p instance.Process) {
	if _, ok := c.stderr.wanted(); !ok || !c.readOctets(p.Stderr(), c.stderr, nameStderr) {
		return
	}
	c.mu.Lock()
	reason := c.reason
	c.mu.Unlock()
	if reason != "" && !c.offer(c.stderr, appendControl(nil, c.slot, nameStderr, []byte(reason), false)) {
		return
	}
	c.last(appendControl(nil, c.slot, nameStderr, nil, true))
}

// readOctets passes octets on as they come. It is false if nobody wants them
// any more.
func (c *command) readOctets(r io.Reader, w *window, name string) bool {
	buf := make([]byte, 64<<10)
	for {
		n, err := r.Read(buf)
		if n > 0 {
			if !c.offer(w, appendControl(nil, c.slot, name, buf[:n], false)) {
				return false
			}
		}
		if err != nil {
			return true
		}
	}
}

// offer sends a piece of a stream when it is wanted. It is false if nobody wants
// it any more.
func (c *command) offer(w *window, b []byte) bool { return w.take(len(b)) && c.service.send(b) }

// readPackets passes packets on, and the text and damage between them. It is
// false if nobody wants them any more.
func (c *command) readPackets(r io.Reader) bool {
	src := worker.NewStallReader(r, stallPatience)
	defer src.Join()
	packets := protocol.NewReader(src)
	route := fmt.Sprint(c.slot)
	for {
		p, err := packets.ReadPacket()
		var b []byte
		var corrupt *protocol.CorruptError
		switch {
		case errors.As(err, &corrupt):
			b = message(c.slot, nameDamage, damageMessage{corrupt.Offset, corrupt.Reason, corrupt.Data})
		case err != nil:
			return true
		case p.Text:
			b = appendControl(nil, c.slot, nameText, p.Content, false)
		default:
			b = c.pass(p, route)
		}
		if !c.offer(c.stdout, b) {
			return false
		}
	}
}

// pass is p on the channel: with the slot on its route, and with the time if it
// has none.
func (c *command) pass(p *protocol.Packet, route string) []byte {
	passed := *p
	if passed.Has&protocol.HasTime == 0 {
		passed.Has |= protocol.HasTime
		passed.Time = time.Now()
	}
	enter(&passed, route)
	b, err := protocol.AppendPacket(nil, &passed)
	if err == nil {
		return b
	}
	// It was as long as a packet can be.
	b, err = protocol.AppendPacket(nil, p)
	if err != nil {
		return message(c.slot, nameDamage, damageMessage{Reason: err.Error()})
	}
	return pieces(c.slot, namePacket, b)
}

// writeStdin gives the command its input, and tells what it has taken.
func (c *command) writeStdin(p instance.Process) {
	stdin := p.Stdin()
	defer func() { _ = stdin.Close() }()
	packets := protocol.NewWriter(stdin)
	taken := 0
	for {
		in, ok := c.stdin.next()
		if !ok {
			return
		}
		var err error
		if in.packet != nil {
			err = packets.WritePacket(in.packet)
		} else if len(in.octets) > 0 {
			_, err = stdin.Write(in.octets)
		}
		if err != nil || in.end {
			c.stdin.close()
			c.service.send(appendControl(nil, c.slot, nameStdin, nil, true))
			return
		}
		if taken += in.cost; taken >= windowSize/4 {
			c.service.send(message(c.slot, nameWindow, windowMessage{Stream: nameStdin, Octets: taken}))
			taken = 0
		}
	}
}
