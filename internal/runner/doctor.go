package runner

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"testr/internal/config"
	"testr/internal/instance"
	"testr/internal/instance/sshdial"
	"testr/internal/repo"
)

// DefaultCheckTimeout is how long each step of Doctor may take if nothing is said.
const DefaultCheckTimeout = time.Minute

// What Check.Instance is of places that have no section of their own.
const (
	ThisMachine  = "this machine" // where nothing is configured
	DefaultHooks = "[DEFAULT]"    // what its hooks get
)

// CheckOutcome is how a Check came out.
type CheckOutcome uint8

// The outcomes.
const (
	CheckInvalid CheckOutcome = iota
	// CheckOK: it is as it should be.
	CheckOK
	// CheckWarning: a person should know of it; tests can run.
	CheckWarning
	// CheckProblem: something can't work.
	CheckProblem
)

var outcomeNames = [...]string{"invalid", "ok", "warning", "problem"}

// String returns the outcome's name.
func (o CheckOutcome) String() string {
	if int(o) < len(outcomeNames) {
		return outcomeNames[o]
	}
	return outcomeNames[0]
}

// Check is one thing that Doctor has looked at.
type Check struct {
	Instance string // its name in the configuration, ThisMachine or DefaultHooks; empty for what is about all
	Name     string // what was looked at, as docs/commands.md has it
	Outcome  CheckOutcome
	// Detail is what was found, in lines, and Fix what to do about it, if that is
	// known. What others wrote stands in them as it is, though not all of it.
	Detail, Fix string
	File        string // where the configuration has what it is about; empty if that is nowhere
	Line        int
	// Faulty says that the configuration itself is wrong, whatever it meets.
	Faulty bool
}

// Diagnosis is what the checks come to.
type Diagnosis struct {
	OK, Warnings, Problems int
	Faulty                 bool // one of the problems is the configuration's own
}

// Checkup is what Doctor is asked for.
type Checkup struct {
	// Root is the directory that has, or should have, the configuration and the
	// repository.
	Root string
	// Request has what every run has: Self, Log and Passphrase. Configuration and
	// repository are Doctor's own business.
	Request Request
	// Timeout is how long each step may take; zero means DefaultCheckTimeout. What
	// a hook gets has provision_timeout and dispose_timeout instead.
	Timeout time.Duration
	// Tell is called with each check as soon as it is made, from one goroutine at
	// a time.
	Tell func(Check)
}

// Doctor checks a configuration from end to end, as far as that can be done
// without running a test: that it can be read, what it makes of the test command,
// the repository, the listing, and every place where tests would run, all places
// at once. It records no run, brings no source tree, and gives back whatever it
// gets, also when ctx ends.
//
// What is wrong is in the checks. The error is about Doctor's own work, or is
// ctx's cause.
func Doctor(ctx context.Context, c Checkup) (diagnosis Diagnosis, err error) {
	if c.Timeout <= 0 {
		c.Timeout = DefaultCheckTimeout
	}
	d := &doctor{Checkup: c, over: ctx.Done()}
	cfg := d.configuration()
	r := d.repository()
	if r != nil {
		defer func() { err = errors.Join(err, r.Close()) }()
	}
	if cfg == nil {
		return d.diagnosis, context.Cause(ctx)
	}
	req := c.Request
	req.Config, req.Repo, req.Profiles = cfg, r, cfg.Profiles
	s := d.open(req)
	if s == nil {
		return d.diagnosis, context.Cause(ctx)
	}
	defer func() { err = errors.Join(err, s.close(), s.fleet.Close()) }()
	d.session = s
	d.listings.of = make([]inventory, len(s.profiles))
	if err := d.examine(ctx); err != nil {
		return d.diagnosis, err
	}
	return d.diagnosis, context.Cause(ctx)
}

// doctor is one checkup. Its goroutine starts one for each instance and joins it.
type doctor struct {
	Checkup
	over    <-chan struct{} // closed when the caller has had enough
	session *session
	busy    *repo.BusyError // who has the repository; nil if nobody does, or there is none

	listings  listings // of which there is one for each of the session's profiles
	mu        sync.Mutex
	diagnosis Diagnosis // guarded by mu
}

// open makes the session that a run would have. It is nil if there can be none.
func (d *doctor) open(req Request) *session {
	s, err := newSession(req, fleetOf(req))
	if err != nil {
		if mistakes, ok := errors.AsType[config.Errors](err); ok {
			d.mistakes(mistakes)
			return nil
		}
		c := Check{Name: checkWorker, Outcome: CheckProblem, Detail: err.Error(), Fix: fixOf(err), Faulty: true}
		if misfit, ok := errors.AsType[*misfitError](err); ok {
			c.Detail, c.File, c.Line = misfit.err.Error(), misfit.file, misfit.line
		}
		d.tell(c)
	}
	return s
}

// withoutPlace is an error without the file and line before it.
func withoutPlace(err error, cfg *config.Config, line int) string {
	return strings.TrimPrefix(err.Error(), fmt.Sprintf("%s:%d: ", cfg.File, line))
}

// examine looks at what a run would use.
func (d *doctor) examine(ctx context.Context) error {
	s := d.session
	made, err := s.fleet.machine.Provision(ctx, 1)
	if err != nil {
		return err
	}
	s.here = made[0]
	s.atEnd(s.here.Close)
	for _, p := range s.profiles {
		d.worker(ctx, p)
	}
	d.concurrency(ctx)
	var places sync.WaitGroup
	for _, p := range d.places() {
		places.Go(func() {
			p.examine(ctx, p)
			if p.local {
				d.listings.local.Done()
			}
		})
	}
	places.Wait()
	d.afterwards()
	return nil
}

// patient is an instance of the configuration, and what has to be known of it.
type patient struct {
	*doctor
	name    string // for checks
	conf    config.Instance
	local   bool // it is this machine
	alone   bool // there is no other
	examine func(context.Context, *patient)
	carrier *carrier // brings probeScript to what a hook got; nil elsewhere
}

// places are all instances that a run could have.
func (d *doctor) places() (places []*patient) {
	c := d.session.req.Config
	add := func(name string, conf config.Instance) {
		p := &patient{doctor: d, name: name, conf: conf, examine: examineSSH}
		switch conf.Type {
		case config.InstanceLocal:
			p.examine, p.local = examineLocal, true
			d.listings.local.Add(1)
		case config.InstanceHook:
			p.examine = examineHook
		}
		places = append(places, p)
	}
	if c.Hooks != nil {
		add(DefaultHooks, *c.Hooks)
	}
	for _, i := range c.Instances {
		add(i.Name, i)
	}
	if len(places) == 0 {
		add(ThisMachine, config.Instance{Type: config.InstanceLocal, Env: c.Env})
	}
	places[0].alone = len(places) == 1
	return places
}

// tell tells of a check. Once the caller has had enough, what fails does so for
// that reason; except that what may be left behind is worth knowing.
func (d *doctor) tell(c Check) {
	select {
	case <-d.over:
		if c.Name != checkDispose {
			return
		}
	default:
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch c.Outcome {
	case CheckOK:
		d.diagnosis.OK++
	case CheckWarning:
		d.diagnosis.Warnings++
	default:
		d.diagnosis.Problems++
		d.diagnosis.Faulty = d.diagnosis.Faulty || c.Faulty
	}
	if d.Tell != nil {
		d.Tell(c)
	}
}

// ok, warn and problem tell of a check of an instance. Option is what of the
// configuration it is about, and fix what to do; either may be empty.
func (p *patient) ok(name, format string, args ...any) {
	p.tell(Check{Instance: p.name, Name: name, Outcome: CheckOK, Detail: fmt.Sprintf(format, args...)})
}

func (p *patient) warn(name, option, fix, format string, args ...any) {
	p.say(CheckWarning, name, option, fix, fmt.Sprintf(format, args...))
}

func (p *patient) problem(name, option, fix, format string, args ...any) {
	p.say(CheckProblem, name, option, fix, fmt.Sprintf(format, args...))
}

func (p *patient) say(outcome CheckOutcome, name, option, fix, detail string) {
	c := Check{Instance: p.name, Name: name, Outcome: outcome, Detail: detail, Fix: fix}
	if cfg := p.session.req.Config; option == "" {
		c.Line = p.conf.Line
	} else {
		c.Line = cfg.LineOf(&p.conf, option)
	}
	if c.Line > 0 {
		c.File = p.session.req.Config.File
	}
	p.tell(c)
}

// commandLine is the line of the option that workers are started by.
func (p *profile) commandLine() int {
	if p.Worker == config.WorkerStream && p.WorkerCommand.Set() {
		return p.WorkerCommand.Line
	}
	return p.TestCommand.Line
}

// fixOf is the remedy that an error has with it, if it has one.
func fixOf(err error) string {
	var hinted *HintError
	var ssh *sshdial.Error
	var hook *instance.HookError
	var one *config.Error
	switch {
	case errors.As(err, &hinted):
		return hinted.Hint
	case errors.As(err, &ssh):
		return ssh.Hint
	case errors.As(err, &hook):
		return hook.Hint
	case errors.As(err, &one):
		return one.Hint
	}
	return ""
}
