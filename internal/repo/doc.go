// Package repo keeps every event of every run, in one bbolt file, and answers
// questions about them without reading them again.
//
// A Repository is an open file. A RunWriter, which Repository.Begin returns,
// takes the events of one run: it is an event.Sink. A Cursor delivers events in
// order: those of a run that goes on (RunWriter.Follow), each after the
// transaction that holds it is on disk, or those of any stored run
// (Repository.Replay).
//
// # Caveats
//
// One process at a time may have the file open for writing, and then nobody
// else can read it; others get a *BusyError. Events, tests and slices that the
// package returns belong to the caller, but an event's packet is shared by all
// that see it: nobody may change it.
//
// The file is not trusted. Whatever stands in it, a method returns a
// *DamagedError at worst; it doesn't panic and doesn't recurse without end.
// That holds for a file that nobody changes while it is open, and as far as
// the operating system tells of it, for one that is cut short meanwhile.
package repo
