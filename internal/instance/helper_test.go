package instance_test

import (
	"fmt"
	"os"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"testr/internal/instance/instancetest"
)

func TestMain(m *testing.M) {
	os.Exit(instancetest.Main(m, instancetest.Programs{
		"fds":      helperFDs,
		"exhaust":  helperExhaust,
		"guardian": helperGuardian,
		"testr":    helperTestr,
		"session":  helperSession,
		"crowd":    helperCrowd,
	}))
}

// helperFDs writes which file descriptors it was started with, and which of
// those don't block. What the Go runtime opens itself is closed on exec, and
// nothing that came through an exec is.
func helperFDs([]string) int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 1
	}
	for _, entry := range entries {
		fd, _ := strconv.Atoi(entry.Name())
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC != 0 {
			continue
		}
		status, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		_, _ = fmt.Fprintf(os.Stdout, "%d nonblock=%t\n", fd, status&unix.O_NONBLOCK != 0)
	}
	return 0
}
