package worker

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"testr/internal/instance"
)

// goPackage is what `go list` says of a package.
type goPackage struct {
	ImportPath   string
	Dir          string
	TestGoFiles  []string
	XTestGoFiles []string
	Error        *struct{ Err string }
}

// goFilesPackage is the package of Go files that the user's command names.
const goFilesPackage = "command-line-arguments"

// hasTests reports whether there is something to build. A package that can't be
// loaded has: the go command's explanation.
func (p *goPackage) hasTests() bool {
	return len(p.TestGoFiles)+len(p.XTestGoFiles) > 0 || p.Error != nil
}

// goBuildError is the output of a go command that failed.
type goBuildError struct{ output []byte }

func (e *goBuildError) Error() string { return strings.TrimSpace(string(e.output)) }

// maxBuildOutput is how much of a go command's messages is kept.
const maxBuildOutput = 1 << 20

// goBuilder runs the go command, each thing once for all who share a directory.
type goBuilder struct {
	args    *goArgs
	command string // the go command
	dir     string // where results are kept
	setting string // what distinguishes builds of the same package
	machine instance.Instance
	stderr  io.Writer // for warnings of the go command
}

func newGoBuilder(cfg GoConfig, args *goArgs, dir, buildDir string, machine instance.Instance) *goBuilder {
	b := &goBuilder{args: args, command: cfg.GoCommand, dir: buildDir, machine: machine, stderr: cfg.Stderr}
	if b.command == "" {
		b.command = "go"
	}
	setting := slices.Concat([]string{b.command, dir}, args.build, args.vet)
	for _, variable := range slices.Concat(os.Environ(), cfg.Env) {
		if goVariable.MatchString(variable) {
			setting = append(setting, variable)
		}
	}
	b.setting = strings.Join(setting, "\x00")
	return b
}

// goVariable matches the environment variables that matter to a build.
var goVariable = regexp.MustCompile(`^(GO[A-Z0-9_]*|CGO_[A-Z0-9_]*|CC|CXX|PATH)=`)

// packages lists the packages that the user's command names.
func (b *goBuilder) packages(ctx context.Context) ([]*goPackage, error) {
	name := b.name("packages", strings.Join(b.args.patterns, "\x00")) + ".json"
	file, err := b.once(ctx, name, func(file string) error { return b.list(ctx, file) })
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the list of packages: %w", err)
	}
	var packages []*goPackage
	for decoder := json.NewDecoder(bytes.NewReader(data)); ; {
		p := &goPackage{}
		err := decoder.Decode(p)
		switch {
		case errors.Is(err, io.EOF):
			return packages, nil
		case err != nil:
			return nil, fmt.Errorf("read the list of packages: %w", err)
		case p.Dir == "" && p.Error != nil:
			return nil, fmt.Errorf("go list: %s", p.Error.Err)
		}
		packages = append(packages, p)
	}
}

// list writes the user's packages to file. With -e a package that can't be
// loaded is in the list like any other: building it will tell why.
func (b *goBuilder) list(ctx context.Context, file string) error {
	args := slices.Concat([]string{"list", "-e", "-json=ImportPath,Dir,TestGoFiles,XTestGoFiles,Error"},
		b.args.build, []string{"--"}, b.args.patterns)
	stdout, err := b.goCommand(ctx, args)
	if err != nil {
		return err
	}
	return os.WriteFile(file, stdout, 0o600)
}

// binary returns the test binary of p, which it builds unless somebody has. The
// error is a *goBuildError if that failed.
func (b *goBuilder) binary(ctx context.Context, p *goPackage) (string, error) {
	return b.once(ctx, b.binaryName(p), func(file string) error { return b.build(ctx, p, file) })
}

func (b *goBuilder) build(ctx context.Context, p *goPackage, file string) error {
	packages := []string{p.ImportPath}
	if p.ImportPath == goFilesPackage {
		packages = b.args.patterns
	}
	output, err := b.goCommand(ctx, b.buildArgs(file, packages))
	if err != nil {
		return err
	}
	if _, err := os.Stat(file); err != nil {
		return &goBuildError{output: append(output, "go test -c wrote no test binary\n"...)}
	}
	return nil
}

func (b *goBuilder) buildArgs(output string, packages []string) []string {
	return slices.Concat([]string{"test", "-c", "-o", output}, b.args.build, b.args.vet, packages)
}

// binaryName is like the go command's name for the binary, and told apart from
// others by a hash.
func (b *goBuilder) binaryName(p *goPackage) string {
	return b.name(strings.TrimSuffix(goBinaryName(p.ImportPath), ".test"), p.ImportPath) + ".test"
}

func (b *goBuilder) name(base, what string) string {
	sum := sha256.Sum256([]byte(b.setting + "\x00\x00" + what))
	return base + "-" + hex.EncodeToString(sum[:12])
}

// goBinaryName is the go command's name for a package's test binary: the last
// element of its import path that is no major version.
func goBinaryName(importPath string) string {
	parent, base := path.Split(importPath)
	if parent != "" && goMajorVersion.MatchString(base) {
		base = path.Base(parent)
	}
	return base + ".test"
}

var goMajorVersion = regexp.MustCompile(`^v([2-9]|[1-9][0-9]+)$`)

// goCommand runs the go command and returns what it prints. When it fails the
// error is a *goBuildError.
func (b *goBuilder) goCommand(ctx context.Context, args []string) (stdout []byte, err error) {
	process, err := b.machine.Start(ctx, instance.Command{Args: append([]string{b.command}, args...)})
	if err != nil {
		return nil, err
	}
	_ = process.Stdin().Close() // it reads nothing
	var messages bytes.Buffer
	var reading sync.WaitGroup
	reading.Go(func() {
		_, _ = io.Copy(&messages, io.LimitReader(process.Stderr(), maxBuildOutput))
		_, _ = io.Copy(io.Discard, process.Stderr())
	})
	stdout, err = io.ReadAll(process.Stdout())
	reading.Wait()
	if err != nil {
		return nil, fmt.Errorf("read from the go command: %w", err)
	}
	status, err := process.Wait()
	switch {
	case err != nil:
		return nil, err
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case status.Signal != "": // not the packages' fault: not to be remembered
		return nil, fmt.Errorf("%s %s: %s", b.command, args[0], status)
	case !status.Success():
		return nil, &goBuildError{output: messages.Bytes()}
	}
	_, err = b.stderr.Write(messages.Bytes())
	return stdout, err
}

// path is where the file of that name is.
func (b *goBuilder) path(name string) string { return filepath.Join(b.dir, name) }
