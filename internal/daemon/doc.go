// Package daemon is a supervisor that stays, and how runs are handed over to it.
//
// A Daemon takes runs by the socket of a repository that it has open for writing,
// as Handlers for that, and does them one after the other, on instances that it
// keeps in between. A Client, at the other end, asks for a run, tells what becomes
// of it, and follows its events like those of a run of its own.
package daemon
