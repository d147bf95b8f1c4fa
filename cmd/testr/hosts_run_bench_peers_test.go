//go:build peers

package main

import (
	"fmt"
	"os/exec"
	"testing"
	"time"

	"testr/internal/lab"
)

// BenchmarkHostsOneTest is the whole of "testr run" for one test that is known:
// on this machine, on a host, and behind a relay there. "ssh-true" is ssh(1), as
// it connects and runs a program that does nothing.
func BenchmarkHostsOneTest(b *testing.B) {
	for _, delay := range []time.Duration{0, benchDelay} {
		b.Run(fmt.Sprintf("delay=%v", delay), func(b *testing.B) {
			l := benchLab(b, 1, lab.HostOptions{Delay: delay})
			s := spread{}
			var runs []func()
			for worker, conf := range map[string]string{"go": sleepConf, "python": pythonConf} {
				for where, more := range benchWays {
					p := newBenchPlace(b, l, conf, where, 1, more)
					p.write("test_one.py", benchPython)
					p.write("tests", "m.C.test_for_0\n")
					p.run(statusPassed, "", "run")
					runs = append(runs, func() {
						begin := time.Now()
						p.run(statusPassed, "", "run")
						s.ms(worker+"-"+where, begin)
					})
				}
			}
			runs = append(runs, func() {
				begin := time.Now()
				if out, err := exec.Command("ssh", "-F", l.Config, l.Hosts[0].Name, "true").CombinedOutput(); err != nil {
					b.Fatalf("ssh: %v\n%s", err, out)
				}
				s.ms("ssh-true", begin)
			})
			for b.Loop() {
				for _, run := range runs { // in turn, so that all meet the same machine
					run()
				}
			}
			s.report(b)
		})
	}
}

// pythonConf is a configuration for testr's own worker, and for testrepository.
const pythonConf = `[DEFAULT]
test_command=` + python + ` -m subunit.run discover . $LISTOPT $IDOPTION
test_id_option=--load-list $IDFILE
test_list_option=--list
`

// benchWays are the ways to have workers, and what of a section asks for them.
var benchWays = map[string]string{"here": "", "ssh": "", "relay": "relay=yes\n"}

// newBenchPlace is a place whose workers are here, or on all hosts of a lab, with
// so many slots on each.
func newBenchPlace(b *testing.B, l *lab.Lab, conf, where string, slots int, more string) place {
	b.Helper()
	p := newPlace(b)
	p.env = append(p.env, "HOME="+l.Home)
	if where != "here" {
		for _, h := range l.Hosts {
			conf += p.section(h.Name, slots, more)
		}
	}
	p.write(".testr.conf", conf)
	return p
}

// BenchmarkHostsMany begins a test on each of 64 hosts that nobody is connected
// to: "begun" is from the start of testr until all of them run, and "over" until
// it has ended.
func BenchmarkHostsMany(b *testing.B) {
	for way, more := range map[string]string{"ssh": "", "relay": "relay=yes"} {
		b.Run(way, func(b *testing.B) {
			p := newManyPlace(b, manyHosts, more)
			p.meet(manyHosts)
			s := spread{}
			for b.Loop() {
				begun, over := p.meet(manyHosts)
				s.add("begun-s", begun.Seconds())
				s.add("over-s", over.Seconds())
			}
			s.report(b)
		})
	}
}
