package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"time"

	"testr/internal/event"
	"testr/internal/repo"
	"testr/internal/report"
	"testr/internal/runner"
	"testr/internal/supervisor"
)

// follower shows a run while it goes on. Two goroutines are its own: one reads
// the cursor, the other owns the output. Both end with the run. Whoever has
// something to be shown beside the run waits for neither.
type follower struct {
	env    *environment
	out    output
	text   *textOutput // out, or nil where that is a stream
	status chan supervisor.Status
	states <-chan []supervisor.SlotState
	wake   chan struct{} // has one when there is something in beside
	done   chan struct{}
	err    error // after done

	// mu guards what follows.
	mu      sync.Mutex
	showing bool                 // the output is show's: from the run's begin to its end
	beside  []func()             // what show has to do beside the run, in order
	told    map[string]time.Time // when there was progress of an instance to tell
}

func newFollower(env *environment, o streamOptions, filterTags []string, several bool) *follower {
	f := &follower{env: env, status: make(chan supervisor.Status, 1), states: env.signals.states,
		wake: make(chan struct{}, 1), done: make(chan struct{}), told: map[string]time.Time{}}
	if o.subunit {
		f.out = newSubunitOutput(env, o)
	} else {
		f.text = newTextOutput(env, report.TextOptions{FilterTags: filterTags, Routes: several, Host: thisHost()})
		f.out = f.text
	}
	return f
}

// draws reports whether there is a status line while the run is shown.
func (f *follower) draws() bool {
	_, isTerminal := terminal(f.env.stdout)
	return isTerminal && f.text != nil
}

// begin follows a run that is made here.
func (f *follower) begin(w *repo.RunWriter) { f.follow(w.Follow()) }

// follow shows the events of a run, from its first one.
func (f *follower) follow(events repo.Events) {
	f.mu.Lock()
	f.showing = true
	f.mu.Unlock()
	batches := make(chan []event.Event)
	var readErr error
	go func() {
		defer close(batches)
		for {
			batch, err := events.Next(context.Background())
			if err != nil {
				readErr = err
				return
			}
			batches <- batch
		}
	}()
	go func() {
		defer close(f.done)
		f.show(batches)
		if !errors.Is(readErr, io.EOF) {
			f.err = errors.Join(f.err, readErr)
		}
	}()
}

func (f *follower) show(batches <-chan []event.Event) {
	for {
		select {
		case batch, ok := <-batches:
			if !ok {
				f.leave()
				return
			}
			f.batch(batch)
		case s := <-f.status:
			if f.err == nil {
				f.err = f.out.tick(s)
			}
		case <-f.wake:
			f.catchUp()
		case states := <-f.states:
			_ = f.out.slots(slotsOf(states)) // on stderr: the results go on being shown
		}
	}
}

// catchUp does what there is to do beside the run.
func (f *follower) catchUp() {
	f.mu.Lock()
	todo := f.beside
	f.beside = nil
	f.mu.Unlock()
	for _, do := range todo {
		do()
	}
}

// leave ends the showing of a run that is over, with nothing left beside it: what
// comes from now on finds the cursor at the beginning of a line.
func (f *follower) leave() {
	for over := false; !over; {
		f.catchUp()
		if f.text != nil && f.err == nil {
			f.err = f.text.Close()
		}
		f.mu.Lock()
		over = len(f.beside) == 0
		f.showing = !over
		f.mu.Unlock()
	}
}

// aside has show do something beside the run, soon. It is false if show doesn't
// do anything any more, or yet: then the terminal is the caller's.
func (f *follower) aside(do func()) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.showing {
		return false
	}
	f.beside = append(f.beside, do)
	select {
	case f.wake <- struct{}{}:
	default:
	}
	return true
}

// begun reports whether the run is being shown.
func (f *follower) begun() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.showing
}

func slotsOf(states []supervisor.SlotState) []report.Slot {
	var out []report.Slot
	for _, s := range states {
		slot := report.Slot{Route: s.Route, Host: s.Host, PID: s.PID, Since: s.Since, Waiting: s.Waiting, Last: s.Last,
			Heard: s.Heard}
		for _, r := range s.Running {
			slot.Running = append(slot.Running, runningOf(r))
		}
		out = append(out, slot)
	}
	return out
}

// batch shows events. When the output fails the run goes on without it.
func (f *follower) batch(batch []event.Event) {
	for _, e := range batch {
		if f.err != nil {
			return
		}
		f.err = f.out.Event(e)
	}
	if f.err == nil {
		f.err = f.out.flush()
	}
}

// tell hands over the state of the run; an older one that was not shown yet is
// forgotten. It never blocks. Only one goroutine may call it.
func (f *follower) tell(s supervisor.Status) {
	select {
	case <-f.status:
	default:
	}
	f.status <- s
}

// progressEvery is how often people are told how far it is with an instance.
const progressEvery = 2 * time.Second

// warn tells what went wrong and changed no verdict, beside the run if there is one.
func (e *environment) warn(err error) {
	if f := e.follower.Load(); f != nil {
		f.warn(err)
	} else {
		e.say("warning", err)
	}
}

// progress tells how far it is with an instance.
func (e *environment) progress(instance, text string, over bool) {
	if f := e.follower.Load(); f != nil {
		f.progress(instance, text, over)
	}
}

// progress shows how far it is with an instance, now and then, and its end.
func (f *follower) progress(instance, text string, over bool) {
	now := time.Now()
	f.mu.Lock()
	last, begun := f.told[instance]
	due := over || begun && now.Sub(last) >= progressEvery
	if due || !begun { // what is over soon needs no more than its end
		f.told[instance] = now
	}
	f.mu.Unlock()
	if !due {
		return
	}
	f.tellLines("testr: " + instance + " " + text + "\n")
}

// warn shows what went wrong beside the run.
func (f *follower) warn(err error) {
	var b strings.Builder
	f.env.sayTo(&b, "warning", err)
	f.tellLines(b.String())
}

// tellLines shows lines among, but not as part of, what is shown of the run; or,
// where that has not begun or is over, by themselves. It doesn't wait for a run's
// output, which may be slow: who has to tell something has to go on.
func (f *follower) tellLines(lines string) {
	if !f.aside(func() { _ = f.out.note(lines) }) { // on stderr, as the states are
		_, _ = io.WriteString(f.env.errWriter(), lines)
	}
}

// alone does something at the terminal while nothing is drawn there, and returns
// when that is done or ctx has ended. Then it may be done still, or later.
func (f *follower) alone(ctx context.Context, do func()) {
	done := make(chan struct{})
	if !f.aside(func() {
		defer close(done)
		if f.text != nil {
			_ = f.text.Close() // what is wrong with the output shows soon enough
		}
		do()
	}) {
		do()
		return
	}
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// end waits until everything of the run was shown, and adds the last lines. err
// is what the run ended with.
func (f *follower) end(r repo.Queries, res runner.Result, err error) error {
	if !res.Recorded {
		return err
	}
	<-f.done
	if err == nil { // else showing may have ended for the same reason
		err = unlessGone(f.err)
	}
	if f.text == nil || res.Outcomes == nil {
		return err
	}
	s := summaryOf(res.Run, res.Outcomes)
	s.Counts.Interrupted = s.Counts.Interrupted || err != nil // whatever was passed, the run wasn't
	return errors.Join(err, unlessGone(summarize(f.text, r, s)))
}
