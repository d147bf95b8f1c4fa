package lab

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// prefix begins the names of the labs' network namespaces.
const prefix = "testr-lab-"

// name is what a lab is called: whose it is, and a part that is its own.
type name struct {
	pid   int
	start string // of the process, as in /proc: numbers of processes are used again
	own   string
}

func newName() (name, error) {
	own := make([]byte, 3)
	if _, err := rand.Read(own); err != nil {
		return name{}, fmt.Errorf("name a lab: %w", err)
	}
	start, err := startOf(os.Getpid())
	if err != nil {
		return name{}, fmt.Errorf("name a lab: %w", err)
	}
	return name{pid: os.Getpid(), start: start, own: hex.EncodeToString(own)}, nil
}

// namespace is the name of host i's network namespace.
func (n name) namespace(i int) string {
	return fmt.Sprintf("%s%d-%s-%s-%d", prefix, n.pid, n.start, n.own, i)
}

// link is the name of an end of host i's link; it has at most 15 bytes, as the
// kernel wants it.
func (n name) link(i int, end string) string {
	return fmt.Sprintf("tl%s%s%d", n.own, end, i)
}

// parseName reads the name of a namespace.
func parseName(namespace string) (name, bool) {
	rest, ok := strings.CutPrefix(namespace, prefix)
	parts := strings.Split(rest, "-")
	if !ok || len(parts) != 4 {
		return name{}, false
	}
	pid, err := strconv.Atoi(parts[0])
	return name{pid: pid, start: parts[1], own: parts[2]}, err == nil && pid > 0
}

// alive tells whether the process that made the lab still runs.
func (n name) alive() bool {
	start, err := startOf(n.pid)
	return err == nil && start == n.start
}

// startOf is when a process began, in the clock ticks of /proc.
func startOf(pid int) (string, error) {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return "", err
	}
	// The name of the program, in parentheses, may contain anything.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" {
		return "", fmt.Errorf("process %d has ended", pid)
	}
	return fields[19], nil
}

// Sweep takes away what labs have left whose process ended without Close:
// their processes and network namespaces, with the links into these. Files
// stay. Start calls it. Labs whose process lives are left alone, and so are
// those of other PID namespaces if they have a /run of their own.
func Sweep(ctx context.Context) error {
	held, err := lock(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = held.Close() }()
	return sweep(ctx)
}

// sweep is Sweep for a caller that holds the lock.
func sweep(ctx context.Context) error {
	entries, err := os.ReadDir(namespaces)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look for what labs have left: %w", err)
	}
	var failed error
	for _, entry := range entries {
		if n, ok := parseName(entry.Name()); ok && !n.alive() {
			failed = errors.Join(failed, removeNamespace(ctx, entry.Name()))
		}
	}
	return failed
}
