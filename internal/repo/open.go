package repo

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"

	"testr/internal/tempdir"
)

const (
	// DirName is the name of the directory that holds a repository.
	DirName = ".testr"
	// FileName is the name of the file in it that is one.
	FileName = "repository.db"

	// DefaultProfile is the profile of everything while no profiles are configured.
	DefaultProfile = "default"

	formatVersion = 2

	lockTimeout = time.Second
	oneTry      = time.Millisecond // bbolt tries every 50 ms; zero would be for ever

	// growBy is how much room the file gets at a time: holes, at first.
	growBy = 4 << 20

	// initialMap is address space, not memory. While the file is smaller, no
	// reader can hold up a commit that makes it grow.
	initialMap = 1 << (30 + 2*(^uint(0)>>63))
)

// The buckets, and the keys that stand beside buckets.
var (
	bucketMeta    = []byte("meta")
	bucketInfos   = []byte("infos")
	bucketIDs     = []byte("ids")
	bucketRuns    = []byte("runs")
	bucketHistory = []byte("history")
	bucketFailing = []byte("failing")
	bucketTiming  = []byte("timing")
	bucketListing = []byte("listing")

	topBuckets = [][]byte{bucketMeta, bucketCatalog, bucketInfos, bucketIDs, bucketRuns, bucketHistory, bucketFailing,
		bucketTiming, bucketListing, bucketInstances}

	keyFormat = []byte("format")
)

// Repository is an open repository. Its methods may be called by several
// goroutines at once.
type Repository struct {
	path     string
	db       *bolt.DB
	file     *os.File // the file of db, for reading pages without its map
	readOnly bool
	format   uint64 // of the file when it was opened
	codec    *codec
	holder   *holder // nil without the right to write
	ids      idCache

	unwritten *unwritten // nil unless there is no room for what a crash left to be done

	// swap is held for reading while db is used, for writing while another takes its
	// place.
	swap sync.RWMutex

	mu       sync.Mutex
	known    *catalog        // what was read last; guarded by mu
	stamped  stamp           // of known; guarded by mu
	running  *RunWriter      // guarded by mu
	begun    *RunWriter      // the same once it is on disk and has its number; guarded by mu
	verified map[string]bool // parts of the file whose pages were looked at; guarded by mu
	block    []byte          // what pages were last read into; guarded by mu
	broken   error           // a panic of bbolt, after which its locks may be held for ever; guarded by mu
	closed   bool            // guarded by mu

	// fault, which only tests set, is asked around every commit ("before",
	// "after") and makes it fail.
	fault func(step string) error
}

// Init makes an empty repository in dir. Where there is one already the error
// is an *ExistsError. A crash in the middle leaves a whole repository or none.
func Init(dir string) (err error) {
	home := filepath.Join(dir, DirName)
	path := filepath.Join(home, FileName)
	if _, err := os.Lstat(path); err == nil {
		return &ExistsError{dir}
	}
	if err := os.Mkdir(home, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make a repository: %w", classify(err))
	}
	// bbolt doesn't survive a power cut while it makes a new file: the file
	// gets its name when that is over.
	tmp, err := os.CreateTemp(home, "new-*.db")
	if err != nil {
		return fmt.Errorf("make a repository: %w", classify(err))
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	if err := errors.Join(tmp.Close(), fill(tmp.Name())); err != nil {
		return fmt.Errorf("make a repository: %w", classify(err))
	}
	// A link, unlike a rename, doesn't replace what another process made meanwhile.
	err = os.Link(tmp.Name(), path)
	switch {
	case errors.Is(err, fs.ErrExist):
		return &ExistsError{dir}
	case err != nil:
		if err := os.Rename(tmp.Name(), path); err != nil {
			return fmt.Errorf("make a repository: %w", classify(err))
		}
	}
	return errors.Join(syncDir(home), syncDir(dir))
}

// fill makes the first commit of a new repository.
func fill(path string) error {
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: lockTimeout, FreelistType: bolt.FreelistMapType})
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, name := range topBuckets {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		return errors.Join(tx.Bucket(bucketMeta).Put(keyFormat, be64(formatVersion)),
			new(Repository).putCatalog(tx, &catalog{}))
	})
	return errors.Join(err, db.Sync(), db.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync a directory: %w", err)
	}
	err = d.Sync()
	_ = d.Close()
	if err != nil && !errors.Is(err, syscall.EINVAL) { // some file systems can't, and needn't
		return fmt.Errorf("sync a directory: %w", err)
	}
	return nil
}

// Open opens the repository in dir for reading and writing, and waits a second
// at most for another process to let it go. A file of an older format becomes one
// of this, in one transaction. A run that a crash left unfinished is closed first:
// it becomes an interrupted one, with everything that was committed.
//
// The error is a *NotFoundError, *BusyError, *FormatError or *DamagedError
// where one of them fits.
func Open(dir string) (*Repository, error) {
	return openFor(dir, lockTimeout)
}

// openFor is Open, which waits that long for another process.
func openFor(dir string, wait time.Duration) (*Repository, error) {
	r, err := open(dir, filepath.Join(dir, DirName, FileName), false, wait)
	if err != nil {
		return nil, err
	}
	r.holder = newHolder(filepath.Join(dir, DirName))
	r.holder.write(&BusyError{PID: os.Getpid(), Run: -1, Since: time.Now()})
	if err := r.settle(); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	// What a crash in Init left behind. Who is in there now loses anyway.
	if left, err := filepath.Glob(filepath.Join(dir, DirName, "new-*.db")); err == nil {
		for _, name := range left {
			_ = os.Remove(name)
		}
	}
	return r, nil
}

// OpenReadOnly opens the repository in dir for queries. Several processes may
// do so at once, but none while another has it open for writing: that is a
// *BusyError. A file of an older format becomes one of this, and a run that a crash
// left unfinished is closed first, as Open does; where the repository can't be
// written, in a copy that nobody else sees, and where there is no room, in memory.
func OpenReadOnly(dir string) (*Repository, error) { return openReadOnly(dir, lockTimeout) }

// TryReadOnly is OpenReadOnly for who can ask somebody else: it waits for nobody.
func TryReadOnly(dir string) (*Repository, error) { return openReadOnly(dir, oneTry) }

func openReadOnly(dir string, wait time.Duration) (*Repository, error) {
	path := filepath.Join(dir, DirName, FileName)
	r, err := open(dir, path, true, wait)
	if err != nil {
		return nil, err
	}
	if r.format == formatVersion {
		var unfinished int
		if unfinished, err = r.unfinished(); err == nil && unfinished < 0 {
			return r, nil
		}
	}
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, err
	}
	w, err := openFor(dir, wait)
	switch {
	case errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS):
		return openCopy(dir, path)
	case errors.As(err, new(*SpaceError)):
		return openUnwritten(dir)
	case err != nil:
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return open(dir, path, true, wait)
}

// settle brings a file that was just opened for writing to the form that everything
// else expects.
func (r *Repository) settle() error {
	if r.format != formatVersion {
		if err := r.upgrade(); err != nil {
			return err
		}
	}
	return r.recoverRun()
}

// openCopy does what Open does to a repository that can't be written in a copy
// without a name, and opens that.
func openCopy(dir, path string) (*Repository, error) {
	from, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("copy the repository: %w", err)
	}
	defer func() { _ = from.Close() }()
	// Who may write may be at it again.
	if err := syscall.Flock(int(from.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, newHolder(filepath.Dir(path)).read()
	}
	temp, err := tempdir.Make()
	if err != nil {
		return nil, fmt.Errorf("copy the repository: %w", err)
	}
	defer func() { _ = temp.Remove() }() // what is open stays
	to, err := os.OpenFile(filepath.Join(temp.Path(), FileName), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("copy the repository: %w", classify(err))
	}
	_, err = io.Copy(to, from)
	if err = errors.Join(err, to.Close()); err != nil {
		return nil, fmt.Errorf("copy the repository: %w", classify(err))
	}
	r, err := open(dir, to.Name(), false, lockTimeout)
	if err != nil {
		return nil, err
	}
	r.path = path // for messages: nobody finds the copy
	if err := r.settle(); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	r.readOnly = true
	return r, nil
}

// open opens the file and looks at its format; nothing more. It waits that long
// for another process.
func open(dir, path string, readOnly bool, wait time.Duration) (*Repository, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR):
		return nil, &NotFoundError{dir}
	case err != nil:
		return nil, fmt.Errorf("open the repository: %w", err)
	case !info.Mode().IsRegular():
		return nil, &DamagedError{path, "it is no regular file"}
	case info.Size() == 0: // bbolt would make a new one of it
		return nil, &DamagedError{path, "it is empty"}
	}
	r := &Repository{path: path, readOnly: readOnly, codec: newCodec(), verified: map[string]bool{}}
	err = r.guard(func() (err error) {
		r.db, r.file, err = openBolt(path, wait, readOnly)
		return err
	})
	switch {
	case err == nil && r.replaced():
		// Compact put another file in its place while this waited for its lock.
		if err := r.Close(); err != nil {
			return nil, err
		}
		return open(dir, path, readOnly, wait)
	case err == nil:
	case timedOut(err):
		return nil, newHolder(filepath.Dir(path)).read()
	case invalidFile(err):
		return nil, &DamagedError{path, err.Error()}
	default:
		return nil, fmt.Errorf("open the repository: %w", classify(err))
	}
	if err := r.checkFormat(); err != nil {
		_ = r.Close()
		return nil, err
	}
	return r, nil
}

// replaced reports whether the file that was opened no longer has its name.
func (r *Repository) replaced() bool {
	opened, err := r.file.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(r.path)
	return err == nil && !os.SameFile(opened, named)
}

// openBolt opens a file of bbolt's, with room for it to grow in the address space if
// there is a limit on that which leaves some.
func openBolt(path string, wait time.Duration, readOnly bool) (db *bolt.DB, file *os.File, err error) {
	options := bolt.Options{
		Timeout:         wait,
		FreelistType:    bolt.FreelistMapType,
		InitialMmapSize: initialMap,
		ReadOnly:        readOnly,
		NoStatistics:    true,
		OpenFile: func(name string, flag int, _ os.FileMode) (_ *os.File, err error) {
			file, err = os.OpenFile(name, flag&^os.O_CREATE, 0)
			return file, err
		},
	}
	db, err = bolt.Open(path, 0o600, &options)
	if errors.Is(err, syscall.ENOMEM) {
		options.InitialMmapSize = 0
		db, err = bolt.Open(path, 0o600, &options)
	}
	if err == nil {
		db.AllocSize = growBy
	}
	return db, file, err
}

func (r *Repository) checkFormat() error {
	return r.view(func(tx *bolt.Tx) error {
		if err := r.verify(tx, bucketMeta); err != nil {
			return err
		}
		var err error
		r.format, err = getBE64(tx.Bucket(bucketMeta), keyFormat)
		switch {
		case err != nil:
			return r.damaged("%v", err)
		case r.format == formatVersion:
			return r.verify(tx, topBuckets...)
		case r.format == 1:
			return r.verifyOld(tx)
		}
		return &FormatError{Found: r.format, Known: formatVersion}
	})
}

// Close closes the repository. A run that is still being written is left
// unfinished, as by a crash; its cursors end with ErrClosed.
func (r *Repository) Close() error {
	r.mu.Lock()
	running, broken, closed := r.running, r.broken, r.closed
	r.mu.Unlock()
	if closed {
		return nil
	}
	if running != nil {
		_, _ = running.shut(ErrClosed)
	}
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	if r.holder != nil {
		r.holder.remove()
	}
	if broken != nil {
		// bbolt's own Close could wait for locks that nobody gives back; this
		// frees the lock on the file.
		_ = r.file.Close()
		return nil
	}
	r.swap.Lock() // Compact may be about to put another file into db's place
	defer r.swap.Unlock()
	return r.guard(func() error {
		if r.unwritten != nil {
			if err := r.unwritten.forget(); err != nil {
				return err
			}
		}
		return r.db.Close()
	})
}

// view runs fn in a read transaction, and keeps panics and faults of a damaged
// file from the caller. fn has to verify what it reads, copy what it keeps and
// come back soon.
func (r *Repository) view(fn func(*bolt.Tx) error) error {
	if err := r.usable(); err != nil {
		return err
	}
	r.swap.RLock()
	defer r.swap.RUnlock()
	if u := r.unwritten; u != nil {
		return classify(r.guard(func() error { return u.view(r.db, fn) }))
	}
	return classify(r.guard(func() error { return r.db.View(fn) }))
}

// update runs fn in a write transaction. When it returns nil the changes are on
// disk. After an error they may be or not: who writes again after opening again
// has to use the same keys.
func (r *Repository) update(fn func(*bolt.Tx) error) error {
	if err := r.usable(); err != nil {
		return err
	}
	r.swap.RLock()
	defer r.swap.RUnlock()
	return classify(r.guard(func() error {
		if r.unwritten != nil {
			return r.unwritten.update(r.db, fn)
		}
		if err := r.faulty("before"); err != nil {
			return err
		}
		err := r.db.Update(fn)
		if err == nil {
			err = r.faulty("after")
		}
		if err != nil {
			r.ids.forget() // it may have numbers that nobody has got
		}
		return err
	}))
}

func (r *Repository) faulty(step string) error {
	if r.fault == nil {
		return nil
	}
	return r.fault(step)
}

func (r *Repository) usable() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return ErrClosed
	}
	return r.broken
}

// guard runs fn. A panic in it, or a fault on the map of a file that was cut
// short, is a *DamagedError, and the repository is of no use any more.
func (r *Repository) guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = r.damaged("%v", p)
			r.mu.Lock()
			r.broken = err
			r.mu.Unlock()
		}
	}()
	return fn()
}

func (r *Repository) damaged(format string, args ...any) error {
	return &DamagedError{r.path, fmt.Sprintf(format, args...)}
}
