package tree

import (
	"context"
	"errors"
	"io"
	"sync"

	"testr/internal/instance"
)

// errCut is why a link is cut.
var errCut = errors.New("the link was cut")

// faulty is an instance that is lost, with all that runs there, when so many
// bytes were written to its commands. Each command that is started counts as
// one byte.
type faulty struct {
	instance.Instance
	cut context.CancelCauseFunc // nil: the instance is lost; else this is called

	mu    sync.Mutex
	left  int64
	total int64 // bytes that were written
	lost  bool
	kill  []context.CancelFunc
}

// Start starts a command, unless the instance is lost.
func (f *faulty) Start(ctx context.Context, command instance.Command) (instance.Process, error) {
	ctx, cancel := context.WithCancel(ctx)
	f.mu.Lock()
	f.kill = append(f.kill, cancel)
	f.mu.Unlock()
	if f.spend(1) {
		cancel()
		return nil, f.loss()
	}
	p, err := f.Instance.Start(ctx, command)
	if err != nil {
		cancel()
		return nil, err
	}
	return &faultyProcess{Process: p, f: f}, nil
}

func (f *faulty) loss() error { return &instance.LostError{Instance: f.ID(), Err: errCut} }

// spend counts bytes, and says whether the instance is lost.
func (f *faulty) spend(n int64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.total += n
	f.left -= n
	if f.left < 0 && !f.lost {
		if f.cut != nil {
			f.cut(errCut)
		} else {
			f.lost = true
			for _, kill := range f.kill {
				kill()
			}
		}
	}
	return f.lost
}

type faultyProcess struct {
	instance.Process
	f *faulty
}

// Stdin counts what is written.
func (p *faultyProcess) Stdin() io.WriteCloser { return &faultyInput{p.Process.Stdin(), p.f} }

// Wait tells of the loss.
func (p *faultyProcess) Wait() (instance.ExitStatus, error) {
	status, err := p.Process.Wait()
	if p.f.spend(0) {
		return instance.ExitStatus{}, p.f.loss()
	}
	return status, err
}

type faultyInput struct {
	io.WriteCloser
	f *faulty
}

// Write writes the first half when the link is cut in the middle of it.
func (i *faultyInput) Write(b []byte) (int, error) {
	i.f.mu.Lock()
	left := i.f.left
	i.f.mu.Unlock()
	if left < int64(len(b)) && left > 0 {
		_, _ = i.WriteCloser.Write(b[:left])
	}
	if i.f.spend(int64(len(b))) {
		return 0, io.ErrClosedPipe
	}
	if left < int64(len(b)) && left > 0 {
		n, err := i.WriteCloser.Write(b[left:])
		return n + int(left), err
	}
	return i.WriteCloser.Write(b)
}
