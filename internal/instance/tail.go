package instance

import (
	"sync"
	"unicode/utf8"
)

// Tail keeps the end of what is written to it, for messages about whoever wrote
// it. Its methods may be called from any goroutine.
type Tail struct {
	// Limit is how many bytes are kept, if so many came; zero means 4 KiB. It is
	// not to be changed.
	Limit int

	mu   sync.Mutex
	kept []byte // guarded by mu
	cut  bool   // guarded by mu
}

// Write never fails.
func (t *Tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, b...)
	if over := len(t.kept) - t.limit(); over > t.limit() {
		t.kept = append(t.kept[:0], t.kept[over:]...)
		t.cut = true
	}
	return len(b), nil
}

func (t *Tail) limit() int {
	if t.Limit == 0 {
		return 4 << 10
	}
	return t.Limit
}

// String returns the last Limit bytes, from the first whole character on.
func (t *Tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	kept := t.kept[max(0, len(t.kept)-t.limit()):]
	if t.cut || len(kept) < len(t.kept) {
		for len(kept) > 0 && !utf8.RuneStart(kept[0]) {
			kept = kept[1:]
		}
	}
	return string(kept)
}

// Cut reports whether there was more than String returns.
func (t *Tail) Cut() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.cut || len(t.kept) > t.limit()
}
