package sshdial

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// maxComplaint is how much of the end of a ProxyCommand's stderr is kept.
const maxComplaint = 1000

// proxy is a ProxyCommand, whose standard output and input are a connection.
//
// Two goroutines belong to it, reap and listen, which Close joins.
type proxy struct {
	cmd    *exec.Cmd
	stdin  *os.File // ours
	stdout *os.File
	stderr *os.File

	// mu guards reaped, and is held while the group is killed: who was reaped
	// has given its number to whoever comes next.
	mu     sync.Mutex
	reaped bool

	ended   chan struct{} // closed when the process was reaped and status is set
	status  error
	settled chan struct{} // closed when complaint is complete

	said      sync.Mutex
	complaint []byte // the end of its stderr; guarded by said
}

// startProxy starts a command in a process group of its own.
func startProxy(command string) (*proxy, error) {
	p := &proxy{
		cmd:   exec.Command("/bin/sh", "-c", command),
		ended: make(chan struct{}), settled: make(chan struct{}),
	}
	var theirs [3]*os.File
	for i, ours := range []**os.File{&p.stdin, &p.stdout, &p.stderr} {
		r, w, err := os.Pipe()
		if err != nil {
			closeAll(theirs[:]...)
			closeAll(p.stdin, p.stdout, p.stderr)
			return nil, err
		}
		if i == 0 {
			theirs[i], *ours = r, w
		} else {
			*ours, theirs[i] = r, w
		}
	}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = theirs[0], theirs[1], theirs[2]
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err := p.cmd.Start()
	closeAll(theirs[:]...)
	if err != nil {
		closeAll(p.stdin, p.stdout, p.stderr)
		return nil, err
	}
	go p.reap()
	go p.listen()
	return p, nil
}

func closeAll(files ...*os.File) {
	for _, f := range files {
		if f != nil {
			_ = f.Close()
		}
	}
}

// reap waits for the end of the process, kills what it left in its group and
// reaps it.
func (p *proxy) reap() {
	defer close(p.ended)
	pid := p.cmd.Process.Pid
	for errors.Is(unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil), unix.EINTR) {
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = syscall.Kill(-pid, syscall.SIGKILL)
	p.reaped = true
	p.status = p.cmd.Wait()
	// What it wrote is in the pipes; who else holds them has nothing to say.
	_ = p.stderr.SetReadDeadline(time.Now().Add(drain))
}

// drain is for how long what a process wrote is read when it has ended.
const drain = 100 * time.Millisecond

// listen keeps the end of what the process complains about.
func (p *proxy) listen() {
	defer close(p.settled)
	b := make([]byte, 4096)
	for {
		n, err := p.stderr.Read(b)
		p.said.Lock()
		p.complaint = append(p.complaint, b[:n]...)
		if extra := len(p.complaint) - maxComplaint; extra > 0 {
			p.complaint = append(p.complaint[:0], p.complaint[extra:]...)
		}
		p.said.Unlock()
		if err != nil {
			return
		}
	}
}

// explain adds to err how the process ended, if it has, and what it said.
func (p *proxy) explain(err error) error {
	select {
	case <-p.ended:
		if p.status != nil && !killed(p.status) {
			err = fmt.Errorf("%w; the ProxyCommand ended with %w", err, p.status)
		}
	default:
	}
	p.said.Lock()
	defer p.said.Unlock()
	if said := strings.TrimSpace(strings.ToValidUTF8(string(p.complaint), "?")); said != "" {
		err = fmt.Errorf("%w; the ProxyCommand said: %s", err, said)
	}
	return err
}

// killed reports whether a process was ended as Close ends it.
func killed(status error) bool {
	var exit *exec.ExitError
	if !errors.As(status, &exit) {
		return false
	}
	wait, ok := exit.Sys().(syscall.WaitStatus)
	return ok && wait.Signaled() && wait.Signal() == syscall.SIGKILL
}

// Read reads what the process writes.
func (p *proxy) Read(b []byte) (int, error) { return p.stdout.Read(b) }

// Write writes to the process.
func (p *proxy) Write(b []byte) (int, error) {
	n, err := p.stdin.Write(b)
	if errors.Is(err, syscall.EPIPE) {
		err = io.EOF // it is gone: its end says why
	}
	return n, err
}

// Close kills the process and what it started, as far as it stayed in its group.
func (p *proxy) Close() error {
	p.mu.Lock()
	if !p.reaped {
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	}
	p.mu.Unlock()
	closeAll(p.stdin, p.stdout)
	<-p.ended
	<-p.settled
	_ = p.stderr.Close()
	return nil
}

// proxyAddr is the address of both ends.
type proxyAddr struct{}

func (proxyAddr) Network() string { return "proxy" }
func (proxyAddr) String() string  { return "proxy" }

// LocalAddr and RemoteAddr are no addresses.
func (p *proxy) LocalAddr() net.Addr { return proxyAddr{} }

// RemoteAddr is no address either.
func (p *proxy) RemoteAddr() net.Addr { return proxyAddr{} }

// SetDeadline sets both deadlines.
func (p *proxy) SetDeadline(t time.Time) error {
	return errors.Join(p.SetReadDeadline(t), p.SetWriteDeadline(t))
}

// SetReadDeadline sets when a Read gives up.
func (p *proxy) SetReadDeadline(t time.Time) error { return p.stdout.SetReadDeadline(t) }

// SetWriteDeadline sets when a Write gives up.
func (p *proxy) SetWriteDeadline(t time.Time) error { return p.stdin.SetWriteDeadline(t) }
