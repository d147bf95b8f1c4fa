package relay

import (
	"encoding/json"
	"errors"
	"fmt"

	"testr/internal/protocol"
)

// speaks is the version of what the two ends say to each other. Ends of
// different versions don't talk.
const speaks = 1

// The names of control packets. Streams are octets as they come; the others
// are messages, JSON that may be cut into pieces.
const (
	nameHello  = "hello"  // both ways: the first thing that is said
	nameAlive  = "alive"  // both ways: a question, and the answer
	nameWindow = "window" // both ways: how much more may be sent
	nameStdin  = "stdin"  // a stream to a command; from it, its end

	// To the relay.
	nameStart  = "start"
	nameCancel = "cancel"
	nameKill   = "kill"
	namePause  = "pause"
	nameResume = "resume"

	// From the relay.
	nameStarted = "started"
	nameFailed  = "failed"
	nameExit    = "exit"
	nameDamage  = "damage"
	namePacket  = "packet" // a packet that would be too long with a slot on its route
	nameText    = "text"   // streams
	nameStdout  = "stdout"
	nameStderr  = "stderr"
)

// The ways in which a command's stdout is wanted.
const (
	asPackets = "packets"
	asOctets  = "octets"
)

// windowSize is how much one end may send of a stream that the other has not
// dealt with. It is more than a slow link has under way.
const windowSize = 1 << 20

// maxPiece is how much of a message is put into one packet.
const maxPiece = 1 << 20

// maxMessage is the longest message: whatever it is about, it fits.
const maxMessage = 16 << 20

// helloMessage is what an end says of itself.
type helloMessage struct {
	Relay    int    `json:"relay"` // the version that it speaks
	Version  string `json:"version,omitempty"`
	PID      int    `json:"pid,omitempty"`
	Platform string `json:"platform,omitempty"`
}

// check tells whether the other end can be talked to.
func (m helloMessage) check() error {
	if m.Relay != speaks {
		return fmt.Errorf("version %d of the relay protocol is spoken there (testr %.100q), and version %d here: "+
			"run the same testr at both ends", m.Relay, m.Version, speaks)
	}
	return nil
}

// startMessage is a command. Its strings need not be text.
type startMessage struct {
	Args [][]byte `json:"args"`
	Dir  []byte   `json:"dir,omitempty"`
	Env  [][]byte `json:"env,omitempty"`
}

// windowMessage lets the other end send so many octets more of a stream.
type windowMessage struct {
	Stream string `json:"stream"`
	Octets int    `json:"octets"`
	As     string `json:"as,omitempty"` // with the first one for stdout
}

type startedMessage struct {
	PID int `json:"pid"`
}

type failedMessage struct {
	Error string `json:"error"`
	Errno string `json:"errno,omitempty"` // its name, such as ENOENT
}

type exitMessage struct {
	Code   int    `json:"code"`
	Signal string `json:"signal,omitempty"`
	Error  string `json:"error,omitempty"` // how it ended could not be found out
}

// damageMessage is a *protocol.CorruptError.
type damageMessage struct {
	Offset int64  `json:"offset"`
	Reason string `json:"reason"`
	Octets []byte `json:"octets"`
}

// control is a packet about a slot or the channel, as it is read.
type control struct {
	slot    int // or noSlot
	name    string
	content []byte
	last    bool // of a stream: it ends here; of a message: it is whole with this
}

// parseControl reads p, whose route has begun with controlRoute.
func parseControl(p *protocol.Packet) (control, error) {
	c := control{slot: noSlot, name: p.FileName, content: p.Content, last: p.EOF}
	if p.Has&protocol.HasRoute != 0 {
		slot, ok := parseSlot(p.Route)
		if !ok {
			return control{}, fmt.Errorf("a control packet about %.100q, which is no slot", p.Route)
		}
		c.slot = slot
	}
	if p.Has&(protocol.HasTestID|protocol.HasFile) != protocol.HasFile {
		return control{}, errors.New("a control packet that is no file, or has a test id")
	}
	return c, nil
}

// routeOf is the route of control packets about a slot.
func routeOf(slot int) string {
	if slot == noSlot {
		return controlRoute
	}
	return fmt.Sprintf("%s/%d", controlRoute, slot)
}

// appendControl appends a control packet to dst.
func appendControl(dst []byte, slot int, name string, content []byte, last bool) []byte {
	b, err := protocol.AppendPacket(dst, &protocol.Packet{
		Has:      protocol.HasFile | protocol.HasRoute,
		Route:    routeOf(slot),
		FileName: name,
		Content:  content,
		EOF:      last,
	})
	if err != nil { // names are ours, and content is cut
		panic(fmt.Sprintf("relay: control packet %s: %v", name, err))
	}
	return b
}

// message is v on the wire, in as many packets as it needs.
func message(slot int, name string, v any) []byte {
	content, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("relay: message %s: %v", name, err))
	}
	return pieces(slot, name, content)
}

// pieces is a message with any content.
func pieces(slot int, name string, content []byte) []byte {
	var b []byte
	for len(content) > maxPiece {
		b = appendControl(b, slot, name, content[:maxPiece], false)
		content = content[maxPiece:]
	}
	return appendControl(b, slot, name, content, true)
}

// parse reads the message that content is.
func parse[M any](name string, content []byte) (M, error) {
	var m M
	if err := json.Unmarshal(content, &m); err != nil {
		return m, fmt.Errorf("message %s: %w", name, err)
	}
	return m, nil
}

// assembler puts messages together that come in pieces. It belongs to whoever
// reads the channel.
type assembler struct {
	parts map[assembled]part
	total int
}

type assembled struct {
	slot int
	name string
}

type part struct {
	content []byte
	cost    int
}

// maxUnfinished is how much all messages together may have that are not whole.
const maxUnfinished = 64 << 20

// add takes one piece, which took so many octets of the channel, and returns
// the message and its octets if that was the last one.
func (a *assembler) add(c control, cost int) (whole part, done bool, err error) {
	key := assembled{c.slot, c.name}
	before, begun := a.parts[key]
	if c.last && !begun {
		return part{c.content, cost}, true, nil
	}
	if a.total += len(c.content); a.total > maxUnfinished || len(before.content)+len(c.content) > maxMessage {
		return part{}, false, fmt.Errorf("message %.100q has more than %d MiB", c.name, maxMessage>>20)
	}
	whole = part{append(before.content, c.content...), before.cost + cost}
	if !c.last {
		if a.parts == nil {
			a.parts = make(map[assembled]part)
		}
		if len(a.parts) > maxSlots {
			return part{}, false, errors.New("too many messages that are not whole")
		}
		a.parts[key] = whole
		return part{}, false, nil
	}
	delete(a.parts, key)
	a.total -= len(whole.content)
	return whole, true, nil
}
