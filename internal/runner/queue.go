package runner

import (
	"context"
	"errors"
	"slices"
	"time"
)

// These errors say why a job was not done.
var (
	// ErrNoJob: no job of that number waits or is being done.
	ErrNoJob = errors.New("there is no such job")
	// ErrQueueClosed: the queue does nothing more.
	ErrQueueClosed = errors.New("no more runs are taken")
	// ErrQueueFull: too many jobs wait.
	ErrQueueFull = errors.New("too many runs wait already")
)

const (
	maxWaiting    = 1000 // jobs
	maxRemembered = 20   // jobs that are over
)

// QueueConfig is what a Queue needs to know.
type QueueConfig struct {
	// NewFleet makes the fleet for jobs; it is called when there is none.
	NewFleet func() *Fleet
	// Warn is told what went wrong with giving a fleet back. It is called by a
	// goroutine of the queue.
	Warn func(error)
}

// Queue does one job after another, first come, first served, and keeps a fleet
// for them. One goroutine of its own owns all that it knows; jobs are done by
// another. Its methods may be called from any goroutine, before and after Close.
type Queue struct {
	cfg   QueueConfig
	calls chan func()      // what methods have done by the goroutine
	ended chan func()      // what is to be noted when what was done beside it has ended
	over  chan struct{}    // closed when the goroutine has ended
	idle  <-chan time.Time // when the fleet has had no job for too long; nil while it has, or is none

	// All that follows is the goroutine's.
	last      int // number of a job
	waiting   []*job
	current   *job // nil if there is none
	busy      bool // a job is done, or a fleet given back
	done      []Job
	fleet     *Fleet
	allowance time.Duration // for which the fleet is kept without a job
	since     time.Time     // when the last job ended; zero before
	closing   bool
}

// Task is something to be done.
type Task struct {
	// Command is what a person typed, PID their process.
	Command []string
	PID     int
	// Do does it, with the fleet to itself. When ctx ends it has to come to its end,
	// and when kill is closed at once. It is called once, or not at all.
	Do func(ctx context.Context, kill <-chan struct{}, fleet *Fleet) Ending
	// Over is called once, by the queue's goroutine, when the job has ended in
	// whatever way: it must not block.
	Over func(Job)
}

// Ending is what a job came to.
type Ending struct {
	Err     error         // why it was not done, or not to the end
	Verdict string        // what became of the tests, in a word; empty if nobody knows
	Idle    time.Duration // how long the fleet is kept without another job
	Spoilt  bool          // the fleet had better not be kept
}

// JobState says how far a job is.
type JobState string

// The states.
const (
	JobWaiting JobState = "waiting"
	JobRunning JobState = "running"
	JobOver    JobState = "over"
)

// Job is what a Queue knows of a task that it was given.
type Job struct {
	Number              int // from 1
	State               JobState
	Command             []string
	PID                 int
	Asked, Begun, Ended time.Time // zero before
	Run                 int       // the number of its last run; -1 before it has one
	Ending              Ending    // once it is over
}

// job is one with what the queue needs for it.
type job struct {
	Job
	task   Task
	cancel context.CancelCauseFunc // once it is being done
	kill   chan struct{}
	killed bool
}

// QueueState is what a queue does at the moment.
type QueueState struct {
	Jobs      []Job  // those that are over, the one being done, and those that wait, each in order
	Instances []Kept // that the fleet has
	// Idle is since when there was no job; zero if there is one, or was none yet.
	// At Until what the fleet has is given back; zero if nothing is to be.
	Idle, Until time.Time
}

// NewQueue makes a queue, which has to be closed.
func NewQueue(cfg QueueConfig) *Queue {
	q := &Queue{cfg: cfg, calls: make(chan func()), ended: make(chan func()), over: make(chan struct{})}
	go q.loop()
	return q
}

// loop is the goroutine that owns the queue.
func (q *Queue) loop() {
	defer close(q.over)
	for {
		q.proceed()
		if q.closing && !q.busy {
			return
		}
		select {
		case call := <-q.calls:
			call()
		case note := <-q.ended:
			q.busy = false
			note()
		case <-q.idle:
			q.dispose()
		}
	}
}

// call has something done by the goroutine. It is false if that has ended.
func (q *Queue) call(do func()) bool {
	done := make(chan struct{})
	select {
	case q.calls <- func() { defer close(done); do() }:
		<-done
		return true
	case <-q.over:
		return false
	}
}

// proceed begins what there is to do, if nothing is being done.
func (q *Queue) proceed() {
	switch {
	case q.busy:
	case q.closing:
		q.dispose()
	case len(q.waiting) > 0:
		j := q.waiting[0]
		q.waiting = slices.Delete(q.waiting, 0, 1)
		q.begin(j)
	}
}

// begin does a job, beside the goroutine.
func (q *Queue) begin(j *job) {
	if q.fleet == nil {
		q.fleet = q.cfg.NewFleet()
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	j.State, j.Begun, j.cancel = JobRunning, time.Now(), cancel
	q.current, q.busy, q.idle = j, true, nil
	fleet := q.fleet
	go func() {
		ending := j.task.Do(ctx, j.kill, fleet)
		cancel(nil)
		q.ended <- func() {
			q.current, q.since, q.allowance = nil, time.Now(), ending.Idle
			q.finish(j, ending)
			if ending.Spoilt {
				q.dispose()
			} else {
				q.idle = time.After(ending.Idle)
			}
		}
	}()
}

// dispose gives the fleet back, beside the goroutine.
func (q *Queue) dispose() {
	q.idle = nil
	fleet := q.fleet
	if fleet == nil {
		return
	}
	q.busy = true
	go func() {
		if err := fleet.Close(); err != nil {
			q.cfg.Warn(err)
		}
		q.ended <- func() { q.fleet = nil }
	}()
}

// finish notes what became of a job.
func (q *Queue) finish(j *job, ending Ending) {
	j.State, j.Ended, j.Ending = JobOver, time.Now(), ending
	q.done = append(q.done, j.Job)
	if extra := len(q.done) - maxRemembered; extra > 0 {
		q.done = slices.Delete(q.done, 0, extra)
	}
	if j.task.Over != nil {
		j.task.Over(j.Job)
	}
}

// Add puts a task at the end of the queue, and returns the number of its job and
// how many are before it, the one that is being done included. The error is
// ErrQueueClosed or ErrQueueFull.
func (q *Queue) Add(t Task) (number, ahead int, err error) {
	if !q.call(func() {
		switch {
		case q.closing:
			err = ErrQueueClosed
			return
		case len(q.waiting) >= maxWaiting:
			err = ErrQueueFull
			return
		}
		q.last++
		number, ahead = q.last, len(q.waiting)
		if q.current != nil {
			ahead++
		}
		q.waiting = append(q.waiting, &job{task: t, kill: make(chan struct{}), Job: Job{Number: number, State: JobWaiting,
			Command: t.Command, PID: t.PID, Asked: time.Now(), Run: -1}})
	}) {
		err = ErrQueueClosed
	}
	return number, ahead, err
}

// Cancel has a job end: one that waits at once, with cause for its error, and one
// that is being done by the end of its context. The error is ErrNoJob.
func (q *Queue) Cancel(number int, cause error) error {
	return q.withJob(number, func(j *job) { q.cancel(j, cause) })
}

// cancel is Cancel of a job that is not over.
func (q *Queue) cancel(j *job, cause error) {
	if j.State == JobRunning {
		j.cancel(cause)
		return
	}
	q.waiting = slices.DeleteFunc(q.waiting, func(other *job) bool { return other == j })
	q.finish(j, Ending{Err: cause})
}

// Kill is Cancel for who has no patience: of a job that is being done everything
// is ended at once.
func (q *Queue) Kill(number int, cause error) error {
	return q.withJob(number, func(j *job) {
		j.die()
		q.cancel(j, cause)
	})
}

// Hurry has Close wait no longer than it has to: of the job that is being done
// everything is ended at once.
func (q *Queue) Hurry() {
	q.call(func() {
		if q.current != nil {
			q.current.die()
		}
	})
}

// die has everything of a job be ended at once.
func (j *job) die() {
	if !j.killed {
		j.killed = true
		close(j.kill)
	}
}

// withJob calls do with a job that is not over.
func (q *Queue) withJob(number int, do func(*job)) error {
	err := ErrNoJob
	q.call(func() {
		all := q.waiting
		if q.current != nil {
			all = append([]*job{q.current}, all...)
		}
		if i := slices.IndexFunc(all, func(j *job) bool { return j.Number == number }); i >= 0 {
			err = nil
			do(all[i])
		}
	})
	return err
}

// Began notes that the job that is being done has a run, or another one.
func (q *Queue) Began(run int) {
	q.call(func() {
		if q.current != nil {
			q.current.Run = run
		}
	})
}

// State is what the queue does, and what was done last. It is empty after Close.
func (q *Queue) State() (s QueueState) {
	q.call(func() {
		s.Jobs = slices.Clone(q.done)
		if q.current != nil {
			s.Jobs = append(s.Jobs, q.current.Job)
		}
		for _, j := range q.waiting {
			s.Jobs = append(s.Jobs, j.Job)
		}
		if q.fleet != nil {
			s.Instances = q.fleet.Instances()
		}
		if q.current == nil {
			s.Idle = q.since
			if q.idle != nil && s.Instances != nil {
				s.Until = q.since.Add(q.allowance)
			}
		}
	})
	return s
}

// Close ends the job that is being done, by the end of its context with that
// cause, and those that wait, which have it for their error; gives the fleet
// back; and returns when all that has ended. Closing again waits for the same.
func (q *Queue) Close(cause error) {
	q.call(func() {
		q.closing = true
		for _, j := range q.waiting {
			q.finish(j, Ending{Err: cause})
		}
		q.waiting = nil
		if q.current != nil {
			q.current.cancel(cause)
		}
	})
	<-q.over
}
