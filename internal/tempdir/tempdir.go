// Package tempdir makes temporary directories that don't outlive their process
// for long: those of one that was killed are removed when the next one is made.
package tempdir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// prefix is that of our directories alone: what has it may be removed.
const prefix = "testr-work-"

// attempts bounds how often a new directory is taken for a leftover by somebody
// else, in the moment before it is locked.
const attempts = 100

// Dir is a temporary directory of this process. Its methods may be called by
// one goroutine at a time.
type Dir struct {
	path string
	lock *os.File // the directory itself, locked; nil where that can't be done
}

// Make makes a directory with a random name and mode 0700 where the system has
// such, and removes those that belong to this user and whose processes are
// gone. Whoever gets it removes it.
func Make() (*Dir, error) {
	temp, err := filepath.Abs(os.TempDir()) // who is told of it may be elsewhere
	if err != nil {
		return nil, fmt.Errorf("make a temporary directory: %w", err)
	}
	sweep(temp)
	for range attempts {
		path, err := os.MkdirTemp(temp, prefix)
		if err != nil {
			return nil, fmt.Errorf("make a temporary directory: %w", err)
		}
		d := &Dir{path: path}
		if d.hold() {
			return d, nil
		}
		_ = d.Remove()
	}
	return nil, errors.New("make a temporary directory: somebody removes each one at once")
}

// Path returns the directory's absolute path.
func (d *Dir) Path() string { return d.path }

// Remove removes the directory and everything in it. Removing again does nothing.
func (d *Dir) Remove() error {
	err := os.RemoveAll(d.path)
	if d.lock != nil {
		_ = d.lock.Close()
	}
	return err
}

// hold locks the directory for as long as this process lives, and reports
// whether it is still there. Where directories can't be locked nobody removes it.
func (d *Dir) hold() bool {
	f, err := os.Open(d.path)
	if err != nil {
		return false
	}
	switch err := lock(f); {
	case errors.Is(err, syscall.EWOULDBLOCK):
		_ = f.Close()
		return false
	case err != nil:
		_ = f.Close()
		return true
	}
	d.lock = f
	return same(f, d.path)
}

// same reports whether the open directory f is what path stands for.
func same(f *os.File, path string) bool {
	open, err1 := f.Stat()
	named, err2 := os.Lstat(path)
	return err1 == nil && err2 == nil && os.SameFile(open, named)
}

// lock locks f, if nobody else has.
func lock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }

// sweep removes what killed processes of this user left in dir. What goes wrong
// is the business of whoever looks there next.
func sweep(dir string) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return
	}
	defer func() { _ = root.Close() }()
	f, err := root.Open(".")
	if err != nil {
		return
	}
	names, _ := f.Readdirnames(-1)
	_ = f.Close()
	for _, name := range names {
		if strings.HasPrefix(name, prefix) {
			sweepOne(root, name)
		}
	}
}

// sweepOne removes a directory, if it is one of ours that nobody holds.
func sweepOne(root *os.Root, name string) {
	if info, err := root.Lstat(name); err != nil || !ours(info) {
		return
	}
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_DIRECTORY, 0)
	if err != nil {
		return
	}
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err != nil || !ours(info) || lock(f) != nil {
		return
	}
	if same(f, filepath.Join(root.Name(), name)) {
		_ = root.RemoveAll(name)
	}
}

// ours reports whether a file is a directory as Make makes them; it may have inherited
// the bit that gives its files its group.
func ours(info os.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.Mode()&^os.ModeSetgid == os.ModeDir|0o700 && int(stat.Uid) == os.Geteuid()
}
