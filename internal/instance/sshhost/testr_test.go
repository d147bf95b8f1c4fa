package sshhost

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"testr/internal/instance"
	"testr/internal/instance/instancetest"
)

// helperTestr connects to the host args[1] that the configuration of the home
// directory args[0] knows; starts a command there that starts a daemon; writes
// their numbers and the keeper's directory; and waits to be killed.
func helperTestr(args []string) int {
	return occupy(New(Config{Name: "desktop", Dial: sshDial(args[0], args[1], time.Second)}))
}

func complain(err error) int {
	_, _ = fmt.Fprintln(os.Stderr, err)
	return 1
}

// occupy starts what a testr that is killed has left behind.
func occupy(h *Host) int {
	instances, err := h.Provision(context.Background(), 1)
	if err != nil {
		return complain(err)
	}
	exe, err := os.Executable()
	if err != nil {
		return complain(err)
	}
	p, err := instances[0].Start(context.Background(), instance.Command{
		Args: []string{exe, "leave", "setsid", "hold", "0"}, Env: instancetest.ProgramEnv(),
	})
	if err != nil {
		return complain(err)
	}
	child, err := bufio.NewReader(p.Stderr()).ReadString('\n')
	if err != nil {
		return complain(err)
	}
	_, _ = fmt.Fprintf(os.Stdout, "%d %s %s\n", p.PID(), strings.TrimSpace(child), h.life.run)
	select {}
}

// scan reads what occupy says.
func scan(r io.Reader, pid, child *int, run *string) (string, error) {
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		return line, err
	}
	fields := strings.Fields(line)
	if len(fields) != 3 {
		return line, fmt.Errorf("got %q; want two processes and a directory", line)
	}
	*pid, _ = strconv.Atoi(fields[0])
	*child, _ = strconv.Atoi(fields[1])
	*run = fields[2]
	return line, nil
}
