package scheduler

import (
	"fmt"
	"testing"
)

func BenchmarkMakespan(b *testing.B) {
	for _, uneven := range []bool{false, true} {
		for _, workers := range []int{8, 64, 1000} {
			for _, memory := range []string{"exact", "noisy", "none"} {
				name := fmt.Sprintf("uneven=%v/workers=%d/known=%s", uneven, workers, memory)
				b.Run(name, func(b *testing.B) {
					var ratio, setups, imports, worst, rounds float64
					runs := 0
					for b.Loop() {
						r := newRace(raceOptions{seed: uint64(runs), workers: workers, perWorker: max(200, 10_000/workers),
							longest: 5000, memory: memory, uneven: uneven, deaths: map[bool]float64{true: 0.1}[uneven]})
						x := r.run()
						ratio += x
						worst = max(worst, x)
						setups += float64(r.setups) / float64(r.classes)
						imports += float64(r.imports) * 5 / float64(r.classes)
						rounds += float64(r.rounds)
						runs++
					}
					n := float64(runs)
					b.ReportMetric(ratio/n, "makespan/bound")
					b.ReportMetric(worst, "worst")
					b.ReportMetric(setups/n, "set-ups/class")
					b.ReportMetric(imports/n, "imports/module")
				})
			}
		}
	}
}
