package worker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"testr/internal/instance"
	"testr/internal/protocol"
)

// TapConfig says what the TAP worker runs.
type TapConfig struct {
	// Args are what followed `prove` in the user's command: -e, -I, -l, -b, -r
	// and -v with their long forms, names of scripts and directories, and "::"
	// with arguments for every script.
	Args []string
	// List lists the scripts instead of serving the worker channel.
	List bool
	// Dir is where the scripts are and run; empty means here.
	Dir string
	// Env holds KEY=VALUE over the inherited environment.
	Env []string

	Stdin  io.Reader
	Stdout io.Writer
}

// RunTap is the streaming worker for scripts that write TAP: it serves the worker
// channel on Stdin and Stdout, or lists the scripts. An id is the path of a
// script as prove shows it. Each script is a process of its own, which is started
// and judged as prove does; its assertions are packets with it as their parent.
//
// The error means that the worker could not do its work; a script that fails is
// a result. When ctx ends, RunTap ends what it started and returns ctx's cause.
func RunTap(ctx context.Context, cfg TapConfig) (err error) {
	args, err := parseTapArgs(cfg.Args)
	if err != nil {
		return err
	}
	dir := cfg.Dir
	if dir == "" {
		dir = "."
	}
	scripts, err := args.scripts(dir)
	if err != nil {
		return err
	}
	if cfg.List {
		return listTap(scripts, protocol.NewWriter(cfg.Stdout))
	}
	local := &instance.Local{Dir: dir, Env: cfg.Env, Grace: tapGrace, Nested: true}
	machines, err := local.Provision(ctx, 1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, machines[0].Close()) }()
	t := &tap{args: args, dir: dir, machine: machines[0], paths: make(map[string]string, len(scripts))}
	for _, s := range scripts {
		t.paths[s.id] = s.path
	}
	return Serve(ctx, cfg.Stdin, cfg.Stdout, t.run)
}

// tapGrace is how long a script has to end after SIGTERM; see goGrace.
const tapGrace = goGrace

func listTap(scripts []tapScript, w *protocol.Writer) error {
	for _, s := range scripts {
		err := w.WritePacket(&protocol.Packet{
			Has: protocol.HasTestID, TestID: s.id, Status: protocol.StatusExists, Runnable: true,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// tap is a TAP worker. One goroutine uses it.
type tap struct {
	args    *tapArgs
	dir     string
	machine instance.Instance
	paths   map[string]string // of the scripts, by id
}

// run runs one script and writes its packets. The script ends when nobody hears
// of it any more.
func (t *tap) run(ctx context.Context, req Request, w *protocol.Writer) error {
	report := newTapReport(w, req.TestID)
	path, ok := t.paths[req.TestID]
	if !ok {
		return report.unknown()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd, err := t.command(path)
	if err != nil {
		return report.unstarted(err)
	}
	process, err := t.machine.Start(ctx, cmd)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return report.unstarted(err)
	}
	var copying sync.WaitGroup
	copying.Go(func() {
		_, _ = io.Copy(process.Stdin(), req.Stdin) // a script need not read
		_ = process.Stdin().Close()
	})
	var stderr sync.WaitGroup
	stderr.Go(func() { copyTap(process.Stderr(), report.stderr, cancel) })
	copyTap(process.Stdout(), report.stdout, cancel)
	stderr.Wait()
	status, waitErr := process.Wait()
	_ = req.Stdin.Close()
	copying.Wait()
	switch {
	case report.err != nil:
		return fmt.Errorf("report on %s: %w", req.TestID, report.err)
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case waitErr != nil:
		return waitErr
	}
	return report.finish(status)
}

// copyTap gives take what the script writes until that ends. When it can't be
// reported any more, it has the script ended and reads on, so that it does end.
func copyTap(from io.Reader, take func([]byte) error, cancel func()) {
	buffer := make([]byte, maxPiece)
	for {
		n, err := from.Read(buffer)
		if n > 0 && take(buffer[:n]) != nil {
			cancel()
			take = func([]byte) error { return nil }
		}
		if err != nil {
			return
		}
	}
}

// maxTapLine is how much of a line is looked at; the rest of it is text.
const maxTapLine = 1 << 20

// tapLines cuts output into lines. It takes it cut anywhere.
type tapLines struct {
	line func(s string)
	rest func(b []byte) // of a line that is too long

	held []byte
	long bool
}

func (l *tapLines) write(b []byte) {
	for len(b) > 0 {
		end := bytes.IndexByte(b, '\n')
		part, next := b, b[len(b):]
		if end >= 0 {
			part, next = b[:end], b[end+1:]
		}
		l.add(part)
		if end >= 0 {
			if l.long {
				l.rest([]byte("\n"))
			}
			l.flush()
		}
		b = next
	}
}

func (l *tapLines) add(part []byte) {
	if !l.long {
		room := maxTapLine - len(l.held)
		l.held = append(l.held, part[:min(len(part), room)]...)
		if len(part) <= room {
			return
		}
		part = part[room:]
		l.line(string(l.held))
		l.held, l.long = nil, true
	}
	if len(part) > 0 {
		l.rest(part)
	}
}

// flush ends the line.
func (l *tapLines) flush() {
	if !l.long {
		l.line(string(l.held))
	}
	l.held, l.long = l.held[:0], false
}

// end gives a last line without a newline.
func (l *tapLines) end() {
	if l.long || len(l.held) > 0 {
		l.flush()
	}
}
