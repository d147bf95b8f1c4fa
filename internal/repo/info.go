package repo

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
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
// Partial, Command, Selection, Random, Seed, Host, User, Revision, Dirty and Profiles
// from its caller; the rest is the repository's.
type RunInfo struct {
	ID        int
	State     State
	Start     time.Time
	End       time.Time // of the last event, where nobody said
	Partial   bool      // of one of its profiles at least it updates the failing set instead of replacing it
	Listed    bool      // the run said what it was asked for
	Command   []string
	Selection []string // how its tests were chosen, in its caller's words; none: all there are
	Random    bool     // its order was random: that of Seed
	Seed      uint64
	Host      string
	User      string // who began it
	Revision  string // of what was tested
	Dirty     bool   // what was tested differed from Revision
	Why       string // why it ended, where its caller said so
	// Profiles are those that it is to cover, none meaning DefaultProfile alone; once it
	// is over, those that it says something about, if there are any, and with them, if it
	// was cut short and is no stream, the others. They are names: none is empty.
	Profiles  []string
	Events    uint64 // how many it has; 0 while it runs
	Counts    event.Counts
	Span      time.Duration // from the first to the last time in its packets, as far as these can be
	ByProfile []ProfileRun  // what it says about each of Profiles, in their order; none while it runs
}

// ProfileRun is what a run that is over says about one of its profiles.
type ProfileRun struct {
	Name    string
	Partial bool // it updates the failing set instead of replacing it
	Counts  event.Counts
	// Bytes is how much its events and tests take in the repository's file. The events of
	// several profiles lie together: of these it has its part in the number of tests. It is 0 in
	// runs of an earlier version of testr.
	Bytes int64
}

// Bytes is how much the run takes in the repository's file, but for what it has in common
// with others; 0 while it goes on.
func (i RunInfo) Bytes() (sum int64) {
	for _, p := range i.ByProfile {
		sum += p.Bytes
	}
	return sum
}

// Profile returns what the run says about a profile, and whether it says anything.
func (i RunInfo) Profile(name string) (ProfileRun, bool) {
	for _, p := range i.ByProfile {
		if p.Name == name {
			return p, true
		}
	}
	return ProfileRun{}, false
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
	State     State           `json:"state"`
	Start     time.Time       `json:"start"`
	End       time.Time       `json:"end,omitzero"`
	Partial   bool            `json:"partial,omitempty"`
	Listed    bool            `json:"listed,omitempty"`
	Command   []string        `json:"command,omitempty"`
	Selection []string        `json:"selection,omitempty"`
	Random    bool            `json:"random,omitempty"`
	Seed      uint64          `json:"seed,omitempty"`
	Host      string          `json:"host,omitempty"`
	User      string          `json:"user,omitempty"`
	Revision  string          `json:"revision,omitempty"`
	Dirty     bool            `json:"dirty,omitempty"`
	Why       string          `json:"why,omitempty"`
	Profiles  []string        `json:"profiles"`
	Events    uint64          `json:"events"`
	Counts    storedCounts    `json:"counts"`
	Span      int64           `json:"span,omitempty"` // nanoseconds
	ByProfile []storedProfile `json:"byprofile,omitempty"`
}

type storedProfile struct {
	Name    string       `json:"name"`
	Partial bool         `json:"partial,omitempty"`
	Counts  storedCounts `json:"counts"`
	Bytes   int64        `json:"bytes,omitempty"`
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

func (i *RunInfo) encode() ([]byte, error) {
	s := storedInfo{i.State, i.Start, i.End, i.Partial, i.Listed, i.Command, i.Selection, i.Random, i.Seed, i.Host,
		i.User, i.Revision, i.Dirty, i.Why, i.Profiles, i.Events, storedCounts(i.Counts), int64(i.Span), nil}
	for _, p := range i.ByProfile {
		s.ByProfile = append(s.ByProfile, storedProfile{p.Name, p.Partial, storedCounts(p.Counts), p.Bytes})
	}
	text, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("describe run %d: %w", i.ID, err)
	}
	return text, nil
}

func decodeInfo(id int, text []byte) (RunInfo, error) {
	var s storedInfo
	if err := json.Unmarshal(text, &s); err != nil {
		return RunInfo{}, fmt.Errorf("description of run %d: %w", id, err)
	}
	if s.State == StateInvalid || s.State > Interrupted || len(s.Profiles) == 0 {
		return RunInfo{}, fmt.Errorf("description of run %d: %w", id, errors.ErrUnsupported)
	}
	i := RunInfo{id, s.State, s.Start, s.End, s.Partial, s.Listed, s.Command, s.Selection, s.Random, s.Seed, s.Host,
		s.User, s.Revision, s.Dirty, s.Why, s.Profiles, s.Events, event.Counts(s.Counts), time.Duration(s.Span), nil}
	for _, p := range s.ByProfile {
		i.ByProfile = append(i.ByProfile, ProfileRun{p.Name, p.Partial, event.Counts(p.Counts), p.Bytes})
	}
	return i, nil
}

func placeOfInfo(id int) string { return "run " + strconv.Itoa(id) }

// putInfo stores the description of a run, and has the catalog name it.
func (r *Repository) putInfo(tx *bolt.Tx, c *catalog, info *RunInfo) error {
	value, err := info.encode()
	if err != nil {
		return err
	}
	b := tx.Bucket(bucketInfos)
	b.FillPercent = 0.9
	if err := b.Put(be64(uint64(info.ID)), value); err != nil {
		return fmt.Errorf("describe run %d: %w", info.ID, err)
	}
	ref := runRef{info.ID, checksum(placeOfInfo(info.ID), value)}
	if i, ok := c.run(info.ID); ok {
		c.runs[i] = ref
	} else {
		c.runs = slices.Insert(c.runs, i, ref)
	}
	return nil
}

// info returns the description of a run; the error wraps ErrNoRun if it isn't there.
func (r *Repository) info(tx *bolt.Tx, id int) (RunInfo, error) {
	c, err := r.catalog(tx)
	if err != nil {
		return RunInfo{}, err
	}
	i, ok := c.run(id)
	if !ok {
		return RunInfo{}, fmt.Errorf("run %d: %w", id, ErrNoRun)
	}
	return r.described(tx, c.runs[i])
}

// described returns the description that the catalog names.
func (r *Repository) described(tx *bolt.Tx, ref runRef) (RunInfo, error) {
	b := tx.Bucket(bucketInfos)
	if err := r.verifyOnce(tx, "infos", b, true); err != nil {
		return RunInfo{}, err
	}
	value := b.Get(be64(uint64(ref.id)))
	if err := (reference{true, ref.sum}).check(placeOfInfo(ref.id), value); err != nil {
		return RunInfo{}, r.damaged("%v", err)
	}
	info, err := decodeInfo(ref.id, value)
	if err != nil {
		return RunInfo{}, r.damaged("%v", err)
	}
	return info, nil
}

// infos returns the descriptions of all runs, in order.
func (r *Repository) infos(tx *bolt.Tx) ([]RunInfo, error) {
	c, err := r.catalog(tx)
	if err != nil {
		return nil, err
	}
	infos := make([]RunInfo, 0, len(c.runs))
	for _, ref := range c.runs {
		info, err := r.described(tx, ref)
		if err != nil {
			return nil, err
		}
		infos = append(infos, info)
	}
	return infos, nil
}

// latest returns the last run; the error is ErrNoRuns where there is none.
func (r *Repository) latest(tx *bolt.Tx) (RunInfo, error) {
	c, err := r.catalog(tx)
	switch {
	case err != nil:
		return RunInfo{}, err
	case len(c.runs) == 0:
		return RunInfo{}, ErrNoRuns
	}
	return r.described(tx, c.runs[len(c.runs)-1])
}
