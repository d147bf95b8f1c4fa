package lab

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

// session is a channel that runs one command. Its serve belongs to a goroutine
// that the connection starts; pumps and a reaper come with a command, and serve
// waits for them.
type session struct {
	conn    *connection
	channel ssh.Channel
	command *command // nil before exec
	work    sync.WaitGroup
}

// command is a process with pipes to it.
type command struct {
	cmd                   *exec.Cmd
	stdin, stdout, stderr *os.File // our ends
}

// serve answers requests until the channel was closed, by either side or with
// its connection, and then waits for the command's end.
func (s *session) serve(requests <-chan *ssh.Request) {
	for req := range requests {
		s.conn.record(Channel, req.Type, req.Payload, req.WantReply)
		switch {
		case req.Type == "exec" && s.command == nil:
			err := s.exec(req.Payload)
			_ = req.Reply(err == nil, nil)
			if err == nil {
				s.pump()
			}
		case req.Type == "signal" && s.command != nil && !s.conn.server.opts.RefuseSignals:
			_ = req.Reply(s.conn.server.signal(s.command, req.Payload), nil)
		default:
			_ = req.Reply(false, nil)
		}
	}
	if s.command != nil {
		s.command.hangUp()
	}
	_ = s.channel.Close() // for a client whose connection ended
	s.work.Wait()
}

// exec starts the command that the request asks for.
func (s *session) exec(payload []byte) error {
	var request struct{ Command string }
	if err := ssh.Unmarshal(payload, &request); err != nil {
		return err
	}
	server := s.conn.server
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + server.opts.Home, "SHELL=/bin/sh"}
	cmd := exec.Command("/bin/sh", "-c", request.Command)
	cmd.Env = append(s.conn.environment(env), server.opts.Env...)
	cmd.Dir = server.opts.Home
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	c, err := startCommand(cmd, server.start)
	if err != nil {
		return err
	}
	s.command = c
	return nil
}

// startCommand starts cmd with pipes, under start, which keeps it for Close.
func startCommand(cmd *exec.Cmd, start func(*command) error) (*command, error) {
	c := &command{cmd: cmd}
	var theirs [3]*os.File
	for i, ours := range []**os.File{&c.stdin, &c.stdout, &c.stderr} {
		r, w, err := os.Pipe()
		if err != nil {
			c.hangUp()
			closeAll(theirs[:])
			return nil, fmt.Errorf("make a pipe: %w", err)
		}
		if i == 0 {
			theirs[i], *ours = r, w
		} else {
			*ours, theirs[i] = r, w
		}
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = theirs[0], theirs[1], theirs[2]
	err := start(c)
	closeAll(theirs[:])
	if err != nil {
		c.hangUp()
		return nil, err
	}
	return c, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		if f != nil {
			_ = f.Close()
		}
	}
}

// hangUp closes our ends of the pipes.
func (c *command) hangUp() { closeAll([]*os.File{c.stdin, c.stdout, c.stderr}) }

// pump starts the goroutines that serve waits for: one a stream, and one that
// reaps the command. They end with the command, once its streams are at their
// ends or the channel was closed.
func (s *session) pump() {
	c := s.command
	s.work.Go(func() {
		_, _ = io.Copy(c.stdin, s.channel)
		_ = c.stdin.Close()
	})
	var output sync.WaitGroup
	output.Go(func() {
		_, _ = io.Copy(s.channel, c.stdout)
		_ = c.stdout.Close()
	})
	output.Go(func() {
		_, _ = io.Copy(s.channel.Stderr(), c.stderr)
		_ = c.stderr.Close()
	})
	ended := make(chan struct{})
	s.work.Go(func() {
		output.Wait() // a command may live on without its streams, as with sshd
		_ = s.channel.CloseWrite()
		close(ended)
	})
	s.work.Go(func() {
		s.conn.server.reap(c)
		_ = c.stdin.Close()
		s.report(c.cmd.ProcessState.Sys().(syscall.WaitStatus))
		<-ended // whoever has inherited the pipes keeps the channel open, as with sshd
		_ = s.channel.Close()
	})
}

// report tells the client how the command has ended.
func (s *session) report(status syscall.WaitStatus) {
	if !status.Signaled() {
		payload := ssh.Marshal(struct{ Status uint32 }{uint32(status.ExitStatus())})
		_, _ = s.channel.SendRequest("exit-status", false, payload)
		return
	}
	payload := ssh.Marshal(struct {
		Signal   string
		Core     bool
		Message  string
		Language string
	}{Signal: strings.TrimPrefix(unix.SignalName(status.Signal()), "SIG"), Core: status.CoreDump()})
	_, _ = s.channel.SendRequest("exit-signal", false, payload)
}
