package instance

import (
	"bytes"
	"os"
	"strconv"
	"strings"
)

// processStat is what the system tells of a process.
type processStat struct {
	pid, parent, group int
	state              byte // R, S, D, T (stopped), Z (a zombie), …
	name               string
}

// dead says that the process has ended, and waits to be reaped.
func (p processStat) dead() bool { return p.state == 'Z' || p.state == 'X' }

// readStat reads /proc/PID/stat. It is not ok if there is no such process.
func readStat(pid int) (p processStat, ok bool) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return p, false
	}
	// PID (NAME) STATE PARENT GROUP …, where the name may have anything in it.
	from, to := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if from < 0 || to < from {
		return p, false
	}
	fields := strings.Fields(string(b[to+1:]))
	if len(fields) < 3 {
		return p, false
	}
	p = processStat{pid: pid, state: fields[0][0], name: string(b[from : to+1])}
	p.parent, _ = strconv.Atoi(fields[1])
	p.group, _ = strconv.Atoi(fields[2])
	return p, true
}

// descendants are the processes below one, parents first. While they change
// some may be missing.
func descendants(pid int) ([]processStat, error) {
	proc, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	names, err := proc.Readdirnames(-1)
	_ = proc.Close()
	if err != nil {
		return nil, err
	}
	children := make(map[int][]processStat)
	for _, name := range names {
		if n, err := strconv.Atoi(name); err == nil {
			if p, ok := readStat(n); ok {
				children[p.parent] = append(children[p.parent], p)
			}
		}
	}
	all := children[pid]
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i].pid]...)
	}
	return all, nil
}

// commandLine is the command line of a process, or its name if it has none,
// and not more of it than fits a line.
func commandLine(p processStat) string {
	b, _ := os.ReadFile("/proc/" + strconv.Itoa(p.pid) + "/cmdline") // gone: no more than the name is known
	line := strings.TrimRight(strings.ReplaceAll(string(b), "\x00", " "), " ")
	if line == "" {
		return p.name
	}
	return line[:min(len(line), 200)]
}
