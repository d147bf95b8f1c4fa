package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/term"

	"testr/internal/api"
	"testr/internal/config"
	"testr/internal/daemon"
	"testr/internal/instance"
	"testr/internal/repo"
	"testr/internal/report"
	"testr/internal/runner"
)

// environment is what every command gets: streams, logger, and where it stands.
type environment struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	log            hclog.Logger
	here           string   // the directory to work in
	quiet          bool     // no summaries
	rest           []string // what stood after "--"
	signals        *signals
	follower       atomic.Pointer[follower] // of the run that is under way; nil without one
}

func newEnvironment(stdin io.Reader, stdout, stderr io.Writer) *environment {
	e := &environment{stdin: stdin, stdout: stdout, stderr: stderr, here: "."}
	e.log = hclog.New(&hclog.LoggerOptions{
		Name:        "testr",
		Level:       logLevel(),
		Output:      logWriter{e},
		DisableTime: true,
	})
	return e
}

// logWriter is where the log goes: among what is shown of a run, as long as there
// is one, and to stderr else.
type logWriter struct{ env *environment }

// Write never fails: nobody could be told.
func (w logWriter) Write(b []byte) (int, error) {
	if f := w.env.follower.Load(); f != nil {
		f.tellLines(string(b))
	} else {
		_, _ = w.env.errWriter().Write(b)
	}
	return len(b), nil
}

// logLevel is what TESTR_LOG says, else what a user would want to know.
func logLevel() hclog.Level {
	if l := hclog.LevelFromString(os.Getenv("TESTR_LOG")); l != hclog.NoLevel {
		return l
	}
	return hclog.Warn
}

// terminal returns the terminal's width, or ok false if w is none.
func terminal(w io.Writer) (width int, ok bool) {
	f, isFile := w.(*os.File)
	if !isFile || !term.IsTerminal(int(f.Fd())) {
		return 0, false
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width <= 0 {
		width = 80
	}
	return width, true
}

// errWriter is stderr, with what could do something to a terminal escaped.
func (e *environment) errWriter() io.Writer {
	if _, ok := terminal(e.stderr); ok {
		return report.NewEscapeWriter(e.stderr)
	}
	return e.stderr
}

// root is where the configuration is: here, or the nearest parent that has one.
// Without a configuration it is here.
func (e *environment) root() (string, error) {
	if info, err := os.Stat(e.here); err != nil {
		return "", fmt.Errorf("work in %s: %w", e.here, err)
	} else if !info.IsDir() {
		return "", fmt.Errorf("work in %s: not a directory", e.here)
	}
	root, err := config.Find(e.here)
	if errors.Is(err, config.ErrNotFound) {
		return e.here, nil
	}
	return root, err
}

// self is how people call testr to work in the same directory.
func (e *environment) self() string {
	if e.here == "." {
		return "testr"
	}
	return "testr -d " + instance.Quote(e.here)
}

// loadConfig reads the configuration and shows its warnings.
func (e *environment) loadConfig() (*config.Config, error) {
	root, err := e.root()
	if err != nil {
		return nil, err
	}
	cfg, err := config.Load(root)
	if err != nil {
		return nil, err
	}
	for _, w := range cfg.Warnings {
		e.say("warning", w)
	}
	return cfg, nil
}

// someConfig is the configuration, where there is one: a stream can be loaded, and a
// repository asked, without.
func (e *environment) someConfig() (*config.Config, error) {
	cfg, err := e.loadConfig()
	if errors.Is(err, config.ErrNotFound) {
		return &config.Config{}, nil
	}
	return cfg, err
}

// openToRead finds out who answers questions about the repository: the process
// that writes to it, or else the file. When ctx ends, they end with its cause.
func (e *environment) openToRead(ctx context.Context) (*api.Reader, error) {
	root, err := e.root()
	if err != nil {
		return nil, err
	}
	return api.Open(ctx, root)
}

// reader answers questions about the repository, some of which are about what the
// configuration has, too. That is empty where there is none.
type reader struct {
	*api.Reader
	cfg *config.Config
}

// openWithConfig is openToRead for commands that look into the configuration.
func (e *environment) openWithConfig(ctx context.Context) (*reader, error) {
	cfg, err := e.someConfig()
	if err != nil {
		return nil, err
	}
	r, err := e.openToRead(ctx)
	if err != nil {
		return nil, err
	}
	return &reader{r, cfg}, nil
}

// held is a repository that this process has open for writing, and the socket on
// which it answers others' questions meanwhile.
type held struct {
	*repo.Repository
	server *api.Server // nil if there is none
}

// Close ends answering, and then closes the repository.
func (h *held) Close() error {
	var err error
	if h.server != nil {
		err = h.server.Close()
	}
	return errors.Join(err, h.Repository.Close())
}

// openToWrite opens the repository, makes one if force says so and there is none,
// and answers others' questions until it is closed.
func (e *environment) openToWrite(force bool) (*held, error) {
	return e.hold(force, func(*repo.Repository) map[string]http.Handler { return nil })
}

// editor changes a repository.
type editor interface {
	api.Edits
	io.Closer
}

// openToEdit finds out who changes the repository: the process that writes to it, or
// else this one.
func (e *environment) openToEdit(ctx context.Context) (editor, error) {
	root, err := e.root()
	if err != nil {
		return nil, err
	}
	c, err := api.Dial(ctx, root)
	if err == nil {
		return c, nil
	}
	if !api.Gone(err) {
		return nil, err
	}
	return e.openToWrite(false)
}

// hold is openToWrite for who has more to answer than questions. That nobody can be
// answered is no reason to do nothing.
func (e *environment) hold(force bool, handlers func(*repo.Repository) map[string]http.Handler) (*held, error) {
	root, err := e.root()
	if err != nil {
		return nil, err
	}
	r, err := repo.Open(root)
	var none *repo.NotFoundError
	if force && errors.As(err, &none) {
		if err = repo.Init(root); err == nil {
			r, err = repo.Open(root)
		}
	}
	if err != nil {
		return nil, err
	}
	h := &held{Repository: r}
	if h.server, err = api.Serve(api.Config{Dir: root, Queries: r, Edits: r, Handlers: handlers(r)}); err != nil {
		e.say("warning", fmt.Errorf("other commands have to wait until this one has ended: %w", err))
	}
	return h, nil
}

// say prints a diagnostic: what it is about and, if the remedy is known, a hint.
func (e *environment) say(level string, err error) { e.sayTo(e.errWriter(), level, err) }

func (e *environment) sayTo(w io.Writer, level string, err error) {
	_, _ = fmt.Fprintf(w, "testr: %s: %s\n", level, strings.ReplaceAll(err.Error(), "\nhint: ", "\ntestr: hint: "))
	e.hint(w, err)
}

// hint prints what to do about an error, where that is known.
func (e *environment) hint(w io.Writer, err error) {
	for _, hint := range e.hints(err) {
		_, _ = fmt.Fprintf(w, "testr: hint: %s\n", strings.ReplaceAll(hint, "\n", "\n    "))
	}
}

// explain tells a person why the command did not do what it should.
func (e *environment) explain(err error) {
	var ex *exit
	switch {
	case err == nil:
	case errors.As(err, &ex) && ex.err == nil:
		e.hint(e.errWriter(), err)
	default:
		e.say("error", err)
	}
}

func isConfigError(err error) bool {
	var ce *config.Error
	return errors.As(err, &ce)
}

// hints returns the remedies for an error that has known ones.
func (e *environment) hints(err error) []string {
	var out []string
	var (
		ce       *config.Error
		many     config.Errors
		hinted   *runner.HintError
		there    *daemon.Failure
		plan     *runner.PlanError
		unknown  *config.UnknownProfileError
		none     *repo.NotFoundError
		busy     *repo.BusyError
		format   *repo.FormatError
		damaged  *repo.DamagedError
		notFound = errors.Is(err, config.ErrNotFound)
	)
	switch {
	case errors.As(err, &many):
		for _, one := range many {
			if one.Hint != "" && !slices.Contains(out, one.Hint) {
				out = append(out, one.Hint)
			}
		}
	case errors.As(err, &ce) && ce.Hint != "":
		out = append(out, ce.Hint)
	case errors.As(err, &unknown):
		out = append(out, "the profiles are "+strings.Join(unknown.Known, ", "))
	case errors.As(err, &hinted):
		out = append(out, hinted.Hint)
	case errors.As(err, &there):
		out = append(out, there.Hints...)
	case errors.As(err, &plan) && plan.Hint != "":
		out = append(out, plan.Hint)
	case errors.As(err, &none):
		out = append(out, fmt.Sprintf(`create one by running "%s init"`, e.self()))
	case errors.As(err, &busy):
		out = append(out, e.busyHint())
	case errors.As(err, &format):
		out = append(out, "a newer testr wrote it: use that one, or another directory (-d)")
	case errors.As(err, &damaged):
		out = append(out, "move the directory "+repo.DirName+` away and run "testr init"; `+
			"what the file still has may be read from a copy")
	case errors.Is(err, repo.ErrRunning):
		out = append(out, "ask again when it has ended")
	case notFound:
		out = append(out, strings.TrimSpace(config.Suggest(e.here)))
	}
	return out
}
