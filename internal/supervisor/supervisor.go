package supervisor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"testr/internal/event"
	"testr/internal/instance"
	"testr/internal/scheduler"
)

// Slot is room for one worker at a time. It stays through batches and
// replacements.
type Slot struct {
	Route string // route code of what runs here
	Name  string // what people call the instance; several slots may share one. Empty means this machine
	// Profiles are the names of the profiles that it can run; nil means all.
	Profiles []string
	// Place is where its workers run, if that is there from the beginning.
	Place
	// Open gets the place if it isn't; nil means that it is. It is called in a
	// goroutine of its own, and has to return soon after its context has ended:
	// nobody needs the place any more then. The run goes on meanwhile with what
	// is there, and without the slot if there is an error. It is called again
	// after the place was lost, unless that was too often, and after an
	// *AbsentError for as long as there are other places, three times at least.
	Open func(context.Context) (Place, error)
}

// Profile is tests and the workers that run them under one profile. A test that
// is in several profiles is run in each of them.
type Profile struct {
	Name   string   // as events have it; "" for the default
	Tags   []string // what its workers' packets get, where they don't have it
	Worker Worker
	Limits *Limits // in the place of the Config's; nil for those

	// Tests are the tests to run; Run doesn't list any others. With List set,
	// they are what is remembered of the last listing: a head start.
	Tests []string
	// List lists the tests to run, beside the first ones of Tests; nil means
	// that Tests is all. Its error ends the run. It is called in a goroutine of
	// its own, while those of other profiles are.
	List func(context.Context) (Listing, error)
}

// Place is where workers run.
type Place struct {
	Instance instance.Instance
	Host     string // the machine, for people; empty means this one
}

// Worker says how workers are started on an instance: what a command looks like
// may depend on where things are there. Exactly one of Stream, Batch and Plain is
// set, but that Batch may stand beside Stream. The loop calls them: they must
// not wait for anything.
type Worker struct {
	// Stream gives a command that takes test ids on its stdin as long as it
	// lives.
	Stream func(instance.Instance) (instance.Command, error)
	// Batch gives the command that runs these tests, or as many of them as it
	// has room for, and exits; the others wait for the next batch. Next to Stream,
	// it is what the run falls back to when no streaming worker gets as far as
	// its first test.
	Batch func(inst instance.Instance, ids []string) (Batch, error)
	// Whole says that Batch's command runs all tests, whatever it is given. So it
	// is given all at once, when they are listed, and once it has run some it isn't
	// started again for those that it has left.
	Whole bool
	// Plain gives a command that is started once, in the first slot, and runs
	// whatever it finds.
	Plain func(instance.Instance) (instance.Command, error)
}

// Batch is one start of a batch worker.
type Batch struct {
	Command instance.Command
	Given   []string     // ids that the command has; none: there is nothing to start
	Refused []Refused    // ids that such a worker can't be given at all
	Done    func() error // frees what the command needed, after its end; may be nil
}

// Refused is a test that no batch worker can be given.
type Refused struct {
	Test   string
	Reason string
}

// Limits are what a test may take; see Config.
type Limits struct {
	Timeout, Slow time.Duration
	Retries       int
}

// Config is what Run needs to know. Zero values mean what they say they mean.
type Config struct {
	Slots []Slot
	// Profiles are what is to be run; at least one, and no two of one name.
	Profiles []Profile

	// Group, Estimate, Order, Segment and Concurrency are the queue's; see
	// scheduler.Options.
	Group       func(scheduler.Item) string
	Estimate    func(scheduler.Item) (time.Duration, bool)
	Order       scheduler.Order
	Segment     func(scheduler.Item) int
	Concurrency []int

	// Isolated gives each test a process of its own.
	Isolated bool
	// Timeout, Slow and Retries hold for profiles that don't have Limits of their own.
	//
	// Timeout is how long a test may take before it fails and its worker is
	// ended; zero means as long as it likes.
	Timeout time.Duration
	// Slow is how long a test may take before people are told; zero means that
	// they are not.
	Slow time.Duration
	// Retries is how often a test that failed is run again.
	Retries int
	// MaxFail is how many tests may fail, retries included, before no more are
	// handed out; zero means any number.
	MaxFail int

	// LookAhead is how many tests a streaming worker may hold that it has not
	// begun; zero means as many as hide the way to it and back, as measured.
	LookAhead int
	// Grace is how long running tests may go on once the context has ended, and
	// a worker once it has closed its stdout; zero means 10 s.
	Grace time.Duration
	// EndGrace is how long a streaming worker may take to tear down after its
	// last test; zero means 60 s.
	EndGrace time.Duration

	// Kill, once closed, ends all workers without any time of grace.
	Kill <-chan struct{}
	// Inspect carries questions: each function is called by the loop, once, with
	// what every slot does at that moment. It must not block.
	Inspect <-chan func([]SlotState)
	// Pause carries functions that return when the run is to go on: while the
	// loop calls one, all workers are stopped, and no time passes for their tests.
	Pause <-chan func()

	Sink event.Sink
	// Status, if set, is called by the loop after every change, and must not
	// block; what it is given is valid during the call only.
	Status func(Status)
	Log    hclog.Logger
}

// Status is what a run is doing at the moment.
type Status struct {
	Counts  event.Counts
	Waiting int           // tests without an outcome, those in progress included
	Left    time.Duration // estimated work that is left, over the slots
	Running []Running     // the longest-running test first
}

// Running is a test in progress.
type Running struct {
	Test    string
	Profile string
	Route   string
	Since   time.Time
}

// SlotState is what one slot does at the moment.
type SlotState struct {
	Route   string
	Host    string    // where it is; empty for this machine
	Profile string    // of its worker
	PID     int       // 0 for none, or where it is unknown
	Since   time.Time // when its worker was started; zero without one
	Running []Running // tests that it has begun, the one begun first first
	Waiting int       // tests that it was given and has not begun
	Last    string    // the end of what it wrote beside packets, stderr included
	Heard   time.Time // when anything came from it last; zero for never
}

// ErrNoWorkers means that tests were left and no worker to run them.
var ErrNoWorkers = errors.New("no worker is left to run the remaining tests")

// WorkersError is ErrNoWorkers with what is known of the cause.
type WorkersError struct {
	Outstanding int      // tests that did not get an outcome
	Profiles    []string // whose tests these are, if the run has several
	Lost        []string // the names of instances that are no more; warnings have said why
	Last        string   // how the last worker ended; empty if none was started
	Stderr      string   // the end of what it wrote to stderr
}

// Error names the number of tests, the instances, the worker's end and its last
// words.
func (e *WorkersError) Error() string {
	s := ErrNoWorkers.Error()
	if len(e.Profiles) > 0 {
		s += " of profile " + strings.Join(e.Profiles, " and ")
	}
	s += fmt.Sprintf(" (%d outstanding", e.Outstanding)
	if len(e.Lost) > 0 {
		s += "; lost: " + strings.Join(e.Lost, ", ")
	}
	s += ")"
	if e.Last != "" {
		s += ": the last worker ended with " + e.Last
	}
	if e.Stderr != "" {
		s += "; its stderr ends:\n" + e.Stderr
	}
	return s
}

// Unwrap makes errors.Is(err, ErrNoWorkers) true.
func (e *WorkersError) Unwrap() error { return ErrNoWorkers }

// Run runs the tests to the end, and returns when every process and goroutine
// that it started has ended. The outcomes are those of the events that the sink
// was given; they are there with an error, too. The error is about our own
// work: a listing that failed, a sink that did, workers that can't be had. A
// test that fails is none, and neither is the end of ctx, which the outcomes
// tell as interrupted.
func Run(ctx context.Context, cfg Config) (*event.Outcomes, error) {
	cfg.setDefaults()
	l := newLoop(cfg)
	err := l.run(ctx)
	l.outcomes.Finish()
	return l.outcomes, err
}

func (cfg *Config) setDefaults() {
	if cfg.Grace == 0 {
		cfg.Grace = 10 * time.Second
	}
	if cfg.EndGrace == 0 {
		cfg.EndGrace = time.Minute
	}
	if cfg.Log == nil {
		cfg.Log = hclog.NewNullLogger()
	}
}
