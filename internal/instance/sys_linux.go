package instance

import (
	"errors"
	"io"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// awaitExit blocks until the process pid, a child of this one, has exited, and
// leaves it to be reaped. An error shows when it is.
func awaitExit(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// closeInheritedOnExec keeps files that testr's own parent left open from the
// commands that testr starts. What testr opens itself is closed on exec anyway.
func closeInheritedOnExec() {
	_ = unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC) // Linux before 5.11 can't
}

// growPipe gives a pipe room for size bytes, where the system's limits allow.
func growPipe(f *os.File, size int) {
	withFD(f, func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, size) })
}

// buffered is how many bytes can be read of a pipe now.
func buffered(f *os.File) int {
	n := 0
	withFD(f, func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.TIOCINQ) })
	return n
}

// withFD calls do with f's descriptor. Unlike f.Fd it leaves the descriptor as
// it is: non-blocking, so that deadlines work.
func withFD(f *os.File, do func(fd uintptr)) {
	if c, err := f.SyscallConn(); err == nil {
		_ = c.Control(do)
	}
}

// readNow reads what can be read of a pipe without waiting, and gives io.EOF if
// that is nothing.
func readNow(f *os.File, b []byte) (n int, err error) {
	withFD(f, func(fd uintptr) { n, err = unix.Read(int(fd), b) })
	switch {
	case n > 0 || len(b) == 0:
		return max(n, 0), nil
	case err == nil || errors.Is(err, unix.EAGAIN):
		return 0, io.EOF
	default:
		return 0, os.NewSyscallError("read", err)
	}
}
