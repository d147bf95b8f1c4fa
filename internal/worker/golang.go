package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"testr/internal/instance"
	"testr/internal/protocol"
	"testr/internal/tempdir"
)

// GoConfig says what the Go worker runs.
type GoConfig struct {
	// Args are what followed `go test` in the user's command: flags, packages,
	// and arguments of the test binaries.
	Args []string
	// GoCommand is the go command; empty means the "go" of PATH.
	GoCommand string
	// BuildDir is where test binaries are kept. All workers of a run on one
	// machine share it: each binary is built once, by whoever needs it first. A
	// directory serves one state of the sources. Empty means a temporary one.
	BuildDir string
	// List lists the tests instead of serving the worker channel.
	List bool
	// Dir is where the go command runs; empty means here.
	Dir string
	// Env holds KEY=VALUE over the inherited environment.
	Env []string

	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
}

// goGrace is how long a test has to end after SIGQUIT, and then again after
// SIGTERM. Both together are shorter than what a supervisor gives the worker
// itself, so that what the test says in the end is still heard.
const goGrace = 2 * time.Second

// RunGo is the streaming worker for Go: it serves the worker channel on Stdin
// and Stdout, or lists the tests. An id is the import path of a package, a "."
// and the name of a test, fuzz test or example. Every test runs in a process of
// its own, in its package's directory.
//
// The error means that the worker could not do its work; a test that fails and
// a package that does not build are results. When ctx ends, RunGo ends what it
// started, has a test that runs say where its goroutines are before that, and
// returns ctx's cause.
func RunGo(ctx context.Context, cfg GoConfig) (err error) {
	args, err := parseGoArgs(cfg.Args)
	if err != nil {
		return err
	}
	dir := args.dir
	if !filepath.IsAbs(dir) {
		dir, err = filepath.Abs(filepath.Join(cfg.Dir, dir))
	}
	if err != nil {
		return fmt.Errorf("find %s: %w", cfg.Dir, err)
	}
	machine, err := newGoMachine(ctx, &instance.Local{Dir: dir, Env: cfg.Env, Grace: goGrace, Nested: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, machine.Close()) }()
	tests, err := newGoMachine(ctx, &instance.Local{Dir: dir, Env: cfg.Env, Grace: goGrace})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tests.Close()) }()
	buildDir, remove, err := openBuildDir(cfg.BuildDir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	g := &golang{
		args:    args,
		machine: machine,
		tests:   tests,
		keeper:  goKeeper{machine: tests},
		stderr:  cfg.Stderr,
		builder: newGoBuilder(cfg, args, dir, buildDir, machine),
	}
	if cfg.List {
		return g.list(ctx, protocol.NewWriter(cfg.Stdout))
	}
	defer func() { err = errors.Join(err, g.keeper.close()) }()
	return Serve(ctx, cfg.Stdin, cfg.Stdout, g.run)
}

// newGoMachine provisions the one instance that local is wanted for.
func newGoMachine(ctx context.Context, local *instance.Local) (instance.Instance, error) {
	machines, err := local.Provision(ctx, 1)
	if err != nil {
		return nil, err
	}
	return machines[0], nil
}

// openBuildDir returns the absolute path of dir, which it makes, or of a
// temporary directory, and what removes the latter.
func openBuildDir(dir string) (path string, remove func() error, err error) {
	if dir == "" {
		temp, err := tempdir.Make()
		if err != nil {
			return "", nil, fmt.Errorf("make a directory for test binaries: %w", err)
		}
		return temp.Path(), temp.Remove, nil
	}
	path, err = filepath.Abs(dir)
	if err == nil {
		err = os.MkdirAll(path, 0o700)
	}
	if err != nil {
		return "", nil, fmt.Errorf("make a directory for test binaries: %w", err)
	}
	return path, func() error { return nil }, nil
}

// golang is a Go worker. One goroutine uses it.
type golang struct {
	args     *goArgs
	machine  instance.Instance // of the go command and what lists: it ends with the worker's group
	tests    instance.Instance // each in a group of its own
	keeper   goKeeper
	stderr   io.Writer
	builder  *goBuilder
	packages map[string]*goPackage // by import path; nil until the first test
}

// find returns the package of that import path, or nil if the user's command
// does not name it.
func (g *golang) find(ctx context.Context, importPath string) (*goPackage, error) {
	if g.packages == nil {
		list, err := g.builder.packages(ctx)
		if err != nil {
			return nil, err
		}
		g.packages = make(map[string]*goPackage, len(list))
		for _, p := range list {
			g.packages[p.ImportPath] = p
		}
	}
	return g.packages[importPath], nil
}

// splitGoID splits an id into the package's import path and the test's name:
// at the last "." after the last "/". Without one there is no package.
func splitGoID(id string) (importPath, test string) {
	dot := strings.LastIndexByte(id, '.')
	if dot < strings.LastIndexByte(id, '/') || dot < 0 {
		return "", id
	}
	return id[:dot], id[dot+1:]
}

// isGoTest reports whether name can be a test, fuzz test or example.
func isGoTest(name string) bool {
	for _, prefix := range []string{"Test", "Fuzz", "Example"} {
		rest, ok := strings.CutPrefix(name, prefix)
		if !ok {
			continue
		}
		first, _ := utf8.DecodeRuneInString(rest)
		return !unicode.IsLower(first) && !strings.ContainsFunc(rest, func(r rune) bool {
			return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
		})
	}
	return false
}
