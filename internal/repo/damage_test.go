package repo

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"

	"testr/internal/event"
	"testr/internal/protocol"
)

// sample is the bytes of a repository with a few runs, the last one unfinished
// if crashed says so.
func sample(t *testing.T, crashed bool) []byte {
	t.Helper()
	dir := t.TempDir()
	if err := Init(dir); err != nil {
		t.Fatal(err)
	}
	r := openRepo(t, dir)
	ids := longIDs(120)
	for range 3 {
		store(t, r, RunInfo{}, End{Profiles: listed(ids)}, benchEvents(ids)...)
	}
	store(t, r, RunInfo{}, End{}, file("big", "f", noise(100<<10)), status("big", protocol.StatusFail, 1))
	for _, id := range ids[:40] {
		putLease(t, r, Lease{ID: id, Dispose: "put $INSTANCE_IDS", Dir: dir, PID: 1, Since: epoch})
	}
	if crashed {
		w, err := r.Begin(RunInfo{})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range benchEvents(ids[:50]) {
			if err := w.Event(e); err != nil {
				t.Fatal(err)
			}
		}
	}
	closeRepo(t, r)
	b, err := os.ReadFile(filepath.Join(dir, DirName, FileName))
	if err != nil {
		t.Fatal(err)
	}
	return b[:used(t, dir)] // what bbolt has in reserve is nothing but zeros
}

// used returns how many bytes of a repository's file are in use.
func used(t *testing.T, dir string) (size int64) {
	t.Helper()
	r, err := open(dir, filepath.Join(dir, DirName, FileName), true, lockTimeout)
	if err == nil {
		err = r.view(func(tx *bolt.Tx) error {
			size = tx.Size()
			return nil
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	closeRepo(t, r)
	return size
}

// dirWith returns a directory with those bytes as its repository.
func dirWith(t testing.TB, b []byte) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, DirName), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, DirName, FileName), b, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestNotARepository(t *testing.T) {
	good := sample(t, false)
	newer := func() []byte {
		dir := dirWith(t, good)
		db, err := bolt.Open(filepath.Join(dir, DirName, FileName), 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = db.Update(func(tx *bolt.Tx) error { return tx.Bucket(bucketMeta).Put(keyFormat, be64(formatVersion+1)) })
		if err = errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(dir, DirName, FileName))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}()
	for _, test := range []struct {
		name string
		b    []byte
		want any
	}{
		{"empty", nil, new(*DamagedError)},
		{"no bbolt file", []byte(strings.Repeat("hello\n", 9000)), new(*DamagedError)},
		{"five bytes", []byte("hello"), new(*DamagedError)},
		{"zeros", make([]byte, 64<<10), new(*DamagedError)},
		{"cut short", good[:len(good)/2&^4095], new(*DamagedError)},
		{"a newer format", newer, new(*FormatError)}, // F21
	} {
		for how, open := range map[string]func(string) (*Repository, error){"Open": Open, "OpenReadOnly": OpenReadOnly} {
			dir := dirWith(t, test.b)
			r, err := open(dir)
			if err == nil {
				closeRepo(t, r)
			}
			if !errors.As(err, test.want) {
				t.Errorf("%s: %s: got %v; want a %T", test.name, how, err, test.want)
			}
			if b, err := os.ReadFile(filepath.Join(dir, DirName, FileName)); err != nil || !bytes.Equal(b, test.b) {
				t.Errorf("%s: %s changed the file", test.name, how)
			}
		}
	}
}

func TestNotThere(t *testing.T) {
	dir := t.TempDir()
	var missing *NotFoundError
	for _, dir := range []string{dir, filepath.Join(dir, "nothing")} {
		if _, err := Open(dir); !errors.As(err, &missing) || missing.Dir != dir {
			t.Errorf("Open: got %v", err)
		}
		if _, err := OpenReadOnly(dir); !errors.As(err, &missing) {
			t.Errorf("OpenReadOnly: got %v", err)
		}
	}
	if entries, err := os.ReadDir(dir); len(entries) != 0 || err != nil {
		t.Errorf("opening made %v, %v", entries, err)
	}
	var exists *ExistsError
	if err := errors.Join(Init(dir), Init(dir)); !errors.As(err, &exists) {
		t.Errorf("Init twice: got %v", err)
	}
	if err := Init(filepath.Join(dir, "nothing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Init in no directory: got %v", err)
	}
	if entries, err := os.ReadDir(filepath.Join(dir, DirName)); len(entries) != 1 || err != nil {
		t.Errorf("Init left %v, %v", entries, err)
	}
}

// childQuery asks everything of every repository whose directory stands on a
// line of its standard input, and answers each with a line: a word for every
// question, which is the answer's hash, or "damaged".
func childQuery(string) int {
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		answers := askAll(in.Text())
		_, _ = fmt.Fprintln(os.Stdout, strings.Join(answers, " "))
	}
	return 0
}

// replies are hashes of what a repository says.
type replies []string

// add notes an answer. An error that is none of ours is one, too.
func (a *replies) add(question string, answer any, err error) {
	var damaged *DamagedError
	var format *FormatError
	switch {
	case err == nil:
		h := fnv.New64a()
		_, _ = fmt.Fprintf(h, "%+v", answer)
		*a = append(*a, fmt.Sprintf("%s=%x", question, h.Sum64()))
	case errors.As(err, &damaged) || errors.As(err, &format):
		*a = append(*a, question+"=damaged")
	default:
		*a = append(*a, fmt.Sprintf("%s=%q", question, strings.ReplaceAll(err.Error(), " ", "_")))
	}
}

// askAll asks everything of the repository in dir, and stores a run.
func askAll(dir string) (all replies) {
	r, err := OpenReadOnly(dir)
	all.add("open", nil, err)
	if err != nil {
		return all
	}
	runs, err := r.Runs()
	for i := range runs {
		if runs[i].State == Interrupted {
			runs[i].End = time.Time{} // by the clock of whoever closed it
		}
	}
	all.add("runs", runs, err)
	for _, profile := range []string{DefaultProfile, "other"} {
		failing, err := r.Failing(profile)
		all.add("failing", failing, err)
		timing, err := r.Timing(profile)
		all.add("timing", timing, err)
		listing, err := r.Listing(profile)
		all.add("listing", listing, err)
		flaky, err := r.Flaky(profile)
		all.add("flaky", flaky, err)
	}
	profiles, err := r.Profiles()
	all.add("profiles", profiles, err)
	stats, err := r.Stats()
	stats.Bytes, stats.Time = 0, 0
	all.add("stats", stats, err)
	leases, err := r.Leases()
	all.add("leases", leases, err)
	latest, err := r.Latest()
	latest.End = time.Time{}
	all.add("latest", latest, err)
	for _, info := range runs {
		all.run(r, info.ID)
	}
	all.add("close", nil, r.Close())
	all.add("write", nil, writeSome(dir))
	return all
}

// run asks everything about one run.
func (a *replies) run(r *Repository, id int) {
	for _, profile := range []string{DefaultProfile, "other"} {
		var all []event.Test
		tests, err := r.Tests(id, profile, 0)
		for _, t := range tests {
			all = append(all, *t)
		}
		a.add("tests", all, err)
	}
	f, err := r.foldRun(context.Background(), id)
	if err == nil {
		a.add("events", []any{f.Counts(), f.events, f.last}, nil)
	} else {
		a.add("events", nil, err)
	}
	excerpt := []string{}
	err = r.Excerpt(id, Wanted{Beside: true}, func(e event.Event) error {
		excerpt = append(excerpt, fmt.Sprint(e.Seq, e.Kind, e.Tests, e.Detail))
		return nil
	})
	a.add("excerpt", excerpt, err)
}

// writeSome stores a run and changes leases.
func writeSome(dir string) (err error) {
	r, err := Open(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	key, err := r.PutLease(Lease{ID: "new"})
	errs := []error{err}
	if leases, err := r.Leases(); err == nil && len(leases) > 0 {
		errs = append(errs, r.RemoveLease(leases[0].Key), r.RemoveLease(key))
	}
	w, err := r.Begin(RunInfo{})
	if err == nil {
		for _, e := range benchEvents(longIDs(10)) {
			errs = append(errs, w.Event(e))
		}
		_, err = w.Close(End{State: Finished})
	}
	return errors.Join(append(errs, err)...)
}

// asker is a process that is asked about repositories.
type asker struct {
	t     *testing.T
	stdin io.WriteCloser
	out   *bufio.Reader
	cmd   *exec.Cmd
}

func newAsker(t *testing.T) *asker {
	t.Helper()
	cmd := child(t.Context(), t, "query", "")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return &asker{t, stdin, bufio.NewReader(stdout), cmd}
}

// ask asks everything of a file, which the name is for.
func (a *asker) ask(name string, b []byte) []string {
	a.t.Helper()
	dir := dirWith(a.t, b)
	if _, err := fmt.Fprintln(a.stdin, dir); err != nil {
		a.t.Fatal(err)
	}
	line, err := a.out.ReadString('\n')
	if err != nil {
		a.t.Fatalf("%s: the process died: %v, %v", name, err, a.cmd.Wait())
	}
	if err := os.RemoveAll(dir); err != nil {
		a.t.Fatal(err)
	}
	return strings.Fields(line)
}

func (a *asker) close() {
	a.t.Helper()
	if err := errors.Join(a.stdin.Close(), a.cmd.Wait()); err != nil {
		a.t.Error(err)
	}
}

// S20: files with flipped bits, overwritten numbers, pages that stand elsewhere, or
// cut short are answered with a *DamagedError or as if they were whole; never with
// less, a panic, a fault or a recursion without end. TESTR_MUTANTS makes more of
// them.
func TestMutants(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv("TESTR_MUTANTS"))
	if err != nil {
		n = 200
	}
	files := layouts(t)
	a := newAsker(t)
	defer a.close()
	damaged, unseen := 0, 0
	want := make([][]string, len(files))
	for i, b := range files {
		want[i] = a.ask("a whole file", b)
		if answer := strings.Join(want[i], " "); strings.Contains(answer, "damaged") || strings.Contains(answer, `"`) {
			t.Fatalf("layout %d: %s", i, answer)
		}
	}
	for i := range n {
		layout := i % len(files)
		what := fmt.Sprintf("mutant %d of layout %d", i, layout)
		got := a.ask(what, mutate(rand.New(rand.NewPCG(uint64(i), 20)), files[layout]))
		switch wrong := unlike(want[layout], got); {
		case wrong != "":
			t.Errorf("%s: %s", what, wrong)
		case strings.Contains(strings.Join(got, " "), "damaged"):
			damaged++
		default:
			unseen++
		}
	}
	t.Logf("%d of %d mutants were found to be damaged", damaged, n)
	if damaged < n/4 || unseen < n/100 {
		t.Errorf("%d of %d mutants were found to be damaged, %d not", damaged, n, unseen)
	}
}

// unlike returns the first answer that is neither as it should be nor "damaged".
func unlike(want, got []string) string {
	for i, answer := range got {
		question, what, _ := strings.Cut(answer, "=")
		if what != "damaged" && (i >= len(want) || want[i] != answer) {
			return fmt.Sprintf("%s: answer %d is another one: %s", question, i, answer)
		}
		if what == "damaged" && (question == "open" || question == "runs") {
			return "" // what follows can't be compared, or isn't there
		}
	}
	if len(got) < len(want) {
		return "answers are missing"
	}
	return ""
}

// layouts are files of different shapes: with runs of several profiles, one that was
// cut short, one with many ids and large chunks, one of which runs were removed.
func layouts(t *testing.T) [][]byte {
	t.Helper()
	dir := t.TempDir()
	if err := Init(dir); err != nil {
		t.Fatal(err)
	}
	r := openRepo(t, dir)
	ids := longIDs(1500)
	for i := range 4 {
		events := benchEvents(ids[:300*(i+2)])
		for k := range 6 {
			events = append(events, file(ids[k], "f", noise(30<<10+k+i)))
		}
		for _, e := range benchEvents(ids[i*100 : 700]) {
			e.Profile = "other"
			events = append(events, e)
		}
		ends := listed(ids)
		ends["other"] = ProfileEnd{Listing: ids[:700]}
		store(t, r, RunInfo{Revision: "abc", Partial: i%2 > 0}, End{Profiles: ends}, events...)
	}
	closeRepo(t, r)
	b, err := os.ReadFile(filepath.Join(dir, DirName, FileName))
	if err != nil {
		t.Fatal(err)
	}
	return [][]byte{sample(t, false), sample(t, true), b[:used(t, dir)]}
}

// Whatever single key, value or bucket is gone, or stands in the place of its
// neighbour, it is damage or not missed: nothing is believed to be nothing because
// it isn't found.
func TestVanished(t *testing.T) {
	a := newAsker(t)
	defer a.close()
	for i, b := range [][]byte{sample(t, false), sample(t, true)} {
		want := a.ask("whole", b)
		damaged := 0
		var paths [][][]byte
		edit(t, b, func(tx *bolt.Tx) error {
			paths = pathsOf(tx.Cursor().Bucket(), nil)
			return nil
		})
		for n, path := range paths {
			for how, spoil := range map[string]func(*bolt.Bucket, []byte) error{"gone": vanish, "a neighbour": neighbour} {
				what := fmt.Sprintf("file %d: %q is %s", i, path, how)
				spoilt := edit(t, b, func(tx *bolt.Tx) error {
					in := tx.Cursor().Bucket()
					for _, name := range path[:len(path)-1] {
						in = in.Bucket(name)
					}
					return spoil(in, path[len(path)-1])
				})
				if bytes.Equal(spoilt, b) || how == "a neighbour" && n%3 > 0 {
					continue
				}
				got := a.ask(what, spoilt)
				if wrong := unlike(want, got); wrong != "" {
					t.Errorf("%s: %s", what, wrong)
				}
				if strings.Contains(strings.Join(got, " "), "damaged") {
					damaged++
				}
			}
		}
		if len(paths) < 50 || damaged < len(paths)/2 {
			t.Errorf("file %d: %d things were seen to be damaged, of %d", i, damaged, len(paths))
		}
	}
}

// edit changes a copy of a file in a transaction.
func edit(t *testing.T, b []byte, fn func(tx *bolt.Tx) error) []byte {
	t.Helper()
	dir := dirWith(t, b)
	path := filepath.Join(dir, DirName, FileName)
	db, err := bolt.Open(path, 0o600, &bolt.Options{NoGrowSync: true})
	if err != nil {
		t.Fatal(err)
	}
	db.NoSync, db.AllocSize = true, 4096
	if err := errors.Join(db.Update(fn), db.Close()); err != nil {
		t.Fatal(err)
	}
	edited, err := os.ReadFile(path)
	if err = errors.Join(err, os.RemoveAll(dir)); err != nil {
		t.Fatal(err)
	}
	return edited
}

// pathsOf returns the paths of all keys and buckets in a bucket.
func pathsOf(b *bolt.Bucket, at [][]byte) (all [][][]byte) {
	_ = b.ForEach(func(key, value []byte) error { // it has no errors but ours
		path := append(slices.Clone(at), bytes.Clone(key))
		all = append(all, path)
		if value == nil {
			all = append(all, pathsOf(b.Bucket(key), path)...)
		}
		return nil
	})
	return all
}

func vanish(b *bolt.Bucket, key []byte) error {
	if b.Bucket(key) != nil {
		return b.DeleteBucket(key)
	}
	return b.Delete(key)
}

// neighbour gives a key the value of the one before it, if that has one.
func neighbour(b *bolt.Bucket, key []byte) error {
	c := b.Cursor()
	c.Seek(key)
	_, value := c.Prev()
	if value == nil || b.Bucket(key) != nil {
		return nil
	}
	return b.Put(key, bytes.Clone(value))
}

// mutate returns a copy of a file with something wrong in it.
func mutate(rnd *rand.Rand, b []byte) []byte {
	b = bytes.Clone(b)
	const page = 4096
	switch rnd.IntN(7) {
	case 0:
		return b[:rnd.IntN(len(b))]
	case 1: // anywhere
		for range 1 + rnd.IntN(8) {
			b[rnd.IntN(len(b))] ^= 1 << rnd.IntN(8)
		}
	case 2: // in the heads and tables of pages
		for range 1 + rnd.IntN(4) {
			b[rnd.IntN(len(b)/page)*page+rnd.IntN(96)] ^= 1 << rnd.IntN(8)
		}
	case 3: // a page over another
		from, to := rnd.IntN(len(b)/page), 2+rnd.IntN(len(b)/page-2)
		copy(b[to*page:(to+1)*page], b[from*page:(from+1)*page])
	case 4: // a small number, such as that of a page, where one may be
		at := 2*page + rnd.IntN(len(b)/16-page)*16/2&^7
		copy(b[min(at, len(b)-8):], []byte{byte(rnd.IntN(len(b) / page)), 0, 0, 0, 0, 0, 0, 0})
	case 5: // a page that was never written
		at := rnd.IntN(len(b) / page)
		clear(b[at*page : (at+1)*page])
	case 6: // very many bits
		for range 1000 {
			b[rnd.IntN(len(b))] ^= 1 << rnd.IntN(8)
		}
	}
	return b
}

// A branch page that has itself below it would have bbolt recurse until the
// process dies.
func TestCycle(t *testing.T) {
	dir := newDir(t)
	r := openRepo(t, dir)
	var events []event.Event
	for i := range 12 {
		events = append(events, file("a", "f", noise(90<<10+i)))
	}
	store(t, r, RunInfo{}, End{}, events...)
	closeRepo(t, r)
	b, err := os.ReadFile(filepath.Join(dir, DirName, FileName))
	if err != nil {
		t.Fatal(err)
	}
	b = b[:used(t, dir)]
	found := 0
	for at := 2 * 4096; at < len(b); at += 4096 {
		if b[at+8] != flagBranch || b[at+9] != 0 {
			continue
		}
		found++
		for e := at + pageHead; e < at+pageHead+elemSize*int(b[at+10]); e += elemSize {
			copy(b[e+8:e+16], b[at:at+8])
		}
	}
	if found == 0 {
		t.Fatal("the sample has no branch pages")
	}
	a := newAsker(t)
	defer a.close()
	if got := strings.Join(a.ask("a cycle", b), " "); !strings.Contains(got, "excerpt=damaged") {
		t.Errorf("got %s; want damage", got)
	}
}

// F24: whichever commit fails, whether it took effect or not, some call says
// so, and nothing is lost that was said to be stored.
func TestFailingCommit(t *testing.T) {
	broken := errors.New("injected")
	for _, step := range []string{"before", "after"} {
		for n := 1; ; n++ {
			dir := newDir(t)
			r := openRepo(t, dir)
			left := n
			r.fault = func(s string) error {
				if s == step {
					left--
				}
				if s == step && left == 0 {
					return broken
				}
				return nil
			}
			synced, err := faultyRun(r)
			if left > 0 {
				if err != nil {
					t.Fatalf("without a fault: %v", err)
				}
				if n < 4 {
					t.Fatalf("a run makes %d commits", n-1)
				}
				break
			}
			if !errors.Is(err, broken) {
				t.Errorf("%s commit %d: got %v; want the error", step, n, err)
			}
			closeRepo(t, r)
			info, err := queryRepo(t, dir).Latest()
			if errors.Is(err, ErrNoRuns) && n == 1 {
				continue
			}
			if err != nil || info.Events < synced {
				t.Errorf("%s commit %d: got %+v, %v; %d events were stored", step, n, info, err, synced)
			}
			if done := info.State == Finished; done && step == "before" {
				t.Errorf("%s commit %d: the run is finished", step, n)
			}
		}
	}
}

// faultyRun stores a run and returns how many events it was told are stored.
func faultyRun(r *Repository) (synced uint64, err error) {
	w, err := r.Begin(RunInfo{})
	if err != nil {
		return 0, err
	}
	c := w.Follow()
	for i := range 4 {
		if err = errors.Join(w.Event(childEvent(i)), w.Sync()); err != nil {
			break
		}
		synced++
	}
	_, closing := w.Close(End{State: Finished})
	if err != nil && closing == nil {
		return synced, errors.New("Close says nothing of an earlier error")
	}
	for {
		if _, err := c.Next(context.Background()); err != nil {
			if (closing == nil) != errors.Is(err, io.EOF) {
				return synced, fmt.Errorf("Close returned %w, the cursor %w", closing, err)
			}
			return synced, closing
		}
	}
}

// The three forms of want of room, as finding 6 has them, are one error.
func TestSpaceErrors(t *testing.T) {
	for name, err := range map[string]error{
		"write": &fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC},
		"grow":  errors.New("file resize error: " + (&fs.PathError{Op: "truncate", Path: "x", Err: syscall.ENOSPC}).Error()),
		"limit": errors.New("file resize error: " + (&fs.PathError{Op: "truncate", Path: "x", Err: syscall.EFBIG}).Error()),
		"quota": &fs.PathError{Op: "write", Path: "x", Err: syscall.EDQUOT},
		"size":  berrors.ErrMaxSizeReached,
	} {
		var space *SpaceError
		if got := classify(err); !errors.As(got, &space) {
			t.Errorf("%s: got %v", name, got)
		}
	}
	if err := classify(syscall.EIO); !errors.Is(err, syscall.EIO) || outOfSpace(err) {
		t.Errorf("EIO: got %v", err)
	}
}

// A repository that can't be written is a clear error for those who want to
// write; queries work, and close an unfinished run where nobody sees it.
func TestReadOnly(t *testing.T) {
	dir := dirWith(t, sample(t, true))
	home := filepath.Join(dir, DirName)
	path := filepath.Join(home, FileName)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chmod(path, 0o444), os.Chmod(home, 0o555), os.Chmod(dir, 0o755),
		os.Chmod(filepath.Dir(dir), 0o755)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(home, 0o700) })
	asNobody(t, func() {
		if _, err := Open(dir); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("Open: got %v; want no permission", err)
		}
		r, err := OpenReadOnly(dir)
		if err != nil {
			t.Fatal(err)
		}
		info, err := r.Latest()
		if err != nil || info.State != Interrupted || info.Counts.Asked != 50 {
			t.Errorf("Latest: got %+v, %v; want an interrupted run", info, err)
		}
		if _, err := r.Begin(RunInfo{}); err == nil {
			t.Error("Begin: no error")
		}
		closeRepo(t, r)
		if err := Init(home); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("Init: got %v; want no permission", err)
		}
	})
	after, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file changed: %v", err)
	}
}

// Nobody copies what somebody else is writing at the moment.
func TestCopyOfBusy(t *testing.T) {
	dir := newDir(t)
	openRepo(t, dir)
	path := filepath.Join(dir, DirName, FileName)
	r, err := openCopy(dir, path)
	if busy, ok := errors.AsType[*BusyError](err); !ok || busy.PID != os.Getpid() {
		t.Errorf("got %v; want it busy with this process", err)
	}
	if err == nil {
		closeRepo(t, r)
	}
}

// asNobody runs f without root's right to everything, if this is root.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if os.Geteuid() == 0 {
		if _, err := unix.SetfsuidRetUid(65534); err != nil {
			t.Fatal(err)
		}
		defer func() { _, _ = unix.SetfsuidRetUid(0) }()
	}
	f()
}

// A file that is cut short while it is open is an error where the operating
// system tells of it, and no crash.
func TestCutWhileOpen(t *testing.T) {
	dir := dirWith(t, sample(t, false))
	r := openRepo(t, dir)
	if err := os.Truncate(filepath.Join(dir, DirName, FileName), 8192); err != nil {
		t.Fatal(err)
	}
	var damaged *DamagedError
	if _, err := r.Failing(DefaultProfile); !errors.As(err, &damaged) {
		t.Errorf("got %v; want a *DamagedError", err)
	}
	if _, err := r.Latest(); !errors.As(err, &damaged) {
		t.Errorf("then got %v; want a *DamagedError", err)
	}
}

var _ event.Sink = (*RunWriter)(nil)
