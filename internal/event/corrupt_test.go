package event

import (
	"slices"
	"strings"
	"testing"

	"testr/internal/protocol"
)

// TestStorable: a packet that fits is stored as it is, for nothing; one that doesn't in
// pieces, as many as are wanted; and one that can't be is damage.
func TestStorable(t *testing.T) {
	fits := &protocol.Packet{Has: protocol.HasTestID, TestID: "t", Status: protocol.StatusSuccess}
	if got := slices.Collect(Storable(fits)); len(got) != 1 || got[0] != fits {
		t.Errorf("got %v; want the packet itself", got)
	}
	if n := testing.AllocsPerRun(100, func() {
		for p := range Storable(fits) {
			if p != fits {
				t.Error("got another packet")
			}
		}
	}); n > 0 {
		t.Errorf("a packet that fits costs %v allocations", n)
	}
	large := &protocol.Packet{Has: protocol.HasTestID | protocol.HasFile, TestID: "t", FileName: "log",
		Content: make([]byte, 2*protocol.MaxPacket)}
	size := 0
	for p := range Storable(large) {
		size += len(p.Content)
	}
	if size != len(large.Content) {
		t.Errorf("got %d octets of a file of %d", size, len(large.Content))
	}
	for range Storable(large) {
		break
	}
	long := &protocol.Packet{Has: protocol.HasTestID, TestID: strings.Repeat("x", protocol.MaxPacket)}
	damage := slices.Collect(Storable(long))
	if len(damage) != 2 || damage[1].TestID != ParserID || damage[1].Status != protocol.StatusFail {
		t.Errorf("got %v of a test id that is too long; want damage", damage)
	}
}
