package lab

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

// killTimeout is how long what was killed may take to end.
const killTimeout = 30 * time.Second

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

// waitExited waits for the end of a child, and doesn't reap it.
func waitExited(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
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
	return killAll(killTimeout, func() ([]int, error) {
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

// killAll kills what find finds until that is nothing. find may return 0 to be
// called again.
func killAll(timeout time.Duration, find func() ([]int, error)) error {
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	for {
		pids, err := find()
		if err != nil || len(pids) == 0 {
			return err
		}
		for _, pid := range pids {
			if pid > 1 {
				_ = unix.Kill(pid, unix.SIGKILL)
			}
		}
		select {
		case <-again.C:
		case <-deadline.C:
			return fmt.Errorf("processes live %v after SIGKILL: %v", timeout, pids)
		}
	}
}

// processes are the numbers of the processes for whose directory in /proc
// keep holds, but this one's.
func processes(keep func(dir string) bool) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var pids []int
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err == nil && pid != os.Getpid() && keep(filepath.Join("/proc", entry.Name())) {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// environmentOf is what a variable was when the process began, if it had it
// and may be asked.
func environmentOf(dir, name string) (value []byte, found bool) {
	environ, err := os.ReadFile(filepath.Join(dir, "environ"))
	if err != nil {
		return nil, false // it has ended, or is another user's
	}
	for entry := range bytes.SplitSeq(environ, []byte{0}) {
		if value, found := bytes.CutPrefix(entry, []byte(name+"=")); found {
			return value, true
		}
	}
	return nil, false
}
