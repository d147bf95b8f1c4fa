package repo

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"testr/internal/event"
	"testr/internal/protocol"
)

const (
	// A group is committed when its first event is this old, or when it is this
	// large: whichever is first.
	groupDelay = 20 * time.Millisecond
	groupSize  = 512 << 10

	// maxPending is how much may wait for its commit before Event waits too.
	maxPending = 4 << 20

	// maxProfile is how long a profile's name may be.
	maxProfile = 1024

	// maxRecent is how much of what was committed stays in memory for cursors: as much
	// as two of the largest groups, so that who is busy with one doesn't miss the next.
	maxRecent = 2 * maxPending
)

// RunWriter stores the events of one run. It is an event.Sink, and like every
// one has Event called by one goroutine; the other methods may be called by any.
//
// It owns a goroutine that commits, which Close ends, and which has two more: one
// folds what is committed, one reads ids for the run's end.
type RunWriter struct {
	r    *Repository
	info RunInfo // the committing goroutine's until that has ended, then Close's
	tail chunk   // likewise: the events of the last chunk, which isn't full

	chunks   []chunkRef // likewise: those that are full
	last     chunkRef   // likewise: that of tail, as it was last stored
	progress progress   // likewise

	folded chan struct{} // likewise: closed when fold has what take gave it; nil before that
	fold   *fold         // of the goroutine that take starts; once that is joined, likewise

	wake chan struct{} // something waits for its commit, or the run is to be closed
	full chan struct{} // the group in the making shouldn't wait any longer
	over chan struct{} // closed when the committing goroutine has ended

	mu      sync.Mutex
	changed chan struct{} // closed, and replaced, when anything below changes; guarded by mu
	next    uint64        // guarded by mu, as all that follows
	pending []slab
	size    int       // of pending
	waiting time.Time // since when pending has something
	stored  uint64
	recent  []slab
	held    int // size of recent
	err     error
	closing bool
	closed  bool // nothing will be stored any more, and everything is
}

// Begin starts a run and returns the writer for its events. When it returns,
// the run is on disk as one that goes on. A run before it that could not be
// closed is closed first, as Open does.
func (r *Repository) Begin(info RunInfo) (*RunWriter, error) {
	info.Profiles = slices.Clone(info.Profiles)
	if len(info.Profiles) == 0 {
		info.Profiles = []string{DefaultProfile}
	}
	for i, name := range info.Profiles {
		if n := len(name); n == 0 || n > maxProfile || slices.Contains(info.Profiles[:i], name) {
			return nil, fmt.Errorf("begin a run of profiles %q: %w", info.Profiles, errors.ErrUnsupported)
		}
	}
	info.State, info.End, info.Events, info.Counts = Running, time.Time{}, 0, event.Counts{}
	info.Span, info.ByProfile = 0, nil
	w := &RunWriter{r: r, fold: newFold(), changed: make(chan struct{}),
		wake: make(chan struct{}, 1), full: make(chan struct{}, 1), over: make(chan struct{})}

	r.mu.Lock()
	if r.running != nil || r.readOnly {
		err := ErrRunning
		if r.readOnly {
			err = berrors.ErrDatabaseReadOnly
		}
		r.mu.Unlock()
		return nil, fmt.Errorf("begin a run: %w", err)
	}
	r.running = w
	r.mu.Unlock()

	err := r.recoverRun()
	if err == nil {
		err = r.update(func(tx *bolt.Tx) error { return r.begin(tx, &info) })
	}
	if err != nil {
		r.ended(w)
		close(w.over) // Repository.Close may wait for that already
		return nil, fmt.Errorf("begin a run: %w", err)
	}
	w.info = info
	r.mu.Lock()
	r.begun = w
	r.mu.Unlock()
	r.holder.write(&BusyError{PID: os.Getpid(), Run: info.ID, Since: info.Start, Command: info.Command})
	go w.commitGroups()
	return w, nil
}

// begin stores a run that has no events yet, under the next number.
func (r *Repository) begin(tx *bolt.Tx, info *RunInfo) error {
	c, err := r.catalog(tx)
	if err != nil {
		return err
	}
	if c.next >= maxRuns {
		return errors.New("there can't be more runs")
	}
	c = c.clone()
	info.ID = int(c.next)
	c.next++
	runs := tx.Bucket(bucketRuns)
	runs.FillPercent = 1
	run, err := runs.CreateBucket(be64(uint64(info.ID)))
	if err != nil {
		return err
	}
	_, errEvents := run.CreateBucket(bucketEvents)
	_, errTests := run.CreateBucket(bucketTests)
	err = errors.Join(errEvents, errTests, run.Put(keyProgress, new(progress).encode(info.ID)),
		r.putInfo(tx, c, info), r.putCatalog(tx, c))
	r.trust(info.ID)
	return err
}

// ended forgets the run that went on, if it was that one.
func (r *Repository) ended(w *RunWriter) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.running == w {
		r.running, r.begun = nil, nil
	}
}

// ID returns the run's number.
func (w *RunWriter) ID() int { return w.info.ID }

// Event takes the next event of the run and gives it its place in the order:
// e.Seq is not looked at. It returns before the event is stored, and waits only
// when very much is waiting already. After anything went wrong with storing,
// every call returns that error.
//
// An event that names very many tests is stored as several of its kind, in one
// transaction: whoever finds one of them finds all.
func (w *RunWriter) Event(e event.Event) error {
	if len(e.Profile) > maxProfile {
		return fmt.Errorf("the profile of an event has %d bytes: %w", len(e.Profile), errors.ErrUnsupported)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.size > maxPending && w.err == nil && !w.closing {
		w.wait()
	}
	switch {
	case w.err != nil:
		return w.err
	case w.closing:
		return ErrClosed
	}
	if len(w.pending) == 0 {
		w.waiting = time.Now()
		signal(w.wake)
	}
	if len(e.Tests) == 0 {
		w.append(e)
	} else {
		for _, part := range splitTests(e) {
			w.append(part)
		}
	}
	if w.size >= groupSize {
		signal(w.full)
	}
	return nil
}

// signal puts a token into a channel with room for one, unless one is there.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// wait waits for a change; w.mu is held before and after.
func (w *RunWriter) wait() {
	changed := w.changed
	w.mu.Unlock()
	<-changed
	w.mu.Lock()
}

// tell wakes all that wait for a change; w.mu is held.
func (w *RunWriter) tell() {
	close(w.changed)
	w.changed = make(chan struct{})
}

// Sync returns when every event that was taken before is on disk, or with the
// error that prevents it.
func (w *RunWriter) Sync() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for upTo := w.next; w.stored < upTo && w.err == nil; {
		signal(w.full)
		w.wait()
	}
	return w.err
}

// commitGroups commits what is pending, group by group, until the writer is
// closing and nothing is left, or until something goes wrong.
func (w *RunWriter) commitGroups() {
	defer close(w.over)
	known := w.r.warmIDs()
	defer func() {
		<-known
		w.join()
	}()
	timer := time.NewTimer(groupDelay)
	defer timer.Stop()
	for range w.wake {
		timer.Reset(w.patience())
		select {
		case <-w.full:
		case <-timer.C:
		}
		w.mu.Lock()
		group := w.pending
		w.pending, w.size = nil, 0
		last := w.closing
		w.mu.Unlock()

		good, err := w.commit(group)

		w.mu.Lock()
		w.remember(group, good)
		if w.err == nil {
			w.err = err
		}
		failed := w.err != nil
		w.tell()
		w.mu.Unlock()
		if last || failed {
			return
		}
	}
}

// patience is how long the group in the making may still wait: its first event may
// have waited for the commit of the group before it.
func (w *RunWriter) patience() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return max(0, groupDelay-time.Since(w.waiting))
}

// remember notes that the first events of a group are on disk, so many, and keeps
// them for cursors instead of what they have had for longest; w.mu is held.
func (w *RunWriter) remember(group []slab, stored int) {
	w.stored += uint64(stored)
	for _, s := range group {
		if s.events = s.events[:min(stored, len(s.events))]; len(s.events) == 0 {
			break
		}
		stored -= len(s.events)
		w.recent = append(w.recent, s)
		w.held += s.size
	}
	for w.held > maxRecent && len(w.recent) > 1 {
		w.held -= w.recent[0].size
		w.recent[0] = slab{} // the array behind recent lives on
		w.recent = w.recent[1:]
	}
}

// commit stores a group of events in one transaction and returns how many of
// them are on disk: all, those before one that can't be stored, or none.
func (w *RunWriter) commit(group []slab) (stored int, err error) {
	var full [][]byte
	p, before := w.progress, len(w.chunks)
	shut := func() {
		value := w.tail.value(w.r.codec)
		ref := referChunk(w.info.ID, w.tail.first, value)
		full, w.chunks = append(full, value), append(w.chunks, ref)
		p.add(ref)
		w.tail.reset()
	}
	for e := range eventsOf(group) {
		if w.tail.count > 0 && len(w.tail.raw)+sizeOnDisk(e) > chunkSize {
			shut()
		}
		if err = w.tail.add(*e); err != nil {
			break
		}
		stored++
		if len(w.tail.raw) >= chunkSize {
			shut()
		}
	}
	if stored == 0 {
		return 0, err
	}
	p.events, p.tail = w.tail.first+uint64(w.tail.count), reference{}
	var tail []byte
	if w.tail.count > 0 {
		tail = w.tail.value(w.r.codec)
		w.last = referChunk(w.info.ID, w.tail.first, tail)
		p.tail = reference{true, w.last.sum}
	}
	w.progress = p
	w.take(group, stored)
	failed := w.r.update(func(tx *bolt.Tx) error {
		run := tx.Bucket(bucketRuns).Bucket(be64(uint64(w.info.ID)))
		chunks := run.Bucket(bucketEvents)
		chunks.FillPercent = 1
		for i, value := range full {
			if err := chunks.Put(be64(w.chunks[before+i].first), value); err != nil {
				return err
			}
		}
		if err := run.Put(keyProgress, p.encode(w.info.ID)); err != nil {
			return err
		}
		if tail == nil {
			return run.Delete(keyTail)
		}
		return run.Put(keyTail, tail)
	})
	if failed != nil {
		return 0, fmt.Errorf("store events of run %d: %w", w.info.ID, failed)
	}
	return stored, err
}

// take gives the fold the first events of a group, so many, in a goroutine of its own: while
// the disk works, and after that, if there is much. It waits for that of the group before.
func (w *RunWriter) take(group []slab, n int) {
	w.join()
	folded := make(chan struct{})
	w.folded = folded
	go func() {
		defer close(folded)
		for e := range eventsOf(group) {
			if n--; n < 0 {
				return
			}
			w.fold.take(*e)
		}
	}()
}

// join waits until the fold has everything that take gave it.
func (w *RunWriter) join() {
	if w.folded != nil {
		<-w.folded
	}
}

// End is what the caller of RunWriter.Close knows of a run's end.
type End struct {
	State    State                 // Finished or Interrupted
	Time     time.Time             // when it ended; zero means: with its last event
	Why      string                // why it ended, for people
	Profiles map[string]ProfileEnd // by their names
}

// ProfileEnd is what the caller of RunWriter.Close knows of one of a run's profiles.
type ProfileEnd struct {
	Partial bool     // the run turned out to be one there, whatever Begin was told
	Listing []string // all ids there are, in order, if the run got to know; it is kept for the next one
}

// Close stores what is still to be stored: the last events, what they say of
// each test, the failing set, timing, listing and how the run ended. All of the
// latter becomes visible at once. When Close returns nil it is on disk; else
// the run is left unfinished, and the next Open closes it as interrupted.
// Cursors get io.EOF after it. Closing again does nothing, and returns ErrClosed.
//
// A run that was interrupted is partial for all of its profiles, and one that asked
// for a profile's tests and has no outcome for one of them is for that, whatever End
// says. Its profiles are, from now on, those of which it has tests or a listing.
func (w *RunWriter) Close(end End) (RunInfo, error) {
	first, err := w.shut(nil)
	if !first {
		return RunInfo{}, fmt.Errorf("close run %d: %w", w.info.ID, ErrClosed)
	}
	if err == nil {
		err = w.finish(end)
	}
	w.mu.Lock()
	if w.err == nil {
		w.err = err
	}
	w.closed = true
	w.tell()
	w.mu.Unlock()
	if err == nil {
		w.r.holder.write(&BusyError{PID: os.Getpid(), Run: -1, Since: w.info.End})
	}
	w.r.ended(w)
	if err != nil {
		return RunInfo{}, fmt.Errorf("close run %d: %w", w.info.ID, err)
	}
	return w.info, nil
}

// finish closes the run once everything of it is stored.
func (w *RunWriter) finish(end End) error {
	for name := range end.Profiles {
		if n := len(name); n == 0 || n > maxProfile {
			return fmt.Errorf("profile %q: %w", name, errors.ErrUnsupported)
		}
	}
	w.info.State, w.info.End, w.info.Why = end.State, end.Time, end.Why
	chunks := w.chunks
	if w.progress.tail.there {
		chunks = append(chunks, w.last)
	}
	return w.r.finish(&w.info, w.fold, chunks, end.Profiles)
}

// shut has the committing goroutine store what is pending and end, and returns when
// it has, with the error of storing. A reason is that error from now on, if there is
// none before. Calls after the first one change nothing.
func (w *RunWriter) shut(reason error) (first bool, err error) {
	w.mu.Lock()
	if first = !w.closing; first {
		w.closing = true
		if w.err == nil {
			w.err = reason
		}
		w.tell()
	}
	w.mu.Unlock()
	signal(w.full)
	signal(w.wake)
	<-w.over
	w.mu.Lock()
	defer w.mu.Unlock()
	return first, w.err
}

// packetOf returns the packet of an event that has one with a test id.
func packetOf(e event.Event) *protocol.Packet {
	if p := e.Packet; p != nil && p.Has&protocol.HasTestID != 0 {
		return p
	}
	return nil
}
