package repo

import (
	"errors"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"testr/internal/protocol"
)

// A reader that began before ids were added finds those that there were then, whatever
// others have read since.
func TestIDsOfAnOlderState(t *testing.T) {
	r := newRepo(t)
	store(t, r, RunInfo{}, End{}, outcome("a", protocol.StatusSuccess, 1, 2)...)
	err := r.view(func(tx *bolt.Tx) error {
		c, err := r.catalog(tx)
		if err != nil {
			return err
		}
		store(t, r, RunInfo{}, End{}, outcome("b", protocol.StatusSuccess, 1, 2)...)
		if _, err := r.Tests(1, DefaultProfile, 0); err != nil { // it reads the same block
			return err
		}
		num, err := r.numbers(tx, c)
		if len(num) != 1 || num["a"] != 1 {
			t.Errorf("got %v; want a alone", num)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if known, err := r.Outcomes(DefaultProfile, "b"); err != nil || len(known) != 1 {
		t.Errorf("got %v, %v; want one run of b", known, err)
	}
}

// An id that no block could be read with is refused, and harms nothing.
func TestEndlessID(t *testing.T) {
	r := newRepo(t)
	store(t, r, RunInfo{}, End{}, outcome("a", protocol.StatusSuccess, 1, 2)...)
	endless := strings.Repeat("x", maxRaw)
	if err := r.Adopt(DefaultProfile, []string{endless}, "gone", nil); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Adopt: got %v; want it refused", err)
	}
	w, err := r.Begin(RunInfo{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Close(End{State: Finished, Profiles: listed([]string{endless})})
	if !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Close: got %v; want it refused", err)
	}
	store(t, r, RunInfo{}, End{}, outcome("b", protocol.StatusSuccess, 1, 2)...)
}
