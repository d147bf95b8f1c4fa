package relay

import (
	"math/rand/v2"
	"strings"
	"time"

	"testr/internal/protocol"
)

// randomText is text of any length that matters.
func randomText(rnd *rand.Rand) string {
	letters := []rune("abc.def_GHI 0123/ñó³丳🥳\t\n\x7f")
	if rnd.IntN(40) == 0 {
		return strings.Repeat("x", 16380+rnd.IntN(8))
	}
	var s strings.Builder
	for range rnd.IntN(12) {
		s.WriteRune(letters[rnd.IntN(len(letters))])
	}
	return s.String()
}

// allFields are the fields that a packet can have.
const allFields = protocol.HasTestID | protocol.HasRoute | protocol.HasTime | protocol.HasTags | protocol.HasFile |
	protocol.HasMIME | protocol.HasParent

// randomPackets are packets of any kind, the same for the same seed.
func randomPackets(seed uint64, count int) []*protocol.Packet {
	rnd := rand.New(rand.NewPCG(seed, 0))
	var packets []*protocol.Packet
	for range count {
		packets = append(packets, randomPacket(rnd))
	}
	return packets
}

func randomPacket(rnd *rand.Rand) *protocol.Packet {
	p := &protocol.Packet{
		Has:      protocol.Fields(rnd.Uint32()) & allFields,
		Status:   protocol.Status(rnd.IntN(8)),
		Runnable: rnd.IntN(2) == 0,
		EOF:      rnd.IntN(2) == 0,
	}
	for _, f := range []struct {
		field protocol.Fields
		to    *string
	}{
		{protocol.HasTestID, &p.TestID}, {protocol.HasMIME, &p.MIMEType}, {protocol.HasFile, &p.FileName},
		{protocol.HasRoute, &p.Route}, {protocol.HasParent, &p.ParentID},
	} {
		if p.Has&f.field != 0 {
			*f.to = randomText(rnd)
		}
	}
	if p.Has&protocol.HasTime != 0 {
		p.Time = time.Unix(int64(rnd.Uint32()), rnd.Int64N(1e9)).UTC()
	}
	if p.Has&protocol.HasTags != 0 {
		p.Tags = make([]string, rnd.IntN(4))
		for i := range p.Tags {
			p.Tags[i] = randomText(rnd)
		}
	}
	if p.Has&protocol.HasFile != 0 {
		p.Content = []byte(randomText(rnd))
		if rnd.IntN(50) == 0 {
			p.Content = make([]byte, rnd.IntN(300<<10))
		}
	}
	return p
}
