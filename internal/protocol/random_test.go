package protocol

import (
	"math/rand/v2"
	"strings"
	"time"
)

// randomText is text of any length that matters to a number's width.
func randomText(rnd *rand.Rand) string {
	const alphabet = "abc.def_GHI 0123/ñó³丳🥳\t\n\x7f"
	letters := []rune(alphabet)
	n := rnd.IntN(12)
	switch rnd.IntN(40) {
	case 0:
		n = 60 + rnd.IntN(8)
	case 1:
		return strings.Repeat("x", 16380+rnd.IntN(8))
	}
	var s strings.Builder
	for range n {
		s.WriteRune(letters[rnd.IntN(len(letters))])
	}
	return s.String()
}

// randomPacket is any packet that has a form on the wire.
func randomPacket(rnd *rand.Rand) *Packet {
	p := &Packet{
		Has:      Fields(rnd.Uint32()) & fieldMask,
		Status:   Status(rnd.IntN(8)),
		Runnable: rnd.IntN(2) == 0,
		EOF:      rnd.IntN(2) == 0,
	}
	for _, f := range []struct {
		field Fields
		to    *string
	}{
		{HasTestID, &p.TestID}, {HasMIME, &p.MIMEType}, {HasFile, &p.FileName},
		{HasRoute, &p.Route}, {HasParent, &p.ParentID},
	} {
		if p.Has&f.field != 0 {
			*f.to = randomText(rnd)
		}
	}
	if p.Has&HasTime != 0 {
		nanos := []int64{0, 1, 63, 64, 16383, 16384, 4194303, 4194304, 999999999}
		p.Time = time.Unix(int64(rnd.Uint32()), nanos[rnd.IntN(len(nanos))]).UTC()
	}
	if p.Has&HasTags != 0 {
		p.Tags = make([]string, rnd.IntN(4))
		for i := range p.Tags {
			p.Tags[i] = randomText(rnd)
		}
	}
	if p.Has&HasFile != 0 {
		p.Content = []byte(randomText(rnd))
		for range rnd.IntN(20) {
			p.Content = append(p.Content, signature, byte(rnd.Uint32()))
		}
	}
	return p
}
