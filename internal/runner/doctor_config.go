package runner

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"testr/internal/config"
	"testr/internal/repo"
	"testr/internal/worker"
)

// The names of checks that are about the whole.
const (
	checkConfiguration = "configuration"
	checkRepository    = "repository"
	checkWorker        = "worker"
	checkConcurrency   = "concurrency"
	checkListing       = "listing"
	checkSlots         = "slots"
)

// configuration reads it. It is nil if there is none that can be used.
func (d *doctor) configuration() *config.Config {
	cfg, err := config.Load(d.Root)
	var mistakes config.Errors
	switch {
	case errors.As(err, &mistakes):
		d.mistakes(mistakes)
		return nil
	case errors.Is(err, config.ErrNotFound):
		d.tell(Check{Name: checkConfiguration, Outcome: CheckProblem, Detail: err.Error(),
			Fix: "write one, such as\n" + strings.TrimSpace(config.Suggest(d.Root))})
		return nil
	case err != nil:
		d.tell(Check{Name: checkConfiguration, Outcome: CheckProblem, Detail: err.Error()})
		return nil
	}
	for _, w := range cfg.Warnings {
		d.tell(Check{Name: checkConfiguration, Outcome: CheckWarning, Detail: w.Msg, Fix: w.Hint, File: w.File, Line: w.Line})
	}
	var where []string
	for _, i := range cfg.Instances {
		where = append(where, i.Name)
	}
	if cfg.Hooks != nil {
		where = append([]string{"what its hooks get"}, where...)
	}
	if where == nil {
		where = []string{ThisMachine}
	}
	d.tell(Check{Name: checkConfiguration, Outcome: CheckOK, File: cfg.File,
		Detail: "tests run on " + strings.Join(where, ", ")})
	return cfg
}

// mistakes tells of what is wrong in a configuration.
func (d *doctor) mistakes(mistakes config.Errors) {
	for _, m := range mistakes {
		d.tell(Check{Name: checkConfiguration, Outcome: CheckProblem, Detail: m.Msg, Fix: strings.TrimSpace(m.Hint),
			File: m.File, Line: m.Line, Faulty: true})
	}
}

// repository opens it for writing, as a run does. It is nil if that can't be
// done.
func (d *doctor) repository() *repo.Repository {
	c := Check{Name: checkRepository, Outcome: CheckProblem}
	r, err := repo.Open(d.Root)
	var none *repo.NotFoundError
	var damaged *repo.DamagedError
	var format *repo.FormatError
	switch {
	case err == nil:
		d.inRepository(r)
		return r
	case errors.As(err, &none):
		c.Outcome, c.Fix = CheckWarning, "testr init"
	case errors.As(err, &d.busy):
		c.Outcome, c.Fix = CheckWarning, "ask again when it has ended"
	case errors.As(err, &damaged):
		c.Fix = "move the directory " + repo.DirName + ` away and run "testr init"; ` +
			"what the file still has may be read from a copy"
	case errors.As(err, &format):
		c.Fix = "a newer testr wrote it: use that one"
	default:
		c.Fix = "see that you may write there, and that there is room"
	}
	c.Detail = err.Error()
	d.tell(c)
	return nil
}

// inRepository looks at a repository that can be written.
func (d *doctor) inRepository(r *repo.Repository) {
	c := Check{Name: checkRepository, Outcome: CheckProblem}
	stats, err := r.Stats()
	if err == nil {
		_, err = r.Runs() // which reads the description of each
	}
	var leases []repo.Lease
	if err == nil {
		leases, err = r.Leases()
	}
	if err != nil {
		c.Detail = err.Error()
		d.tell(c)
		return
	}
	c.Outcome = CheckOK
	c.Detail = fmt.Sprintf("%s, %s, can be written", count(stats.Runs, "run", "runs"), size(stats.Bytes))
	d.tell(c)
	if n := len(leases); n > 0 {
		c.Outcome = CheckWarning
		var names []string
		for _, l := range leases[:min(n, saidLines)] {
			names = append(names, LeaseName(l))
		}
		c.Detail = fmt.Sprintf("%s not given back by an earlier run: %s", count(n, "instance was", "instances were"),
			strings.Join(names, " "))
		c.Fix = "testr instances list shows them, testr instances dispose tries again"
		d.tell(c)
	}
}

// worker says what the test command of a profile is made of, and whether a shell can
// read it.
func (d *doctor) worker(ctx context.Context, p *profile) {
	cfg := d.session.req.Config
	c := Check{Name: checkWorker, Outcome: CheckOK, File: cfg.File, Line: p.commandLine()}
	m, err := p.plan.mode(false)
	switch {
	case err != nil:
		c.Outcome, c.Detail, c.Fix = CheckProblem, withoutPlace(err, cfg, p.TestCommand.Line), fixOf(err)
	case m == modeStream:
		c.Detail = "a streaming worker: " + p.kind()
	case m == modeBatch:
		c.Detail = "in batches: " + p.plan.why
	default:
		c.Outcome = CheckWarning
		c.Detail = "one process runs all tests, whatever --parallel says: the test command can't run selected tests; " +
			p.plan.why
		c.Fix = "put $LISTOPT and $IDOPTION into test_command"
	}
	if shell := p.command(m); shell != "" && c.Outcome != CheckProblem {
		ran := d.run(ctx, d.session.here, shellSyntax(shell), nil)
		if ran.err == nil && !ran.status.Success() {
			c.Outcome, c.Faulty, c.Detail = CheckProblem, true, "the shell can't read it"+ran.said()
			c.Fix = "try it by hand: sh -n -c COMMAND"
		}
	}
	c.Detail = p.said(c.Detail)
	d.tell(c)
}

// said puts the profile's name before words, where there is a choice of them.
func (p *profile) said(words string) string {
	if len(p.session.profiles) == 1 {
		return words
	}
	return "profile " + p.Name + ": " + words
}

// kind says which streaming worker it is.
func (p *profile) kind() string {
	switch p.Worker {
	case config.WorkerStream:
		return "the configuration has it (worker=stream)"
	case config.WorkerTap:
		return "tap, which is built in (worker=tap)"
	}
	found := worker.Detect(p.TestCommand.Text)
	return fmt.Sprintf("%s, which is built in, in the place of %s", found.Kind, found.Runner)
}

// command is what a shell has to read on this machine to run tests.
func (p *profile) command(m mode) string {
	if m == modeStream {
		if shell, err := p.plan.stream.on(here); err == nil {
			return shell
		}
		return ""
	}
	shell, err := p.plan.template.Run(nil, "", nil)
	if err != nil {
		return ""
	}
	return shell
}

// concurrency asks for the number of workers, where a command says it.
func (d *doctor) concurrency(ctx context.Context) {
	cfg := d.session.req.Config
	if !cfg.TestRunConcurrency.Set() {
		return
	}
	c := Check{Name: checkConcurrency, Outcome: CheckOK, File: cfg.File, Line: cfg.TestRunConcurrency.Line}
	ctx, cancel := d.step(ctx)
	defer cancel()
	n, err := d.session.concurrency(ctx)
	if err != nil {
		c.Outcome, c.Detail = CheckProblem, withoutPlace(err, cfg, c.Line)
		c.Fix = "test_run_concurrency is a command that prints a number, such as: nproc"
	} else {
		c.Detail = fmt.Sprintf("%s without --concurrency", count(n, "worker", "workers"))
	}
	d.tell(c)
}

// afterwards tells of what takes all places to know.
func (d *doctor) afterwards() {
	for i, p := range d.session.profiles {
		lister, _, err := p.plan.listing()
		switch l := &d.listings.of[i]; {
		case err != nil || lister == nil || l.settled:
		case l.tried:
			d.tell(Check{Name: checkListing, Outcome: CheckProblem, Detail: p.said("no place can list the tests")})
		default:
			d.tell(Check{Name: checkListing, Outcome: CheckWarning,
				Detail: p.said("the tests were not listed: no place for that could be used, " +
					"or none without bringing the source tree")})
		}
	}
	d.slots()
}

// slots compares the slots that there are with what they will have to do.
func (d *doctor) slots() {
	work, known, single, grouped := d.work()
	if single < 0 {
		return
	}
	cfg := d.session.req.Config
	slots, first := 0, 0
	for _, i := range cfg.Instances {
		if slots += i.Slots; first == 0 {
			first = i.Line
		}
	}
	c := Check{Name: checkSlots, Outcome: CheckWarning, File: cfg.File, Line: first}
	switch profiles := len(d.session.profiles); {
	case profiles == 1 && single == 1 && slots > 1:
		c.Detail = fmt.Sprintf("of %d slots one is used: the test command can't run selected tests", slots)
	case profiles > 1 && single == profiles && slots > profiles:
		c.Detail = fmt.Sprintf("of %d slots %d are used, one for each profile: the test commands can't run selected tests",
			slots, profiles)
	case known && slots > work:
		one, many := "test", "tests"
		if grouped {
			one, many = "group of tests", "groups of tests"
		}
		c.Detail = fmt.Sprintf("of %d slots %d will have nothing to do: there is no more than %s",
			slots, slots-work, count(work, one, many))
	case slots > 0:
		c.Outcome, c.Detail = CheckOK, fmt.Sprintf("%s in sections", count(slots, "slot", "slots"))
	default:
		return
	}
	d.tell(c)
}

// work is how much can run at the same time of all profiles, and whether that is
// known; how many of them are single, one process that runs all, or -1 if one can't
// run at all; and whether tests are grouped.
func (d *doctor) work() (work int, known bool, single int, grouped bool) {
	known = true
	for i, p := range d.session.profiles {
		m, err := p.plan.mode(false)
		if err != nil {
			return 0, false, -1, false
		}
		if m == modePlain || m == modeOnce {
			single++
			work++
			continue
		}
		tests := d.listings.of[i].tests
		groups := make(map[string]bool, len(tests))
		for _, id := range tests {
			group := p.Group(id)
			if group == "" {
				group = "\x00" + id // which no group is
			}
			groups[group] = true
		}
		work, known, grouped = work+len(groups), known && len(tests) > 0, grouped || p.Grouped()
	}
	return work, known, single, grouped
}

// count is a number of things.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
