package instance

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// maxLeftovers is how many leftovers are described.
const maxLeftovers = 10

// closePatience is how long a guardian has to end. By itself it gives up when
// nothing has ended for killPatience.
const closePatience = 6 * killPatience

// Leftovers are processes that outlived the commands that had started them, and
// were killed when their Local was closed.
type Leftovers struct {
	Count int
	First []Leftover // the first ones that were found, 10 at most
}

// Leftover is a process that was left over.
type Leftover struct {
	PID     int
	Command string // its command line, or as much of it as fits a line; the process chose it
}

// guardian is testr's end of a guardian process.
//
// One goroutine belongs to it, follow, started by startGuardian; when done is
// closed it has ended, and so has the process.
type guardian struct {
	cmd     *exec.Cmd
	channel *os.File

	starting sync.Mutex // held while a command is being started: one at a time is under way
	sending  sync.Mutex // held while a frame is being written

	done chan struct{}
	err  error     // set before done is closed; nil if all ended as it was asked for
	left Leftovers // set before done is closed

	// mu guards what follows.
	mu       sync.Mutex
	last     uint32                   // the last id given
	children map[uint32]*guardedChild // whose end was not told yet
	over     error                    // why there is no guardian any more
}

// startGuardian starts the program args as a guardian, in a process group of
// its own but in this session: what it starts has the terminal that it would
// have without.
func startGuardian(args []string) (*guardian, error) {
	ours, theirs, err := openChannel()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.ExtraFiles = []*os.File{theirs} // and /dev/null for all that it could hold up somebody with
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = cmd.Start()
	_ = theirs.Close()
	if err != nil {
		_ = ours.Close()
		return nil, err
	}
	g := &guardian{cmd: cmd, channel: ours, done: make(chan struct{}), children: make(map[uint32]*guardedChild)}
	go g.follow()
	return g, nil
}

// follow takes what the guardian tells, until it ends.
func (g *guardian) follow() {
	defer close(g.done)
	closed, alive := false, 0
	for r := bufio.NewReader(g.channel); ; {
		f, err := readFrame(r)
		if err != nil {
			break
		}
		switch f.kind {
		case frameLeftover:
			g.left.First = append(g.left.First, Leftover{PID: int(f.value), Command: string(f.body)})
		case frameClosed:
			closed, alive, g.left.Count = true, int(f.id), int(f.value)
		default:
			g.heed(f)
		}
	}
	_ = g.channel.Close()
	err := g.cmd.Wait()
	switch {
	case !closed:
		g.err = fmt.Errorf("the guardian of local processes has ended, %w", reason(err))
	case alive > 0:
		g.err = fmt.Errorf("%d processes can't be killed", alive)
	}
	g.abandon(g.err)
}

// reason is why a program ended that should not have.
func reason(err error) error {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return errors.Join(errors.New("without a reason"), err)
	}
	status, _ := exit.Sys().(syscall.WaitStatus)
	return errors.New(exitStatus(status).String())
}

// heed passes on what the guardian tells of a command.
func (g *guardian) heed(f frame) {
	g.mu.Lock()
	c := g.children[f.id]
	if c != nil && f.kind != frameStarted {
		delete(g.children, f.id)
	}
	g.mu.Unlock()
	if c == nil {
		return
	}
	switch f.kind {
	case frameStarted:
		c.number = int(f.value)
		close(c.started)
	case frameFailed:
		c.err = syscall.Errno(f.value)
		close(c.started)
	case frameExited:
		c.status = syscall.WaitStatus(f.value)
		close(c.ended)
	}
}

// abandon ends the commands that the guardian, which is gone, does not end any
// more. Nobody has told of their end, so their groups are still theirs.
func (g *guardian) abandon(why error) {
	if why == nil {
		why = ErrClosed
	}
	g.mu.Lock()
	g.over = why
	children := g.children
	g.children = nil
	g.mu.Unlock()
	for _, c := range children {
		c.err = why
		if c.number != 0 {
			_ = syscall.Kill(-c.number, syscall.SIGKILL)
			close(c.ended)
		} else {
			close(c.started)
		}
	}
}

// gone says that the guardian has ended.
func (g *guardian) gone() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.over != nil
}

// start has the guardian start p with these standard files.
func (g *guardian) start(p *program, files [3]*os.File) (child, error) {
	c := &guardedChild{guardian: g, started: make(chan struct{}), ended: make(chan struct{})}
	g.starting.Lock()
	defer g.starting.Unlock()
	if err := g.expect(c); err != nil {
		return nil, err
	}
	if err := g.send(requestFor(c.id, p), files[:]...); err != nil {
		g.mu.Lock()
		delete(g.children, c.id)
		g.mu.Unlock()
		return nil, fmt.Errorf("ask the guardian of local processes: %w", err)
	}
	<-c.started
	if c.number != 0 {
		return c, nil // and an error that is set from now on is that of its end
	}
	if _, ok := errors.AsType[syscall.Errno](c.err); ok {
		return nil, &fs.PathError{Op: "fork/exec", Path: p.path, Err: c.err}
	}
	return nil, c.err
}

// expect gives c its id.
func (g *guardian) expect(c *guardedChild) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.over != nil {
		return g.over
	}
	g.last++
	c.id = g.last
	g.children[c.id] = c
	return nil
}

// send writes a frame. While the guardian does not read, it blocks.
func (g *guardian) send(f frame, files ...*os.File) error {
	g.sending.Lock()
	defer g.sending.Unlock()
	return writeFrame(g.channel, f, files...)
}

// close has the guardian kill everything below it and waits for its end.
func (g *guardian) close() (Leftovers, error) {
	limit := time.AfterFunc(closePatience, func() { _ = g.cmd.Process.Kill() })
	defer limit.Stop()
	_ = g.send(frame{kind: frameClose}) // if it is gone, done tells
	<-g.done
	return g.left, g.err
}

// guardedChild is a process that a guardian has started, the leader of its
// process group. The guardian knows it by its id, so that no signal goes
// astray to whoever got its number next.
type guardedChild struct {
	guardian *guardian
	id       uint32
	started  chan struct{} // closed when it was started, or could not be
	ended    chan struct{} // closed when it was reaped, or nobody can say any more

	number int                // set before started is closed; 0 if it was not started
	status syscall.WaitStatus // set before ended is closed
	err    error              // set before started or ended is closed
}

func (c *guardedChild) pid() int { return c.number }

func (c *guardedChild) signal(sig syscall.Signal) {
	select {
	case <-c.ended:
	default:
		_ = c.guardian.send(frame{kind: frameSignal, id: c.id, value: uint32(sig)}) // fails if the guardian is gone
	}
}

func (c *guardedChild) wait() (syscall.WaitStatus, error) {
	<-c.ended
	return c.status, c.err
}
