package tree

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"strings"
	"syscall"
)

// found is what stands there in the place of a path.
type found struct {
	kind byte   // as in compare.sh; 0 if that is not known
	sum  string // in hexadecimal; empty if that is not known
}

// byTar brings the files that differ in one tar stream.
func (s *syncer) byTar(ctx context.Context, p *plan) error {
	tool, err := s.sumTool()
	if err != nil {
		return err
	}
	var sumErr error
	summed := make(chan struct{})
	go func() { // while the other end makes its own sums
		defer close(summed)
		sumErr = sum(ctx, s.root, s.files)
	}()
	there, err := s.there.compare(ctx, tool, p)
	<-summed
	if err = errors.Join(err, sumErr); err != nil {
		return err
	}
	differ, room := compare(s.files, p, there)
	if err := s.there.change(ctx, append(p.changes(), room...)); err != nil {
		return err
	}
	return s.send(ctx, differ)
}

// sumTool is the tool there for sums.
func (s *syncer) sumTool() (string, error) {
	for _, tool := range []string{"xargs", "tar"} {
		if !s.hold.has[tool] {
			return "", fmt.Errorf("there is no %s there: install it, or rsync here and there", tool)
		}
	}
	for _, tool := range []string{"sha256sum", "shasum", "openssl"} {
		if s.hold.has[tool] {
			return tool, nil
		}
	}
	return "", errors.New("none of sha256sum, shasum and openssl is there: install one, or rsync here and there")
}

// compare asks what stands there in the places of the directories and files.
func (t *there) compare(ctx context.Context, tool string, p *plan) (map[string]found, error) {
	paths := append(append([]string(nil), p.dirs...), p.names...)
	all := make([]found, 0, len(paths))
	err := t.run(ctx, job{
		what:    "compare the files",
		command: t.command(compareAll, compareScript, tool),
		stdin: func(w io.Writer) error {
			b := bufio.NewWriterSize(w, 64<<10)
			for _, path := range paths {
				_, _ = b.WriteString("./" + path + "\x00")
			}
			return b.Flush()
		},
		stdout: func(r *bufio.Reader) error {
			for len(all) < len(paths) {
				some, err := readBatch(r, len(paths)-len(all))
				if err != nil {
					return err
				}
				all = append(all, some...)
			}
			return nil
		},
	})
	if err != nil {
		return nil, err
	}
	there := make(map[string]found, len(paths))
	for i, path := range paths {
		there[path] = all[i]
	}
	return there, nil
}

// readBatch reads what the compareScript says of a batch of paths, of which
// there are at most so many, and at least one.
func readBatch(r *bufio.Reader, most int) ([]found, error) {
	var all []found
	var unsummed []int
	for {
		line, err := readLine(r)
		if err != nil {
			return nil, err
		}
		if line == "=" {
			break
		}
		kind, sum, _ := strings.Cut(line, " ")
		if len(kind) != 1 || len(all) == most {
			return nil, fmt.Errorf("the answer has a line %q", line)
		}
		if sum == "" && (kind == "f" || kind == "x") {
			unsummed = append(unsummed, len(all))
		}
		all = append(all, found{kind[0], sum})
	}
	if len(all) == 0 {
		return nil, errors.New("the answer is empty")
	}
	var sums []string
	for {
		line, err := readSum(r)
		if err != nil {
			return nil, err
		}
		if line == "." {
			break
		}
		if len(sums) > len(unsummed) {
			continue
		}
		sums = append(sums, line)
	}
	// If a file could not be read nobody knows whose sums these are. They are
	// taken for unknown then, and the files are sent.
	if len(sums) == len(unsummed) {
		for i, n := range unsummed {
			all[n].sum = sums[i]
		}
	}
	return all, nil
}

// readSum reads a line of a tool for sums, and gives the sum in it, or ".".
func readSum(r *bufio.Reader) (string, error) {
	line, err := r.ReadSlice('\n')
	sum := strings.TrimPrefix(string(line), `\`) // which says that the name behind it is quoted
	for errors.Is(err, bufio.ErrBufferFull) {    // the rest is of a name
		_, err = r.ReadSlice('\n')
	}
	if err != nil {
		return "", noEOF(err)
	}
	if len(sum) > 2*sha256.Size {
		sum = sum[:2*sha256.Size]
	}
	return strings.TrimSuffix(sum, "\n"), nil
}

// compare finds the files that differ from what is there, and the words for the
// changeScript that make room for them.
func compare(files []*entry, p *plan, there map[string]found) (differ []*entry, room []string) {
	bad := make(map[string]bool) // directories that are not there, or behind a link
	for _, dir := range p.dirs {
		switch kind := there[dir].kind; {
		case bad[path.Dir(dir)]:
			bad[dir] = true
		case kind != 'd':
			bad[dir] = true
			if kind != '-' {
				room = append(room, "a"+dir)
			}
		}
	}
	for _, e := range files {
		is := there[e.name]
		if bad[path.Dir(e.name)] {
			is = found{kind: '-'}
		}
		if e.sum != [sha256.Size]byte{} && is == e.wanted() {
			continue
		}
		differ = append(differ, e)
		switch is.kind {
		case 'd':
			room = append(room, "w"+e.name)
		case 'l', 'o': // which not every tar replaces
			room = append(room, "g"+e.name)
		}
	}
	return differ, room
}

// wanted is what should be there in the place of e.
func (e *entry) wanted() found {
	f := found{kind: 'f', sum: hex.EncodeToString(e.sum[:])}
	switch {
	case e.link != "":
		f.kind = 'l'
	case e.executable():
		f.kind = 'x'
	}
	return f
}

// send sends files.
func (s *syncer) send(ctx context.Context, files []*entry) error {
	s.meter.now.AllFiles = len(files)
	for _, e := range files {
		s.meter.now.AllBytes += e.size
	}
	if len(files) == 0 {
		return nil
	}
	return s.there.run(ctx, job{
		what:    "unpack the files",
		command: s.there.command(unpackAll),
		stdin: func(w io.Writer) error {
			b := bufio.NewWriterSize(w, 256<<10)
			t := tar.NewWriter(b)
			for _, e := range files {
				if err := s.pack(ctx, t, e); err != nil {
					return err
				}
			}
			if err := t.Close(); err != nil {
				return err
			}
			return b.Flush()
		},
	})
}

// pack writes a file to the stream. One that has become another since it was
// listed is left out, or filled up with zeros: either is found by the next sync.
func (s *syncer) pack(ctx context.Context, t *tar.Writer, e *entry) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	// GNU's format has names as they are, of any length, and every tar reads it.
	h := &tar.Header{Name: "./" + e.name, ModTime: e.mtime, Format: tar.FormatGNU}
	if e.link != "" {
		h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, e.link, 0o777
		if err := t.WriteHeader(h); err != nil {
			return err
		}
		s.sent()
		return nil
	}
	f, info, err := open(s.root, e.name)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ELOOP):
		s.warn(fmt.Sprintf("%q was left out: it has gone while the tree was brought", e.name))
		return nil
	case err != nil:
		return fmt.Errorf("read %s: %w", filepath.Join(s.root, e.name), err)
	}
	defer func() { _ = f.Close() }()
	h.Typeflag, h.Mode, h.Size = tar.TypeReg, int64(e.perm), info.Size()
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	n, err := io.CopyN(struct{ io.Writer }{t}, s.counting(ctx, f), h.Size)
	if n < h.Size && errors.Is(err, io.EOF) {
		s.warn(fmt.Sprintf("%q has changed while the tree was brought", e.name))
		_, err = io.CopyN(t, zeros{}, h.Size-n)
	}
	if err != nil {
		return err
	}
	s.sent()
	s.stats.Bytes += n
	return nil
}

func (s *syncer) sent() {
	s.stats.Sent++
	s.meter.add(1, 0)
}

// counting reads f, counts it, and ends with the context.
func (s *syncer) counting(ctx context.Context, f io.Reader) io.Reader {
	return readerFunc(func(b []byte) (int, error) {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		n, err := f.Read(b)
		s.meter.add(0, int64(n))
		return n, err
	})
}

type readerFunc func([]byte) (int, error)

// Read calls f.
func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// zeros has no end.
type zeros struct{}

// Read gives zeros.
func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}
