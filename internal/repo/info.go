package repo

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	bolt "go.etcd.io/bbolt"

	"testr/internal/event"
)

// State says how a run stands.
type State uint8

// The states. Their numbers are stored, so they never change.
const (
	StateInvalid State = iota
	// Running: events may still come, or a crash cut the run short.
	Running
	// Finished: the run came to its end.
	Finished
	// Interrupted: somebody or something stopped the run before its end.
	Interrupted
)

// String returns the state's name.
func (s State) String() string {
	if s > Interrupted {
		s = StateInvalid
	}
	return [...]string{"invalid", "running", "finished", "interrupted"}[s]
}

// RunInfo is what is known of a run without its events. Begin takes Start,
// Partial, Command, Selection, Random, Seed, Host, Revision and Profiles from its
// caller; the rest is the repository's.
type RunInfo struct {
	ID        int
	State     State
	Start     time.Time
	End       time.Time // of the last event, where nobody said
	Partial   bool      // the run updates the failing set instead of replacing it
	Listed    bool      // the run said what it was asked for
	Command   []string
	Selection []string // how its tests were chosen, in its caller's words; none: all there are
	Random    bool     // its order was random: that of Seed
	Seed      uint64
	Host      string
	Revision  string
	Profiles  []string // none means DefaultProfile alone
	Events    uint64   // how many it has; 0 while it runs
	Counts    event.Counts
	Span      time.Duration // from the first to the last time in its packets, as far as these can be
}

// Duration is the time that the run took, or zero while it isn't over.
func (i RunInfo) Duration() time.Duration {
	if i.End.IsZero() {
		return 0
	}
	return max(i.End.Sub(i.Start), 0)
}

// storedInfo is RunInfo as it is stored: names that don't change with the code.
type storedInfo struct {
	State     State        `json:"state"`
	Start     time.Time    `json:"start"`
	End       time.Time    `json:"end,omitzero"`
	Partial   bool         `json:"partial,omitempty"`
	Listed    bool         `json:"listed,omitempty"`
	Command   []string     `json:"command,omitempty"`
	Selection []string     `json:"selection,omitempty"`
	Random    bool         `json:"random,omitempty"`
	Seed      uint64       `json:"seed,omitempty"`
	Host      string       `json:"host,omitempty"`
	Revision  string       `json:"revision,omitempty"`
	Profiles  []string     `json:"profiles"`
	Events    uint64       `json:"events"`
	Counts    storedCounts `json:"counts"`
	Span      int64        `json:"span,omitempty"` // nanoseconds
}

type storedCounts struct {
	Asked      int `json:"asked"`
	Tests      int `json:"tests"`
	Passed     int `json:"passed"`
	Skipped    int `json:"skipped"`
	XFailed    int `json:"xfailed"`
	Flaky      int `json:"flaky,omitempty"`
	Failed     int `json:"failed"`
	UxSuccess  int `json:"uxsuccess"`
	InProgress int `json:"inprogress"`
	NotRun     int `json:"notrun"`
	NotAsked   int `json:"notasked"`

	Interrupted bool `json:"interrupted,omitempty"`
}

// encode returns the run's description with a checksum behind it.
func (i *RunInfo) encode() ([]byte, error) {
	text, err := json.Marshal(storedInfo{i.State, i.Start, i.End, i.Partial, i.Listed, i.Command,
		i.Selection, i.Random, i.Seed, i.Host, i.Revision, i.Profiles, i.Events, storedCounts(i.Counts), int64(i.Span)})
	if err != nil {
		return nil, fmt.Errorf("describe run %d: %w", i.ID, err)
	}
	return binary.BigEndian.AppendUint32(text, crc32.ChecksumIEEE(text)), nil
}

func decodeInfo(id int, value []byte) (RunInfo, error) {
	n := len(value) - 4
	if n < 0 || binary.BigEndian.Uint32(value[n:]) != crc32.ChecksumIEEE(value[:n]) {
		return RunInfo{}, fmt.Errorf("description of run %d: wrong checksum", id)
	}
	var s storedInfo
	if err := json.Unmarshal(value[:n], &s); err != nil {
		return RunInfo{}, fmt.Errorf("description of run %d: %w", id, err)
	}
	if s.State == StateInvalid || s.State > Interrupted || len(s.Profiles) == 0 {
		return RunInfo{}, fmt.Errorf("description of run %d: %w", id, errors.ErrUnsupported)
	}
	return RunInfo{id, s.State, s.Start, s.End, s.Partial, s.Listed, s.Command, s.Selection, s.Random, s.Seed,
		s.Host, s.Revision, s.Profiles, s.Events, event.Counts(s.Counts), time.Duration(s.Span)}, nil
}

// What stands in a run's bucket.
var (
	keyInfo      = []byte("info")
	keyTail      = []byte("tail")
	bucketEvents = []byte("events")
	bucketTests  = []byte("tests")
)

// run returns the bucket of a run. Its own pages are verified, those of the
// buckets in it are not: see part.
func (r *Repository) run(tx *bolt.Tx, id int) (*bolt.Bucket, error) {
	key := be64(uint64(id))
	b := tx.Bucket(bucketRuns).Bucket(key)
	if id < 0 || b == nil {
		return nil, fmt.Errorf("run %d: %w", id, ErrNoRun)
	}
	return b, r.verifyOnce(tx, fmt.Sprintf("runs/%d", id), b, false)
}

// part returns one of the buckets of a run, its pages verified.
func (r *Repository) part(tx *bolt.Tx, id int, name []byte) (*bolt.Bucket, error) {
	run, err := r.run(tx, id)
	if err != nil {
		return nil, err
	}
	b := run.Bucket(name)
	return b, r.verifyOnce(tx, fmt.Sprintf("runs/%d/%s", id, name), b, true)
}

func (r *Repository) info(tx *bolt.Tx, id int) (RunInfo, error) {
	b, err := r.run(tx, id)
	if err != nil {
		return RunInfo{}, err
	}
	info, err := decodeInfo(id, b.Get(keyInfo))
	if err != nil {
		return RunInfo{}, r.damaged("%v", err)
	}
	return info, nil
}

// latest returns the number of the last run, or -1.
func (r *Repository) latest(tx *bolt.Tx) (int, error) {
	key, _ := tx.Bucket(bucketRuns).Cursor().Last()
	if key == nil {
		return -1, nil
	}
	return r.runID(tx, key)
}

// runID returns the number of a run by its key, which a cursor came upon. Where
// keys are out of order it may not be found again.
func (r *Repository) runID(tx *bolt.Tx, key []byte) (int, error) {
	if len(key) != 8 || key[0] >= 0x80 || tx.Bucket(bucketRuns).Bucket(key) == nil {
		return 0, r.damaged("a run has the key %x", key)
	}
	return int(binary.BigEndian.Uint64(key)), nil
}
