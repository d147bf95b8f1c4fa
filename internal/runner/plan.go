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
	temp     string
	template worker.Template
	stream   string // shell command of a streaming worker; empty if there is none
	list     string // shell command that lists the tests; empty if there is none
	why      string // why there is no streaming worker, for a person
}

func newPlan(req Request, temp string) (*plan, error) {
	c := req.Config
	p := &plan{req: req, temp: temp, template: worker.Template{
		Command: c.TestCommand.Text, IDOption: c.TestIDOption.Text,
		ListOption: c.TestListOption.Text, IDListDefault: c.TestIDListDefault.Text}}
	var err error
	switch c.Worker {
	case config.WorkerStream:
		p.stream, p.list, err = worker.StreamCommands(c.WorkerCommand.Text, p.template, req.Select.Args)
	case config.WorkerBatch:
		p.why = "the configuration says worker=batch"
	default:
		err = p.builtIn()
	}
	if err != nil {
		return nil, fmt.Errorf("%s:%d: %w", c.File, c.TestCommand.Line, err)
	}
	if p.list == "" && p.template.Lists() {
		if p.list, err = p.template.List(req.Select.Args); err != nil {
			return nil, fmt.Errorf("make the command that lists the tests: %w", err)
		}
	}
	return p, nil
}

// builtIn puts a built-in worker in the place of the runner that the test
// command has, if it has one that testr knows.
func (p *plan) builtIn() (err error) {
	c, args := p.req.Config, p.req.Select.Args
	if c.Worker == config.WorkerTap {
		p.stream, p.list, err = worker.TapCommands(p.req.Self, c.TestCommand.Text, args)
		if err != nil {
			err = fmt.Errorf("worker=tap (line %d) does not fit test_command: %w", c.WorkerLine, err)
		}
		return err
	}
	d := worker.Detect(c.TestCommand.Text)
	if want := c.Worker; want != config.WorkerAuto && want != d.Kind.String() {
		return fmt.Errorf("worker=%s (line %d) does not fit test_command: %s", want, c.WorkerLine, d.Reason)
	}
	switch d.Kind {
	case worker.KindPython:
		script := filepath.Join(p.temp, "testr_worker.py")
		if err := os.WriteFile(script, worker.PythonSource(), 0o600); err != nil {
			return fmt.Errorf("bring the python worker: %w", err)
		}
		if p.stream, err = d.Python(script, false, args); err == nil {
			p.list, err = d.Python(script, true, args)
		}
	case worker.KindGo:
		build := filepath.Join(p.temp, "go")
		if err := os.Mkdir(build, 0o700); err != nil {
			return fmt.Errorf("make a directory for test binaries: %w", err)
		}
		if p.stream, err = d.Go(p.req.Self, build, false, args); err == nil {
			p.list, err = d.Go(p.req.Self, build, true, args)
		}
	case worker.KindPytest:
		dir := filepath.Join(p.temp, "pytest")
		if err := worker.WritePytest(dir); err != nil {
			return err
		}
		if p.stream, err = d.Pytest(dir, false, args); err == nil {
			p.list, err = d.Pytest(dir, true, args)
		}
	default:
		p.why = d.Reason
	}
	return err
}

// mode says how tests are run; known says that their ids are without a listing.
// The errors say what the configuration lacks.
func (p *plan) mode(known bool) (mode, error) {
	t := p.template
	asked := p.req.needsIDs()
	switch {
	case p.stream != "":
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
	c := p.req.Config
	err = fmt.Errorf("%s:%d: test_command has no %s: %w", c.File, c.TestCommand.Line, what, err)
	if len(asked) == 0 {
		return hint(err, "see docs/configuration.md")
	}
	return hint(err, "see docs/configuration.md, or leave out %s", strings.Join(asked, ", "))
}

// listing returns the command that lists, or the ids that the configuration
// lists itself.
func (p *plan) listing() (shell string, ids []string, err error) {
	if p.list != "" {
		return p.list, nil, nil
	}
	if ids := p.template.DefaultIDs(); len(ids) > 0 {
		return "", ids, nil
	}
	return "", nil, p.lacks(ErrNotListable, "$LISTOPT (with test_list_option)")
}

// shown is the command that a person is told of before it is started, empty for
// batches, each of which is told of when its time comes.
func (p *plan) shown(m mode) string {
	switch m {
	case modeStream:
		return p.stream
	case modePlain, modeOnce:
		shell, err := p.template.Run(nil, "", p.req.Select.Args)
		if err == nil {
			return shell
		}
	default:
	}
	return ""
}

// worker says how the workers of a mode are started.
func (p *plan) worker(m mode) (supervisor.Worker, error) {
	var w supervisor.Worker
	switch m {
	case modeStream:
		cmd := shellCommand(p.stream)
		w.Stream = &cmd
		if p.template.Selectable() {
			w.Batch = p.batch
		}
	case modeBatch:
		w.Batch = p.batch
	case modeOnce:
		w.Batch = func(ids []string) (supervisor.Batch, error) {
			shell, err := p.template.Run(nil, "", p.req.Select.Args)
			return supervisor.Batch{Command: shellCommand(shell), Given: ids}, err
		}
	default:
		shell, err := p.template.Run(nil, "", p.req.Select.Args)
		if err != nil {
			return w, err
		}
		cmd := shellCommand(shell)
		w.Plain = &cmd
	}
	return w, nil
}

// batch makes the command for as many of the ids as it has room for.
func (p *plan) batch(ids []string) (supervisor.Batch, error) {
	usable, refused := p.template.Split(ids)
	var b supervisor.Batch
	for _, r := range refused {
		b.Refused = append(b.Refused, supervisor.Refused{Test: r.ID, Reason: r.Reason})
	}
	maker := worker.Batch{Template: p.template, TempDir: p.temp}
	for len(usable) > 0 {
		argv, cleanup, err := maker.Command(usable, p.req.Select.Args)
		if errors.Is(err, worker.ErrTooLong) && len(usable) > 1 {
			usable = slices.Clip(usable[:len(usable)/2])
			continue
		}
		if err != nil {
			return b, err
		}
		b.Command, b.Done, b.Given = instance.Command{Args: argv}, cleanup, usable
		if p.req.Announce != nil {
			p.req.Announce(argv[len(argv)-1])
		}
		return b, nil
	}
	return b, nil
}
