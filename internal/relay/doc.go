// Package relay runs many commands on another machine through one channel of
// bytes.
//
// "testr relay" on that machine is a Server: it reads subunit packets on its
// stdin, starts commands, and writes on its stdout what becomes of them. A
// Client is the other end: it is given that process and provides instances, so
// that whoever starts commands there sees what they would see of any other
// instance. Neither knows what the commands are for, or decides anything: a
// relay is a router.
//
// A command that runs has a slot, a number that both ends know it by. Packets
// from it and to it carry that number as the first part of their route. What
// the two ends have to say to each other themselves is packets, too, whose
// route begins with a name that no slot has. docs/protocol.md, "Relays", is
// what both keep.
//
// # Caveats
//
// No command outlives its relay: when the channel ends, whatever ends it, the
// server kills them all. How well that holds for what they have started
// themselves is up to the server's provider: it should be an instance.Local
// with a guardian.
package relay
