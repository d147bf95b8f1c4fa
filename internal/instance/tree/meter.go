package tree

import "time"

// meterPause is the least time between two calls of Options.Progress.
const meterPause = 100 * time.Millisecond

// meter counts what is sent, and tells it now and then. It belongs to the
// goroutine that called Sync.
type meter struct {
	tell func(Progress) // nil: nobody wants to know
	now  Progress
	last time.Time
}

func (m *meter) add(files int, bytes int64) {
	m.now.Files += files
	m.now.Bytes += bytes
	if m.tell != nil && time.Since(m.last) >= meterPause {
		m.flush()
	}
}

// flush tells it at once.
func (m *meter) flush() {
	if m.tell != nil {
		m.last = time.Now()
		m.tell(m.now)
	}
}
