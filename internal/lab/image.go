package lab

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// tree writes the files of an image. It is for one goroutine.
type tree struct {
	tar  *tar.Writer
	have map[string]bool // what was written, directories included
}

func newTree(w io.Writer) *tree { return &tree{tar: tar.NewWriter(w), have: make(map[string]bool)} }

func (t *tree) close() error { return t.tar.Close() }

// first tells whether path wasn't written before; if so, its directories have
// been, and it has to be now.
func (t *tree) first(path string) (bool, error) {
	path = strings.TrimPrefix(path, "/")
	if path == "" || path == "." || t.have[path] {
		return false, nil
	}
	t.have[path] = true
	return true, t.dir(filepath.Dir(path))
}

// dir writes a directory.
func (t *tree) dir(path string) error {
	if first, err := t.first(path); !first || err != nil {
		return err
	}
	return t.tar.WriteHeader(&tar.Header{
		Typeflag: tar.TypeDir, Name: strings.TrimPrefix(path, "/") + "/", Mode: 0o755,
	})
}

// text writes a file.
func (t *tree) text(path, content string) error {
	if first, err := t.first(path); !first || err != nil {
		return err
	}
	header := &tar.Header{Name: strings.TrimPrefix(path, "/"), Mode: 0o644, Size: int64(len(content))}
	if err := t.tar.WriteHeader(header); err != nil {
		return err
	}
	_, err := io.WriteString(t.tar, content)
	return err
}

// link writes a symbolic link.
func (t *tree) link(path, target string) error {
	if first, err := t.first(path); !first || err != nil {
		return err
	}
	return t.tar.WriteHeader(&tar.Header{
		Typeflag: tar.TypeSymlink, Name: strings.TrimPrefix(path, "/"), Linkname: target, Mode: 0o777,
	})
}

// file writes a file of this machine, or what a link leads to, to the same path.
func (t *tree) file(path string) error {
	if first, err := t.first(path); !first || err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	header := &tar.Header{
		Name: strings.TrimPrefix(path, "/"), Mode: int64(info.Mode().Perm()), Size: info.Size(), ModTime: info.ModTime(),
	}
	if err := t.tar.WriteHeader(header); err != nil {
		return err
	}
	_, err = io.Copy(t.tar, f)
	return err
}

// writeBusybox writes a root file system around the machine's static busybox.
func writeBusybox(t *tree) error {
	const busybox = "/bin/busybox"
	names, err := run(context.Background(), busybox, "--list")
	if err != nil {
		return err
	}
	failed := errors.Join(
		t.file(busybox),
		t.text("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"),
		t.text("/etc/group", "root:x:0:\n"))
	for _, dir := range []string{"/dev", "/proc", "/root", "/run", "/sys", "/tmp", "/work"} {
		failed = errors.Join(failed, t.dir(dir))
	}
	for name := range strings.FieldsSeq(names) {
		failed = errors.Join(failed, t.link("/bin/"+name, "busybox"))
	}
	return failed
}

// unwanted are parts of Python's standard library that are large and that
// nothing in a container needs.
var unwanted = []string{
	"__pycache__", "config-*", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "test", "tests", "tkinter", "turtledemo",
}

// writePython writes a root file system with busybox and the machine's
// /usr/bin/python3, its standard library, and the shared libraries of both.
func writePython(ctx context.Context, t *tree) error {
	const python = "/usr/bin/python3"
	library, err := run(ctx, python, "-Ic", "import sysconfig; print(sysconfig.get_path('stdlib'), end='')")
	if err != nil {
		return err
	}
	failed := errors.Join(writeBusybox(t), t.file(python))
	binaries := []string{python}
	err = filepath.WalkDir(library, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if slices.ContainsFunc(unwanted, func(pattern string) bool {
			match, _ := filepath.Match(pattern, entry.Name())
			return match
		}) {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if entry.IsDir() {
			return t.dir(path)
		}
		if strings.HasSuffix(path, ".so") {
			binaries = append(binaries, path)
		}
		return t.file(path)
	})
	libraries, lddErr := sharedLibraries(ctx, binaries)
	failed = errors.Join(failed, err, lddErr)
	for _, path := range libraries {
		failed = errors.Join(failed, t.file(path))
	}
	return failed
}

// sharedLibraries are the libraries that programs load, and what loads them.
func sharedLibraries(ctx context.Context, programs []string) ([]string, error) {
	said, err := run(ctx, "ldd", programs...)
	if err != nil {
		return nil, err
	}
	var paths []string
	for line := range strings.Lines(said) {
		// "\tlibc.so.6 => /lib/…/libc.so.6 (0x…)", "\t/lib64/ld-linux-x86-64.so.2 (0x…)"
		if strings.Contains(line, "not found") {
			return nil, fmt.Errorf("find a shared library: %s", strings.TrimSpace(line))
		}
		for field := range strings.FieldsSeq(line) {
			if strings.HasPrefix(line, "\t") && strings.HasPrefix(field, "/") {
				paths = append(paths, field)
			}
		}
	}
	return paths, nil
}
