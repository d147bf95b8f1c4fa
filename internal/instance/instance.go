package instance

import (
	"context"
	"io"
	"os"
	"strconv"
)

// Provider gets instances: places to run commands.
type Provider interface {
	// Provision makes count instances. On error it has given back what it had
	// got by then.
	Provision(ctx context.Context, count int) ([]Instance, error)
}

// Instance is a provisioned place to run commands. Its methods may be called
// from several goroutines.
type Instance interface {
	// ID names the instance within its provider.
	ID() string
	// Path is where commands on the instance find a file of this machine that
	// their Files name; file is absolute. Files of one directory stand in one
	// directory there, under their own names. It does no more than compute.
	Path(file string) string
	// Start starts a command. Cancelling ctx ends the command and whatever it
	// started: first with a request (SIGTERM to its process group), after a
	// grace period by force (SIGKILL). What is left of the group when the
	// command itself ends is killed. Start's own error means that nothing was
	// started; everything later is Wait's. It doesn't wait for a network: what
	// only the far end can find out is told by Wait, or by a shell's exit status
	// and stderr.
	Start(ctx context.Context, cmd Command) (Process, error)
	// Close gives the instance back. Commands that still run are killed at
	// once: to end them gently, cancel their contexts and wait for them first.
	// It returns when they are gone, and may be called twice. A command that is
	// started afterwards gives ErrClosed.
	Close() error
}

// Command is what to run. Nothing in it passes through a shell unless Args
// name one.
type Command struct {
	Args []string // program and arguments; the program is looked up in PATH
	Dir  string   // working directory; empty means the instance's own
	Env  []string // KEY=VALUE, over what the instance gives every command

	// Files are files of this machine, by absolute paths, that the command
	// reads where Path says. They are there before it starts. What was brought
	// once is not brought again: the content of such a file must not change.
	Files []string

	// Stdin is nil for a pipe that Process.Stdin writes to. Otherwise the
	// command reads the file itself.
	Stdin *os.File
}

// Process is a command that was started. Stdout and Stderr must both be read
// until they end, or the command may block.
type Process interface {
	// PID is the process's number on its instance, or 0 where that is unknown.
	PID() int
	// Stdin is a pipe to the command's standard input; nil if the command was
	// given a file. Writing to a process that is gone gives an error, never a
	// signal.
	Stdin() io.WriteCloser
	// Stdout and Stderr are for one reader each. They end soon after the
	// process has ended, even where something that it started keeps them open.
	// Everything that the process itself wrote is delivered before that.
	Stdout() io.Reader
	Stderr() io.Reader
	// Wait waits for the process's end and says how it ended. The error means
	// that this could not be found out: a *LostError, if the instance is to
	// blame and not the command. It may be called from any goroutine, and
	// again.
	Wait() (ExitStatus, error)
	// Pause stops the process and what else is in its process group, and Resume
	// lets them go on. They ask, and don't wait for it. The error is
	// os.ErrProcessDone if the process has ended, and errors.ErrUnsupported if
	// the instance can't do it. They may be called from any goroutine. A
	// process that is paused can be cancelled like any other.
	Pause() error
	Resume() error
}

// ExitStatus says how a process ended.
type ExitStatus struct {
	Code   int    // exit code; -1 after a signal
	Signal string // name of the signal that ended it, such as "SIGKILL", or ""
}

// Success reports whether the process exited with 0.
func (s ExitStatus) Success() bool { return s.Code == 0 && s.Signal == "" }

// String is "exit status 7" or "killed by SIGKILL".
func (s ExitStatus) String() string {
	if s.Signal != "" {
		return "killed by " + s.Signal
	}
	return "exit status " + strconv.Itoa(s.Code)
}
