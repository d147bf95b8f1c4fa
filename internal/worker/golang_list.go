package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"testr/internal/instance"
	"testr/internal/protocol"
)

// goGroup is how many packages one go command builds for the listing. Packages
// that are built together share what the go command does per call; but whoever
// needs one of them waits for all.
const goGroup = 8

// list writes a packet for each test. A package whose tests can't be listed is
// a failure that can't be asked for, and the listing goes on.
func (g *golang) list(ctx context.Context, w *protocol.Writer) error {
	packages, err := g.builder.packages(ctx)
	if err != nil {
		return err
	}
	if len(packages) == 0 {
		return errors.New("go list: no packages match " + strings.Join(g.args.patterns, " "))
	}
	packages = slices.DeleteFunc(packages, func(p *goPackage) bool { return !p.hasTests() })
	for _, group := range goGroups(packages) {
		if err := g.builder.buildGroup(ctx, group); err != nil {
			return err
		}
		for _, p := range group {
			if err := g.listPackage(ctx, p, w); err != nil {
				return err
			}
		}
	}
	return nil
}

func (g *golang) listPackage(ctx context.Context, p *goPackage, w *protocol.Writer) error {
	binary, err := g.builder.binary(ctx, p)
	if failed, ok := errors.AsType[*goBuildError](err); ok {
		return listFailure(w, p.ImportPath+".[build failed]", goBuildFile, failed.output)
	}
	if err != nil {
		return err
	}
	output, status, err := g.listBinary(ctx, p, binary)
	if err != nil {
		return err
	}
	if !status.Success() {
		output = fmt.Appendf(output, "the test binary did not list its tests: %s\n", status)
		return listFailure(w, p.ImportPath+".[listing failed]", goStdoutFile, output)
	}
	for line := range strings.Lines(string(output)) {
		test := strings.TrimSuffix(line, "\n")
		if !isGoTest(test) || !g.args.run.matches(test) || g.args.skip.skips(test) {
			continue
		}
		err := w.WritePacket(&protocol.Packet{
			Has: protocol.HasTestID, TestID: p.ImportPath + "." + test, Status: protocol.StatusExists, Runnable: true,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// listBinary has a test binary list its tests.
func (g *golang) listBinary(ctx context.Context, p *goPackage, binary string) ([]byte, instance.ExitStatus, error) {
	process, err := start(ctx, g.machine, p, append([]string{binary, "-test.list=."}, g.args.test...))
	if err != nil {
		return nil, instance.ExitStatus{}, err
	}
	_ = process.Stdin().Close()
	output, err := io.ReadAll(process.Stdout())
	_, _ = io.Copy(io.Discard, process.Stderr())
	if err != nil {
		return nil, instance.ExitStatus{}, fmt.Errorf("read from the test binary of %s: %w", p.ImportPath, err)
	}
	status, err := process.Wait()
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return output, status, err
}

// listFailure writes the failure of something that is no test.
func listFailure(w *protocol.Writer, id, file string, output []byte) error {
	for piece := range slices.Chunk(output, maxPiece) {
		err := w.WritePacket(&protocol.Packet{
			Has: protocol.HasTestID | protocol.HasFile | protocol.HasMIME, TestID: id,
			FileName: file, MIMEType: plainText, Content: piece,
		})
		if err != nil {
			return err
		}
	}
	return w.WritePacket(&protocol.Packet{
		Has: protocol.HasTestID | protocol.HasTime | protocol.HasFile | protocol.HasMIME, TestID: id,
		FileName: file, MIMEType: plainText, EOF: true, Status: protocol.StatusFail, Time: time.Now(),
	})
}

// goGroups cuts packages into groups that one go command can build: their
// binaries are named apart.
func goGroups(packages []*goPackage) [][]*goPackage {
	var groups [][]*goPackage
	names := make(map[string]bool)
	for _, p := range packages {
		name := goBinaryName(p.ImportPath)
		if len(groups) == 0 || len(names) == goGroup || names[name] {
			groups = append(groups, nil)
			clear(names)
		}
		names[name] = true
		last := len(groups) - 1
		groups[last] = append(groups[last], p)
	}
	return groups
}

// buildGroup builds what is missing of a group with one go command. What that
// does not build is left to binary, which finds out why.
func (b *goBuilder) buildGroup(ctx context.Context, group []*goPackage) error {
	missing, unlock, err := b.lockMissing(ctx, group)
	defer unlock()
	if err != nil || len(missing) < 2 {
		return err
	}
	dir, err := os.MkdirTemp(b.dir, "group-")
	if err != nil {
		return fmt.Errorf("make a directory for test binaries: %w", err)
	}
	var paths []string
	for _, p := range missing {
		paths = append(paths, p.ImportPath)
	}
	_, err = b.goCommand(ctx, b.buildArgs(dir+"/", paths))
	if _, ok := errors.AsType[*goBuildError](err); ok {
		err = nil
	}
	for _, p := range missing {
		renamed := os.Rename(filepath.Join(dir, goBinaryName(p.ImportPath)), b.path(b.binaryName(p)))
		if !errors.Is(renamed, fs.ErrNotExist) {
			err = errors.Join(err, renamed)
		}
	}
	return errors.Join(err, os.RemoveAll(dir))
}

// lockMissing takes the locks of those binaries that nobody has built.
func (b *goBuilder) lockMissing(ctx context.Context, group []*goPackage) (
	missing []*goPackage, unlock func(), err error,
) {
	var unlocks []func()
	unlock = func() {
		for _, unlock := range unlocks {
			unlock()
		}
	}
	// In one order for all, so that two listings can't wait for each other.
	group = slices.SortedFunc(slices.Values(group), func(p, q *goPackage) int {
		return strings.Compare(b.binaryName(p), b.binaryName(q))
	})
	for _, p := range group {
		name := b.binaryName(p)
		if done, _ := b.made(name); done || p.ImportPath == goFilesPackage {
			continue
		}
		unlockOne, err := b.lock(ctx, name)
		if err != nil {
			return nil, unlock, err
		}
		unlocks = append(unlocks, unlockOne)
		if done, _ := b.made(name); !done {
			missing = append(missing, p)
		}
	}
	return missing, unlock, nil
}
