//go:build peers

package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"testr/internal/lab"
)

// testrepository is Debian's, which has testr's name.
const testrepository = "/usr/bin/testr"

// unevenRound is how much the tests of BenchmarkHostsUneven are at speed 1.
const unevenRound = 6 * time.Minute

// BenchmarkHostsUneven runs the same Python tests on three hosts with 1, 2 and 5
// slots, of speeds 1, 2 and 3, which nobody is told: with testr over SSH and
// through relays, and with testrepository's hooks, which start ssh. In turn, and
// in another order of the tests each round; first when nothing is known of them,
// and then again ("-known"). It reports the time of the whole command over the
// bound, and for testr ("-tests") that from the first test to the last.
func BenchmarkHostsUneven(b *testing.B) {
	l := benchLab(b, 3, lab.HostOptions{})
	lengths := unevenLengths(600, unevenRound)
	bound := unevenBound(lengths)
	names := []string{"ssh", "relay", "testrepository"}
	places := []place{newUnevenPlace(b, l, "ssh"), newUnevenPlace(b, l, "relay"), newSeedPlace(b, l)}
	s := spread{}
	s.add("bound-s", bound.Seconds())
	s.add("static-computed", float64(staticMakespan(lengths))/float64(bound))
	for round := uint64(0); b.Loop(); round++ {
		rand.New(rand.NewPCG(round, 1)).Shuffle(len(lengths), func(i, j int) {
			lengths[i], lengths[j] = lengths[j], lengths[i]
		})
		for i, p := range places {
			p.writeSleeps(lengths)
			p.anew()
			for _, known := range []string{"", "-known"} {
				if names[i] == "testrepository" {
					took := p.clock(testrepository, "run", "--parallel")
					s.add(names[i]+known, float64(took)/float64(bound))
					continue
				}
				took := p.clock("testr", "run", "--parallel")
				s.add(names[i]+known, float64(took)/float64(bound))
				begins, ends := p.times()
				s.add(names[i]+known+"-tests", float64(ends[len(ends)-1].Sub(begins[0]))/float64(bound))
			}
		}
	}
	s.report(b)
}

// anew empties the repository, whoever's it is.
func (p place) anew() {
	p.Helper()
	theirs := filepath.Join(p.dir, ".testrepository")
	if _, err := os.Stat(theirs); err != nil {
		p.forget()
		return
	}
	if err := os.RemoveAll(theirs); err != nil {
		p.Fatal(err)
	}
	p.clock(testrepository, "init")
}

// clock is how long a command takes that is to succeed.
func (p place) clock(program string, args ...string) time.Duration {
	p.Helper()
	took, _ := p.finish(program, args...)
	return took
}

// finish runs a command that is to succeed.
func (p place) finish(program string, args ...string) (took time.Duration, ended *os.ProcessState) {
	p.Helper()
	var out bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Env = p.dir, p.command().Env
	cmd.Stdout, cmd.Stderr = &out, &out
	begin := time.Now()
	if err := cmd.Run(); err != nil {
		p.Fatalf("%s: %v\n%s", cmd, err, &out)
	}
	return time.Since(begin), cmd.ProcessState
}

func newUnevenPlace(b *testing.B, l *lab.Lab, way string) place {
	b.Helper()
	p := newBenchPlace(b, l, pythonConf, "here", 0, "")
	conf := pythonConf
	p.writeSleeps(make([]time.Duration, 1))
	for i, h := range unevenHosts() {
		section := p.section(l.Hosts[i].Name, h.slots, benchWays[way]+h.slowness())
		p.write(".testr.conf", pythonConf+section)
		p.clock("testr", "run") // a relay is brought once for all runs
		conf += section
	}
	p.write(".testr.conf", conf)
	return p
}

// seedConf has testrepository go to hosts.
const seedConf = pythonConf + `test_run_concurrency=wc -l <hosts
instance_provision=head -n $INSTANCE_COUNT hosts
instance_execute=./on $INSTANCE_ID $COMMAND
instance_dispose=true
`

// newSeedPlace is where testrepository's hooks have an instance for each slot of
// the hosts. The files are there: the hosts have those of this machine.
func newSeedPlace(b *testing.B, l *lab.Lab) place {
	b.Helper()
	if _, err := os.Stat(testrepository); err != nil {
		b.Fatalf("testrepository is missing (scripts/install-peers installs it): %v", err)
	}
	p := place{TB: b, dir: b.TempDir()}
	var ids strings.Builder
	on := "#!/bin/sh\ninstance=$1\nshift\ncase $instance in\n"
	for i, h := range unevenHosts() {
		host := l.Hosts[i].Name
		for slot := range h.slots {
			fmt.Fprintf(&ids, "%s-%d\n", host, slot)
		}
		variable := strings.TrimSpace(strings.TrimPrefix(h.slowness(), "env."))
		on += fmt.Sprintf("%s-*) host=%s set=%s ;;\n", host, host, variable)
	}
	on += fmt.Sprintf("esac\nexec ssh -F %s \"$host\" \"cd %s && $set exec $*\"\n", l.Config, p.dir)
	p.write("hosts", ids.String())
	p.write("on", on)
	p.write(".testr.conf", seedConf)
	if err := os.Chmod(filepath.Join(p.dir, "on"), 0o700); err != nil {
		b.Fatal(err)
	}
	p.clock(testrepository, "init")
	return p
}

// writeSleeps writes Python tests of those lengths at speed 1, in that order.
func (p place) writeSleeps(lengths []time.Duration) {
	p.Helper()
	const perClass, perModule = 10, 40
	var text strings.Builder
	for i, length := range lengths {
		if i%perModule == 0 {
			text.Reset()
			text.WriteString("import os\nimport time\nimport unittest\n\n" +
				"SLOWNESS = float(os.environ.get(\"SLOWNESS\", \"1\"))\n")
		}
		if i%perClass == 0 {
			fmt.Fprintf(&text, "\n\nclass C%02d(unittest.TestCase):\n", i/perClass)
		}
		fmt.Fprintf(&text, "    def test_%03d(self):\n        time.sleep(%.6f * SLOWNESS)\n\n", i, length.Seconds())
		if (i+1)%perModule == 0 || i+1 == len(lengths) {
			p.write(fmt.Sprintf("test_m%02d.py", i/perModule), text.String())
		}
	}
}
