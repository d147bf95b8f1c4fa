package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"testr/internal/instance"
	"testr/internal/protocol"
)

// Process is a command behind a relay. Beside what instance.Process promises,
// its stdout can be read, and its stdin written, in packets, which saves taking
// them apart again here. Stdout is read in one of the two ways, that which is
// tried first; the other then is an error. Until the first of them is tried, the
// command's output waits at the relay, in its pipe.
//
// If the relay is lost, reading ends with a *instance.LostError, once what came
// before was read.
type Process struct {
	client         *Client
	slot           int
	name           string // of the program, for messages
	stdout, stderr *stream
	input          *stdin
	fromFile       bool
	stop           context.CancelCauseFunc // ends the waiting for files
	exited         chan struct{}           // closed when status and err are set

	// mu guards what follows.
	mu      sync.Mutex
	begun   bool     // the start message is on its way
	pending [][]byte // what goes after it
	over    bool     // the relay has forgotten the slot, or never knew of it
	said    int      // of lastOnes
	started bool
	pid     int
	ended   bool // exited is closed
	status  instance.ExitStatus
	err     error
}

func newProcess(c *Client, cmd instance.Command, stop context.CancelCauseFunc) *Process {
	p := &Process{client: c, name: cmd.Args[0], fromFile: cmd.Stdin != nil, stop: stop, exited: make(chan struct{})}
	grant := func(m windowMessage) { p.send(func() []byte { return message(p.slot, nameWindow, m) }) }
	p.stdout, p.stderr = newStream(nameStdout, grant), newStream(nameStderr, grant)
	p.input = newStdin(p)
	return p
}

// PID is the number of the process on the relay's machine, or 0 as long as the
// relay has not told.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pid
}

// Stdin is the way to the command's standard input; nil if that is a file.
// Writing blocks while the command doesn't read. It may be mixed with
// WritePacket.
func (p *Process) Stdin() io.WriteCloser {
	if p.fromFile {
		return nil
	}
	return p.input
}

// Stdout is what the command writes, octet by octet.
func (p *Process) Stdout() io.Reader { return p.stdout }

// Stderr is for one reader at a time.
func (p *Process) Stderr() io.Reader { return p.stderr }

// ReadPacket is what protocol.Reader's would be on Stdout: packets, pieces of
// text, a *protocol.CorruptError for damage that was gone past, io.EOF at the
// end. Packets have a time, that of their arrival at the relay if they had none.
// It is for one reader at a time, and the packet is the caller's.
func (p *Process) ReadPacket() (*protocol.Packet, error) { return p.stdout.readPacket() }

// WritePacket writes a packet to the command, as protocol.Writer's would on
// Stdin, and keeps nothing of it.
func (p *Process) WritePacket(packet *protocol.Packet) error { return p.input.writePacket(packet) }

// Wait waits for the end of the command. The error is a *instance.LostError if
// the relay was lost or could not tell, and else says why the command could not
// be started.
func (p *Process) Wait() (instance.ExitStatus, error) {
	<-p.exited
	return p.status, p.err
}

// Pause asks the relay to stop the command's process group.
func (p *Process) Pause() error {
	if err := p.ask(namePause); err != nil {
		return err
	}
	p.client.hold(p, true)
	return nil
}

// Resume asks it to let that go on.
func (p *Process) Resume() error {
	p.client.hold(p, false)
	return p.ask(nameResume)
}

func (p *Process) ask(what string) error {
	select {
	case <-p.exited:
		return fmt.Errorf("%s %q: %w", what, p.name, os.ErrProcessDone)
	default:
		p.order(what)
		return nil
	}
}

// order tells the relay to do something with the command.
func (p *Process) order(what string) {
	p.send(func() []byte { return message(p.slot, what, struct{}{}) })
}

// send sends what the function makes, after the start message and never after the
// relay has forgotten the command: its slot may be another one's then.
func (p *Process) send(what func() []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.over:
	case p.begun:
		p.client.out.put(what())
	default:
		p.pending = append(p.pending, what())
	}
}

// begin sends the start message, and what was waiting for it.
func (p *Process) begin(cmd instance.Command) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return
	}
	p.client.out.put(message(p.slot, nameStart, startMessage{Args: octets(cmd.Args), Dir: []byte(cmd.Dir),
		Env: octets(cmd.Env)}))
	for _, b := range p.pending {
		p.client.out.put(b)
	}
	p.begun, p.pending = true, nil
}

func octets(texts []string) [][]byte {
	var out [][]byte
	for _, s := range texts {
		out = append(out, []byte(s))
	}
	return out
}

// abort ends a process that the relay has never heard of. It is false if the
// relay has.
func (p *Process) abort(err error) bool {
	p.mu.Lock()
	if p.begun {
		p.mu.Unlock()
		return false
	}
	p.over, p.pending = true, nil
	p.mu.Unlock()
	p.client.release(p)
	p.exit(instance.ExitStatus{}, err)
	p.finish(io.EOF)
	return true
}

// kill ends the command at once.
func (p *Process) kill() {
	if !p.abort(fmt.Errorf("start %q: %w", p.name, instance.ErrClosed)) {
		p.order(nameKill)
	}
	p.stop(instance.ErrClosed)
}

// lose ends everything about the command because the relay is gone.
func (p *Process) lose(err error) {
	p.mu.Lock()
	p.over, p.pending = true, nil
	p.mu.Unlock()
	p.exit(instance.ExitStatus{}, err)
	p.finish(err)
	p.stop(err)
}

// finish ends the command's output where the relay has not ended it.
func (p *Process) finish(err error) {
	p.stdout.finish(err)
	p.stderr.finish(err)
}

// exit sets how the command ended, if that was not known.
func (p *Process) exit(status instance.ExitStatus, err error) {
	p.mu.Lock()
	known := p.ended
	if !known {
		p.ended, p.status, p.err = true, status, err
		close(p.exited)
	}
	p.mu.Unlock()
	if known {
		return
	}
	p.client.hold(p, false)
	why := err
	if _, ok := errors.AsType[*instance.LostError](err); !ok {
		why = errBrokenPipe
	}
	p.input.die(why)
}

// errBrokenPipe is what writing to a command gives that takes nothing any more.
var errBrokenPipe = &os.PathError{Op: "write", Path: "standard input", Err: syscall.EPIPE}

// last counts one of the last things that the relay says of the command, before
// anybody hears of it: who has heard them all finds the slot free.
func (p *Process) last(n int) {
	p.mu.Lock()
	p.said += n
	all := p.said >= lastOnes
	p.over = p.over || all
	p.mu.Unlock()
	if all {
		p.client.release(p)
	}
}

// known reports whether the relay knows of the command.
func (p *Process) known() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.begun && !p.over
}

// hear takes a message of the relay's about the command. The error is the
// relay's fault.
func (p *Process) hear(name string, m part) error {
	switch name {
	case nameStarted:
		started, err := parse[startedMessage](name, m.content)
		if err != nil {
			return err
		}
		return p.hearStarted(started.PID)
	case nameFailed:
		failed, err := parse[failedMessage](name, m.content)
		if err != nil {
			return err
		}
		return p.hearFailed(failed)
	case nameExit:
		exit, err := parse[exitMessage](name, m.content)
		if err != nil {
			return err
		}
		return p.hearExit(exit)
	case nameWindow:
		w, err := parse[windowMessage](name, m.content)
		if err != nil {
			return err
		}
		return p.input.grant(w)
	case nameDamage:
		d, err := parse[damageMessage](name, m.content)
		if err != nil {
			return err
		}
		return p.stdout.put(piece{corrupt: &protocol.CorruptError{Offset: d.Offset, Data: d.Octets, Reason: d.Reason},
			cost: m.cost})
	case namePacket:
		packet, n, err := protocol.ParsePacket(m.content)
		if err != nil || n != len(m.content) {
			return fmt.Errorf("message %s: no packet", name)
		}
		return p.stdout.put(piece{packet: packet, cost: m.cost})
	}
	return nil
}

func (p *Process) hearStarted(pid int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.started || p.ended {
		return errors.New("a command that was started twice")
	}
	p.started, p.pid = true, max(pid, 0)
	return nil
}

func (p *Process) hearFailed(m failedMessage) error {
	p.mu.Lock()
	known := p.started || p.ended
	p.mu.Unlock()
	if known {
		return errors.New("a command that could not be started, and was")
	}
	p.last(lastOnes)
	p.exit(instance.ExitStatus{}, startError(m))
	p.finish(io.EOF)
	return nil
}

func (p *Process) hearExit(m exitMessage) error {
	status, err := instance.ExitStatus{Code: m.Code, Signal: bounded(m.Signal)}, error(nil)
	if m.Error != "" {
		status, err = instance.ExitStatus{}, p.client.lostBy(errors.New(bounded(m.Error)))
	}
	p.mu.Lock()
	known := p.ended
	p.mu.Unlock()
	if known {
		return errors.New("a command that ended twice")
	}
	p.last(1)
	p.exit(status, err)
	return nil
}

// hearStream takes octets of one of the command's streams.
func (p *Process) hearStream(c control, cost int) error {
	if c.name == nameStdin {
		if c.last {
			p.input.die(errBrokenPipe)
		}
		return nil
	}
	s, got := p.stdout, piece{octets: c.content, cost: cost}
	switch c.name {
	case nameStderr:
		s = p.stderr
	case nameText:
		got = piece{cost: cost, packet: &protocol.Packet{Has: protocol.HasFile, FileName: protocol.TextName,
			Content: c.content, Runnable: true, Text: true}}
	}
	if len(c.content) > 0 {
		if err := s.put(got); err != nil {
			return err
		}
	}
	if c.last && c.name != nameText {
		if s.ended() {
			return errors.New("a stream that ended twice: " + c.name)
		}
		p.last(1)
		s.finish(io.EOF)
	}
	return nil
}

// startError is why the relay could not start a command, with the system's
// error in it if that was the reason.
func startError(m failedMessage) error {
	text := errors.New(bounded(m.Error))
	if m.Errno != "" {
		for errno := syscall.Errno(1); errno < maxErrno; errno++ {
			if unix.ErrnoName(errno) == m.Errno {
				return &systemError{text, errno}
			}
		}
	}
	return text
}

// maxErrno is beyond all numbers of errors.
const maxErrno = 200

// systemError is an error of the other machine's system, in its words.
type systemError struct {
	error
	errno syscall.Errno
}

// Unwrap returns the system's error.
func (e *systemError) Unwrap() error { return e.errno }

// maxSaid is how much of what another machine says goes into a message.
const maxSaid = 4 << 10

// bounded is what goes into a message of what another machine says: in one line,
// so that nothing of it is taken for a line of ours.
func bounded(s string) string {
	return strings.Join(strings.Fields(strings.ToValidUTF8(s[:min(len(s), maxSaid)], "?")), " ")
}
