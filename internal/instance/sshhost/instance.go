package sshhost

import (
	"context"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"sync/atomic"

	"testr/internal/instance"
)

// hostInstance is a share of a host.
type hostInstance struct {
	host   *Host
	id     string
	closed atomic.Bool
}

// ID is the host's name and a number.
func (i *hostInstance) ID() string { return i.id }

// Path is where Files of commands are on the host.
func (i *hostInstance) Path(file string) string { return i.host.Path(file) }

// Start starts a command, in a session and process group of its own. It waits
// for nothing; writing to the command's input does, until the command is there.
func (i *hostInstance) Start(ctx context.Context, command instance.Command) (instance.Process, error) {
	p, err := i.start(ctx, command)
	if err != nil {
		if len(command.Args) == 0 {
			return nil, fmt.Errorf("start a command: %w", err)
		}
		return nil, fmt.Errorf("start %q: %w", command.Args[0], err)
	}
	return p, nil
}

func (i *hostInstance) start(ctx context.Context, command instance.Command) (*process, error) {
	cfg := &i.host.cfg
	prog := &program{
		args: command.Args, dir: command.Dir, env: slices.Concat(cfg.Env, command.Env),
		setup: cfg.Setup, files: command.Files,
	}
	switch {
	case prog.dir == "":
		prog.dir = cfg.Directory
	case !path.IsAbs(prog.dir) && cfg.Directory != "":
		prog.dir = cfg.Directory + "/" + prog.dir
	}
	if err := prog.check(); err != nil {
		return nil, err
	}
	for _, file := range prog.files {
		if !filepath.IsAbs(file) {
			return nil, fmt.Errorf("the file %q is named by no absolute path", file)
		}
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	p := newProcess(i.host, i, prog, command.Stdin)
	if err := i.host.add(p); err != nil {
		return nil, err
	}
	if i.closed.Load() { // it is either seen here, or p by Close
		i.host.forget(p)
		return nil, instance.ErrClosed
	}
	p.begin(ctx, nil)
	return p, nil
}

// Close kills the commands that still run on the instance, at once, and
// returns when they are gone. If the host doesn't answer for some seconds it is
// lost, with what runs on other instances of it: it ends everything by itself.
func (i *hostInstance) Close() error {
	i.closed.Store(true)
	i.host.kill(func(p *process) bool { return p.of == i })
	return nil
}
