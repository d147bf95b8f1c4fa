package repo

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// holder is the file beside the repository in which the process that writes to
// it tells of itself. It is news for people: the lock decides, not this file.
type holder struct {
	dir string

	mu   sync.Mutex
	gone bool // the file was removed, for good; guarded by mu
}

func newHolder(dir string) *holder { return &holder{dir: dir} }

func (h *holder) path() string { return filepath.Join(h.dir, "holder") }

// write replaces the file as a whole, so that nobody reads half of one. The
// caller holds the lock, or has called remove. What goes wrong is not worth stopping for.
func (h *holder) write(b *BusyError) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.gone {
		return
	}
	text, err := json.Marshal(b)
	if err != nil {
		return
	}
	tmp := h.path() + ".new"
	_ = os.Remove(tmp)
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(tmp, h.path())
	}
	if err != nil {
		_ = os.Remove(tmp)
	}
}

// read returns what is known of the process that holds the repository.
func (h *holder) read() *BusyError {
	unknown := &BusyError{Run: -1}
	text, err := h.text()
	if err != nil {
		return unknown
	}
	b := &BusyError{Run: -1}
	if err := json.Unmarshal(text, b); err != nil || b.PID <= 0 {
		return unknown
	}
	// What a crash left says nothing about who holds the lock now.
	if err := syscall.Kill(b.PID, 0); errors.Is(err, syscall.ESRCH) {
		return unknown
	}
	return b
}

// text reads the file, which anybody may have put there: it may have no end, or be
// none that can be read.
func (h *holder) text() ([]byte, error) {
	f, err := os.OpenFile(h.path(), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > 1<<20 {
		return nil, errors.ErrUnsupported
	}
	return io.ReadAll(io.LimitReader(f, info.Size()))
}

// remove removes the file: from now on it is another process's.
func (h *holder) remove() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.gone = true
	_ = os.Remove(h.path())
}
