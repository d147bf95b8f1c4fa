package relay

import (
	"io"
	"sync/atomic"
	"time"
)

const (
	// askEvery is how long nothing may be heard of a relay before it is asked
	// whether it is alive.
	askEvery = 5 * time.Second
	// maxSilence is for how many times as long it may leave that unanswered. A
	// connection notices by itself when the machine is gone; this is for a relay
	// that stands still on one that answers, and it may be a slow one.
	maxSilence = 12
)

// pulse finds out that a relay says nothing any more. What counts is octets, so
// that whatever is on its way shows that the relay lives, however slowly it
// comes; and time is counted in beats, so that none passes while this process
// stands still.
type pulse struct {
	heard atomic.Int64 // octets that came
	taken atomic.Int64 // octets that went

	// What belongs to the goroutine that calls beat.
	lastHeard, lastTaken int64
	asked                <-chan struct{} // closed when the question was written; nil if none is open
	silent               int             // beats since, or since something went before it
}

// beat is called every askEvery. It reports whether the relay is to be asked,
// by a question for which asked is to be set, and whether it is given up.
func (p *pulse) beat() (ask, over bool) {
	heard, taken := p.heard.Load(), p.taken.Load()
	came, went := heard != p.lastHeard, taken != p.lastTaken
	p.lastHeard, p.lastTaken = heard, taken
	switch {
	case came:
		p.asked, p.silent = nil, 0
		return false, false
	case p.asked == nil:
		return true, false
	case went && !closed(p.asked): // the question waits behind what is written before it
		p.silent = 0
		return false, false
	}
	p.silent++
	return false, p.silent >= maxSilence
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// from is r, with what is read counted.
func (p *pulse) from(r io.Reader) io.Reader { return &pulseReader{r, p} }

type pulseReader struct {
	io.Reader
	pulse *pulse
}

// Read is io.Reader's.
func (r *pulseReader) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	r.pulse.heard.Add(int64(n))
	return n, err
}

// to is w, with what is written counted.
func (p *pulse) to(w io.WriteCloser) io.WriteCloser { return &pulseWriter{w, p} }

type pulseWriter struct {
	io.WriteCloser
	pulse *pulse
}

// Write writes in pieces: a long one would look as if nothing went.
func (w *pulseWriter) Write(b []byte) (written int, err error) {
	for written < len(b) && err == nil {
		var n int
		n, err = w.WriteCloser.Write(b[written:min(len(b), written+maxWrite)])
		w.pulse.taken.Add(int64(n))
		written += n
	}
	return written, err
}
