package main

import (
	"context"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"testr/internal/supervisor"
)

// interruptedBy is the cause of a context that a signal ended.
type interruptedBy struct{ signal syscall.Signal }

// Error names the signal.
func (i interruptedBy) Error() string {
	switch i.signal {
	case syscall.SIGINT:
		return "interrupted by SIGINT"
	case syscall.SIGTERM:
		return "interrupted by SIGTERM"
	}
	return "interrupted by " + strings.ToUpper(i.signal.String())
}

// signals is what they do to this process. Its goroutine ends with stop.
type signals struct {
	kill    chan struct{}                     // closed by the second one that asks for the end
	abandon chan struct{}                     // closed by the third one
	inspect chan func([]supervisor.SlotState) // SIGUSR1 asks whatever run goes on
	states  chan []supervisor.SlotState       // what it answers, to be shown
	pause   chan func()                       // SIGTSTP stops it, too
	done    chan struct{}
	joined  chan struct{}
}

// withSignals returns a context that ends with the first signal that asks for
// the end, and what other signals do. A pipe that nobody reads any more is an
// error of the write, not a signal: runs go on without their reader.
func withSignals() (ctx context.Context, s *signals, stop func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	s = &signals{kill: make(chan struct{}), abandon: make(chan struct{}),
		inspect: make(chan func([]supervisor.SlotState), 1), states: make(chan []supervisor.SlotState, 1),
		pause: make(chan func()),
		done:  make(chan struct{}), joined: make(chan struct{})}
	ends, others := make(chan os.Signal, 3), make(chan os.Signal, 2)
	for _, sig := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(sig) { // as nohup has it
			signal.Notify(ends, sig)
		}
	}
	signal.Notify(others, syscall.SIGPIPE, syscall.SIGUSR1)
	go s.handle(cancel, ends, others)
	return ctx, s, func() {
		signal.Stop(ends)
		signal.Stop(others)
		close(s.done)
		<-s.joined
		cancel(nil)
	}
}

// handle is the goroutine that owns kill and abandon.
func (s *signals) handle(end context.CancelCauseFunc, ends, others <-chan os.Signal) {
	defer close(s.joined)
	for count := 0; ; {
		select {
		case sig := <-ends:
			if sig, ok := sig.(syscall.Signal); ok {
				end(interruptedBy{sig})
			}
			switch count++; count {
			case 2:
				close(s.kill)
			case 3:
				close(s.abandon)
			}
		case sig := <-others:
			if sig == syscall.SIGUSR1 {
				s.ask()
			}
		case <-s.done:
			return
		}
	}
}

// ask has the run tell what it does, once it can. Nobody waits for anybody: who
// asks again before there was an answer gets one.
func (s *signals) ask() {
	question := func(st []supervisor.SlotState) {
		select {
		case s.states <- st:
		default:
		}
	}
	select {
	case s.inspect <- question:
	default:
	}
}

// pausing makes SIGTSTP stop the run's workers before this process, until over
// is called. Elsewhere it stops this process alone, as it does by itself.
func (s *signals) pausing(ctx context.Context) (over func()) {
	stop, goOn, done := make(chan os.Signal, 1), make(chan os.Signal, 1), make(chan struct{})
	if signal.Ignored(syscall.SIGTSTP) {
		return func() {}
	}
	signal.Notify(stop, syscall.SIGTSTP)
	signal.Notify(goOn, syscall.SIGCONT)
	wait := func() {
		select {
		case <-goOn: // one from before
		default:
		}
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP) // nothing keeps us from it
		select {
		case <-goOn:
		case <-ctx.Done():
		}
	}
	joined := make(chan struct{})
	go func() {
		defer close(joined)
		for {
			select {
			case <-stop:
			case <-done:
				return
			}
			select {
			case s.pause <- wait:
			case <-done:
				wait()
				return
			}
		}
	}()
	return func() {
		signal.Stop(stop)
		close(done)
		<-joined
		signal.Stop(goOn)
	}
}
