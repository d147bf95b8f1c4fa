package runner

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"testr/internal/config"
	"testr/internal/instance"
	"testr/internal/supervisor"
	"testr/internal/worker"
)

// mode is how the tests of one run are given to workers.
type mode uint8

const (
	modeInvalid mode = iota
	modeStream       // ids go to living workers, one by one
	modeBatch        // a process gets a batch of ids
	modeOnce         // one process runs all; the listing is for the accounting
	modePlain        // one process runs all, and nothing is listed
)

// plan is what the configuration makes of its test command.
type plan struct {
	req      Request
	suite    *config.Profile // whose commands these are
	temp     string          // the profile's own directory
	template worker.Template
	stream   *line  // starts a streaming worker; nil if there is none
	list     *line  // lists the tests; nil if nothing does
	why      string // why there is no streaming worker, for a person
	self     bool   // workers are served by testr itself
}

// line is a command line for /bin/sh. How it looks depends on where it runs.
type line struct {
	on    func(at place) (string, error)
	files []string // files of this machine that it needs
	env   []string // KEY=VALUE
}

// everywhere is a command line that is the same on every instance.
func (p *plan) everywhere(shell string) *line {
	return &line{on: func(place) (string, error) { return shell, nil }, env: p.suite.Env}
}

// newPlan makes the plan of a profile. What its workers need is put into temp.
func newPlan(req Request, suite *config.Profile, temp string) (*plan, error) {
	c := suite
	p := &plan{req: req, suite: suite, temp: temp, template: worker.Template{
		Command: c.TestCommand.Text, IDOption: c.TestIDOption.Text,
		ListOption: c.TestListOption.Text, IDListDefault: c.TestIDListDefault.Text}}
	var err error
	switch c.Worker {
	case config.WorkerStream:
		var stream, list string
		stream, list, err = worker.StreamCommands(c.WorkerCommand.Text, p.template, req.Select.Args)
		p.stream, p.list = p.everywhere(stream), p.everywhere(list)
	case config.WorkerBatch:
		p.why = "the configuration says worker=batch"
	default:
		err = p.builtIn()
	}
	if err == nil {
		err = p.check()
	}
	if err != nil {
		return nil, &misfitError{req.Config.File, c.TestCommand.Line, err}
	}
	if p.list == nil && p.template.Lists() {
		list, err := p.template.List(req.Select.Args)
		if err != nil {
			return nil, fmt.Errorf("make the command that lists the tests: %w", err)
		}
		p.list = p.everywhere(list)
	}
	return p, nil
}

// misfitError says that a test command is not what the rest of the configuration takes
// it for.
type misfitError struct {
	file string
	line int
	err  error
}

// Error begins with the command's place.
func (e *misfitError) Error() string { return fmt.Sprintf("%s:%d: %v", e.file, e.line, e.err) }

// Unwrap returns the error without its place.
func (e *misfitError) Unwrap() error { return e.err }

// check makes the commands once as they are here, so that what is wrong with
// them is known before anything is started.
func (p *plan) check() error {
	for _, l := range []*line{p.stream, p.list} {
		if l == nil {
			continue
		}
		if _, err := l.on(here); err != nil {
			return err
		}
	}
	return nil
}

// builtIn puts a built-in worker in the place of the runner that the test
// command has, if it has one that testr knows.
func (p *plan) builtIn() error {
	c := p.suite
	if c.Worker == config.WorkerTap {
		p.tap()
		if err := p.check(); err != nil {
			return fmt.Errorf("worker=tap (line %d) does not fit test_command: %w", c.WorkerLine, err)
		}
		return nil
	}
	d := worker.Detect(c.TestCommand.Text)
	if want := c.Worker; want != config.WorkerAuto && want != d.Kind.String() {
		return fmt.Errorf("worker=%s (line %d) does not fit test_command: %s", want, c.WorkerLine, d.Reason)
	}
	switch d.Kind {
	case worker.KindPython:
		return p.python(d)
	case worker.KindGo:
		return p.golang(d)
	case worker.KindPytest:
		return p.pytest(d)
	default:
		p.why = d.Reason
	}
	return nil
}

// serve has the lines of a built-in worker made by command, which is told where
// it runs.
func (p *plan) serve(files []string, command func(at place, list bool) (string, error)) {
	p.stream = &line{func(at place) (string, error) { return command(at, false) }, files, p.suite.Env}
	p.list = &line{func(at place) (string, error) { return command(at, true) }, files, p.suite.Env}
}

func (p *plan) tap() {
	p.self = true
	command, args := p.suite.TestCommand.Text, p.req.Select.Args
	p.serve([]string{p.req.Self}, func(at place, list bool) (string, error) {
		run, lists, err := worker.TapCommands(at.Path(p.req.Self), command, args)
		if list {
			return lists, err
		}
		return run, err
	})
}

func (p *plan) python(d worker.Detected) error {
	script := filepath.Join(p.temp, "testr_worker.py")
	if err := os.WriteFile(script, worker.PythonSource(), 0o600); err != nil {
		return fmt.Errorf("bring the python worker: %w", err)
	}
	p.serve([]string{script}, func(at place, list bool) (string, error) {
		return d.On(at.bare).Python(at.Path(script), list, p.req.Select.Args)
	})
	return nil
}

func (p *plan) golang(d worker.Detected) error {
	p.self = true
	build := filepath.Join(p.temp, "go")
	if err := os.Mkdir(build, 0o700); err != nil {
		return fmt.Errorf("make a directory for test binaries: %w", err)
	}
	p.serve([]string{p.req.Self}, func(at place, list bool) (string, error) {
		dir := ""
		if !at.bare { // else nobody there would remove it
			dir = at.Path(build)
		}
		return d.On(at.bare).Go(at.Path(p.req.Self), dir, list, p.req.Select.Args)
	})
	return nil
}

func (p *plan) pytest(d worker.Detected) error {
	files, err := worker.WritePytest(filepath.Join(p.temp, "pytest"))
	if err != nil {
		return err
	}
	p.serve(files, func(at place, list bool) (string, error) {
		return d.On(at.bare).Pytest(filepath.Dir(at.Path(files[0])), list, p.req.Select.Args)
	})
	return nil
}

// mode says how tests are run; known says that their ids are without a listing.
// The errors say what the configuration lacks.
func (p *plan) mode(known bool) (mode, error) {
	t := p.template
	asked := p.req.needsIDs()
	switch {
	case p.stream != nil:
		return modeStream, nil
	case t.Selectable() && (known || t.Listable()):
		return modeBatch, nil
	case len(asked) > 0 && !t.Selectable():
		return modeInvalid, p.lacks(ErrNotSelectable, "$IDOPTION (with test_id_option) or $IDFILE", asked...)
	case len(asked) > 0:
		return modeInvalid, p.lacks(ErrNotListable, "$LISTOPT (with test_list_option)", asked...)
	case t.Listable():
		return modeOnce, nil
	}
	return modePlain, nil
}

// lacks is an error about something that the test command would have to have
// for what was asked for.
func (p *plan) lacks(err error, what string, asked ...string) error {
	err = fmt.Errorf("%s:%d: test_command has no %s: %w", p.req.Config.File, p.suite.TestCommand.Line, what, err)
	if len(asked) == 0 {
		return hint(err, "see docs/configuration.md")
	}
	return hint(err, "see docs/configuration.md, or leave out %s", strings.Join(asked, ", "))
}

// listing returns the command that lists, or the ids that the configuration
// lists itself.
func (p *plan) listing() (*line, []string, error) {
	if p.list != nil {
		return p.list, nil, nil
	}
	if ids := p.template.DefaultIDs(); len(ids) > 0 {
		return nil, ids, nil
	}
	return nil, nil, p.lacks(ErrNotListable, "$LISTOPT (with test_list_option)")
}

// shown is the command that a person is told of before it is started, empty for
// batches, each of which is told of when its time comes.
func (p *plan) shown(m mode) string {
	switch m {
	case modeStream:
		if shell, err := p.stream.on(here); err == nil {
			return shell
		}
	case modePlain, modeOnce:
		if shell, err := p.template.Run(nil, "", p.req.Select.Args); err == nil {
			return shell
		}
	default:
	}
	return ""
}

// command is a line as it is on an instance.
func (l *line) command(inst instance.Instance) (instance.Command, error) {
	shell, err := l.on(placeOf(inst))
	cmd := shellCommand(shell)
	cmd.Files, cmd.Env = l.files, l.env
	return cmd, err
}

// worker says how the workers of a mode are started.
func (p *plan) worker(m mode) (supervisor.Worker, error) {
	var w supervisor.Worker
	if m == modeStream {
		w.Stream = p.stream.command
		if p.template.Selectable() {
			w.Batch = p.batch
		}
		return w, nil
	}
	if m == modeBatch {
		w.Batch = p.batch
		return w, nil
	}
	shell, err := p.template.Run(nil, "", p.req.Select.Args)
	if err != nil {
		return w, err
	}
	if m == modeOnce {
		w.Whole = true
		w.Batch = func(_ instance.Instance, ids []string) (supervisor.Batch, error) {
			cmd := shellCommand(shell)
			cmd.Env = p.suite.Env
			return supervisor.Batch{Command: cmd, Given: ids}, nil
		}
		return w, nil
	}
	w.Plain = p.everywhere(shell).command
	return w, nil
}

// batch makes the command for as many of the ids as it has room for.
func (p *plan) batch(inst instance.Instance, ids []string) (supervisor.Batch, error) {
	template := p.template
	template.Nested = placeOf(inst).bare
	usable, refused := template.Split(ids)
	var b supervisor.Batch
	for _, r := range refused {
		b.Refused = append(b.Refused, supervisor.Refused{Test: r.ID, Reason: r.Reason})
	}
	maker := worker.Batch{Template: template, TempDir: p.temp, Path: inst.Path}
	for len(usable) > 0 {
		argv, files, cleanup, err := maker.Command(usable, p.req.Select.Args)
		switch {
		case errors.Is(err, worker.ErrTooLong) && len(usable) > 1:
			usable = slices.Clip(usable[:len(usable)/2])
			continue
		case errors.Is(err, worker.ErrTooLong):
			b.Refused = append(b.Refused, supervisor.Refused{Test: usable[0], Reason: err.Error()})
			return b, nil
		case err != nil:
			return b, err
		}
		b.Command, b.Done, b.Given = instance.Command{Args: argv, Files: files, Env: p.suite.Env}, cleanup, usable
		if p.req.Announce != nil {
			p.req.Announce(argv[len(argv)-1])
		}
		return b, nil
	}
	return b, nil
}
