package repo

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"

	bolt "go.etcd.io/bbolt"

	"testr/internal/event"
	"testr/internal/protocol"
)

// What format 1 had: a key for every id, name, entry of a failing set and lease, the
// description of a run in the run's bucket, no catalog, and no history.
var (
	oldBucketNames = []byte("names")
	oldKeyNextRun  = []byte("next-run")
	oldKeyInfo     = []byte("info")

	oldBuckets = [][]byte{bucketMeta, oldBucketNames, bucketIDs, bucketRuns, bucketFailing, bucketTiming, bucketListing}
)

// verifyOld is verify for a file of format 1, all of which is read.
func (r *Repository) verifyOld(tx *bolt.Tx) error {
	meta := tx.Bucket(bucketMeta)
	if meta.Get(keyIndex) != nil {
		return r.damaged("it has an index, which format 1 doesn't know")
	}
	if err := r.verify(tx); err != nil {
		return err
	}
	for _, name := range oldBuckets {
		if err := r.verifyOnce(tx, "old "+string(name), tx.Bucket(name), true); err != nil {
			return err
		}
	}
	if b := tx.Bucket(bucketInstances); b != nil {
		return r.verifyOnce(tx, "old instances", b, true)
	}
	return nil
}

// upgrade makes a file of format 1 one of this format, in one transaction. Events
// and columns stay where they are.
func (r *Repository) upgrade() error {
	err := r.update(func(tx *bolt.Tx) error {
		u := upgrade{r: r, tx: tx, c: &catalog{}}
		for _, step := range []func() error{u.readIDs, u.readRuns, u.readFailing, u.readLeases, u.write} {
			if err := step(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("bring the repository to format %d: %w", formatVersion, err)
	}
	r.mu.Lock()
	clear(r.verified) // of what is no more
	r.mu.Unlock()
	return r.checkFormat()
}

// upgrade is what a file of format 1 says.
type upgrade struct {
	r  *Repository
	tx *bolt.Tx
	c  *catalog

	ids     []string
	runs    []oldRun
	failing map[string][]failingEntry // by profile
	leases  storedLeases
}

// oldRun is a run of format 1, and what is new of it.
type oldRun struct {
	info     RunInfo
	parts    parts
	progress progress
	history  []said
}

// readIDs reads the ids and their numbers, which have to agree.
func (u *upgrade) readIDs() error {
	names := u.tx.Bucket(oldBucketNames)
	err := u.tx.Bucket(bucketIDs).ForEach(func(number, id []byte) error {
		u.ids = append(u.ids, string(id))
		if !bytes.Equal(number, be64(uint64(len(u.ids)))) || !bytes.Equal(names.Get(oldNameKey(string(id))), number) {
			return u.r.damaged("test %x and its name don't agree", number)
		}
		return nil
	})
	count := 0
	if err == nil {
		err = names.ForEach(func(_, _ []byte) error {
			count++
			return nil
		})
	}
	if err == nil && count != len(u.ids) {
		err = u.r.damaged("there are %d ids and %d names", len(u.ids), count)
	}
	return err
}

// oldNameKey returns the key under which the number of a test id is stored.
func oldNameKey(id string) []byte {
	const long = 512
	if len(id) <= long {
		return append([]byte{0}, id...)
	}
	sum := sha256.Sum256([]byte(id))
	return append([]byte{1}, sum[:]...)
}

func (u *upgrade) readRuns() error {
	next, err := getBE64(u.tx.Bucket(bucketMeta), oldKeyNextRun)
	if err != nil || next > maxRuns {
		return u.r.damaged("the number of the next run: %d, %v", next, err)
	}
	u.c.next = next
	all := u.tx.Bucket(bucketRuns)
	return all.ForEach(func(key, value []byte) error {
		if len(key) != 8 || value != nil || binary.BigEndian.Uint64(key) != uint64(len(u.runs)) {
			return u.r.damaged("a run has the key %x", key) // none was ever removed
		}
		run := all.Bucket(key)
		info, err := oldInfo(len(u.runs), run.Get(oldKeyInfo))
		if err != nil {
			return u.r.damaged("%v", err)
		}
		old := oldRun{info: info, parts: parts{columns: map[string][]uint32{}}}
		if err := errors.Join(u.readChunks(run, &old), u.readTests(run, &old)); err != nil {
			return err
		}
		u.runs = append(u.runs, old)
		if info.State == Running && len(u.runs) != int(next) || len(u.runs) > int(next) {
			return u.r.damaged("run %d is there, and the next one is %d", info.ID, next)
		}
		return nil
	})
}

// oldInfo reads the description of a run, which had its checksum behind it.
func oldInfo(id int, value []byte) (RunInfo, error) {
	text, err := oldSealed(value)
	if err != nil {
		return RunInfo{}, fmt.Errorf("description of run %d: %w", id, err)
	}
	info, err := decodeInfo(id, text)
	if err != nil {
		return RunInfo{}, err
	}
	if len(info.Profiles) != 1 || info.ByProfile != nil {
		return RunInfo{}, fmt.Errorf("description of run %d: it has %d profiles", id, len(info.Profiles))
	}
	if info.State != Running {
		info.ByProfile = []ProfileRun{{Name: info.Profiles[0], Partial: info.Partial, Counts: info.Counts}}
	}
	return info, nil
}

func oldSealed(value []byte) ([]byte, error) {
	n := len(value) - 4
	if n < 0 || binary.BigEndian.Uint32(value[n:]) != crc32.ChecksumIEEE(value[:n]) {
		return nil, errors.New("wrong checksum")
	}
	return value[:n], nil
}

// readChunks notes which chunks a run has. Their numbers have to follow each other.
func (u *upgrade) readChunks(run *bolt.Bucket, old *oldRun) error {
	id, next := old.info.ID, uint64(0)
	count := func(value []byte) bool {
		d := decoder{b: value}
		first, n := d.uvarint(), d.uvarint()
		ok := !d.bad && first == next && n > 0
		next += n
		return ok
	}
	events, tail := run.Bucket(bucketEvents), run.Get(keyTail)
	if events == nil {
		return u.r.damaged("run %d has no events", id)
	}
	err := events.ForEach(func(key, value []byte) error {
		if !bytes.Equal(key, be64(next)) || !count(value) {
			return u.r.damaged("run %d has no event %d", id, next)
		}
		ref := referChunk(id, binary.BigEndian.Uint64(key), value)
		old.parts.chunks = append(old.parts.chunks, ref)
		old.progress.add(ref)
		return nil
	})
	if err != nil {
		return err
	}
	if tail != nil {
		first := next
		if old.info.State != Running || !count(tail) {
			return u.r.damaged("run %d has no event %d", id, first)
		}
		old.progress.tail = reference{true, referChunk(id, first, tail).sum}
	}
	old.progress.events = next
	if old.info.State != Running && next != old.info.Events {
		return u.r.damaged("run %d has %d events instead of %d", id, next, old.info.Events)
	}
	return nil
}

// readTests reads what a run that is over says of its tests.
func (u *upgrade) readTests(run *bolt.Bucket, old *oldRun) error {
	id, profile := old.info.ID, old.info.Profiles[0]
	if old.info.State == Running {
		return nil
	}
	var b *bolt.Bucket
	if all := run.Bucket(bucketTests); all != nil {
		b = all.Bucket([]byte(profile))
	}
	if b == nil {
		return u.r.damaged("run %d has no tests of %s", id, profile)
	}
	sums, asked, size := []uint32{}, 0, &old.info.ByProfile[0].Bytes
	for _, c := range old.parts.chunks {
		*size += int64(c.size)
	}
	err := b.ForEach(func(key, value []byte) error {
		if !bytes.Equal(key, be64(uint64(len(sums)))) {
			return u.r.damaged("run %d: tests have the key %x", id, key)
		}
		sums = append(sums, checksum(placeOfColumns(id, profile, len(sums)), value))
		*size += int64(len(value))
		raw, err := u.r.codec.unpack(value, nil)
		if err != nil {
			return u.r.damaged("run %d: %v", id, err)
		}
		c, err := decodeTests(raw)
		if err != nil {
			return u.r.damaged("run %d: %v", id, err)
		}
		t := new(event.Test)
		for i, number := range c.ids {
			if c.test(i, t); t.Asked {
				asked++
			}
			if number == 0 || number > uint64(len(u.ids)) {
				return u.r.damaged("run %d: no test has the number %d", id, number)
			}
			if t.Runnable || t.Asked {
				old.history = append(old.history, newSaid(number, t))
			}
		}
		return nil
	})
	if err == nil && asked != old.info.Counts.Asked {
		err = u.r.damaged("run %d asked for %d tests, and has %d of them", id, old.info.Counts.Asked, asked)
	}
	slices.SortFunc(old.history, func(a, b said) int { return cmp.Compare(a.number, b.number) })
	old.history = slices.CompactFunc(old.history, func(a, b said) bool { return a.number == b.number })
	old.parts.columns[profile] = sums
	return err
}

func (u *upgrade) readFailing() error {
	u.failing = map[string][]failingEntry{}
	all := u.tx.Bucket(bucketFailing)
	return all.ForEachBucket(func(name []byte) error {
		set := []failingEntry{}
		err := all.Bucket(name).ForEach(func(key, value []byte) error {
			e, err := oldFailing(value)
			if err != nil || len(key) != 8 || e.Run >= len(u.runs) || binary.BigEndian.Uint64(key) > uint64(len(u.ids)) {
				return u.r.damaged("failing set of %q: an entry can't be read", name)
			}
			set = append(set, failingEntry{binary.BigEndian.Uint64(key), e})
			return nil
		})
		u.failing[string(name)] = set
		return err
	})
}

func oldFailing(value []byte) (Failing, error) {
	d := decoder{b: value}
	f := Failing{Run: d.number(), Status: protocol.Status(d.byte()), FirstSeq: d.uvarint()}
	f.LastSeq = f.FirstSeq + d.uvarint()
	f.NotRun = d.string()
	if d.bad || len(d.b) > 0 || f.Status > protocol.StatusXFail {
		return Failing{}, errors.New("an entry can't be read")
	}
	return f, nil
}

func (u *upgrade) readLeases() error {
	b := u.tx.Bucket(bucketInstances)
	if b == nil {
		return nil
	}
	u.leases.Last = b.Sequence()
	return b.ForEach(func(key, value []byte) error {
		var l storedLease
		text, err := oldSealed(value)
		if err == nil {
			err = json.Unmarshal(text, &l)
		}
		if err != nil || len(key) != 8 || binary.BigEndian.Uint64(key) > u.leases.Last {
			return u.r.damaged("instance %x: %v", key, err)
		}
		l.Key = binary.BigEndian.Uint64(key)
		u.leases.Leases = append(u.leases.Leases, l)
		return nil
	})
}

// write replaces what has another form now.
func (u *upgrade) write() error {
	meta := u.tx.Bucket(bucketMeta)
	errs := []error{u.tx.DeleteBucket(oldBucketNames), u.tx.DeleteBucket(bucketIDs), u.tx.DeleteBucket(bucketFailing),
		meta.Delete(oldKeyNextRun), meta.Put(keyFormat, be64(formatVersion))}
	if u.tx.Bucket(bucketInstances) != nil {
		errs = append(errs, u.tx.DeleteBucket(bucketInstances))
	}
	for _, name := range topBuckets {
		_, err := u.tx.CreateBucketIfNotExists(name)
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if len(u.ids) > 0 {
		// In the order of their numbers, which they keep.
		if err := u.r.addIDs(u.tx, u.c, u.ids); err != nil {
			return err
		}
	}
	if err := putLeases(u.tx, u.c, u.leases); err != nil {
		return err
	}
	for i := range u.runs {
		if err := u.writeRun(&u.runs[i]); err != nil {
			return err
		}
	}
	if err := u.writeProfiles(); err != nil {
		return err
	}
	return u.r.putCatalog(u.tx, u.c)
}

func (u *upgrade) writeRun(old *oldRun) error {
	id := old.info.ID
	run := u.tx.Bucket(bucketRuns).Bucket(be64(uint64(id)))
	if err := errors.Join(run.Delete(oldKeyInfo), u.r.putInfo(u.tx, u.c, &old.info)); err != nil {
		return err
	}
	if old.info.State == Running {
		return run.Put(keyProgress, old.progress.encode(id))
	}
	p := old.info.ByProfile[0]
	u.c.addProfile(p.Name).noteRun(id, p)
	return errors.Join(run.Put(keyParts, old.parts.encode(id)), u.r.putHistory(u.tx, id, p.Name, old.history))
}

// writeProfiles stores the failing sets, and notes what stays as it is.
func (u *upgrade) writeProfiles() error {
	for name, set := range u.failing {
		if err := u.r.putFailing(u.tx, u.c.addProfile(name), set); err != nil {
			return err
		}
	}
	for _, bucket := range [][]byte{bucketTiming, bucketListing} {
		err := u.tx.Bucket(bucket).ForEach(func(key, value []byte) error {
			name := string(key)
			if value == nil {
				return u.r.damaged("%s has no value", placeOf(bucket, name))
			}
			ref := refer(placeOf(bucket, name), value)
			if p := u.c.addProfile(name); bytes.Equal(bucket, bucketTiming) {
				p.timing = ref
			} else {
				p.listing = ref
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
