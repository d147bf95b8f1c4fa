package legacy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// timesFile is the database of durations: a file of that name, or several whose
// names begin with it.
const timesFile = "times.dbm"

const (
	// maxValue bounds the values of the database, which are numbers.
	maxValue = 64

	// maxTimes bounds how many there are.
	maxTimes = 1 << 20
)

// timing returns the durations that the directory's database has, by test id; none
// if there is no database. As Python's dbm does, it looks at names and contents to
// find out what wrote it.
func (d *Directory) timing(ctx context.Context) (map[string]time.Duration, error) {
	for _, name := range []string{timesFile + ".pag", timesFile + ".db"} {
		if d.has(name) {
			return nil, fmt.Errorf("%s is of ndbm or Berkeley DB, which can't be read", name)
		}
	}
	if d.has(timesFile + ".dir") {
		return d.dumbTiming(ctx)
	}
	data, err := d.read(timesFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case bytes.HasPrefix(data, []byte(sqliteMagic)):
		return sqliteTiming(ctx, data)
	}
	return nil, fmt.Errorf("%s is of gdbm, or nothing that is known, and can't be read", timesFile)
}

func (d *Directory) has(name string) bool {
	info, err := d.root.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

// addTiming adds a duration, if key and value can be what they should be. The error
// is that there are too many.
func addTiming(timing map[string]time.Duration, key, value []byte) error {
	seconds, err := strconv.ParseFloat(strings.TrimSpace(string(value)), 64)
	if err != nil || math.IsNaN(seconds) || seconds < 0 || seconds > math.MaxInt32 ||
		len(key) == 0 || !utf8.Valid(key) || bytes.IndexByte(key, 0) >= 0 {
		return nil
	}
	timing[string(key)] = time.Duration(math.Round(seconds * float64(time.Second)))
	if len(timing) > maxTimes {
		return fmt.Errorf("there are more than %d durations", maxTimes)
	}
	return nil
}

// dumbTiming reads a database of Python's dbm.dumb: a directory in text, of keys
// with places, and a file with the values.
func (d *Directory) dumbTiming(ctx context.Context) (map[string]time.Duration, error) {
	dir, err := d.read(timesFile + ".dir")
	if err != nil {
		return nil, err
	}
	values, info, err := d.open(timesFile + ".dat")
	if err != nil {
		return nil, err
	}
	defer func() { _ = values.Close() }()
	timing := map[string]time.Duration{}
	for n := 1; len(dir) > 0; n++ {
		var line []byte
		line, dir, _ = bytes.Cut(dir, []byte("\n"))
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		key, at, size, ok := dumbEntry(line)
		if !ok {
			return nil, fmt.Errorf("line %d of %s.dir can't be read", n, timesFile)
		}
		if size > maxValue || at > info.Size()-size {
			continue // it may be older than the values
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		value, err := readAt(values, at, size)
		if err != nil {
			return nil, fmt.Errorf("read %s.dat: %w", timesFile, err)
		}
		if err := addTiming(timing, key, value); err != nil {
			return nil, err
		}
	}
	return timing, nil
}

func readAt(f *os.File, at, size int64) ([]byte, error) {
	value := make([]byte, size)
	_, err := f.ReadAt(value, at)
	return value, err //nolint:wrapcheck // its caller wraps it
}

// dumbEntry takes a line of the directory apart: 'KEY', (PLACE, SIZE), the key as
// Python's repr writes it, each character being an octet.
func dumbEntry(line []byte) (key []byte, at, size int64, ok bool) {
	key, rest, ok := unquotePython(line)
	if !ok {
		return nil, 0, 0, false
	}
	rest, ok = bytes.CutPrefix(rest, []byte(", ("))
	if !ok {
		return nil, 0, 0, false
	}
	if rest, ok = bytes.CutSuffix(rest, []byte(")")); !ok {
		return nil, 0, 0, false
	}
	place, length, ok := bytes.Cut(rest, []byte(", "))
	at, errAt := strconv.ParseInt(string(place), 10, 64)
	size, errSize := strconv.ParseInt(string(length), 10, 64)
	return key, at, size, ok && errAt == nil && errSize == nil && at >= 0 && size >= 0
}

// unquotePython takes the string literal from the beginning of b that repr makes
// of a string of octets.
func unquotePython(b []byte) (text, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != '\'' && b[0] != '"' {
		return nil, nil, false
	}
	quote := b[0]
	for b = b[1:]; len(b) > 0; {
		c := b[0]
		b = b[1:]
		switch {
		case c == quote:
			return text, b, true
		case c != '\\':
			text = append(text, c)
			continue
		case len(b) == 0:
			return nil, nil, false
		}
		c = b[0]
		b = b[1:]
		switch c {
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'x':
			if len(b) < 2 {
				return nil, nil, false
			}
			n, err := strconv.ParseUint(string(b[:2]), 16, 8)
			if err != nil {
				return nil, nil, false
			}
			c, b = byte(n), b[2:]
		case '\\', '\'', '"':
		default:
			return nil, nil, false
		}
		text = append(text, c)
	}
	return nil, nil, false
}
