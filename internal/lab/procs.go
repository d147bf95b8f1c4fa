package lab

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// killTimeout is how long what was killed may take to end.
const killTimeout = 30 * time.Second

// waitExited waits for the end of a child, and doesn't reap it.
func waitExited(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// killAll kills what find finds until that is nothing. find may return 0 to be
// called again.
func killAll(find func() ([]int, error)) error {
	deadline := time.NewTimer(killTimeout)
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
			return fmt.Errorf("processes live %v after SIGKILL: %v", killTimeout, pids)
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

// families are the processes for which keep holds, with all their descendants.
func families(keep func(dir string) bool) ([]int, error) {
	parents := make(map[int]int)
	kept := make(map[int]bool)
	pids, err := processes(func(dir string) bool {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		stat, err := statOf(pid)
		if err != nil {
			return false // it has ended
		}
		parents[pid], _ = strconv.Atoi(stat[1])
		kept[pid] = keep(dir)
		return true
	})
	if err != nil {
		return nil, err
	}
	var family []int
	for _, pid := range pids {
		// No longer than there are processes: numbers may be used again meanwhile.
		ancestor := pid
		for range pids {
			if kept[ancestor] {
				family = append(family, pid)
				break
			}
			if ancestor = parents[ancestor]; ancestor <= 1 {
				break
			}
		}
	}
	return family, nil
}

// startOf is when a process began, in the clock ticks of /proc.
func startOf(pid int) (string, error) {
	stat, err := statOf(pid)
	if err != nil {
		return "", err
	}
	return stat[19], nil
}

// statOf is what /proc says of a process that hasn't ended, from its state on.
func statOf(pid int) ([]string, error) {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return nil, err
	}
	// The name of the program, in parentheses, may contain anything.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return nil, fmt.Errorf("process %d has ended", pid)
	}
	return fields, nil
}
