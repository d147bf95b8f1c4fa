package legacy

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Names are those of the directories that Find looks for.
var Names = []string{".testrepository", ".stestr"}

// The errors of Open.
var (
	// ErrFile says that it is a file, and no directory.
	ErrFile = errors.New("it is no directory: name the .testrepository or .stestr directory, or the one that it is in")
	// ErrNone says that there is no directory of an older tool.
	ErrNone = errors.New("there is neither .testrepository nor .stestr")
	// ErrSeveral says that there is more than one, so that one has to be chosen.
	ErrSeveral = errors.New("there are .testrepository and .stestr: name the one that is meant")
	// ErrFormat says that it is of a format that nobody has written yet.
	ErrFormat = errors.New("it is not of format 1")
)

const (
	formatFile  = "format"
	failingFile = "failing"

	// maxStream is how much is read of one stream.
	maxStream = 4 << 30

	// maxSmall is how much is read of a file that is read as a whole. A database of the
	// durations of half a million tests is smaller.
	maxSmall = 64 << 20

	// maxDigits bounds the numbers of runs.
	maxDigits = 15
)

// Directory is an older tool's directory. It belongs to one goroutine.
type Directory struct {
	Path string // absolute, without symbolic links: it stands for the directory in what is stored
	root *os.Root
}

// Find returns the paths of the directories of older tools that are in dir. One
// that can't be looked into is none.
func Find(dir string) []string {
	found, _ := find(dir)
	return found
}

// find is Find, with what kept it from looking into directories.
func find(dir string) (found []string, err error) {
	for _, name := range Names {
		path := filepath.Join(dir, name)
		is, looked := isDirectory(path)
		if is {
			found = append(found, path)
		}
		err = errors.Join(err, looked)
	}
	return found, err
}

// isDirectory reports whether path is an older tool's directory, be it of another
// format. The error says that it may be.
func isDirectory(path string) (bool, error) {
	info, err := os.Stat(filepath.Join(path, formatFile))
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return false, nil
	case err != nil:
		return false, err //nolint:wrapcheck // its caller wraps it
	}
	return info.Mode().IsRegular(), nil
}

// Open opens a directory of an older tool: path itself, or the one that is in
// it. The error is that of the system, or wraps one of this package's.
func Open(path string) (*Directory, error) {
	at, err := locate(path)
	if err != nil {
		return nil, fmt.Errorf("import %s: %w", path, err)
	}
	d := &Directory{}
	if d.Path, err = filepath.Abs(at); err == nil {
		d.Path, err = filepath.EvalSymlinks(d.Path)
	}
	if err == nil {
		d.root, err = os.OpenRoot(d.Path)
	}
	if err != nil {
		return nil, fmt.Errorf("import %s: %w", at, err)
	}
	if err := d.checkFormat(); err != nil {
		return nil, errors.Join(fmt.Errorf("import %s: %w", at, err), d.Close())
	}
	return d, nil
}

// locate returns path, or the only directory of an older tool that is in it.
func locate(path string) (string, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return "", bare(err)
	case !info.IsDir():
		return "", ErrFile
	}
	is, err := isDirectory(path)
	if is || err != nil {
		return path, err
	}
	found, err := find(path)
	switch {
	case len(found) > 1:
		return "", ErrSeveral
	case err != nil:
		return "", err
	case len(found) == 0:
		return "", ErrNone
	}
	return found[0], nil
}

// bare is a system's error without the path, which its caller names.
func bare(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

// Close closes the directory.
func (d *Directory) Close() error {
	if err := d.root.Close(); err != nil {
		return fmt.Errorf("close %s: %w", d.Path, err)
	}
	return nil
}

func (d *Directory) checkFormat() error {
	f, _, err := d.open(formatFile)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, 100))
	if err == nil && strings.TrimSpace(string(text)) != "1" {
		err = fmt.Errorf("%w: its format is %q", ErrFormat, text)
	}
	return err
}

// open opens a regular file of the directory; a link that leads out of it and a
// pipe that nobody writes are errors like others.
func (d *Directory) open(name string) (*os.File, fs.FileInfo, error) {
	f, err := d.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("open %s: %w", name, bare(err))
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is no regular file")
	}
	if err != nil {
		_ = f.Close()
		return nil, nil, fmt.Errorf("open %s: %w", name, err)
	}
	return f, info, nil
}

// Runs returns the numbers of the runs whose streams are there, in order. What
// an insert that broke off has left, and files of other names, are no runs.
func (d *Directory) Runs() ([]int, error) {
	dir, err := d.root.Open(".")
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", d.Path, err)
	}
	defer func() { _ = dir.Close() }()
	var runs []int
	for {
		names, err := dir.Readdirnames(1000)
		for _, name := range names {
			n, notNumber := strconv.Atoi(name)
			if notNumber == nil && n >= 0 && len(name) <= maxDigits && strconv.Itoa(n) == name {
				runs = append(runs, n)
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			slices.Sort(runs)
			return runs, nil
		case err != nil:
			return nil, fmt.Errorf("list %s: %w", d.Path, err)
		}
	}
}

// read reads a file as a whole.
func (d *Directory) read(name string) ([]byte, error) {
	f, info, err := d.open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	var data []byte
	large := info.Size() > maxSmall
	if !large {
		data, err = io.ReadAll(io.LimitReader(f, maxSmall+1))
		large = len(data) > maxSmall
	}
	if err == nil && large {
		err = fmt.Errorf("it has more than %d MiB", maxSmall>>20)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, bare(err))
	}
	return data, nil
}
