// Package sshhost runs commands on a host that is reached by SSH.
//
// A Host is one machine, over as many connections as its server's limits ask
// for. It is an instance.Provider whose instances share it. What is needed there
// is a POSIX shell as /bin/sh and the usual small programs; nothing is installed.
//
// # The keeper
//
// SSH ends nothing on the far side: what a command started lives on when its
// session is closed or its connection cut, and the protocol's own signals do
// nothing where root has logged in. So a keeper runs there, a shell script in a
// session of its own. It passes on signals, ends what is left of a command's
// process group when the command has ended, and when its input ends or no sign
// of life has come for Config.Silence it kills all commands with what they
// started, and removes its directory. What goes into a session of its own is
// known by the variable TESTR_KEEPER in its environment, where the system has
// /proc; until then it lives, as with instance.Local and a guardian.
//
// # Lives
//
// Between a connect and the loss of any of its connections a host has one life.
// A loss ends them all, with every command: an instance.LostError says why. The
// next start begins a new life, unless that is to be prepared: Config.Prepare.
// Nothing is tried again by itself.
//
// # Caveats
//
// A command whose environment has lost TESTR_KEEPER, in a session of its own, is
// not found again. Without /proc, only process groups are.
//
// What the shell's start-up files write to standard output is dropped, what they
// write to standard error comes with the command's.
package sshhost
