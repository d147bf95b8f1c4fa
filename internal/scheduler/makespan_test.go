package scheduler

import (
	"fmt"
	"testing"
)

func BenchmarkMakespan(b *testing.B) {
	for _, uneven := range []bool{false, true} {
		for _, workers := range []int{8, 64, 1000} {
			for _, memory := range []string{"exact", "noisy", "usual", "none"} {
				name := fmt.Sprintf("uneven=%v/workers=%d/known=%s", uneven, workers, memory)
				b.Run(name, func(b *testing.B) {
					var ratio, setups, imports, worst, blind float64
					runs := 0
					for b.Loop() {
						r := newRace(raceOptions{seed: uint64(runs), workers: workers, perWorker: max(200, 10_000/workers),
							longest: 5000, memory: memory, uneven: uneven, deaths: map[bool]float64{true: 0.1}[uneven]})
						x := r.run()
						ratio += x
						worst = max(worst, x)
						setups += float64(r.setups) / float64(r.classes)
						imports += float64(r.imports) * 5 / float64(r.classes)
						blind += float64(r.blind()) / float64(r.bound())
						runs++
					}
					n := float64(runs)
					b.ReportMetric(ratio/n, "makespan/bound")
					b.ReportMetric(blind/n, "blind/bound")
					b.ReportMetric(worst, "worst")
					b.ReportMetric(setups/n, "set-ups/class")
					b.ReportMetric(imports/n, "imports/module")
				})
			}
		}
	}
}
