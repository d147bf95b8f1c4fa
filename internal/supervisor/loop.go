package supervisor

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"testr/internal/event"
	"testr/internal/scheduler"
)

// loop is one run. Its goroutine owns every field; others only send to inbox
// and listed.
type loop struct {
	cfg      Config
	profiles []*profile // in the order of the configuration
	queue    *scheduler.Queue
	outcomes *event.Outcomes
	slots    []*slot
	inbox    chan message
	listed   chan listResult // room for each profile's listing
	opened   chan opened     // room for each slot's place
	wg       sync.WaitGroup

	procs       context.Context              // ends what all processes have in common
	places      context.Context              // ends the opening of places
	opening     int                          // slots whose place is being opened
	closing     context.CancelCauseFunc      // of places
	dead        []string                     // names of instances that are no more
	told        map[string]string            // what people were last told of an instance, by its name
	moves       map[scheduler.Item][]string  // machines that a test was lost with, each time
	spared      map[scheduler.Item]time.Time // tests that wait for their last chance elsewhere, and until when
	listings    int                          // how many are still to come
	unlist      context.CancelCauseFunc      // ends them
	lacking     []*profile                   // those that are stranded
	outstanding int                          // tests of these
	changed     bool                         // there may be something for workers that have nothing
	seq         uint64
	epoch       time.Time // when the first event was emitted
	err         error     // our own trouble: the run stops
	sinkErr     error     // the sink takes nothing any more
	interrupted bool
	live        int                     // processes whose exit has not been seen
	startup     time.Duration           // how long the last process took to its first test
	maxFail     bool                    // as many tests have failed as may
	attempts    map[scheduler.Item]int  // attempts at a test that have failed, where it got another
	retrying    map[scheduler.Item]bool // tests that wait for another attempt
	deaths      map[scheduler.Item]int  // workers that a test took with it
	scarce      bool                    // people know that no more workers can be started
	last        *process                // the last one that ended fruitlessly
	lastExit    string
	timer       *time.Timer
	wakeAt      time.Time
	recheckAt   time.Time // when to ask the queue again, though nothing has happened
	statusAt    time.Time
}

type listResult struct {
	profile *profile
	listing Listing
	err     error
}

// slot is where one process at a time runs.
type slot struct {
	Slot
	opening    bool // its place is not there yet
	index      int
	tag        string // testrepository's tag for what runs here
	proc       *process
	generation int
	fruitless  map[*profile]int  // starts in a row that did not get as far as a test
	refuses    map[*profile]bool // it had maxFruitless of these
	losses     int               // how often in a row its instance was lost
	waits      bool              // for a process to end, so that there is room for one here
	retryAt    time.Time         // when its instance is tried again; zero for at once
	triedAt    time.Time         // when its place was opened, or begun to be, last
	lost       bool              // its place was, and is not there again
	misses     Absence           // how often in a row its place was not there
	why        error             // what it was the last time
	retired    bool
	buried     bool // retired for good: its instance is no more
	trips      trips
}

// maxFruitless is how often in a row a worker of a profile may be started without
// beginning a test before its slot is given up for that profile.
const maxFruitless = 3

// Reasons for tests that do not run.
const (
	reasonNoWorker  = "no worker left"
	reasonIgnored   = "the test command ended without running it"
	reasonTakenBack = "given to too many workers that ended before they began it"
)

func newLoop(cfg Config) *loop {
	order := cfg.Order
	if len(cfg.Slots) == 1 {
		order = scheduler.Listed // which keeps the tests of a class together
	}
	l := &loop{
		cfg:      cfg,
		changed:  true,
		outcomes: event.NewOutcomes(),
		inbox:    make(chan message, 64),
		opened:   make(chan opened, len(cfg.Slots)),
		told:     map[string]string{},
		listed:   make(chan listResult, len(cfg.Profiles)),
		moves:    map[scheduler.Item][]string{},
		spared:   map[scheduler.Item]time.Time{},
		attempts: map[scheduler.Item]int{},
		retrying: map[scheduler.Item]bool{},
		deaths:   map[scheduler.Item]int{},
		timer:    time.NewTimer(time.Hour),
	}
	l.timer.Stop()
	for _, p := range cfg.Profiles {
		l.profiles = append(l.profiles, newProfile(p, cfg))
	}
	for i, s := range cfg.Slots {
		l.slots = append(l.slots, &slot{Slot: s, index: i, tag: workerTag(s.Route),
			fruitless: map[*profile]int{}, refuses: map[*profile]bool{}})
	}
	l.queue = scheduler.New(scheduler.Options{
		Workers: len(cfg.Slots), Group: cfg.Group, Estimate: cfg.Estimate, Order: order,
		Segment: cfg.Segment, Concurrency: cfg.Concurrency,
		Profiles: func(worker int) []string { return l.names(l.slots[worker]) },
		// A worker's end is no fault of what it had not begun. That this can't
		// go on for ever is the slots' doing: see maxFruitless.
		MaxAttempts: math.MaxInt32})
	return l
}

func (l *loop) run(ctx context.Context) error {
	procs, kill := context.WithCancelCause(context.WithoutCancel(ctx))
	defer kill(nil)
	l.procs = procs
	l.open(procs)
	l.begin(ctx)
	interrupt := ctx.Done()
	for {
		for l.changed || l.queue.Opened() {
			l.changed = false
			l.feedAll(time.Now())
			l.strand(time.Now())
		}
		l.recheck(time.Now())
		l.despair(time.Now())
		if l.finished() {
			break
		}
		l.step(ctx, &interrupt)
	}
	l.wg.Wait()
	l.unlist(nil)
	l.timer.Stop()
	l.settleRest(time.Now())
	if l.sinkErr != nil {
		return l.sinkErr // whatever else went wrong came of it
	}
	return l.err
}

// recheck has the loop ask the queue again, if it holds something back for workers
// that are expected to be at it sooner, and may not be.
func (l *loop) recheck(now time.Time) {
	if d := l.queue.Recheck(); d > 0 && !l.stopping() {
		l.recheckAt = now.Add(d)
		l.wake(l.recheckAt)
	} else {
		l.recheckAt = time.Time{}
	}
}

// step handles everything that is ready, and waits for the first thing.
func (l *loop) step(ctx context.Context, interrupt *<-chan struct{}) {
	select {
	case m := <-l.inbox:
		l.handle(m, time.Now())
	case o := <-l.opened:
		l.takePlace(o, time.Now())
	case r := <-l.listed:
		l.takeListing(ctx, r, time.Now())
	case <-*interrupt:
		*interrupt = nil
		l.interrupt(context.Cause(ctx), time.Now())
	case <-l.cfg.Kill:
		l.cfg.Kill = nil
		l.killAll(errors.New("the run was told to end at once"))
	case answer := <-l.cfg.Inspect:
		answer(l.inspect())
	case wait := <-l.cfg.Pause:
		l.pause(wait)
	case <-l.timer.C:
		l.wakeAt = time.Time{}
		l.tick(time.Now())
	}
}

// stop ends the run because of trouble of our own.
func (l *loop) stop(err error) {
	if l.err == nil {
		l.err = err
	}
	l.killAll(err)
}

func (l *loop) killAll(err error) {
	l.closing(err)
	l.unlist(err)
	for _, s := range l.slots {
		if s.proc != nil {
			s.proc.kill(err)
		}
	}
}

// stopping reports whether no worker is to be given anything more.
func (l *loop) stopping() bool {
	return l.interrupted || l.maxFail || l.err != nil || l.sinkErr != nil
}

// interrupt gives out no more tests, takes back what has not begun, and lets
// what runs go on for the time of grace.
func (l *loop) interrupt(cause error, now time.Time) {
	l.interrupted = true
	l.closing(cause)
	l.note(event.KindInterrupted, cause.Error(), now)
	for _, s := range l.slots {
		p := s.proc
		switch {
		case p == nil:
		case p.outbox == nil:
			p.kill(cause)
		default:
			l.dismiss(s)
			l.expect(p, now.Add(l.cfg.Grace))
		}
	}
}

// handle takes one message of a process.
func (l *loop) handle(m message, now time.Time) {
	p := m.proc
	p.heard = now
	switch {
	case m.packet != nil && m.packet.Text:
		_, _ = p.recent.Write(m.packet.Content)
		l.text(p, &p.text, m.packet.Content, now)
	case m.packet != nil:
		l.flush(p, now)
		l.packet(p, m.packet, now)
	case m.corrupt != nil:
		l.flush(p, now)
		p.failed = true
		for _, packet := range event.FromCorrupt(m.corrupt) {
			l.packet(p, packet, now)
		}
	case m.stderr != nil:
		_, _ = p.errTail.Write(m.stderr)
		_, _ = p.recent.Write(m.stderr)
		l.text(p, &p.errText, m.stderr, now)
	case m.closed:
		p.closed = true
		p.closeOutbox()
		l.expect(p, now.Add(l.cfg.Grace))
	case m.deaf:
		p.deaf = true
	case m.exit != nil:
		l.flush(p, now)
		l.exited(p, m.exit, now)
		l.changed = true
	}
	l.enough(now)
	if p.slot.proc == p {
		l.listen(p, now)
		l.leaveOff(p)
		l.watch(p, now)
		if !l.stopping() {
			l.feed(p.slot, now)
		}
	}
	if waiting, sent, _ := l.queue.Left(p.profile.Name); waiting+sent == 0 {
		l.changed = true // nobody of the profile gets anything any more
	}
	l.status(now)
}

// text keeps text beside packets until it is worth an event.
func (l *loop) text(p *process, j *joiner, piece []byte, now time.Time) {
	for _, content := range j.add(piece, now) {
		l.emitFrom(p, textPacket(j.name, content), now)
	}
	if due := j.due(); !due.IsZero() {
		l.wake(due)
	}
}

// flush makes events of the text that is held, so that it stands before what
// came after it.
func (l *loop) flush(p *process, now time.Time) {
	for _, j := range []*joiner{&p.text, &p.errText} {
		if content := j.take(); len(content) > 0 {
			l.emitFrom(p, textPacket(j.name, content), now)
		}
	}
}

// wake makes the loop tick at t, or before.
func (l *loop) wake(t time.Time) {
	if !l.wakeAt.IsZero() && !t.Before(l.wakeAt) {
		return
	}
	l.wakeAt = t
	l.timer.Reset(time.Until(t))
}

// tick does what has become due.
func (l *loop) tick(now time.Time) {
	if !l.recheckAt.IsZero() && !now.Before(l.recheckAt) {
		l.changed = true
	}
	for _, s := range l.slots {
		l.retry(s, now)
		p := s.proc
		if p == nil {
			continue
		}
		for _, j := range []*joiner{&p.text, &p.errText} {
			switch due := j.due(); {
			case due.IsZero():
			case now.Before(due):
				l.wake(due)
			default:
				l.emitFrom(p, textPacket(j.name, j.take()), now)
			}
		}
		l.watch(p, now)
	}
	l.status(now)
}
