package instance

import (
	"os"
	"os/exec"
	"sync"
	"syscall"
)

// directChild is a process that this one has started itself, the leader of its
// process group unless it is nested.
type directChild struct {
	cmd    *exec.Cmd
	target int // what signals go to: minus the group's number, or the process's

	// mu guards reaped, and is held while a signal is sent: a process that was
	// reaped has given its number, and its group's, to whoever comes next.
	mu     sync.Mutex
	reaped bool
}

// startDirect starts p with these standard files, in a group of its own unless
// nested.
func startDirect(p *program, files [3]*os.File, nested bool) (child, error) {
	cmd := &exec.Cmd{
		Path: p.path, Args: p.args, Env: p.env, Dir: p.dir,
		Stdin: files[0], Stdout: files[1], Stderr: files[2],
		SysProcAttr: &syscall.SysProcAttr{Setpgid: !nested},
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := &directChild{cmd: cmd, target: cmd.Process.Pid}
	if !nested {
		c.target = -c.target
	}
	return c, nil
}

func (c *directChild) pid() int { return c.cmd.Process.Pid }

func (c *directChild) signal(sig syscall.Signal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.reaped {
		_ = syscall.Kill(c.target, sig)
	}
}

// wait ends what the process left behind in its group when it has exited and is
// not reaped yet: until then the group's number is its own.
func (c *directChild) wait() (syscall.WaitStatus, error) {
	awaitExit(c.pid())
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = syscall.Kill(c.target, syscall.SIGKILL)
	c.reaped = true
	state, err := c.cmd.Process.Wait()
	if err != nil {
		return 0, err
	}
	status, _ := state.Sys().(syscall.WaitStatus)
	return status, nil
}
