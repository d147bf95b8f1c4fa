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

// Find returns the paths of the directories of older tools that are in dir.
func Find(dir string) []string {
	var found []string
	for _, name := range Names {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(filepath.Join(path, formatFile)); err == nil && info.Mode().IsRegular() {
			found = append(found, path)
		}
	}
	return found
}

// Open opens a directory of an older tool: path itself, or the one that is in
// it. The error is that of the system, or wraps one of this package's.
func Open(path string) (*Directory, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("import: %w", err)
	}
	if info, err := os.Stat(filepath.Join(path, formatFile)); err != nil || !info.Mode().IsRegular() {
		found := Find(path)
		switch len(found) {
		case 0:
			return nil, fmt.Errorf("import %s: %w", path, ErrNone)
		case 1:
			path = found[0]
		default:
			return nil, fmt.Errorf("import %s: %w", path, ErrSeveral)
		}
	}
	d := &Directory{}
	var err error
	if d.Path, err = filepath.Abs(path); err == nil {
		d.Path, err = filepath.EvalSymlinks(d.Path)
	}
	if err == nil {
		d.root, err = os.OpenRoot(d.Path)
	}
	if err != nil {
		return nil, fmt.Errorf("import %s: %w", path, err)
	}
	if err := d.checkFormat(); err != nil {
		return nil, errors.Join(fmt.Errorf("import %s: %w", path, err), d.Close())
	}
	return d, nil
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
		return nil, nil, fmt.Errorf("open %s: %w", name, err)
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
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return data, nil
}
