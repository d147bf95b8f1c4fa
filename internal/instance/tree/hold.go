package tree

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"testr/internal/instance"
)

const (
	// lockPause is the time between two looks at a lock that somebody has.
	lockPause = 300 * time.Millisecond
	// lockPatience is how long somebody may have it.
	lockPatience = 10 * time.Minute

	// maxRecord is more than the names of any tree, in bytes.
	maxRecord = 256 << 20
)

// hold is the holdScript while it runs, and so the lock on the directory.
//
// Two goroutines belong to it, started by there.hold and joined by close: one
// reads standard error, one waits for the end of the script and cancels the sync
// if that comes early. The rest belongs to the goroutine that calls Sync.
type hold struct {
	there   *there
	process instance.Process
	out     *bufio.Reader
	joined  sync.WaitGroup
	release chan struct{} // closed when the script may end

	ended  chan struct{} // closed when stderr, status and err are set
	stderr instance.Tail
	status instance.ExitStatus
	err    error

	has    map[string]bool // the tools that are there
	synced []string        // the names that syncs have brought
}

// hold starts to get the lock. cancel is called with the reason when it is lost.
func (t *there) hold(ctx context.Context, cancel context.CancelCauseFunc) (*hold, error) {
	p, err := t.inst.Start(ctx, t.command(holdScript))
	if err != nil {
		return nil, err
	}
	h := &hold{
		there: t, process: p, out: bufio.NewReader(p.Stdout()),
		release: make(chan struct{}), ended: make(chan struct{}), has: make(map[string]bool),
	}
	var reading sync.WaitGroup
	reading.Go(func() { _, _ = io.Copy(&h.stderr, p.Stderr()) })
	h.joined.Go(func() {
		h.status, h.err = p.Wait()
		reading.Wait()
		close(h.ended)
		select {
		case <-h.release:
		default:
			cancel(h.failure())
		}
	})
	return h, nil
}

// failure says why the script ended.
func (h *hold) failure() error {
	if h.err != nil {
		return fmt.Errorf("lock the directory: %w", h.err)
	}
	return fmt.Errorf("lock the directory: %s%s", h.status, explain(&h.stderr))
}

// broken explains an error of talking to the script: by the end of the sync, if
// that was asked for, or else by the script's own end.
func (h *hold) broken(ctx context.Context, err error) error {
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("lock the directory: %w", err)
	}
	select {
	case <-h.ended: // it has closed its output
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return h.failure()
}

// wait waits for the lock, and reads what the script knows. It tells of who has
// the lock.
func (h *hold) wait(ctx context.Context, waiting func(owner string)) error {
	if err := h.talk(ctx, waiting); err != nil {
		return h.broken(ctx, err)
	}
	return nil
}

func (h *hold) talk(ctx context.Context, waiting func(owner string)) error {
	if err := skipNoise(h.out, h.there.mark); err != nil {
		return err
	}
	var since time.Time
	for {
		line, err := readLine(h.out)
		if err != nil {
			return err
		}
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "busy":
			if since.IsZero() {
				since = time.Now()
			}
			owner := ownerName(rest)
			if time.Since(since) >= lockPatience {
				return fmt.Errorf("another sync, %s, has been at work in it for %s; if it is not, remove %s/.testr/sync there",
					owner, lockPatience, h.there.dir)
			}
			waiting(owner)
			if err := h.again(ctx); err != nil {
				return err
			}
		case "locked":
		case "has":
			h.has[rest] = true
		case "synced":
			return h.readSynced(rest)
		default:
			return fmt.Errorf("it answers %q", line)
		}
	}
}

// again has the script look again, after a pause.
func (h *hold) again(ctx context.Context) error {
	timer := time.NewTimer(lockPause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	_, err := io.WriteString(h.process.Stdin(), "again\n")
	if err != nil {
		return io.ErrUnexpectedEOF // its end says more
	}
	return nil
}

// ownerName is who has a lock, of what stands in it.
func ownerName(owner string) string {
	fields := strings.Fields(owner)
	if len(fields) != 5 {
		return "an unknown process"
	}
	return fmt.Sprintf("process %s on %s", fields[3], fields[0])
}

func (h *hold) readSynced(size string) error {
	n, err := strconv.Atoi(size)
	if err != nil || n < 0 || n > maxRecord {
		return fmt.Errorf("its .testr/synced has %q bytes; if it is no file of testr's, remove it", size)
	}
	record := make([]byte, n)
	if _, err := io.ReadFull(h.out, record); err != nil {
		return noEOF(err)
	}
	h.synced = parseSynced(record)
	return nil
}

// keep makes the names of this sync the record.
func (h *hold) keep(ctx context.Context) error {
	if _, err := io.WriteString(h.process.Stdin(), "keep\n"); err != nil {
		return h.broken(ctx, io.ErrUnexpectedEOF)
	}
	switch line, err := readLine(h.out); {
	case err != nil:
		return h.broken(ctx, err)
	case line != "kept":
		return fmt.Errorf("lock the directory: it answers %q", line)
	}
	return nil
}

// close gives the lock back. The error is that of a script that didn't end well.
func (h *hold) close() error {
	close(h.release)
	_ = h.process.Stdin().Close()
	_, _ = io.Copy(io.Discard, h.out)
	h.joined.Wait()
	if h.err != nil || !h.status.Success() {
		return h.failure()
	}
	return nil
}
