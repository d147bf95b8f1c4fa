package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"
	"time"

	"testr/internal/instance"
	"testr/internal/protocol"
)

// run runs one requested test and writes its packets.
func (g *golang) run(ctx context.Context, req Request, w *protocol.Writer) error {
	importPath, test := splitGoID(req.TestID)
	p, err := g.find(ctx, importPath)
	switch {
	case err != nil:
		return err
	case p == nil || !p.hasTests():
		return newGoReport(w, req.TestID, test).unknown("it is of no package that is tested here")
	case !isGoTest(test):
		return newGoReport(w, req.TestID, test).unknown("no test can have that name")
	}
	// The build comes before the test begins: its time is not the test's.
	binary, err := g.builder.binary(ctx, p)
	if failed, ok := errors.AsType[*goBuildError](err); ok {
		return newGoReport(w, req.TestID, test).unbuilt(failed.output)
	}
	if err != nil {
		return err
	}
	return g.runBinary(ctx, p, binary, req, newGoReport(w, req.TestID, test))
}

// runBinary runs the one test of the binary. The binary ends when nobody hears
// of it any more.
func (g *golang) runBinary(ctx context.Context, p *goPackage, binary string, req Request, report *goReport) error {
	lives, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	args := []string{
		binary, "-test.run=" + g.args.run.only(report.top.name), "-test.v=test2json", "-test.paniconexit0",
	}
	process, err := start(lives, g.tests, p, append(args, g.args.test...))
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { quit(process, end) })
	defer stop()
	err = g.keeper.hold(ctx, process.PID())
	if err != nil {
		end()
	}
	status, attendErr := attend(process, req, report, end)
	err = errors.Join(err, attendErr, g.keeper.hold(ctx, 0))
	switch {
	case err != nil:
		return fmt.Errorf("run %s: %w", req.TestID, err)
	case ctx.Err() != nil:
		return errors.Join(context.Cause(ctx), report.abandon())
	}
	return report.finish(status)
}

// attend passes input to a test and its output to report, until it ends. If its
// output can't be reported it is ended.
func attend(process instance.Process, req Request, report *goReport, end context.CancelFunc) (
	instance.ExitStatus, error,
) {
	var feeding sync.WaitGroup
	feeding.Go(func() {
		_, _ = io.Copy(process.Stdin(), req.Stdin) // a test need not read
		_ = process.Stdin().Close()
	})
	err := copyOutput(report, process.Stdout())
	if err != nil {
		end()
		_, _ = io.Copy(io.Discard, process.Stdout())
	}
	_, _ = io.Copy(io.Discard, process.Stderr()) // empty: see mergeOutput
	status, waitErr := process.Wait()
	_ = req.Stdin.Close()
	feeding.Wait()
	return status, errors.Join(err, waitErr)
}

// quit has a test say where its goroutines are, which ends it. A test that
// doesn't heed that is ended.
func quit(process instance.Process, end context.CancelFunc) {
	_ = syscall.Kill(process.PID(), syscall.SIGQUIT)
	time.AfterFunc(goGrace, end)
}

// copyOutput gives report what the binary writes until it ends, or until the
// report can't be written.
func copyOutput(report *goReport, stdout io.Reader) error {
	output := report.output()
	buffer := make([]byte, maxPiece)
	for {
		n, err := stdout.Read(buffer)
		output.Write(buffer[:n])
		if report.err != nil {
			return report.err
		}
		if errors.Is(err, io.EOF) {
			output.Flush()
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// mergeOutput has a command write its standard error to its standard output: in
// one pipe the two keep their order, as under `go test`.
const mergeOutput = `exec "$@" 2>&1`

// start starts a test binary in its package's directory.
func start(ctx context.Context, machine instance.Instance, p *goPackage, args []string) (instance.Process, error) {
	process, err := machine.Start(ctx, instance.Command{
		Args: append([]string{"sh", "-c", mergeOutput, "sh"}, args...),
		Dir:  p.Dir,
	})
	if err != nil {
		return nil, fmt.Errorf("start the test binary of %s: %w", p.ImportPath, err)
	}
	return process, nil
}
