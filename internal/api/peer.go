package api

import (
	"fmt"
	"net"
	"syscall"
)

// checkPeer checks that the process at the other end is ours, or root's, and returns
// its number here; 0 if it has none, as in another container. Of a client's end that is
// the process that listens.
func checkPeer(c *net.UnixConn) (pid int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, fmt.Errorf("ask who is at the other end: %w", err)
	}
	var cred *syscall.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) {
		cred, credErr = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if err == nil {
		err = credErr
	}
	if err != nil {
		return 0, fmt.Errorf("ask who is at the other end: %w", err)
	}
	if !trusted(int(cred.Uid)) {
		return 0, &ForeignError{c.RemoteAddr().String(), fmt.Sprintf("at the other end is process %d of user %d",
			cred.Pid, cred.Uid)}
	}
	return int(cred.Pid), nil
}
