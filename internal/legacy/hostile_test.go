package legacy

import (
	"database/sql"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"testr/internal/protocol"
)

func TestOpen(t *testing.T) {
	both := t.TempDir()
	for _, name := range Names {
		if err := os.CopyFS(filepath.Join(both, name), os.DirFS("testdata/stestr")); err != nil {
			t.Fatal(err)
		}
	}
	one := t.TempDir()
	if err := os.Rename(filepath.Join(both, Names[0]), filepath.Join(one, Names[0])); err != nil {
		t.Fatal(err)
	}
	if d := open(t, one); filepath.Base(d.Path) != Names[0] {
		t.Errorf("got %s; want the directory in %s", d.Path, one)
	}
	if err := os.CopyFS(filepath.Join(both, Names[0]), os.DirFS("testdata/testrepository")); err != nil {
		t.Fatal(err)
	}
	newer := copyOf(t, "testdata/stestr")
	write(t, newer, "format", "2\n")
	for path, want := range map[string]error{
		t.TempDir(): ErrNone, both: ErrSeveral, newer: ErrFormat, filepath.Join(one, "missing"): os.ErrNotExist,
		filepath.Join(newer, "format"): ErrFile,
	} {
		if _, err := Open(path); !errors.Is(err, want) {
			t.Errorf("Open(%s): got %v; want %v", path, err, want)
		}
	}
	if got := Find(both); len(got) != 2 {
		t.Errorf("Find: got %q; want both", got)
	}
}

// A directory that can't be looked into is not one that isn't there.
func TestOpenUnreadable(t *testing.T) {
	round := t.TempDir() // every file in it leads to itself, which even root can't read
	for _, name := range []string{"format", Names[0], "file"} {
		if err := os.Symlink(name, filepath.Join(round, name)); err != nil {
			t.Fatal(err)
		}
	}
	in := t.TempDir()
	if err := os.Symlink(Names[0], filepath.Join(in, Names[0])); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{round, in, filepath.Join(round, "file")} {
		if _, err := Open(path); !errors.Is(err, syscall.ELOOP) {
			t.Errorf("Open(%s): got %v; want %v", path, err, syscall.ELOOP)
		}
	}
	if got := Find(in); len(got) > 0 {
		t.Errorf("Find: got %q; want nothing", got)
	}
}

// What is no stream of a run, or leads elsewhere, is left out and named.
func TestHostileDirectory(t *testing.T) {
	path := copyOf(t, "testdata/testrepository")
	secret := filepath.Join(t.TempDir(), "secret")
	write(t, filepath.Dir(secret), "secret", "test: secret\nsuccess: secret\n")
	err := errors.Join(
		os.Remove(filepath.Join(path, "0")), os.Symlink(secret, filepath.Join(path, "0")),
		os.Symlink("../../../../../../etc/passwd", filepath.Join(path, "3")),
		syscall.Mkfifo(filepath.Join(path, "4"), 0o600), // nobody writes it
		os.Mkdir(filepath.Join(path, "5"), 0o700),
		os.Symlink("/dev/zero", filepath.Join(path, "6")),
		os.Symlink("8", filepath.Join(path, "8")),
	)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"00", "-1", "+1", "01", "1 ", "x", "tmpabc", "9999999999999999999", "next-stream"} {
		write(t, path, name, "test: never\nsuccess: never\n")
	}
	write(t, path, "999999999", "\x00\xb3\xff\ntest: \x00\nsuccess: \x00\n") // text, and a test with an odd name
	d, r := open(t, path), newRepo(t)
	res, warnings := imported(t, r, d)
	if diff := cmp.Diff(Result{Runs: 3, LeftOut: 6, Failing: 1}, res); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(warnings) != 6 {
		t.Errorf("got %d warnings; want 6:\n%s", len(warnings), strings.Join(warnings, "\n"))
	}
	for i, n := range []int{0, 3, 4, 5, 6, 8} {
		if want := fmt.Sprintf("run %d of ", n); i < len(warnings) && !strings.HasPrefix(warnings[i], want) {
			t.Errorf("got the warning %q; want %q…", warnings[i], want)
		}
	}
}

// S6: of one stream no more is read than the limit, and what was cut says so.
func TestStreamLimit(t *testing.T) {
	path := copyOf(t, "testdata/testrepository")
	stream := strings.Repeat("test: a\nsuccess: a\n", 1000)
	write(t, path, "3", stream)
	d := open(t, path)
	for limit, want := range map[int64]error{
		int64(len(stream)): io.EOF, int64(len(stream)) + 1: io.EOF,
		int64(len(stream)) - 1: errTooLarge, 5: errTooLarge, 0: errTooLarge,
	} {
		s, err := d.openStream(t.Context(), "3", limit)
		if err != nil {
			t.Fatal(err)
		}
		for err == nil {
			_, err = s.next()
		}
		if !errors.Is(err, want) {
			t.Errorf("limit %d of %d: got %v; want %v", limit, len(stream), err, want)
		}
		s.close()
	}
}

// A packet without a time has that of the one before it, the first that of the
// file.
func TestStreamTimes(t *testing.T) {
	path := copyOf(t, "testdata/testrepository")
	write(t, path, "3", "test: a\nsuccess: a\ntime: 2011-05-17 08:00:00Z\ntest: b\nsuccess: b\ntext\n")
	modified := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	if err := os.Chtimes(filepath.Join(path, "3"), modified, modified); err != nil {
		t.Fatal(err)
	}
	s, err := open(t, path).openStream(t.Context(), "3", maxStream)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	var got []string
	for {
		p, err := s.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if p.Text {
			t.Error("got text; want packets only")
		}
		got = append(got, fmt.Sprint(p.TestID, " ", p.Has&protocol.HasTime != 0, " ", p.Time.Year()))
	}
	want := []string{"a true 2001", "a true 2001", "b true 2011", "b true 2011", " true 2011"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDumbEntry(t *testing.T) {
	for _, c := range []struct {
		line, key string
		at, size  int64
		ok        bool
	}{
		{`'m.C.test', (0, 7)`, "m.C.test", 0, 7, true},
		{`"it's", (512, 0)`, "it's", 512, 0, true},
		{`'a\\b\'c\n\t\r\xc3\xa9', (1, 2)`, "a\\b'c\n\t\ré", 1, 2, true},
		{"'\xc3\xa9', (1, 2)", "é", 1, 2, true},
		{`'a', (1, 2), (3, 4)`, "", 0, 0, false},
		{`'a', (-1, 2)`, "", 0, 0, false},
		{`'a', (1, 99999999999999999999)`, "", 0, 0, false},
		{`'a', 1, 2`, "", 0, 0, false},
		{`'a`, "", 0, 0, false},
		{`'a\`, "", 0, 0, false},
		{`'\x4', (1, 2)`, "", 0, 0, false},
		{`'\q', (1, 2)`, "", 0, 0, false},
		{`b'a', (1, 2)`, "", 0, 0, false},
		{``, "", 0, 0, false},
	} {
		key, at, size, ok := dumbEntry([]byte(c.line))
		if ok != c.ok || ok && (string(key) != c.key || at != c.at || size != c.size) {
			t.Errorf("%s: got %q, %d, %d, %v; want %q, %d, %d, %v", c.line, key, at, size, ok, c.key, c.at, c.size, c.ok)
		}
	}
}

func FuzzDumbEntry(f *testing.F) {
	f.Add([]byte(`'m.C.test\x00\'', (0, 7)`))
	f.Fuzz(func(t *testing.T, line []byte) {
		if key, at, size, ok := dumbEntry(line); ok && (len(key) > len(line) || at < 0 || size < 0) {
			t.Errorf("got %q, %d, %d", key, at, size)
		}
	})
}

// Durations that can't be read are left to the runs, and the file is named.
func TestUnreadableTiming(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		want  string // in the warning; none: no warning
	}{
		{"none", nil, ""},
		{"Berkeley DB", map[string]string{"times.dbm.db": "x"}, "times.dbm.db"},
		{"ndbm", map[string]string{"times.dbm.pag": "x", "times.dbm.dir": "x"}, "times.dbm.pag"},
		{"gdbm", map[string]string{"times.dbm": "\xce\x9a\x57\x13"}, "times.dbm"},
		{"directory without values", map[string]string{"times.dbm.dir": "'a', (0, 1)\n"}, "times.dbm.dat"},
		{"bad directory", map[string]string{"times.dbm.dir": "'a', (0, 1)\nx\n", "times.dbm.dat": "1"}, "line 2"},
		{"short database", map[string]string{"times.dbm": sqliteMagic}, "times.dbm"},
		{"too large", map[string]string{"times.dbm": sqliteMagic + strings.Repeat("\x00", maxSmall)}, "more than 64 MiB"},
		{"too many", map[string]string{"times.dbm.dir": manyTimes(), "times.dbm.dat": "1"}, "more than 1048576 durations"},
		{"empty database", map[string]string{"times.dbm": sqliteMagic + strings.Repeat("\x00", 5000)}, "times.dbm"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := copyOf(t, "testdata/testrepository")
			if err := os.Remove(filepath.Join(path, timesFile)); err != nil {
				t.Fatal(err)
			}
			for name, content := range c.files {
				write(t, path, name, content)
			}
			r := newRepo(t)
			res, warnings := imported(t, r, open(t, path))
			if res.Runs != 3 || res.Failing != 1 {
				t.Errorf("got %+v; want all runs and the failing test", res)
			}
			if all := strings.Join(warnings, "\n"); !strings.Contains(all, c.want) || (all == "") != (c.want == "") {
				t.Errorf("got the warnings %q; want %q", all, c.want)
			}
			if timing, err := r.Timing("default"); timing["test_a.T.test_pass"] < 40*time.Millisecond || err != nil {
				t.Errorf("got %v, %v; want the durations of the runs", timing, err)
			}
		})
	}
}

// manyTimes is a directory of dbm.dumb with a duration too many.
func manyTimes() string {
	var b strings.Builder
	for i := range maxTimes + 1 {
		fmt.Fprintf(&b, "'%x', (0, 1)\n", i)
	}
	return b.String()
}

// Values that are no durations, and keys that are no ids, are left out.
func TestOddTiming(t *testing.T) {
	path := copyOf(t, "testdata/stestr")
	values := "nan     inf     -1      1e300   x       0.5     2.5\n    "
	write(t, path, "times.dbm.dat", values)
	write(t, path, "times.dbm.dir", `'a', (0, 8)
'b', (8, 8)
'c', (16, 8)
'd', (24, 8)
'e', (32, 8)
'good', (40, 8)
'good', (48, 8)
'', (40, 8)
'\x00', (40, 8)
'\xff', (40, 8)
'far', (4000000000, 8)
'overflow', (4611686018427387903, 8)
'long', (0, 4000000000)
`)
	got, err := open(t, path).timing(t.Context())
	if diff := cmp.Diff(map[string]time.Duration{"good": 2500 * time.Millisecond}, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// A database that somebody tampered with is an error or what it says, and neither
// panics nor takes for ever.
func TestDamagedSQLite(t *testing.T) {
	whole, err := os.ReadFile("testdata/testrepository/" + timesFile)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := sqliteTiming(t.Context(), whole); len(got) != 6 || err != nil {
		t.Fatalf("got %v, %v; want six durations", got, err)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		data := append([]byte(nil), whole...)
		for range 1 + rnd.IntN(8) {
			data[rnd.IntN(len(data))] = byte(rnd.IntN(256))
		}
		if rnd.IntN(4) == 0 {
			data = data[:rnd.IntN(len(data))]
		}
		if got, err := sqliteTiming(t.Context(), data); err == nil && len(got) > 1000 {
			t.Errorf("got %d durations of a file of %d octets", len(got), len(data))
		}
	}
}

// S6: a few octets of a schema can't make a value of any size, nor run anything.
func TestHostileSQLite(t *testing.T) {
	for _, c := range []struct{ name, schema, want string }{
		{"computed key", "CREATE TABLE Dict(value, key AS (zeroblob(900000000))); INSERT INTO Dict VALUES('1')",
			"columns that are worked out"},
		{"computed and stored", "CREATE TABLE Dict(value, key AS (value || 'x') STORED); INSERT INTO Dict VALUES('1')",
			"columns that are worked out"},
		{"view", "CREATE VIEW Dict AS SELECT 'a' AS key, '1' AS value", "it is a view"},
		{"virtual table", "CREATE VIRTUAL TABLE Dict USING fts5(key, value); INSERT INTO Dict VALUES('a', '1')",
			"it is a virtual table"},
		{"no table", "CREATE TABLE Other(x)", "there is none"},
		{"long key", "CREATE TABLE Dict(key, value); INSERT INTO Dict VALUES(zeroblob(2000000), '1')", "too big"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := sqliteTiming(t.Context(), sqliteFile(t, c.schema))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, %v; want %q", got, err, c.want)
			}
		})
	}
}

// sqliteFile returns a database that the statements make.
func sqliteFile(t *testing.T, statements string) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.ExecContext(t.Context(), statements)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
