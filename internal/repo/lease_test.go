package repo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"testr/internal/protocol"
)

func putLease(t testing.TB, r *Repository, l Lease) uint64 {
	t.Helper()
	key, err := r.PutLease(l)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// wantLeases wants these leases and no others.
func wantLeases(t *testing.T, r *Repository, want ...Lease) {
	t.Helper()
	got, err := r.Leases()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("leases (-want +got):\n%s", diff)
	}
}

func TestLeases(t *testing.T) {
	dir := newDir(t)
	r := openRepo(t, dir)
	wantLeases(t, r)
	if err := r.RemoveLease(1); err != nil {
		t.Errorf("remove what is not there: %v", err)
	}
	since := time.Now().UTC().Truncate(0)
	a := Lease{Section: "lab", ID: "a ü\n$(x)", Dispose: "put $INSTANCE_IDS", Dir: "/tmp", PID: 4711, Since: since}
	a.Key = putLease(t, r, a)
	b := Lease{PID: 1, Since: since}
	b.Key = putLease(t, r, b)
	wantLeases(t, r, a, b)
	a.Failure = strings.Repeat("no\n", 2000)
	if key := putLease(t, r, a); key != a.Key {
		t.Errorf("got key %d for that of %d", key, a.Key)
	}
	closeRepo(t, r)
	r = queryRepo(t, dir)
	wantLeases(t, r, a, b)
	closeRepo(t, r)

	r = openRepo(t, dir)
	for range 2 {
		if err := r.RemoveLease(b.Key); err != nil {
			t.Error(err)
		}
	}
	c := Lease{ID: "c", Since: since}
	if c.Key = putLease(t, r, c); c.Key == b.Key {
		t.Errorf("got key %d, which another one had", c.Key)
	}
	wantLeases(t, r, a, c)
	closeRepo(t, r)
	if _, err := r.PutLease(c); !errors.Is(err, ErrClosed) {
		t.Errorf("PutLease after Close: got %v; want %v", err, ErrClosed)
	}
	if err := r.RemoveLease(1); !errors.Is(err, ErrClosed) {
		t.Errorf("RemoveLease after Close: got %v; want %v", err, ErrClosed)
	}
}

func TestLeasesReadOnly(t *testing.T) {
	dir := newDir(t)
	closeRepo(t, openRepo(t, dir))
	r := queryRepo(t, dir)
	wantLeases(t, r)
	if _, err := r.PutLease(Lease{}); !errors.Is(err, berrors.ErrDatabaseReadOnly) {
		t.Errorf("got %v; want %v", err, berrors.ErrDatabaseReadOnly)
	}
}

// Leases come and go while a run's writer commits, each on disk when it is said
// to be.
func TestLeasesWhileARunGoesOn(t *testing.T) {
	r := newRepo(t)
	w, err := r.Begin(RunInfo{})
	if err != nil {
		t.Fatal(err)
	}
	var working sync.WaitGroup
	for g := range 4 {
		working.Go(func() {
			for n := range 20 {
				l := Lease{ID: fmt.Sprintf("%d-%d", g, n)}
				key, err := r.PutLease(l)
				if err == nil && n%2 == 0 {
					err = r.RemoveLease(key)
				}
				if _, leasesErr := r.Leases(); err != nil || leasesErr != nil {
					t.Errorf("got %v, %v", err, leasesErr)
				}
			}
		})
	}
	for _, e := range benchEvents(longIDs(2000)) {
		if err := w.Event(e); err != nil {
			t.Error(err)
		}
	}
	working.Wait()
	info, err := w.Close(End{State: Finished})
	if err != nil || info.Counts.Tests != 2000 {
		t.Errorf("got %d tests, %v; want 2000", info.Counts.Tests, err)
	}
	leases, err := r.Leases()
	if err != nil || len(leases) != 4*10 {
		t.Errorf("got %d leases, %v; want 40", len(leases), err)
	}
	if err := r.Check(context.Background()); err != nil {
		t.Error(err)
	}
}

// F24: a commit that fails is an error, and one that took effect all the same
// does no harm when it is done again.
func TestLeasesFailingCommit(t *testing.T) {
	broken := errors.New("injected")
	for _, step := range []string{"before", "after"} {
		r := newRepo(t)
		kept := Lease{ID: "kept"}
		kept.Key = putLease(t, r, kept)
		r.fault = func(s string) error {
			if s == step {
				return broken
			}
			return nil
		}
		if _, err := r.PutLease(Lease{ID: "new"}); !errors.Is(err, broken) {
			t.Errorf("%s: PutLease: got %v; want the error", step, err)
		}
		if err := r.RemoveLease(kept.Key); !errors.Is(err, broken) {
			t.Errorf("%s: RemoveLease: got %v; want the error", step, err)
		}
		r.fault = nil
		if err := r.RemoveLease(kept.Key); err != nil {
			t.Error(err)
		}
	}
}

// A repository that a process left which was killed has what was stored.
func TestLeasesAfterACrash(t *testing.T) {
	dir := newDir(t)
	r := openRepo(t, dir)
	w, err := r.Begin(RunInfo{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Event(status("a", protocol.StatusInProgress, 1)); err != nil {
		t.Fatal(err)
	}
	l := Lease{ID: "a"}
	l.Key = putLease(t, r, l)
	closeRepo(t, r) // which leaves the run as a crash does
	wantLeases(t, queryRepo(t, dir), l)
}

// S20: whatever stands in the place of the leases, it is damage, and nothing is lost
// by it.
func TestLeasesDamaged(t *testing.T) {
	good := Lease{ID: "a"}
	named := func(value string) func(tx *bolt.Tx, r *Repository) error {
		return func(tx *bolt.Tx, r *Repository) error {
			return errors.Join(tx.Bucket(bucketInstances).Put(keyLeases, []byte(value)),
				r.changeCatalog(tx, func(c *catalog) error {
					c.leases = refer(placeLeases, []byte(value))
					return nil
				}))
		}
	}
	for name, spoil := range map[string]func(tx *bolt.Tx, r *Repository) error{
		"missing": func(tx *bolt.Tx, _ *Repository) error { return tx.Bucket(bucketInstances).Delete(keyLeases) },
		"another id": func(tx *bolt.Tx, _ *Repository) error {
			b := tx.Bucket(bucketInstances)
			return b.Put(keyLeases, bytes.Replace(b.Get(keyLeases), []byte(`"id":"a"`), []byte(`"id":"c"`), 1))
		},
		"no JSON":         named("{"),
		"key 0":           named(`{"last":1,"leases":[{"key":0,"id":"a"}]}`),
		"twice":           named(`{"last":1,"leases":[{"key":1,"id":"a"},{"key":1,"id":"b"}]}`),
		"beyond the last": named(`{"last":1,"leases":[{"key":2,"id":"a"}]}`),
	} {
		dir := t.TempDir()
		if err := Init(dir); err != nil {
			t.Fatal(err)
		}
		r := openRepo(t, dir)
		putLease(t, r, good)
		putLease(t, r, good)
		if err := r.update(func(tx *bolt.Tx) error { return spoil(tx, r) }); err != nil {
			t.Fatal(err)
		}
		var damaged *DamagedError
		if _, err := r.Leases(); !errors.As(err, &damaged) {
			t.Errorf("%s: Leases: got %v; want a %T", name, err, damaged)
		}
		if err := r.Check(context.Background()); !errors.As(err, &damaged) {
			t.Errorf("%s: Check: got %v; want a %T", name, err, damaged)
		}
		if _, err := r.PutLease(good); !errors.As(err, &damaged) {
			t.Errorf("%s: PutLease: got %v; want a %T", name, err, damaged)
		}
	}
}
