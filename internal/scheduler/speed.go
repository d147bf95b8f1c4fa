package scheduler

import (
	"math"
	"time"
)

// crew is what the queue knows of all workers together.
type crew struct {
	teams   []*team
	present int     // workers that are not lost
	speeds  float64 // the sum of their speeds
	// near and far are about tests whose length was estimated from others, of
	// the class or not.
	near, far bias

	changes  int           // what has happened that a plan depends on
	patience time.Duration // see Recheck
	asked    int           // sent items that were asked back
}

// bias is the mean of the logarithm of expected over taken time, as far as no
// worker's speed explains it.
type bias struct{ mean, n float64 }

// pace is how fast a worker is, against the workers that had measured the known
// lengths, or against all of this run.
type pace struct {
	speed  float64 // 2 takes half the time
	log    float64 // its logarithm, the mean of what was observed
	weight float64 // of what was observed
	ran    int     // items that it has finished
	recent float64 // about what the last ones took, in microseconds
}

const (
	// knownWeight is how much more a test of known length says of the worker
	// than one whose length was estimated from others.
	knownWeight = 16
	// priorWeight is the weight of the assumption that all are equally fast.
	priorWeight = 16
	// maxWeight has what was observed long ago be forgotten.
	maxWeight = 64 * knownWeight
	// slightly is the length, in microseconds, of a test that counts half: what a
	// machine that is busy for a moment adds to shorter ones is more than what a slow one
	// does. When workers start, all together, it is.
	slightly = 50_000
	// aside is by how much, as a logarithm, a single test can be off. What is
	// more counts as that: tests hang, clocks step.
	aside = 2
)

// enter counts a worker that is there.
func (q *Queue) enter(w *worker) {
	if !w.present {
		w.present = true
		q.present++
		w.team.free++
		q.faster(w, w.speed)
	}
}

// exit counts one that is lost. Its successor probably runs on the same
// machine, but that is not sure.
func (q *Queue) exit(w *worker) {
	if w.present {
		w.present = false
		q.present--
		w.team.free--
		q.faster(w, -w.speed)
		w.weight = min(w.weight, knownWeight)
	}
}

// observe learns from how long an item took on a worker and returns how long it
// would have taken on one of speed 1.
func (q *Queue) observe(w *worker, e *entry, took length) length {
	w.recent += (float64(took) - w.recent) / float64(min(max(w.ran, 1), 8))
	expected, weight, b := float64(e.estimate()), 1.0, &q.near
	switch c := e.class; {
	case e.length != unknown:
		weight, b = knownWeight, nil
	case q.all.n == 0:
		return took // nothing was expected
	case c.teacher == int32(w.number) || c.teacher == nobody:
		// It can't be compared with itself.
		expected, weight, b = float64(q.inherited(c)), 0.25, &q.far
	}
	expected = max(expected, 1)
	x := math.Log(expected / max(float64(took), 1))
	if b != nil {
		b.n = min(b.n+1, 4096)
		b.mean += min(max(x-w.log-b.mean, -aside), aside) / b.n
		x -= b.mean
	}
	weight *= expected / (expected + slightly)
	w.weight = min(w.weight+weight, maxWeight)
	w.log += min(max(x-w.log, -aside), aside) * weight / (w.weight + priorWeight)
	speed := math.Exp(w.log)
	if w.present {
		q.faster(w, speed-w.speed)
	}
	w.speed = speed
	return length(min(float64(took)*speed, float64(lengthOf(longest))))
}

// since is the time that has passed since the first that the queue was told.
func (q *Queue) since(now time.Time) time.Duration {
	if q.epoch.IsZero() {
		q.epoch = now
	}
	return now.Sub(q.epoch)
}

// busy is how long the worker is expected to be at what it has, in
// microseconds. What has taken longer than was expected is expected to take as
// long again as it is late.
func (q *Queue) busy(w *worker, now time.Duration) float64 {
	sum := float64(w.load) / w.speed
	at := w.first
	for n := w.running; n > 0; at = q.entries[at].next {
		if e := &q.entries[at]; e.state == begun {
			sum += math.Abs(float64(e.estimate())/w.speed - float64(lengthOf(now-e.began)))
			n--
		}
	}
	return sum
}
