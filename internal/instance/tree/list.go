package tree

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// entry is a file or a symbolic link of the tree here.
type entry struct {
	name  string // relative to the root
	size  int64
	mtime time.Time
	perm  fs.FileMode // what the file is to have there
	link  string      // target of a symbolic link, which is not empty; empty for a file

	sum [sha256.Size]byte // of the content, or of the target and a newline; zero if it could not be read
}

// executable says whether the file is.
func (e *entry) executable() bool { return e.perm&0o100 != 0 }

// listing finds the files of a tree.
type listing struct {
	root string
	real map[string]bool // whether a directory is one, and none above it is a link
	warn func(string)
}

// list gives the files and links of the tree, in the order of their names.
// Names that git knows and that are not there are left out, and so is, with a
// warning, what is neither a file nor a link or can't be read.
func list(ctx context.Context, root string, patterns []string, temp string, warn func(string)) ([]*entry, error) {
	inGit, err := hasGit(ctx, root)
	if err != nil {
		return nil, err
	}
	var names []string
	if inGit {
		names, err = gitNames(ctx, root, "")
	} else {
		names, err = walkNames(ctx, root, warn)
	}
	if err != nil {
		return nil, err
	}
	names = slices.DeleteFunc(names, func(name string) bool { return !isTreeName(name) })
	slices.Sort(names)
	names = slices.Compact(names) // a file in conflict is in the index several times
	if inGit && len(names) == 0 {
		if _, err := git(ctx, root, nil, "check-ignore", "--quiet", "."); err == nil {
			return nil, fmt.Errorf("git ignores all of %s; is the repository the one that was meant? "+
				"`git -C %[1]s check-ignore -v .` tells which pattern does it", root)
		}
	}
	if names, err = exclude(ctx, names, patterns, temp); err != nil {
		return nil, err
	}
	l := &listing{root: root, real: map[string]bool{".": true}, warn: warn}
	var entries []*entry
	for _, name := range names {
		e, err := l.entry(name)
		if err != nil {
			return nil, err
		}
		if e != nil {
			entries = append(entries, e)
		}
	}
	return entries, nil
}

// entry looks at a file. It is nil for what is not to be brought.
func (l *listing) entry(name string) (*entry, error) {
	if !l.isReal(path.Dir(name)) {
		return nil, nil // a link took the place of a directory that git knows
	}
	file := filepath.Join(l.root, name)
	info, err := os.Lstat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	}
	e := &entry{name: name, size: info.Size(), mtime: info.ModTime()}
	switch info.Mode().Type() {
	case 0:
		if err := unix.Access(file, unix.R_OK); err != nil {
			l.warn(fmt.Sprintf("%q is left out: it can't be read: %v", name, err))
			return nil, nil
		}
		e.perm = info.Mode()&0o666 | 0o600
		if info.Mode()&0o111 != 0 {
			e.perm |= info.Mode()&0o111 | 0o100
		}
		return e, nil
	case fs.ModeSymlink:
		e.size = 0
		e.link, err = os.Readlink(file)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return e, err
	case fs.ModeDir: // where git knows a file
		return nil, nil
	default:
		l.warn(fmt.Sprintf("%q is left out: it is neither a file nor a symbolic link", name))
		return nil, nil
	}
}

// isReal says whether dir, relative to the root, is a directory that no
// symbolic link leads to.
func (l *listing) isReal(dir string) bool {
	is, known := l.real[dir]
	if !known {
		if l.isReal(path.Dir(dir)) {
			info, err := os.Lstat(filepath.Join(l.root, dir))
			is = err == nil && info.IsDir()
		}
		l.real[dir] = is
	}
	return is
}

// open opens a file of the tree, if that still is one.
func open(root, name string) (*os.File, fs.FileInfo, error) {
	// What became a pipe would have us wait for a writer.
	f, err := os.OpenFile(filepath.Join(root, name), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: f.Name(), Err: fs.ErrNotExist} // no file, that is
	}
	if err != nil {
		_ = f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// sum sets the sums of entries. It reads with as many goroutines as there are
// processors, and returns when they have ended.
func sum(ctx context.Context, root string, entries []*entry) error {
	var next atomic.Int64
	var reading sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(entries)) {
		reading.Go(func() {
			hash, buffer := sha256.New(), make([]byte, 128<<10)
			for n := next.Add(1) - 1; n < int64(len(entries)) && ctx.Err() == nil; n = next.Add(1) - 1 {
				e := entries[n]
				hash.Reset()
				if e.link != "" {
					_, _ = io.WriteString(hash, e.link+"\n")
				} else if !e.read(root, hash, buffer) {
					continue
				}
				hash.Sum(e.sum[:0])
			}
		})
	}
	reading.Wait()
	return context.Cause(ctx)
}

// read writes the content of a file, and says whether all went well: if not,
// the file is one that differs, and sending it finds out what is the matter.
func (e *entry) read(root string, w io.Writer, buffer []byte) bool {
	f, _, err := open(root, e.name)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	_, err = io.CopyBuffer(w, struct{ io.Reader }{f}, buffer)
	return err == nil
}
