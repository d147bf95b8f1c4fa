package supervisor

import "time"

// trips are the latest measures of how long it takes from sending a test to
// hearing that it has begun, where the worker had nothing else to do.
type trips struct {
	last [8]time.Duration
	n    int
}

func (t *trips) add(d time.Duration) {
	t.last[t.n%len(t.last)] = d
	t.n++
}

// shortest is the one that holds least of what is no trip: imports, fixtures.
// It is zero when there is none.
func (t *trips) shortest() time.Duration {
	var least time.Duration
	for i, d := range t.last[:min(t.n, len(t.last))] {
		if i == 0 || d < least {
			least = d
		}
	}
	return least
}

// timeTrip measures a trip when a test has begun: if most of the time since it
// was sent its worker had nothing else to do, as far as is known here. What has
// waited behind other tests says nothing, nor does a worker's first test, before which it
// starts up.
func (l *loop) timeTrip(p *process, g given, now time.Time) {
	if waited := now.Sub(g.at); p.begun > 0 && 2*now.Sub(p.free) >= waited {
		p.slot.trips.add(waited)
	}
}
