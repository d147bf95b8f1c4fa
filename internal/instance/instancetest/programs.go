package instancetest

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

	"testr/internal/instance"
)

// variable makes the test binary the program that its first argument names.
const variable = "TESTR_INSTANCE_PROGRAM"

// longestLife is when a program that a test has lost ends by itself.
const longestLife = 2 * time.Minute

// Programs are programs that a test binary can be, by name; each gets its
// arguments and gives its exit status.
type Programs map[string]func(args []string) int

// Main is what TestMain calls first, and gives the status to exit with: that of
// the tests of m or, in a process that a Program command has started, that of
// the program, one of this package's or of more.
func Main(m *testing.M, more Programs) int {
	if os.Getenv(variable) == "" {
		return m.Run()
	}
	time.AfterFunc(longestLife, func() { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL) })
	for _, programs := range []Programs{more, common()} {
		if program := programs[os.Args[1]]; program != nil {
			return program(os.Args[2:])
		}
	}
	_, _ = fmt.Fprintf(os.Stderr, "the test binary has no program %q\n", os.Args[1])
	return 98
}

// Program is a command that runs one of the programs that Main was given, or of
// this package's own:
//
//	echo            copies its input
//	args ARG...     writes each argument with a NUL after it
//	where NAME...   writes the working directory and the variables, a line each
//	exit CODE       exits
//	die SIGNAL      ends by a signal
//	block           says "ready" and waits to be killed; so does hold
//	stubborn        the same, and ignores SIGTERM
//	polite          says "ready", and at SIGTERM "last words", and exits with 42
//	deaf            closes its input and blocks
//	mute            ends its output with "stdout" and "stderr" in it; exits with 3 at the end of its input
//	write N M       writes so many bytes of the Pattern to standard output and error
//	leave ...       see StartLeaving
//	spam            writes until nobody reads, and lives on
func Program(t testing.TB, name string, args ...string) instance.Command {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return instance.Command{Args: append([]string{exe, name}, args...), Env: ProgramEnv()}
}

// ProgramEnv is the environment that makes the test binary a program, for who
// starts it by other means than a Program.
func ProgramEnv() []string {
	// The race detector would have every program wait a second before it ends.
	return []string{variable + "=1", "GORACE=atexit_sleep_ms=0"}
}

func common() Programs {
	return Programs{
		"echo":     echo,
		"args":     args,
		"where":    where,
		"exit":     exit,
		"die":      die,
		"block":    func([]string) int { return Block() },
		"hold":     func([]string) int { return Block() },
		"stubborn": stubborn,
		"polite":   polite,
		"deaf":     deaf,
		"mute":     mute,
		"write":    write,
		"leave":    leave,
		"spam":     spam,
	}
}

// Block says that it is ready, and waits to be killed.
func Block() int {
	_, _ = io.WriteString(os.Stdout, "ready\n")
	select {}
}

func echo([]string) int {
	if _, err := io.Copy(os.Stdout, os.Stdin); err != nil {
		return 1
	}
	return 0
}

func args(args []string) int {
	for _, arg := range args {
		_, _ = io.WriteString(os.Stdout, arg+"\x00")
	}
	return 0
}

func where(names []string) int {
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

func exit(args []string) int {
	code, _ := strconv.Atoi(args[0])
	return code
}

func die(args []string) int {
	_ = syscall.Kill(os.Getpid(), unix.SignalNum(args[0]))
	select {}
}

func stubborn([]string) int {
	signal.Ignore(syscall.SIGTERM)
	return Block()
}

// polite uses the grace period for its last words.
func polite([]string) int {
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM)
	_, _ = io.WriteString(os.Stdout, "ready\n")
	<-terminated
	_, _ = io.WriteString(os.Stdout, "last words\n")
	return 42
}

func deaf([]string) int {
	_ = os.Stdin.Close()
	return Block()
}

// mute ends its output, and later, with its input, itself.
func mute([]string) int {
	for name, f := range map[string]*os.File{"stdout": os.Stdout, "stderr": os.Stderr} {
		_, _ = io.WriteString(f, name)
		_ = f.Close()
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 3
}

// write writes to both files at the same time.
func write(args []string) int {
	toStderr := make(chan error)
	go func() {
		n, _ := strconv.Atoi(args[1])
		_, err := os.Stderr.Write(Pattern(n))
		toStderr <- err
	}()
	n, _ := strconv.Atoi(args[0])
	_, err := os.Stdout.Write(Pattern(n))
	if <-toStderr != nil || err != nil {
		return 1
	}
	return 0
}

// Pattern is n bytes in which a missing or doubled piece shows.
func Pattern(n int) []byte {
	b := make([]byte, 0, n+8)
	for i := 0; len(b) < n; i++ {
		b = append(b, byte(i>>16), byte(i>>8), byte(i), 0xb3, '\n', 0, 0xff)
	}
	return b[:n]
}

// leave starts the program args[1] with the same standard files, in its own
// group or (setsid) in another session, and says its number. When it gets a
// line it writes args[2] bytes of the pattern and then "last words", and ends
// before its child.
func leave(args []string) int {
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
	if _, err := os.Stdout.Write(append(Pattern(n), "last words\n"...)); err != nil {
		return 1
	}
	return 0
}

func spam([]string) int {
	signal.Ignore(syscall.SIGPIPE)
	line := []byte(strings.Repeat("spam ", 800) + "\n")
	for {
		if _, err := os.Stdout.Write(line); err != nil {
			select {}
		}
	}
}
