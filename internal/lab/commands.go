package lab

import (
	"bytes"
	"errors"
	"slices"
	"strconv"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

// signals are those that sshd sends.
var signals = []string{
	"ABRT", "ALRM", "FPE", "HUP", "ILL", "INT", "KILL", "PIPE", "QUIT", "SEGV", "TERM", "USR1", "USR2",
}

// start starts c, unless the server was closed, and remembers it.
func (s *Server) start(c *command) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errors.New("the server was closed")
	}
	if err := c.cmd.Start(); err != nil {
		return err
	}
	s.running[c] = struct{}{}
	return nil
}

// reap waits for the end of c. Until then, the number of its group is its own.
func (s *Server) reap(c *command) {
	waitExited(c.cmd.Process.Pid)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.running, c)
	_ = c.cmd.Wait() // its state says it all
}

// signal sends the group of c the signal that the request names.
func (s *Server) signal(c *command, payload []byte) bool {
	var request struct{ Signal string }
	if ssh.Unmarshal(payload, &request) != nil || !slices.Contains(signals, request.Signal) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.running[c]; !ok {
		return false
	}
	return unix.Kill(-c.cmd.Process.Pid, unix.SignalNum("SIG"+request.Signal)) == nil
}

// killCommands kills the commands and all that they have started, and waits
// for the end of it. A process is known by the connection in its environment,
// wherever it went.
func (s *Server) killCommands() error {
	mark := []byte(" 127.0.0.1 " + strconv.Itoa(s.Port()))
	return killAll(func() ([]int, error) {
		s.mu.Lock()
		running := len(s.running)
		for c := range s.running {
			_ = unix.Kill(-c.cmd.Process.Pid, unix.SIGKILL)
		}
		s.mu.Unlock()
		pids, err := processes(func(dir string) bool {
			connection, found := environmentOf(dir, "SSH_CONNECTION")
			return found && bytes.HasSuffix(connection, mark)
		})
		if running > 0 && len(pids) == 0 {
			pids = append(pids, 0) // there is still something to wait for
		}
		return pids, err
	})
}
