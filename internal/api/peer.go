package api

import (
	"fmt"
	"net"
	"syscall"
)

// checkPeer checks that the process at the other end is ours, or root's. Of a
// client's end that is the process that listens.
func checkPeer(c *net.UnixConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return fmt.Errorf("ask who is at the other end: %w", err)
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
		return fmt.Errorf("ask who is at the other end: %w", err)
	}
	if !trusted(int(cred.Uid)) {
		return &ForeignError{c.RemoteAddr().String(), fmt.Sprintf("at the other end is process %d of user %d",
			cred.Pid, cred.Uid)}
	}
	return nil
}
