package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// Name is the name of the file.
const Name = ".testr.conf"

// maxFile bounds what is read as a configuration.
const maxFile = 1 << 20

// Config is what a .testr.conf says. Values that it doesn't set are zero.
type Config struct {
	File string // the file, as it was opened
	Root string // the directory that has it, where hooks and tests run

	TestRunConcurrency Value // a command that prints how many workers to use

	FilterTags []string // tags whose tests are not counted unless they fail

	// Profiles are the sections [profile NAME], in the order of the file. Without any
	// there is one profile, DefaultProfile, which has what [DEFAULT] says; a Config
	// that was not read may have none at all.
	Profiles []Profile
	// ByDefault are the names of the profiles that run where nobody chooses; nil for
	// all of them.
	ByDefault []string
	// Env is what [DEFAULT] sets for all workers, KEY=VALUE. That of Instances has it
	// already, as far as they don't say otherwise.
	Env []string

	// Instances are the sections [instance NAME], in the order of the file, and
	// Hooks what the instance_ options of [DEFAULT] get, as an Instance without a
	// name; nil if there are none. Without either, workers run on this machine.
	Instances []Instance
	Hooks     *Instance

	// How long hooks may take where their Instance doesn't say otherwise.
	ProvisionTimeout time.Duration // 0 for as long as they like
	DisposeTimeout   time.Duration // never 0

	// InstanceIdle is how long a supervisor that stays keeps instances that it has
	// no run for; 0 for no longer than the run.
	InstanceIdle time.Duration

	// How many runs the repository keeps, and for how many days; 0 for all, for ever.
	KeepRuns, KeepDays int

	// Warnings is what a person should know of, in the order of the lines.
	Warnings []*Error

	parsed *file // where LineOf looks; nil for a Config that was not read
}

// Find returns the directory that has the .testr.conf for dir: dir itself, as it
// was given, or else the absolute path of the nearest parent that has one. The
// error wraps ErrNotFound if there is none.
func Find(dir string) (string, error) {
	if exists(filepath.Join(dir, Name)) {
		return dir, nil
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("look for %s: %w", Name, err)
	}
	for at := abs; ; {
		parent := filepath.Dir(at)
		if parent == at {
			return "", fmt.Errorf("%w in %s or a directory above it", ErrNotFound, abs)
		}
		if at = parent; exists(filepath.Join(at, Name)) {
			return at, nil
		}
	}
}

// exists is also true of what can't be read, so that Load says what is wrong
// with it and no other file takes its place.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// Load reads the .testr.conf of a directory. Mistakes in it are returned
// together, as Errors; that it belongs to somebody else is one of them. Without
// a file the error wraps ErrNotFound.
func Load(root string) (*Config, error) {
	return load(root, currentUser())
}

func load(root string, user user) (*Config, error) {
	path := filepath.Join(root, Name)
	data, err := read(path, func(f *os.File) error { return user.mayUse(root, f) })
	if errors.Is(err, os.ErrNotExist) && !exists(path) {
		return nil, fmt.Errorf("%w in %s", ErrNotFound, root)
	}
	if err != nil {
		return nil, err
	}
	c, errs := interpret(path, root, data)
	if len(errs) > 0 {
		return nil, errs
	}
	return c, nil
}

// interpret reads the text of a configuration. The Config is worth nothing if
// there are errors.
func interpret(path, root string, data []byte) (*Config, Errors) {
	f, errs := parse(path, data)
	c := &Config{File: path, Root: root, parsed: f}
	l := loader{file: f, config: c, section: f.defaults, errs: &errs, said: map[Error]bool{}}
	l.load()
	byLine := func(a, b *Error) int { return a.Line - b.Line }
	slices.SortStableFunc(errs, byLine)
	slices.SortStableFunc(c.Warnings, byLine)
	return c, errs
}

// read reads a configuration file after allow has had a look at it.
func read(path string, allow func(*os.File) error) ([]byte, error) {
	// A pipe of that name must not hang testr, hence O_NONBLOCK.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, Errors{{File: path, Msg: "it is no regular file"}}
	}
	if err := allow(f); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	if len(data) > maxFile {
		return nil, Errors{{File: path, Msg: fmt.Sprintf("it is larger than %d bytes", maxFile)}}
	}
	return data, nil
}

// CheckRun reports what keeps these profiles from running or listing tests, as
// Errors. Commands that only answer from the repository have no need of it.
func (c *Config) CheckRun(profiles []Profile) error {
	var errs Errors
	for _, p := range profiles {
		if p.TestCommand.Set() || p.Worker == WorkerStream && p.WorkerCommand.Set() {
			continue
		}
		err := &Error{File: c.File, Line: p.Line, Msg: `option "test_command" is not set`, Hint: Suggest(c.Root)}
		if p.Line > 0 {
			err.Msg += fmt.Sprintf(" for profile %s", p.Name)
		}
		errs = append(errs, err)
	}
	if len(errs) == 0 {
		return nil
	}
	return errs
}
