package instance

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// helperVariable makes the test binary the program that its first argument
// names, one of helpers.
const helperVariable = "TESTR_INSTANCE_HELPER"

func TestMain(m *testing.M) {
	if os.Getenv(helperVariable) == "" {
		os.Exit(m.Run())
	}
	// A helper that a test has lost ends by itself.
	time.AfterFunc(2*time.Minute, func() { os.Exit(99) })
	os.Exit(helpers[os.Args[1]](os.Args[2:]))
}

// helper is a command that runs one of helpers.
func helper(t *testing.T, name string, args ...string) Command {
	t.Helper()
	if helpers[name] == nil {
		t.Fatalf("no helper %q", name)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// The race detector would have every helper wait a second before it ends.
	env := []string{helperVariable + "=1", "GORACE=atexit_sleep_ms=0"}
	return Command{Args: append([]string{exe, name}, args...), Env: env}
}

// helpers are the programs that the tests run; each gives its exit status.
var helpers = map[string]func(args []string) int{
	"echo":     helperEcho,
	"args":     helperArgs,
	"where":    helperWhere,
	"exit":     helperExit,
	"die":      helperDie,
	"block":    func([]string) int { return block() },
	"stubborn": helperStubborn,
	"polite":   helperPolite,
	"deaf":     helperDeaf,
	"mute":     helperMute,
	"write":    helperWrite,
	"leave":    helperLeave,
	"hold":     func([]string) int { return block() },
	"spam":     helperSpam,
	"fds":      helperFDs,
	"exhaust":  helperExhaust,
	"guardian": helperGuardian,
	"testr":    helperTestr,
	"session":  helperSession,
	"crowd":    helperCrowd,
}

// block says that it is ready, and waits to be killed.
func block() int {
	_, _ = io.WriteString(os.Stdout, "ready\n")
	select {}
}

func helperEcho([]string) int {
	if _, err := io.Copy(os.Stdout, os.Stdin); err != nil {
		return 1
	}
	return 0
}

// helperArgs writes each argument with a NUL after it.
func helperArgs(args []string) int {
	for _, arg := range args {
		_, _ = io.WriteString(os.Stdout, arg+"\x00")
	}
	return 0
}

// helperWhere writes the working directory and the variables named, a line each.
func helperWhere(names []string) int {
	dir, err := syscall.Getwd() // os.Getwd would believe PWD
	if err != nil {
		return 1
	}
	_, _ = io.WriteString(os.Stdout, dir+"\n")
	for _, name := range names {
		_, _ = io.WriteString(os.Stdout, os.Getenv(name)+"\n")
	}
	return 0
}

func helperExit(args []string) int {
	code, _ := strconv.Atoi(args[0])
	return code
}

// helperDie ends by the signal named.
func helperDie(args []string) int {
	_ = syscall.Kill(os.Getpid(), unix.SignalNum(args[0]))
	select {}
}

func helperStubborn([]string) int {
	signal.Ignore(syscall.SIGTERM)
	return block()
}

// helperPolite uses the grace period for its last words.
func helperPolite([]string) int {
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM)
	_, _ = io.WriteString(os.Stdout, "ready\n")
	<-terminated
	_, _ = io.WriteString(os.Stdout, "last words\n")
	return 42
}

func helperDeaf([]string) int {
	_ = os.Stdin.Close()
	return block()
}

// helperMute ends its output, and later, with its input, itself.
func helperMute([]string) int {
	for name, f := range map[string]*os.File{"stdout": os.Stdout, "stderr": os.Stderr} {
		_, _ = io.WriteString(f, name)
		_ = f.Close()
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 3
}

// helperWrite writes so many bytes of the pattern to standard output and so
// many to standard error, at the same time.
func helperWrite(args []string) int {
	toStderr := make(chan error)
	go func() {
		n, _ := strconv.Atoi(args[1])
		_, err := os.Stderr.Write(pattern(n))
		toStderr <- err
	}()
	n, _ := strconv.Atoi(args[0])
	_, err := os.Stdout.Write(pattern(n))
	if <-toStderr != nil || err != nil {
		return 1
	}
	return 0
}

// pattern is n bytes in which a missing or doubled piece shows.
func pattern(n int) []byte {
	b := make([]byte, 0, n+8)
	for i := 0; len(b) < n; i++ {
		b = append(b, byte(i>>16), byte(i>>8), byte(i), 0xb3, '\n', 0, 0xff)
	}
	return b[:n]
}

// helperLeave starts the helper args[1] with the same standard files, in its
// own group or (setsid) in another session, and says its number. When it gets a
// line it writes args[2] bytes of the pattern and then "last words", and ends
// before its child.
func helperLeave(args []string) int {
	child := exec.Command(os.Args[0], args[1])
	child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
	child.SysProcAttr = &syscall.SysProcAttr{Setsid: args[0] == "setsid"}
	if err := child.Start(); err != nil {
		return 1
	}
	_, _ = fmt.Fprintf(os.Stderr, "%d\n", child.Process.Pid)
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return 1
	}
	n, _ := strconv.Atoi(args[2])
	if _, err := os.Stdout.Write(append(pattern(n), "last words\n"...)); err != nil {
		return 1
	}
	return 0
}

// helperSpam writes until nobody reads, and lives on.
func helperSpam([]string) int {
	signal.Ignore(syscall.SIGPIPE)
	line := []byte(strings.Repeat("spam ", 800) + "\n")
	for {
		if _, err := os.Stdout.Write(line); err != nil {
			select {}
		}
	}
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
