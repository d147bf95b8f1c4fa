package instance

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// localProcess is a command that runs here, the leader of its process group
// unless it is nested.
//
// Two goroutines belong to it. Both are started by wait and have ended when
// done is closed:
//
//	reap    waits for the end of the process and settles everything after it
//	cancel  ends the process when its context ends; reap joins it
type localProcess struct {
	cmd            *exec.Cmd
	target         int    // what signals go to: minus the group's number, or the process's
	stdin          *input // nil where the command reads a file
	stdout, stderr *output

	exited chan struct{} // closed when the process was reaped
	done   chan struct{} // closed when status and err are set, for good

	status ExitStatus
	err    error

	// mu guards reaped, and is held while a signal is sent: a process that was
	// reaped has given its number, and its group's, to whoever comes next.
	mu     sync.Mutex
	reaped bool
}

// startProcess starts cmd with pipes to it. The caller calls wait next.
func startProcess(cmd *exec.Cmd, stdin *os.File) (*localProcess, error) {
	pipes, err := openPipes(stdin)
	if err != nil {
		return nil, err
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = pipes.theirs[0], pipes.theirs[1], pipes.theirs[2]
	err = cmd.Start()
	pipes.closeTheirs(stdin)
	if err != nil {
		pipes.closeOurs()
		return nil, err
	}
	p := &localProcess{
		cmd:    cmd,
		target: cmd.Process.Pid,
		stdout: &output{f: pipes.ours[1]},
		stderr: &output{f: pipes.ours[2]},
		exited: make(chan struct{}),
		done:   make(chan struct{}),
	}
	if cmd.SysProcAttr.Setpgid {
		p.target = -p.target
	}
	if stdin == nil {
		p.stdin = &input{f: pipes.ours[0], exited: p.exited}
	}
	return p, nil
}

// wait starts the goroutines of p. They call ended once, before done is closed.
func (p *localProcess) wait(ctx context.Context, grace time.Duration, ended func()) {
	var cancel sync.WaitGroup
	cancel.Go(func() { p.cancel(ctx, grace) })
	go func() {
		p.reap()
		cancel.Wait()
		ended()
		close(p.done)
	}()
}

// reap waits for the end of the process. It runs in a goroutine of its own,
// which ends soon after the process.
func (p *localProcess) reap() {
	awaitExit(p.cmd.Process.Pid)
	state, err := p.killGroupAndReap()
	close(p.exited)
	if err != nil {
		p.err = fmt.Errorf("wait for %q: %w", p.cmd.Args[0], err)
	} else {
		p.status = exitStatus(state)
	}
	if p.stdin != nil {
		_ = p.stdin.Close() // wakes a writer that something else in the pipe's way holds up
	}
	p.stdout.end()
	p.stderr.end()
}

// killGroupAndReap ends what the process left behind in its group. The process
// itself has exited and is not reaped yet, so that the group's number is still
// its own.
func (p *localProcess) killGroupAndReap() (*os.ProcessState, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = syscall.Kill(p.target, syscall.SIGKILL)
	p.reaped = true
	return p.cmd.Process.Wait()
}

// cancel ends the process when ctx ends: SIGTERM to its group, and SIGKILL
// after grace. It runs in a goroutine of its own, which the process's end ends.
func (p *localProcess) cancel(ctx context.Context, grace time.Duration) {
	select {
	case <-p.exited:
		return
	case <-ctx.Done():
	}
	p.signal(syscall.SIGTERM)
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.exited:
	case <-timer.C:
		p.signal(syscall.SIGKILL)
	}
}

// signal sends sig to the process's group, or to itself if nested, unless the
// process was reaped.
func (p *localProcess) signal(sig syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.reaped {
		_ = syscall.Kill(p.target, sig)
	}
}

// PID is the process's number.
func (p *localProcess) PID() int { return p.cmd.Process.Pid }

// Stdin is the pipe to the process, or nil.
func (p *localProcess) Stdin() io.WriteCloser {
	if p.stdin == nil {
		return nil
	}
	return p.stdin
}

// Stdout is for one reader at a time.
func (p *localProcess) Stdout() io.Reader { return p.stdout }

// Stderr is for one reader at a time.
func (p *localProcess) Stderr() io.Reader { return p.stderr }

// Wait waits for the process's end.
func (p *localProcess) Wait() (ExitStatus, error) {
	<-p.done
	return p.status, p.err
}

func exitStatus(state *os.ProcessState) ExitStatus {
	ws, ok := state.Sys().(syscall.WaitStatus)
	if !ok || !ws.Signaled() {
		return ExitStatus{Code: state.ExitCode()}
	}
	name := unix.SignalName(ws.Signal())
	if name == "" { // a real-time signal
		name = "signal " + strconv.Itoa(int(ws.Signal()))
	}
	return ExitStatus{Code: -1, Signal: name}
}
