package scheduler

import (
	"fmt"
	"os"
	"testing"
	"time"
)

// TestMakespan holds the time that runs of real shape take, on workers of
// speeds 1 to 4 some of which die, against what no schedule can beat. With
// TESTR_SEEDS it also does so for 1,000 workers.
func TestMakespan(t *testing.T) {
	for _, tt := range []struct {
		race    raceOptions
		ceiling float64
	}{
		{raceOptions{workers: 8, perWorker: 200, memory: "exact"}, 1.02},
		{raceOptions{workers: 8, perWorker: 1000, memory: "noisy"}, 1.02},
		{raceOptions{workers: 8, perWorker: 1000, memory: "none"}, 1.10},
		{raceOptions{workers: 64, perWorker: 200, memory: "exact"}, 1.02},
		{raceOptions{workers: 64, perWorker: 200, memory: "noisy"}, 1.03},
		{raceOptions{workers: 64, perWorker: 1000, memory: "none"}, 1.10},
		{raceOptions{workers: 1000, perWorker: 200, memory: "exact"}, 1.02},
		{raceOptions{workers: 1000, perWorker: 1000, memory: "none"}, 1.10},
	} {
		o := tt.race
		name := fmt.Sprintf("workers=%d/known=%s", o.workers, o.memory)
		t.Run(name, func(t *testing.T) {
			if o.workers == 1000 && os.Getenv("TESTR_SEEDS") == "" {
				return // it takes half a minute
			}
			o.longest, o.uneven, o.deaths = 5000, true, 0.1
			sum, n := 0.0, 0
			for o.seed = range 3 {
				r := newRace(o)
				if ratio := r.run(); !r.lopsided() {
					sum, n = sum+ratio, n+1
				}
			}
			if got := sum / float64(n); got > tt.ceiling || n == 0 {
				t.Errorf("got %.3f times the bound in the mean of %d draws; want at most %v", got, n, tt.ceiling)
			}
		})
	}
}

// TestTrip: a round trip of 100 ms costs less than a twentieth of the
// throughput, with tests of 10 ms.
func TestTrip(t *testing.T) {
	for _, tt := range []struct {
		o    raceOptions
		want float64
	}{
		{raceOptions{workers: 8, perWorker: 1000, same: 10 * time.Millisecond, memory: "exact"}, 0.985},
		{raceOptions{workers: 8, perWorker: 1000, same: 10 * time.Millisecond, memory: "none"}, 0.95},
		{raceOptions{workers: 8, perWorker: 3000, same: 10 * time.Millisecond, memory: "none", uneven: true}, 0.95},
		{raceOptions{workers: 8, perWorker: 1000, longest: 5000, memory: "exact"}, 0.95},
	} {
		near := newRace(tt.o)
		near.run()
		tt.o.trip = 100 * time.Millisecond
		far := newRace(tt.o)
		far.run()
		if got := float64(near.end) / float64(far.end); got < tt.want {
			t.Errorf("%+v: got %.3f of the throughput without the trip; want at least %v", tt.o, got, tt.want)
		}
	}
}

// BenchmarkMakespan reports, as means of draws, how long simulated runs take
// over the bound that no schedule can beat, that which none can beat that
// doesn't know the outliers over the same, how often a worker begins with a class
// other than its last one's, over the number of classes, and how often one begins
// with a module that it never was in, over the number of modules. Nothing but
// tests takes time, and set-ups are free. docs/scheduling.md quotes the figures.
func BenchmarkMakespan(b *testing.B) {
	for _, uneven := range []bool{false, true} {
		for _, workers := range []int{8, 64, 1000} {
			for _, memory := range []string{"exact", "noisy", "usual", "none"} {
				for _, perWorker := range []int{200, 1000} {
					o := raceOptions{workers: workers, perWorker: perWorker, longest: 5000, memory: memory, uneven: uneven}
					if uneven {
						o.deaths = 0.1
					}
					name := fmt.Sprintf("uneven=%v/workers=%d/known=%s/each=%d", uneven, workers, memory, perWorker)
					b.Run(name, func(b *testing.B) { benchmarkMakespan(b, o) })
				}
			}
		}
	}
}

func benchmarkMakespan(b *testing.B, o raceOptions) {
	var ratio, setups, imports, blind, n float64
	for b.Loop() {
		r := newRace(o)
		got := r.run()
		o.seed++
		if r.lopsided() {
			continue
		}
		ratio += got
		blind += float64(r.blind()) / float64(r.bound())
		setups += float64(r.setups) / float64(r.classes)
		imports += float64(r.imports) * classesToModule / float64(r.classes)
		n++
	}
	b.ReportMetric(ratio/n, "makespan/bound")
	b.ReportMetric(blind/n, "blind/bound")
	b.ReportMetric(setups/n, "set-ups/class")
	b.ReportMetric(imports/n, "imports/module")
}
