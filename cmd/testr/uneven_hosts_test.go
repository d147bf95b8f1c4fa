package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// unevenHost is one that differs in how many workers it has and how fast they
// are.
type unevenHost struct {
	slots int
	speed float64
}

// unevenHosts are a laptop, a desktop and a machine at work.
func unevenHosts() []unevenHost { return []unevenHost{{1, 1}, {2, 2}, {5, 3}} }

// unevenLengths are the lengths of tests at speed 1 and in all: of classes of ten
// that differ as those of real suites do. They are the same at every call.
func unevenLengths(tests int, sum time.Duration) []time.Duration {
	rnd := rand.New(rand.NewPCG(7, 11))
	raw, total, typical := make([]float64, tests), 0.0, 0.0
	for i := range raw {
		if i%10 == 0 {
			typical = math.Exp(0.8 * rnd.NormFloat64())
		}
		raw[i] = min(typical*math.Exp(0.6*rnd.NormFloat64()), 8)
		total += raw[i]
	}
	lengths := make([]time.Duration, tests)
	for i := range raw {
		lengths[i] = time.Duration(raw[i] / total * float64(sum))
	}
	return lengths
}

// unevenBound is what no run of such tests on those hosts is shorter than: the
// work over the speed of all, and the longest test where it is done the fastest.
func unevenBound(lengths []time.Duration) time.Duration {
	power, fastest, sum := 0.0, 0.0, time.Duration(0)
	for _, h := range unevenHosts() {
		power += float64(h.slots) * h.speed
		fastest = max(fastest, h.speed)
	}
	for _, l := range lengths {
		sum += l
	}
	return time.Duration(max(float64(sum)/power, float64(slices.Max(lengths))/fastest))
}

// staticMakespan is how long the tests take when they are dealt out before the
// run, by their lengths and as evenly as can be, as testrepository does: the
// slowest worker has as much to do as all others.
func staticMakespan(lengths []time.Duration) time.Duration {
	var speeds []float64
	for _, h := range unevenHosts() {
		speeds = append(speeds, slices.Repeat([]float64{h.speed}, h.slots)...)
	}
	parts := make([]time.Duration, len(speeds))
	for _, l := range slices.Backward(slices.Sorted(slices.Values(lengths))) {
		least := 0
		for i := range parts {
			if parts[i] < parts[least] {
				least = i
			}
		}
		parts[least] += l
	}
	longest := 0.0
	for i, part := range parts {
		longest = max(longest, float64(part)/speeds[i])
	}
	return time.Duration(longest)
}

// slowness is what has a host be as fast as it is said to be.
func (h unevenHost) slowness() string { return fmt.Sprintf("env.SLOWNESS=%.6f\n", 1/h.speed) }

// TestUnevenHosts: hosts of several speeds are all busy to the end. How fast
// they are is known to nobody before.
func TestUnevenHosts(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	conf := sleepConf
	var names []string
	for i, h := range unevenHosts() {
		names = append(names, fmt.Sprintf("host%d", i+1))
		conf += p.section(names[i], h.slots, h.slowness())
	}
	p.env = append(p.env, "HOME="+serveHosts(t, names...))
	p.write(".testr.conf", conf)
	lengths := unevenLengths(200, 2*time.Minute)
	var ids strings.Builder
	for i, l := range lengths {
		fmt.Fprintf(&ids, "m.C%02d.test_%03d_for_%d\n", i/10, i, l.Microseconds())
	}
	p.write("tests", ids.String())
	begin := time.Now()
	out := p.run(statusPassed, "", "run", "--parallel")
	took, limit := time.Since(begin), staticMakespan(lengths)
	t.Logf("took %v; the bound is %v, a static partition %v", took, unevenBound(lengths), limit)
	if took > limit {
		t.Errorf("got a run of %v; want it to take less than a static partition, which needs %v", took, limit)
	}
	if want := "Tests by host: host3"; !strings.Contains(out, want) {
		t.Errorf("got %s; want %q", out, want)
	}
}
