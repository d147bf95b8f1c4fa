//go:build peers

package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"testr/internal/lab"
)

// BenchmarkHostsRelay runs 20,000 tests that do nothing on one host, over a
// channel for each worker and over one for all of them, in turn. Beside the tests a
// second it reports the processor time for each test: of testr here, and of all
// that runs on the host, sshd and the workers included.
func BenchmarkHostsRelay(b *testing.B) {
	for _, workers := range []int{1, 8, 32} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			l := benchLab(b, 1, lab.HostOptions{})
			places := map[string]place{}
			for _, way := range []string{"ssh", "relay"} {
				p := newIdlePlace(b)
				p.env = append(p.env, "HOME="+l.Home)
				p.write(".testr.conf", idleConf()+p.section(l.Hosts[0].Name, workers, benchWays[way]))
				p.runIdle([]string{"run", "--parallel"})
				places[way] = p
			}
			s := spread{}
			for b.Loop() {
				for way, p := range places {
					before := cpuOf(b, l.Hosts[0])
					took, testr := p.finish("testr", "run", "--parallel")
					there := cpuOf(b, l.Hosts[0]) - before
					s.add(way+"-tests/s", benchTests/took.Seconds())
					s.add(way+"-testr-µs", microseconds(testr.UserTime()+testr.SystemTime())/benchTests)
					s.add(way+"-host-µs", microseconds(there)/benchTests)
				}
			}
			s.report(b)
		})
	}
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// cpuOf is the processor time of everything that has ended on a host, and was
// waited for. It waits until sshd alone runs there.
func cpuOf(b *testing.B, h *lab.Host) time.Duration {
	b.Helper()
	for limit := time.After(patience); ; {
		pids, err := h.Processes()
		if err != nil {
			b.Fatal(err)
		}
		if len(pids) == 1 {
			return cpuOfProcess(b, pids[0])
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-limit:
			b.Fatalf("got processes %v on %s; want sshd alone", pids, h.Name)
		}
	}
}

// cpuOfProcess is the processor time of a process and of the children that it
// has waited for, as Linux counts it, in hundredths of a second.
func cpuOfProcess(b *testing.B, pid int) time.Duration {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	ticks := 0
	for _, field := range fields[11:15] { // utime, stime, cutime, cstime
		n, err := strconv.Atoi(string(field))
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / 100
}
