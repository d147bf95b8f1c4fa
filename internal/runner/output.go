package runner

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"

	"testr/internal/instance"
)

// shellCommand is a command line as the configuration has it, run by a shell.
func shellCommand(line string) instance.Command {
	return instance.Command{Args: []string{"/bin/sh", "-c", line}}
}

// outputLimit bounds what is read from a command whose output is a few words.
const outputLimit = 64 << 10

// output runs a command that prints a little and exits with 0. Else the error
// has the end of what it wrote to stderr.
func output(ctx context.Context, inst instance.Instance, cmd instance.Command) (string, error) {
	p, err := inst.Start(ctx, cmd)
	if err != nil {
		return "", err
	}
	_ = p.Stdin().Close()
	var out, errOut bytes.Buffer
	var wg sync.WaitGroup
	for r, b := range map[io.Reader]*bytes.Buffer{p.Stdout(): &out, p.Stderr(): &errOut} {
		wg.Go(func() {
			_, _ = io.Copy(b, io.LimitReader(r, outputLimit))
			_, _ = io.Copy(io.Discard, r)
		})
	}
	wg.Wait()
	status, err := p.Wait()
	switch {
	case err != nil:
		return "", err
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case !status.Success():
		return "", fmt.Errorf("it ended with %v\n%s", status, bytes.TrimSpace(errOut.Bytes()))
	}
	return out.String(), nil
}
