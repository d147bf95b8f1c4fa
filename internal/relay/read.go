package relay

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"testr/internal/protocol"
)

// fromRelay are the messages that a client knows. It passes over others.
var fromRelay = []string{nameHello, nameAlive, nameStarted, nameFailed, nameExit, nameWindow, nameDamage, namePacket}

// streamsFrom are the streams of a relay's.
var streamsFrom = []string{nameStdin, nameStdout, nameStderr, nameText}

// read reads the channel until it ends, and drops what comes after a mistake of
// the relay's. It gives ended the mistake, or nil at the end.
func (c *Client) read(ended chan<- error) {
	out := c.pulse.from(c.process.Stdout())
	r := protocol.NewReader(out)
	for {
		before := r.Offset()
		p, err := r.ReadPacket()
		var corrupt *protocol.CorruptError
		if err == nil || errors.As(err, &corrupt) {
			err = c.hear(p, corrupt, int(r.Offset()-before))
		}
		switch {
		case errors.Is(err, io.EOF):
			ended <- nil
			return
		case err != nil:
			ended <- fmt.Errorf("read what the relay says: %w", err)
			_, _ = io.Copy(io.Discard, out) // until it has ended
			return
		}
	}
}

// knows reports whether the relay has said what it is.
func (c *Client) knows() bool {
	select {
	case <-c.greeted:
		return true
	default:
		return false
	}
}

// hear takes a packet of the relay's, or damage. Before the relay has said what
// it is, there may be other text: what the machine says to everybody who logs
// in.
func (c *Client) hear(p *protocol.Packet, damage *protocol.CorruptError, cost int) error {
	if !c.knows() {
		return c.hearHello(p, damage)
	}
	switch {
	case damage != nil:
		// It is not to be taken for damage of a worker's stream, which could be
		// gone past.
		return errors.New(damage.Error())
	case p.Text:
		return fmt.Errorf("%.100q is no packet", p.Content)
	}
	first := leave(p)
	if first == controlRoute {
		return c.hearControl(p, cost)
	}
	to, err := c.slotNamed(first)
	if err != nil {
		return err
	}
	return to.stdout.put(piece{packet: p, cost: cost})
}

// maxNoise is how much may come before a relay says what it is.
const maxNoise = 1 << 20

// hearHello takes what comes first.
func (c *Client) hearHello(p *protocol.Packet, damage *protocol.CorruptError) error {
	switch {
	case damage != nil:
		_, _ = c.noise.Write(damage.Data)
		c.before += len(damage.Data)
	case p.Text:
		_, _ = c.noise.Write(p.Content)
		c.before += len(p.Content)
	default:
		if p.FileName != nameHello || p.Route != controlRoute || !p.EOF {
			return errors.New("something else than its hello came first")
		}
		m, err := parse[helloMessage](nameHello, p.Content)
		if err == nil {
			err = m.check()
		}
		if err != nil {
			return err
		}
		c.hello = Hello{Version: bounded(m.Version), PID: m.PID, Platform: bounded(m.Platform)}
		close(c.greeted)
		return nil
	}
	if c.before > maxNoise {
		return fmt.Errorf("no relay is there, but something that wrote %q", c.noise.String())
	}
	return nil
}

// slotNamed is the process of a slot.
func (c *Client) slotNamed(name string) (*Process, error) {
	slot, ok := parseSlot(name)
	if !ok {
		return nil, fmt.Errorf("something came from %.100q, which is no slot", name)
	}
	return c.inSlot(slot)
}

func (c *Client) inSlot(slot int) (*Process, error) {
	if p := c.in(slot); p != nil && p.known() {
		return p, nil
	}
	return nil, fmt.Errorf("something came from slot %d, where nothing runs", slot)
}

// hearControl takes a control packet.
func (c *Client) hearControl(p *protocol.Packet, cost int) error {
	control, err := parseControl(p)
	if err != nil {
		return err
	}
	stream := slices.Contains(streamsFrom, control.name)
	if !stream && !slices.Contains(fromRelay, control.name) {
		return nil
	}
	if control.slot == noSlot && control.name == nameAlive {
		return nil // its pulse was felt as it came
	}
	if control.slot == noSlot {
		return fmt.Errorf("%.100q about no command", control.name)
	}
	to, err := c.inSlot(control.slot)
	if err != nil {
		return err
	}
	if stream {
		return to.hearStream(control, cost)
	}
	whole, done, err := c.partial.add(control, cost)
	if err != nil || !done {
		return err
	}
	return to.hear(control.name, whole)
}
