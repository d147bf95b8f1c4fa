package worker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// lockPoll is how often a lock that somebody else holds is tried again. What is
// waited for takes a second or more.
const lockPoll = 20 * time.Millisecond

// once returns the path of a file that build makes, which was made before or is
// made now. Of all processes that ask for it one makes it and the others wait. A
// *goBuildError of build is remembered, any other error is not.
func (b *goBuilder) once(ctx context.Context, name string, build func(file string) error) (string, error) {
	if done, err := b.made(name); done {
		return b.path(name), err
	}
	unlock, err := b.lock(ctx, name)
	if err != nil {
		return "", err
	}
	defer unlock()
	return b.onceLocked(name, build)
}

// onceLocked is once for the one who holds the lock.
func (b *goBuilder) onceLocked(name string, build func(file string) error) (string, error) {
	if done, err := b.made(name); done {
		return b.path(name), err
	}
	part := b.path(name + ".part")
	if err := os.Remove(part); err != nil && !errors.Is(err, fs.ErrNotExist) { // of one who was killed
		return "", err
	}
	err := build(part)
	if failed, ok := errors.AsType[*goBuildError](err); ok {
		return "", errors.Join(err, b.remember(name, failed.output))
	}
	if err != nil {
		return "", err
	}
	return b.path(name), os.Rename(part, b.path(name))
}

// made reports whether the file is there, or how making it failed.
func (b *goBuilder) made(name string) (done bool, err error) {
	if _, err := os.Stat(b.path(name)); err == nil {
		return true, nil
	}
	output, err := os.ReadFile(b.path(name + ".failed"))
	if err != nil {
		return false, nil
	}
	return true, &goBuildError{output: output}
}

// remember keeps the output of what failed to make the file.
func (b *goBuilder) remember(name string, output []byte) error {
	part := b.path(name + ".part")
	if err := os.WriteFile(part, output, 0o600); err != nil {
		return fmt.Errorf("remember a failed build: %w", err)
	}
	return os.Rename(part, b.path(name+".failed"))
}

// lock takes the lock of a file. The system lets go of it when its holder dies.
func (b *goBuilder) lock(ctx context.Context, name string) (unlock func(), err error) {
	f, err := os.OpenFile(b.path(name+".lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return func() { _ = f.Close() }, nil
		case !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR):
			_ = f.Close()
			return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
		}
		timer := time.NewTimer(lockPoll)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			_ = f.Close()
			return nil, context.Cause(ctx)
		}
	}
}
