package runner

import (
	"context"
	"slices"
	"strings"

	"testr/internal/instance"
	"testr/internal/worker"
)

// place is an instance, with what commands have to know of it. All instances
// that workers run on are places.
type place struct {
	instance.Instance
	// bare says that a command becomes part of another one, a hook's, which
	// starts it without a shell perhaps, and on a machine of which testr knows
	// nothing more.
	bare bool
	// env is what variables commands get there, where the instance doesn't see to
	// that itself: KEY=VALUE. A command's own take their place.
	env []string
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
	cmd.Env = slices.Concat(p.env, cmd.Env)
	switch {
	case p.bare:
		cmd = crossing(cmd)
	case p.setup != "":
		cmd.Args = append([]string{"/bin/sh", "-c", "{ " + p.setup + "\n} && exec \"$@\"", "testr"}, cmd.Args...)
	}
	return p.Instance.Start(ctx, cmd)
}

// crossing has the variables of a command reach the machine to which a hook brings no
// more than its words: env(1) sets them there. A shell's command stays one if it can,
// because a hook may have put quotes around it; else it becomes a word in quotes, for
// which the hook needs to have a place.
func crossing(cmd instance.Command) instance.Command {
	if len(cmd.Env) == 0 {
		return cmd
	}
	env := cmd.Env
	cmd.Env = nil
	plain := !slices.ContainsFunc(env, func(kv string) bool {
		_, value, _ := strings.Cut(kv, "=")
		return value != "" && !instance.Bare(value)
	})
	if line, ok := shellLine(cmd); ok && plain && worker.StartsProgram(line) {
		cmd.Args = shellCommand("env " + strings.Join(env, " ") + " " + line).Args
		return cmd
	}
	cmd.Args = slices.Concat([]string{"env"}, env, cmd.Args)
	return cmd
}

// shellLine is the line that a shell runs, if a command is that of shellCommand.
func shellLine(cmd instance.Command) (line string, ok bool) {
	if len(cmd.Args) != 3 || cmd.Args[0] != "/bin/sh" || cmd.Args[1] != "-c" {
		return "", false
	}
	return cmd.Args[2], true
}
