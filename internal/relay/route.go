package relay

import (
	"strconv"
	"strings"

	"testr/internal/protocol"
)

// controlRoute is the first part of the route of what the two ends say to each
// other. No slot has that name.
const controlRoute = "c"

// noSlot stands for the channel itself, where a control packet is about that.
const noSlot = -1

// maxSlots is more than any relay has: a number beyond it is a mistake.
const maxSlots = 1 << 16

// enter puts first before the route of p. A route that is there and empty stays
// apart from one that is absent.
func enter(p *protocol.Packet, first string) {
	if p.Has&protocol.HasRoute != 0 {
		p.Route = first + "/" + p.Route
		return
	}
	p.Has |= protocol.HasRoute
	p.Route = first
}

// leave takes the first part off the route of p: what enter has put there. It
// is empty if p has no route.
func leave(p *protocol.Packet) (first string) {
	first, rest, more := strings.Cut(p.Route, "/")
	p.Route = rest
	if !more {
		p.Has &^= protocol.HasRoute
	}
	return first
}

// parseSlot is the slot of that name, in the one form that it has.
func parseSlot(name string) (slot int, ok bool) {
	slot, err := strconv.Atoi(name)
	return slot, err == nil && slot >= 0 && slot < maxSlots && strconv.Itoa(slot) == name
}
