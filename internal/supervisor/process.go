package supervisor

import (
	"context"
	"errors"
	"sync"
	"time"

	"testr/internal/instance"
	"testr/internal/protocol"
	"testr/internal/worker"
)

// packetReader and packetWriter are protocol.Reader and protocol.Writer, or what
// does the same.
type (
	packetReader interface {
		ReadPacket() (*protocol.Packet, error)
	}
	packetWriter interface{ WritePacket(*protocol.Packet) error }
)

// framed is a process whose stream is one of packets already, and not one of
// bytes, because others share the channel: one behind a relay.
type framed interface {
	packetReader
	packetWriter
}

// message is what the goroutines of a process tell the loop. Exactly one of
// packet, corrupt, stderr, closed, deaf and exit is set.
type message struct {
	proc    *process
	packet  *protocol.Packet       // also a piece of text between packets
	corrupt *protocol.CorruptError // damage in the stream
	stderr  []byte
	closed  bool  // stdout has ended
	deaf    bool  // stdin takes nothing any more
	exit    *exit // the last message of a process
}

type exit struct {
	status instance.ExitStatus
	err    error // how it ended could not be found out
}

// process is one start of a worker. The loop owns all of it but what is behind
// inst and outbox.
type process struct {
	slot    *slot
	profile *profile
	inst    instance.Process
	cancel  context.CancelCauseFunc // ends it: TERM, later KILL
	outbox  chan *protocol.Packet   // nil for a batch worker; closed by the loop alone
	done    func() error            // frees what the command needed

	sent         []given           // given and neither begun nor settled, in order
	open         []openTest        // begun and not settled
	withdrawn    map[string]bool   // asked back, without an answer yet
	blocked      map[string]string // tests that a fixture keeps from running, and its id
	fixtures     []string          // ids of the fixtures that failed in it
	outboxClosed bool
	started      time.Time
	heard        time.Time // when anything came from it last
	free         time.Time // when it last had nothing open: its start, or an outcome
	told         bool      // people know that it begins nothing
	begun        int       // tests that it ever began
	settled      int       // of the tests that it was given
	failed       bool      // something failed in it
	ending       bool      // it was told that there are no more tests
	killed       bool      // we ended it
	closed       bool      // its stdout has ended
	deaf         bool      // its stdin takes nothing any more
	text         joiner
	errText      joiner
	errTail      instance.Tail // the end of its stderr
	recent       instance.Tail // the end of all its text
	deadline     time.Time     // when the loop loses patience; zero for never
}

// given is a test that a process was sent.
type given struct {
	id string
	at time.Time
}

// openTest is a test that its worker has begun.
type openTest struct {
	id      string
	since   time.Time
	again   bool // its worker has said twice that it began
	told    bool // people know that it is slow
	overdue bool // it had its time: whatever comes of it now, it failed
}

// outboxSize has room for everything that the loop puts there between two
// tests that the worker takes: the look-ahead, withdrawals of it, and the end.
func outboxSize(lookAhead int) int { return 2*(lookAhead+1) + 8 }

// follow starts the goroutines of a process. They send to inbox until the exit
// message; wg is done then.
func (p *process) follow(wg *sync.WaitGroup, inbox chan<- message) {
	var readers sync.WaitGroup
	readers.Go(func() { p.readPackets(inbox) })
	readers.Go(func() { p.readStderr(inbox) })
	if p.outbox != nil {
		readers.Go(func() { p.writeOutbox(inbox) })
	} else if in := p.inst.Stdin(); in != nil {
		_ = in.Close()
	}
	wg.Go(func() {
		// The readers end with the process, even if something that it started
		// keeps its pipes open; the outbox when the loop sees stdout's end.
		readers.Wait()
		status, err := p.inst.Wait()
		inbox <- message{proc: p, exit: &exit{status, err}}
	})
}

func (p *process) readPackets(inbox chan<- message) {
	var r packetReader
	if f, ok := p.inst.(framed); ok {
		r = f
	} else {
		src := worker.NewStallReader(p.inst.Stdout(), time.Second)
		defer src.Join()
		r = protocol.NewReader(src)
	}
	for {
		packet, err := r.ReadPacket()
		var corrupt *protocol.CorruptError
		switch {
		case err == nil:
			inbox <- message{proc: p, packet: packet}
		case errors.As(err, &corrupt):
			inbox <- message{proc: p, corrupt: corrupt}
		default:
			// Whatever ended the stream, its reason shows in how the process ends.
			inbox <- message{proc: p, closed: true}
			return
		}
	}
}

func (p *process) readStderr(inbox chan<- message) {
	buf := make([]byte, 32<<10)
	for {
		n, err := p.inst.Stderr().Read(buf)
		if n > 0 {
			inbox <- message{proc: p, stderr: append([]byte(nil), buf[:n]...)}
		}
		if err != nil {
			return
		}
	}
}

// writeOutbox ends when the outbox is closed. A write that fails means that the
// worker is gone, or has closed its stdin and goes on.
func (p *process) writeOutbox(inbox chan<- message) {
	var w packetWriter = protocol.NewWriter(p.inst.Stdin())
	if f, ok := p.inst.(framed); ok {
		w = f
	}
	var err error
	for packet := range p.outbox {
		if err != nil {
			continue
		}
		if err = w.WritePacket(packet); err != nil {
			_ = p.inst.Stdin().Close()
			inbox <- message{proc: p, deaf: true}
		}
	}
	_ = p.inst.Stdin().Close()
}
