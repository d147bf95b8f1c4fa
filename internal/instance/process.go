package instance

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// program is what a command has become: nothing in it is left to look up.
type program struct {
	path string
	args []string
	env  []string // each variable once
	dir  string   // absolute, or empty for testr's own
}

// child is the process of a program, whoever started it.
type child interface {
	pid() int
	// signal sends sig to the process's group, or to itself if nested, unless
	// the process was reaped.
	signal(sig syscall.Signal)
	// wait waits for the end of the process, has what is left of its group
	// killed, and reaps it. It is called once.
	wait() (syscall.WaitStatus, error)
}

// localProcess is a command that runs here.
//
// Two goroutines belong to it. Both are started by wait and have ended when
// done is closed:
//
//	reap    waits for the end of the process and settles everything after it
//	cancel  ends the process when its context ends; reap joins it
type localProcess struct {
	child          child
	name           string // of the program, for messages
	stdin          *input // nil where the command reads a file
	stdout, stderr *output

	exited chan struct{} // closed when the process was reaped
	done   chan struct{} // closed when status and err are set, for good

	status ExitStatus
	err    error
}

// startProcess starts p with pipes to it. The caller calls wait next.
func startProcess(p *program, stdin *os.File, start func(*program, [3]*os.File) (child, error)) (*localProcess, error) {
	pipes, err := openPipes(stdin)
	if err != nil {
		return nil, err
	}
	c, err := start(p, pipes.theirs)
	pipes.closeTheirs(stdin)
	if err != nil {
		pipes.closeOurs()
		return nil, err
	}
	process := &localProcess{
		child:  c,
		name:   p.args[0],
		stdout: &output{f: pipes.ours[1]},
		stderr: &output{f: pipes.ours[2]},
		exited: make(chan struct{}),
		done:   make(chan struct{}),
	}
	if stdin == nil {
		process.stdin = &input{f: pipes.ours[0], exited: process.exited}
	}
	return process, nil
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
	status, err := p.child.wait()
	close(p.exited)
	if err != nil {
		p.err = fmt.Errorf("wait for %q: %w", p.name, err)
	} else {
		p.status = exitStatus(status)
	}
	if p.stdin != nil {
		_ = p.stdin.Close() // wakes a writer that something else in the pipe's way holds up
	}
	p.stdout.end()
	p.stderr.end()
}

// cancel ends the process when ctx ends: SIGTERM to its group, and SIGKILL
// after grace. It runs in a goroutine of its own, which the process's end ends.
func (p *localProcess) cancel(ctx context.Context, grace time.Duration) {
	select {
	case <-p.exited:
		return
	case <-ctx.Done():
	}
	p.child.signal(syscall.SIGTERM)
	p.child.signal(syscall.SIGCONT) // who is stopped could not use its time of grace
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.exited:
	case <-timer.C:
		p.child.signal(syscall.SIGKILL)
	}
}

// PID is the process's number.
func (p *localProcess) PID() int { return p.child.pid() }

// Pause stops the process's group, or the process alone if nested.
func (p *localProcess) Pause() error { return p.send(syscall.SIGSTOP) }

// Resume lets it go on.
func (p *localProcess) Resume() error { return p.send(syscall.SIGCONT) }

func (p *localProcess) send(sig syscall.Signal) error {
	select {
	case <-p.exited:
		return fmt.Errorf("send %s to %q: %w", unix.SignalName(sig), p.name, os.ErrProcessDone)
	default:
		p.child.signal(sig)
		return nil
	}
}

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

func exitStatus(status syscall.WaitStatus) ExitStatus {
	if !status.Signaled() {
		return ExitStatus{Code: status.ExitStatus()}
	}
	name := unix.SignalName(status.Signal())
	if name == "" { // a real-time signal
		name = "signal " + strconv.Itoa(int(status.Signal()))
	}
	return ExitStatus{Code: -1, Signal: name}
}
