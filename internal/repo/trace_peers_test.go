//go:build peers

package repo

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// call is what a process asked the system for, in the order in which it did.
type call struct {
	name     string
	fd       int
	path     string // of fd
	data     []byte // what was written; of linkat and renameat, the new name
	at       int64  // where, or the new size
	injected bool   // it failed because we wanted it to
}

// traced are the calls that matter for what is on disk, and who was told of it.
const traced = "pwrite64,ftruncate,fdatasync,fsync,linkat,renameat,renameat2,write"

// trace runs the test binary as one of its children, with which calls recorded
// and perhaps tampered with, and returns these and what it wrote.
func trace(t *testing.T, role, dir string, env []string, which string, options ...string) (calls []call, out string) {
	t.Helper()
	log := filepath.Join(t.TempDir(), "trace")
	cmd := child(t.Context(), t, role, dir)
	args := append([]string{"strace", "-f", "-qq", "-y", "-xx", "-s", "99999999", "-e", "signal=none", "-o", log,
		"-e", "trace=" + which}, options...)
	strace, err := filepath.Abs("/usr/bin/strace")
	if err != nil {
		t.Fatal(err)
	}
	args = append(args, cmd.Path)
	cmd.Args, cmd.Path = args, strace
	cmd.Env = append(cmd.Env, env...)
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v", options, err)
	}
	f, err := os.Open(log)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	return readTrace(t, f), string(text)
}

var (
	callPattern    = regexp.MustCompile(`^(\d+) +([a-z0-9]+)\((.*)$`)
	resumedPattern = regexp.MustCompile(`^(\d+) +<\.\.\. ([a-z0-9]+) resumed>(.*)$`)
	fdPattern      = regexp.MustCompile(`^(\d+)<([^>]*)>(?:, )?(.*)$`)
	stringPattern  = regexp.MustCompile(`"((?:\\x[0-9a-f]{2})*)"`)
	numbersPattern = regexp.MustCompile(`^(?:, )?(\d+)(?:, (\d+))?`)
)

// readTrace reads what strace wrote. What is written stands where its call
// began, a sync where it ended.
func readTrace(t *testing.T, f *os.File) (calls []call) {
	t.Helper()
	waiting := map[string]call{} // calls of threads that had not ended
	in := bufio.NewReaderSize(f, 1<<20)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return calls
		}
		line = strings.TrimSuffix(line, "\n")
		if m := resumedPattern.FindStringSubmatch(line); m != nil {
			if c, ok := waiting[m[1]]; ok {
				delete(waiting, m[1])
				if c.injected = strings.Contains(m[3], "(INJECTED)"); c.injected || strings.HasSuffix(c.name, "sync") {
					calls = append(calls, c)
				}
			}
			continue
		}
		m := callPattern.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		c, err := readCall(m[2], m[3])
		if err != nil {
			t.Fatalf("%.200s: %v", line, err)
		}
		if unfinished := strings.HasSuffix(line, "<unfinished ...>"); unfinished {
			waiting[m[1]] = c
			if strings.HasSuffix(c.name, "sync") {
				continue
			}
		}
		calls = append(calls, c)
	}
}

func readCall(name, args string) (call, error) {
	c := call{name: name, injected: strings.Contains(args, "(INJECTED)")}
	if strings.HasPrefix(name, "link") || strings.HasPrefix(name, "rename") {
		names := stringPattern.FindAllStringSubmatch(args, 2)
		if len(names) != 2 {
			return c, fmt.Errorf("got %d names; want 2", len(names))
		}
		c.path, c.data = string(unhex(names[0][1])), unhex(names[1][1])
		return c, nil
	}
	m := fdPattern.FindStringSubmatch(args)
	if m == nil {
		return c, fmt.Errorf("no file descriptor")
	}
	c.fd, _ = strconv.Atoi(m[1])
	c.path = string(unhex(m[2]))
	rest := m[3]
	if strings.Contains(name, "write") {
		where := stringPattern.FindStringSubmatchIndex(rest)
		if where == nil {
			return c, fmt.Errorf("no text")
		}
		c.data, rest = unhex(rest[where[2]:where[3]]), rest[where[1]:]
	}
	if n := numbersPattern.FindStringSubmatch(rest); n != nil {
		last := n[1]
		if n[2] != "" {
			last = n[2]
		}
		c.at, _ = strconv.ParseInt(last, 10, 64)
	}
	return c, nil
}

func unhex(s string) []byte {
	b, _ := hex.DecodeString(strings.ReplaceAll(s, `\x`, ""))
	return bytes.Clone(b)
}
