package repo

import (
	"cmp"
	"slices"

	bolt "go.etcd.io/bbolt"
)

// FlakyTest is a test that didn't always do the same, though what was tested was
// the same.
type FlakyTest struct {
	ID       string
	Runs     int // that have an outcome for it
	Passes   int // of Runs; those in a later attempt too
	Failures int // of Runs
	Retries  int // of Passes: the first attempt failed
	// Flips is how often it did another thing than in the run of the same revision
	// before, and how often it passed in a later attempt.
	Flips     int
	Revisions []string // at which it both passed and failed, or passed in a later attempt; sorted
	LastFail  int      // last run in which an attempt failed
}

// Flaky returns the tests of a profile that both passed and failed in runs of the
// same revision, or passed in a later attempt at them; those with the most flips
// first, then those that failed most often.
//
// What two runs say can be compared if both know their revision and neither was
// dirty. Others count for themselves: only later attempts tell that a test is
// flaky. Runs that were removed are forgotten.
func (r *Repository) Flaky(profile string) ([]FlakyTest, error) {
	var found []FlakyTest
	err := r.view(func(tx *bolt.Tx) error {
		c, err := r.catalog(tx)
		if err != nil {
			return err
		}
		if c.profile(profile) == nil {
			return nil
		}
		infos, err := r.infos(tx)
		if err != nil {
			return err
		}
		if _, err := r.numbers(tx, c); err != nil { // there are as many ids as it says
			return err
		}
		h := newTurns(c.tests)
		var raw []byte
		for _, same := range byRevision(infos, profile) {
			for _, info := range same {
				if raw, err = r.history(tx, c, info.ID, profile, raw, func(s said) { h.take(info.ID, s) }); err != nil {
					return err
				}
			}
			h.revision(same[0].Revision)
		}
		var numbers []uint64
		found, numbers = h.flaky()
		ids, err := r.names(tx, numbers)
		for i, id := range ids {
			found[i].ID = id
		}
		return err
	})
	slices.SortFunc(found, func(a, b FlakyTest) int {
		return cmp.Or(cmp.Compare(b.Flips, a.Flips), cmp.Compare(b.Failures, a.Failures), cmp.Compare(a.ID, b.ID))
	})
	return found, err
}

// byRevision returns the runs that cover a profile, those together that can be
// compared, in their order.
func byRevision(infos []RunInfo, profile string) [][]RunInfo {
	var all [][]RunInfo
	at := map[string]int{}
	for _, info := range infos {
		if _, ok := info.Profile(profile); !ok {
			continue
		}
		i, ok := at[info.Revision]
		if info.Revision == "" || info.Dirty {
			all = append(all, []RunInfo{info})
			continue
		}
		if !ok {
			i = len(all)
			at[info.Revision] = i
			all = append(all, nil)
		}
		all[i] = append(all[i], info)
	}
	return all
}

// The bits of what a test did at the current revision.
const (
	turnPassed = 1 << iota
	turnFailed
	turnAgain   // passed in a later attempt
	turnFailing // the last run failed
)

// turns counts how often tests turned from passing to failing and back. Every
// test has a place in its slices, by its number.
type turns struct {
	now      []byte // what it did at the current revision
	touched  []uint64
	runs     []int32
	failures []int32
	passes   []int32
	more     map[uint64]*FlakyTest // of those that are flaky
	lastFail []int
}

func newTurns(tests uint64) *turns {
	n := tests + 1
	return &turns{now: make([]byte, n), runs: make([]int32, n), failures: make([]int32, n), passes: make([]int32, n),
		lastFail: make([]int, n), more: map[uint64]*FlakyTest{}}
}

// take takes what the next run of the current revision said of a test.
func (h *turns) take(run int, s said) {
	fails, passes := failedBits(s.bits), passedBits(s.bits)
	if s.status() == 0 && !fails {
		return // it did not run
	}
	h.runs[s.number]++
	again := passes && s.bits&saidAgain != 0
	if again || fails {
		h.lastFail[s.number] = max(h.lastFail[s.number], run)
	}
	if !fails && !passes {
		return // skipped
	}
	now := h.now[s.number]
	if now == 0 {
		h.touched = append(h.touched, s.number)
	}
	if fails {
		h.failures[s.number]++
		if now&turnPassed != 0 && now&turnFailing == 0 {
			h.of(s.number).Flips++
		}
		h.now[s.number] = now | turnFailed | turnFailing
		return
	}
	h.passes[s.number]++
	if now&turnFailing != 0 {
		h.of(s.number).Flips++
	}
	now = now&^turnFailing | turnPassed
	if again {
		t := h.of(s.number)
		t.Flips++
		t.Retries++
		now |= turnAgain
	}
	h.now[s.number] = now
}

// of returns what is known of a test that turned out to be flaky.
func (h *turns) of(number uint64) *FlakyTest {
	t := h.more[number]
	if t == nil {
		t = new(FlakyTest)
		h.more[number] = t
	}
	return t
}

// revision ends the current revision, which has that name.
func (h *turns) revision(name string) {
	for _, number := range h.touched {
		now := h.now[number]
		if both := byte(turnPassed | turnFailed); name != "" && (now&turnAgain != 0 || now&both == both) {
			t := h.of(number)
			if at, ok := slices.BinarySearch(t.Revisions, name); !ok {
				t.Revisions = slices.Insert(t.Revisions, at, name)
			}
		}
		h.now[number] = 0
	}
	h.touched = h.touched[:0]
}

// flaky returns the flaky tests and their numbers, by which they are ordered.
func (h *turns) flaky() ([]FlakyTest, []uint64) {
	numbers := make([]uint64, 0, len(h.more))
	for number := range h.more {
		numbers = append(numbers, number)
	}
	slices.Sort(numbers)
	found := make([]FlakyTest, len(numbers))
	for i, number := range numbers {
		t := h.more[number]
		t.Runs, t.Failures, t.Passes = int(h.runs[number]), int(h.failures[number]), int(h.passes[number])
		t.LastFail = h.lastFail[number]
		found[i] = *t
	}
	return found, numbers
}
