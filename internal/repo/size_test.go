package repo

import (
	"errors"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// takes returns how much the events and the columns of a run take in the file: of all
// its profiles, or its columns of one.
func takes(t testing.TB, r *Repository, run int, profile ...string) (size int64) {
	t.Helper()
	add := func(_, value []byte) error {
		size += int64(len(value))
		return nil
	}
	err := r.view(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketRuns).Bucket(be64(uint64(run)))
		columns := b.Bucket(bucketTests)
		if len(profile) > 0 {
			return columns.Bucket([]byte(profile[0])).ForEach(add)
		}
		err := b.Bucket(bucketEvents).ForEach(add)
		if err != nil {
			return err
		}
		return columns.ForEachBucket(func(name []byte) error { return columns.Bucket(name).ForEach(add) })
	})
	if err != nil {
		t.Fatal(err)
	}
	return size
}

// A profile has of the events that it shares its part in the number of tests, and
// nothing is lost in between; what a run takes is known of one that was cut short, too.
func TestBytes(t *testing.T) {
	dir := newDir(t)
	r := openRepo(t, dir)
	info := store(t, r, RunInfo{Profiles: []string{"x", "y", "z"}}, End{}, join(
		under("x", results([]string{"a", "b", "c"}, nil)...), under("y", results([]string{"a"}, nil)...),
		under("z", results([]string{"a", "b", "c"}, nil)...))...)
	all := takes(t, r, 0)
	events := all - takes(t, r, 0, "x") - takes(t, r, 0, "y") - takes(t, r, 0, "z")
	if got := info.Bytes(); got != all {
		t.Errorf("the run takes %d bytes; want %d", got, all)
	}
	for i, part := range []int64{3, 1, 3} {
		p := info.ByProfile[i]
		own, want := p.Bytes-takes(t, r, 0, p.Name), events*part/7
		if own < want-7 || own > want+7 {
			t.Errorf("profile %s has %d of %d bytes of events; want about %d", p.Name, own, events, want)
		}
	}
	stats, err := r.Stats()
	if err != nil || stats.ByProfile["y"].Bytes != info.ByProfile[1].Bytes || stats.Bytes <= all {
		t.Errorf("Stats: got %+v, %v", stats, err)
	}

	if info = store(t, r, RunInfo{}, End{}); info.Bytes() != takes(t, r, 1) {
		t.Errorf("a run without tests takes %d bytes; want %d", info.Bytes(), takes(t, r, 1))
	}
	w, err := r.Begin(RunInfo{})
	for _, e := range results([]string{"a"}, []string{"b"}) {
		err = errors.Join(err, w.Event(e))
	}
	if err = errors.Join(err, w.Sync()); err != nil {
		t.Fatal(err)
	}
	closeRepo(t, r)
	r = openRepo(t, dir)
	if info, err = r.Latest(); err != nil || info.State != Interrupted || info.Bytes() != takes(t, r, 2) {
		t.Errorf("a run that was cut short: got %+v, %v; want %d bytes", info, err, takes(t, r, 2))
	}
	if err := r.Check(t.Context()); err != nil {
		t.Error(err)
	}
}
