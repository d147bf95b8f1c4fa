package api

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"testr/internal/repo"
)

const (
	// socketName is the socket's name beside the repository's file.
	socketName = "socket"

	// maxPath is how long the path of a socket may be: sockaddr_un has room for 107
	// bytes, and the socket gets its name by a rename, from binding + "/" + bound.
	maxPath = 107 - len(binding+"/"+bound)
	binding = "~"
	bound   = "s"
)

// place is where a socket may be.
type place struct {
	dir    string // real, but for its last element
	name   string
	shared bool // the directory belongs to no repository: it is made, and has to be for us alone
}

func (p place) path() string { return filepath.Join(p.dir, p.name) }

// places are where the socket of the repository in dir may be, the best one
// first: beside its file, or where its path is short enough.
func places(dir string) ([]place, error) {
	home, err := filepath.Abs(filepath.Join(dir, repo.DirName))
	if err == nil {
		home, err = filepath.EvalSymlinks(home)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, &repo.NotFoundError{Dir: dir}
	case err != nil:
		return nil, fmt.Errorf("find the repository: %w", err)
	}
	sum := sha256.Sum256([]byte(home))
	name := hex.EncodeToString(sum[:8])
	all := []place{{home, socketName, false}}
	if run := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(run) {
		all = append(all, place{filepath.Join(run, "testr"), name, true})
	}
	mine := "testr-" + strconv.Itoa(os.Geteuid())
	for _, temp := range []string{os.TempDir(), "/tmp"} { // the first one may have a long name, too
		all = append(all, place{filepath.Join(temp, mine), name, true})
	}
	short := all[:0]
	for _, p := range all {
		if len(p.path()) <= maxPath {
			short = append(short, p)
		}
	}
	return short, nil
}

// make makes the directory, if it is not a repository's, and checks it.
func (p place) make() error {
	if p.shared {
		if err := os.Mkdir(p.dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("make a directory for a socket: %w", err)
		}
	}
	return p.checkDir()
}

// ForeignError says that something is not ours: a socket, its directory, or the
// process at the other end.
type ForeignError struct{ Path, Reason string }

func (e *ForeignError) Error() string { return e.Path + ": " + e.Reason }

// checkDir checks that nobody else could have put a socket there. That the error
// is fs.ErrNotExist means that there is none.
func (p place) checkDir() error {
	info, err := os.Lstat(p.dir)
	if err != nil {
		return fmt.Errorf("look for a socket: %w", err)
	}
	switch owner := ownerOf(info); {
	case !info.IsDir():
		return &ForeignError{p.dir, "it is no directory"}
	case p.shared && owner != os.Geteuid():
		return &ForeignError{p.dir, fmt.Sprintf("it belongs to user %d", owner)}
	case p.shared && info.Mode().Perm()&0o077 != 0:
		return &ForeignError{p.dir, fmt.Sprintf("others may use it: its mode is %o", info.Mode().Perm())}
	case !trusted(owner) && os.Geteuid() != 0: // root has opened a file there already
		return &ForeignError{p.dir, fmt.Sprintf("it belongs to user %d", owner)}
	}
	return nil
}

// checkSocket checks that there is a socket, and that it is ours.
func (p place) checkSocket() error {
	if err := p.checkDir(); err != nil {
		return err
	}
	info, err := os.Lstat(p.path())
	switch {
	case err != nil:
		return fmt.Errorf("look for a socket: %w", err)
	case info.Mode().Type() != fs.ModeSocket:
		return &ForeignError{p.path(), "it is no socket"}
	case !trusted(ownerOf(info)):
		return &ForeignError{p.path(), fmt.Sprintf("it belongs to user %d", ownerOf(info))}
	}
	return nil
}

func ownerOf(info fs.FileInfo) int {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(s.Uid)
	}
	return -1
}

// trusted reports whether a user may ask and answer: we, and root.
func trusted(uid int) bool { return uid == 0 || uid == os.Geteuid() }
