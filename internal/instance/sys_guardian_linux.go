package instance

import (
	"errors"
	"io"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// openChannel makes the two ends of a channel, closed on exec.
func openChannel() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	return os.NewFile(uintptr(fds[0]), "guardian"), os.NewFile(uintptr(fds[1]), "guardian"), nil
}

// inheritChannel is the channel that this process was started with.
func inheritChannel(fd int) (*os.File, error) {
	if _, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE); err != nil {
		return nil, os.NewSyscallError("getsockopt", err)
	}
	unix.CloseOnExec(fd)
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fd), "guardian"), nil
}

// sendFiles writes files and the beginning of b, and says how much of it that
// was.
func sendFiles(channel *os.File, b []byte, files []*os.File) (n int, err error) {
	fds := make([]int, len(files))
	for i, f := range files {
		fds[i] = int(f.Fd()) // which makes it block, as a command wants it
	}
	rights := unix.UnixRights(fds...)
	c, err := channel.SyscallConn()
	if err != nil {
		return 0, err
	}
	writeErr := c.Write(func(fd uintptr) bool {
		n, err = unix.SendmsgN(int(fd), b, rights, nil, unix.MSG_NOSIGNAL)
		return !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR)
	})
	runtime.KeepAlive(files)
	return n, errors.Join(writeErr, os.NewSyscallError("sendmsg", err))
}

// receiveFiles reads bytes and the descriptors that came with them, at most
// three, closed on exec.
func receiveFiles(channel *os.File, b []byte) (n int, fds []int, err error) {
	c, err := channel.SyscallConn()
	if err != nil {
		return 0, nil, err
	}
	rights := make([]byte, unix.CmsgSpace(3*4))
	size := 0
	readErr := c.Read(func(fd uintptr) bool {
		n, size, _, _, err = unix.Recvmsg(int(fd), b, rights, unix.MSG_CMSG_CLOEXEC)
		return !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR)
	})
	if err := errors.Join(readErr, os.NewSyscallError("recvmsg", err)); err != nil {
		return 0, nil, err
	}
	if n == 0 {
		return 0, nil, io.EOF
	}
	messages, err := unix.ParseSocketControlMessage(rights[:size])
	for _, m := range messages {
		got, parseErr := unix.ParseUnixRights(&m)
		fds, err = append(fds, got...), errors.Join(err, parseErr)
	}
	return n, fds, err
}

// becomeSubreaper makes this process the parent of whatever below it has lost
// its own.
func becomeSubreaper() error {
	return os.NewSyscallError("prctl", unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
}

// exitedChild is a child that has exited and is to be reaped, or 0 if there is
// none; children says whether there are children at all.
func exitedChild() (pid int, children bool) {
	var info unix.Siginfo
	for {
		err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOWAIT|unix.WNOHANG, nil)
		if !errors.Is(err, unix.EINTR) {
			// The fields of a signal begin after three numbers, at a multiple
			// of a pointer's size. The first one of SIGCHLD is the process.
			const word = unsafe.Sizeof(uintptr(0))
			const at = (3*4 + word - 1) / word * word
			return int(*(*int32)(unsafe.Add(unsafe.Pointer(&info), at))), err == nil
		}
	}
}

// reapChild takes the status of a child that has exited.
func reapChild(pid int) (status unix.WaitStatus) {
	for {
		_, err := unix.Wait4(pid, &status, 0, nil)
		if !errors.Is(err, unix.EINTR) {
			return status
		}
	}
}

// signalBelow sends sig to a process of which is known whose child it was. A
// child of our own keeps its number until we reap it. Any other one is held by
// a descriptor while it is made sure that it is still who it was; where Linux
// (before 5.3) has none of these it is left alone, and becomes our own child
// when its parents have ended.
func signalBelow(p processStat, self int, sig unix.Signal) {
	if p.parent == self {
		_ = unix.Kill(p.pid, sig)
		return
	}
	fd, err := unix.PidfdOpen(p.pid, 0)
	if err != nil {
		return
	}
	defer func() { _ = unix.Close(fd) }()
	if now, ok := readStat(p.pid); ok && now.parent == p.parent {
		_ = unix.PidfdSendSignal(fd, sig, nil, 0)
	}
}
