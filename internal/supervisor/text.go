package supervisor

import (
	"time"

	"testr/internal/protocol"
)

const (
	joinWithin = 50 * time.Millisecond // a prompt must appear
	joinUpTo   = 64 << 10
	// textLimit is how much text beside packets and stderr is kept of a
	// process. Packets have no such limit.
	textLimit = 64 << 20
)

// joiner joins the small pieces in which a process writes text, so that they
// are events of a bearable size and number.
type joiner struct {
	name  string // of the file that the text becomes
	buf   []byte
	since time.Time // when the first byte of buf came
	total int
	cut   bool
}

// add takes a piece and returns what is ready to be an event.
func (j *joiner) add(piece []byte, now time.Time) (ready [][]byte) {
	if room := textLimit - j.total; len(piece) > room {
		piece, j.cut = piece[:room], true
	}
	if len(piece) == 0 {
		return nil
	}
	if len(j.buf) == 0 {
		j.since = now
	}
	j.total += len(piece)
	j.buf = append(j.buf, piece...)
	for len(j.buf) >= joinUpTo {
		ready = append(ready, j.buf[:joinUpTo:joinUpTo])
		j.buf = append([]byte(nil), j.buf[joinUpTo:]...)
	}
	return ready
}

// take returns what is held, and holds nothing then.
func (j *joiner) take() []byte {
	b := j.buf
	j.buf = nil
	return b
}

// due is when what is held has to become an event; zero when nothing is.
func (j *joiner) due() time.Time {
	if len(j.buf) == 0 {
		return time.Time{}
	}
	return j.since.Add(joinWithin)
}

func textPacket(name string, content []byte) *protocol.Packet {
	return &protocol.Packet{Has: protocol.HasFile, FileName: name, Content: content}
}
