//go:build peers

package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"testr/internal/lab"
	"testr/internal/protocol"
)

// BenchmarkHostsFar compares the throughput of hosts that are 100 ms away with
// that of those that are not: of the whole command, and of its middle, where nobody
// connects or waits for the last test ("steady"). Both are told in tests a
// second, and "kept" and "steady-kept" say how much of it the distance leaves: the
// median of the ratios of runs in turn.
func BenchmarkHostsFar(b *testing.B) {
	for _, way := range []string{"ssh", "relay"} {
		for _, length := range []time.Duration{10 * time.Millisecond, 50 * time.Millisecond} {
			b.Run(fmt.Sprintf("%s/test=%v", way, length), func(b *testing.B) { benchFar(b, way, length, farWorkers) })
		}
	}
}

const (
	farWorkers = 8
	// farRun is how long each of the runs would take if workers did nothing but
	// tests.
	farRun = 20 * time.Second
)

func benchFar(b *testing.B, way string, length time.Duration, workers int) {
	tests := workers * int(farRun/length)
	near := newFarPlace(b, benchLab(b, 1, lab.HostOptions{}), way, length, workers, tests)
	far := newFarPlace(b, benchLab(b, 1, lab.HostOptions{Delay: benchDelay}), way, length, workers, tests)
	s := spread{}
	for b.Loop() {
		for _, known := range []string{"", "-known"} { // whether the run knows how long the tests take
			nearWhole, nearSteady := near.throughput(known != "", tests)
			farWhole, farSteady := far.throughput(known != "", tests)
			s.add("near"+known, nearWhole)
			s.add("far"+known, farWhole)
			s.add("kept"+known, farWhole/nearWhole)
			s.add("later"+known+"-s", float64(tests)/farWhole-float64(tests)/nearWhole)
			s.add("steady-near"+known, nearSteady)
			s.add("steady-far"+known, farSteady)
			s.add("steady-kept"+known, farSteady/nearSteady)
		}
	}
	s.report(b)
}

func newFarPlace(b *testing.B, l *lab.Lab, way string, length time.Duration, workers, tests int) place {
	b.Helper()
	p := newBenchPlace(b, l, sleepConf, way, workers, benchWays[way])
	var ids strings.Builder
	for i := range tests {
		fmt.Fprintf(&ids, "m%02d.C%d.test_%05d_for_%d\n", i/500, i/50%10, i, length.Microseconds())
	}
	p.write("tests", ids.String())
	return p
}

// throughput runs the tests, in an empty repository or one that knows
// them. It returns tests a second, those of the whole command and those of its
// middle.
func (p place) throughput(known bool, tests int) (whole, steady float64) {
	p.Helper()
	if !known {
		p.forget()
	}
	begin := time.Now()
	out := p.run(statusPassed, "", "run", "--parallel")
	took := time.Since(begin)
	if want := fmt.Sprintf("Ran %d tests", tests); !strings.Contains(out, want) {
		p.Fatalf("got %s; want %q", out, want)
	}
	_, ends := p.times()
	first, last := len(ends)/5, len(ends)*4/5
	return float64(tests) / took.Seconds(), float64(last-first) / ends[last].Sub(ends[first]).Seconds()
}

// times are those at which the tests of the last run began and ended, in order,
// by the clocks of the workers.
func (p place) times() (begins, ends []time.Time) {
	p.Helper()
	for r := protocol.NewReader(strings.NewReader(p.run(statusPassed, "", "last", "--subunit"))); ; {
		packet, err := r.ReadPacket()
		if errors.Is(err, io.EOF) {
			slices.SortFunc(begins, time.Time.Compare)
			slices.SortFunc(ends, time.Time.Compare)
			return begins, ends
		}
		switch {
		case err != nil:
			p.Fatal(err)
		case packet.Status == protocol.StatusInProgress:
			begins = append(begins, packet.Time)
		case packet.Status.Final():
			ends = append(ends, packet.Time)
		}
	}
}
