package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"testr/internal/event"
	"testr/internal/instance"
	"testr/internal/protocol"
)

// Listing is what a lister said.
type Listing struct {
	Tests      []string           // in the lister's order, each once
	Duplicates []string           // ids that it named more than once
	Packets    []*protocol.Packet // what else it said of tests: what could not be imported, and why
	Text       string             // the end of what it wrote beside packets, on stdout and stderr
}

// ListError means that the lister failed. Output is what there is to explain
// it: text, attachments and stderr.
type ListError struct {
	Command string
	Status  string
	Code    int // the exit status; -1 after a signal
	Output  string
}

// Error is a line with the command's end, and the output after it.
func (e *ListError) Error() string {
	s := fmt.Sprintf("list tests: %s: %s", e.Command, e.Status)
	if e.Output != "" {
		s += "\n" + strings.TrimRight(e.Output, "\n")
	}
	return s
}

// listOutputLimit bounds what is kept of a lister's text for its error.
const listOutputLimit = 256 << 10

// List runs a lister and takes from its stdout a packet for each test: those
// with the status exists. A lister that can't be started, exits with anything
// but 0, or writes no stream at all is an error.
func List(ctx context.Context, inst instance.Instance, cmd instance.Command) (Listing, error) {
	shown := strings.Join(cmd.Args, " ")
	p, err := inst.Start(ctx, cmd)
	if err != nil {
		return Listing{}, fmt.Errorf("list tests: %w", err)
	}
	if in := p.Stdin(); in != nil {
		_ = in.Close()
	}
	var stderr instance.Tail
	stderr.Limit = listOutputLimit
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = io.Copy(&stderr, p.Stderr()) })
	l := lister{seen: map[string]bool{}, text: instance.Tail{Limit: listOutputLimit}}
	readErr := l.read(p.Stdout())
	wg.Wait()
	status, err := p.Wait()
	switch {
	case ctx.Err() != nil:
		return Listing{}, fmt.Errorf("list tests: %w", context.Cause(ctx))
	case err != nil:
		return Listing{}, fmt.Errorf("list tests: %w", err)
	case readErr != nil:
		return Listing{}, fmt.Errorf("list tests: read from %s: %w", shown, readErr)
	case !status.Success():
		return Listing{}, &ListError{Command: shown, Status: status.String(), Code: status.Code,
			Output: l.text.String() + stderr.String()}
	}
	l.listing.Text = l.text.String() + stderr.String()
	return l.listing, nil
}

type lister struct {
	listing Listing
	seen    map[string]bool
	text    instance.Tail
}

func (l *lister) read(r io.Reader) error {
	pr := protocol.NewReader(r)
	for {
		p, err := pr.ReadPacket()
		var corrupt *protocol.CorruptError
		switch {
		case errors.As(err, &corrupt):
			l.listing.Packets = append(l.listing.Packets, event.FromCorrupt(corrupt)...)
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			_, _ = io.Copy(io.Discard, r)
			return err
		default:
			l.packet(p)
		}
	}
}

func (l *lister) packet(p *protocol.Packet) {
	if p.Has&protocol.HasFile != 0 {
		_, _ = l.text.Write(p.Content)
	}
	if p.Has&protocol.HasTestID == 0 {
		return
	}
	if p.Status != protocol.StatusExists {
		l.listing.Packets = append(l.listing.Packets, p)
		return
	}
	if l.seen[p.TestID] {
		l.listing.Duplicates = append(l.listing.Duplicates, p.TestID)
		return
	}
	l.seen[p.TestID] = true
	l.listing.Tests = append(l.listing.Tests, p.TestID)
}
