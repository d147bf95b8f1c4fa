package runner

import (
	"context"

	"testr/internal/instance"
)

// place is an instance, with what commands have to know of it. All instances
// that workers run on are places.
type place struct {
	instance.Instance
	// bare says that a command becomes part of another one, a hook's, which
	// starts it without a shell perhaps, and on a machine of which testr knows
	// nothing more.
	bare bool
	// setup is what a shell runs before each command, where the instance doesn't
	// see to that itself.
	setup string
}

// here is this machine, as far as it matters to what a command looks like.
var here = place{Instance: nowhere{}}

// nowhere is an instance that only knows that its files are here.
type nowhere struct{ instance.Instance }

func (nowhere) Path(file string) string { return file }

// placeOf returns an instance as the place that it is.
func placeOf(inst instance.Instance) place {
	if p, ok := inst.(place); ok {
		return p
	}
	return place{Instance: inst}
}

// Start starts a command, after the place's setup.
func (p place) Start(ctx context.Context, cmd instance.Command) (instance.Process, error) {
	if p.setup != "" {
		cmd.Args = append([]string{"/bin/sh", "-c", "{ " + p.setup + "\n} && exec \"$@\"", "testr"}, cmd.Args...)
	}
	return p.Instance.Start(ctx, cmd)
}
