package event

import (
	"fmt"
	"iter"

	"testr/internal/protocol"
)

// ParserID is the test id under which damage in a stream is reported.
const ParserID = "subunit.parser"

// maxDamage is how much damaged data one packet carries.
const maxDamage = 1 << 20

// FromCorrupt makes packets of damage in a stream: the file "Packet data" with
// the octets that were given up, then the file "Parser Error" with the reason
// and the status fail. They are two unless there is more than 1 MiB of data, which is cut
// into several packets of the one file. Nobody can ask for such a test, so it is not runnable. The
// packets share the error's data.
func FromCorrupt(e *protocol.CorruptError) []*protocol.Packet {
	var packets []*protocol.Packet
	for rest := e.Data; ; {
		n := min(len(rest), maxDamage)
		packets = append(packets, &protocol.Packet{
			Has:      protocol.HasTestID | protocol.HasFile | protocol.HasMIME,
			TestID:   ParserID,
			FileName: "Packet data",
			MIMEType: "application/octet-stream",
			Content:  rest[:n:n],
			EOF:      n == len(rest),
		})
		if rest = rest[n:]; len(rest) == 0 {
			break
		}
	}
	return append(packets, &protocol.Packet{
		Has:      protocol.HasTestID | protocol.HasFile | protocol.HasMIME,
		TestID:   ParserID,
		Status:   protocol.StatusFail,
		FileName: "Parser Error",
		MIMEType: "text/plain;charset=utf8",
		Content:  fmt.Appendf(nil, "%s (%d octets at offset %d)", e.Reason, len(e.Data), e.Offset),
		EOF:      true,
	})
}

// Storable returns p in packets that have a form on the wire: p itself, as a
// rule. To a packet that was as large as one can be, a route or a time may have
// been added: then they are pieces of its file, see protocol.Split. What is too
// large even so is reported like damage.
func Storable(p *protocol.Packet) iter.Seq[*protocol.Packet] {
	return func(yield func(*protocol.Packet) bool) { // which costs the usual packet nothing
		if protocol.Fits(p) {
			yield(p)
			return
		}
		for _, piece := range pieces(p) {
			if !yield(piece) {
				return
			}
		}
	}
}

func pieces(p *protocol.Packet) []*protocol.Packet {
	split, err := protocol.Split(p)
	if err != nil {
		return FromCorrupt(&protocol.CorruptError{Reason: "it can't be stored: " + err.Error()})
	}
	return split
}
