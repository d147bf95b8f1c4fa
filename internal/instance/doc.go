// Package instance gets places to run commands, runs commands there and gives
// the places back.
//
// A Provider provisions Instances, an Instance starts Commands, a Process is a
// command that runs: three pipes and an end. Local is the provider of this
// machine. The package knows commands and pipes and has never heard of a test.
//
// # Caveats
//
// What a command started is ended with it as far as it stayed in the command's
// process group; a process that made a session of its own lives on, but holds
// up nobody: the command's output ends without it. With a guardian (see
// Local.Guardian) it lives until the Local is closed or this process ends.
//
// Local needs Linux; what it needs of Linux is in sys_linux.go and
// sys_guardian_linux.go.
package instance
