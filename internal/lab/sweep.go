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
	"slices"
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

// Sweep takes away what labs have left, Slurm's and Podman's included, whose
// process ended without Close: their processes and network namespaces, with the
// links into these. Files stay. Start calls it. Labs whose process lives are
// left alone.
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
	failed := killAll(func() ([]int, error) {
		return marked(func(file string) bool {
			n, ok := parseName(filepath.Base(filepath.Dir(file)))
			return ok && !n.alive()
		})
	})
	for _, entry := range entries {
		if n, ok := parseName(entry.Name()); ok && !n.alive() {
			failed = errors.Join(failed, removeNamespace(ctx, entry.Name()))
		}
	}
	return failed
}

// marks are the variables that tell whose a process is that has no network
// namespace to be known by: each names a file in a directory of the name
// that dir gives. What its programs start has it, too.
var marks = []string{"SLURM_CONF", "CONTAINERS_CONF"}

// dir is the name of the directory whose files marks name.
func (n name) dir() string { return n.namespace(0) }

// marked are the processes, with their descendants, of which one of marks names
// a file that keep holds for.
func marked(keep func(file string) bool) ([]int, error) {
	return families(func(dir string) bool {
		return slices.ContainsFunc(marks, func(variable string) bool {
			file, found := environmentOf(dir, variable)
			return found && keep(string(file))
		})
	})
}

// killMarked ends the processes of which one of marks names file.
func killMarked(file string) error {
	return killAll(func() ([]int, error) {
		return marked(func(other string) bool { return other == file })
	})
}
